"""Curves of hard cuts of a run's masks, stored in the run as ``tuning/round-<n>.json`` and replaced as they grow."""

from dataclasses import asdict, dataclass
from typing import Any

from invmask.evidence.threshold import ORDER_VERSION, THRESHOLDS, TOP_STEPS, Cut, CutPoint, Order
from invmask.masks.state import HARD
from invmask.measure.metrics import Measures
from invmask.runs.store import files
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import result_key
from invmask.runs.work.side_jobs import Errand

ERRAND = Errand("tuning", "The cuts could not be measured.")


@dataclass(frozen=True)
class CutCurves:
    """The measurements so far of hard cuts of the masks after one round.

    Attributes:
        original: measures of the original view, on the run's probe of the test images.
        learned: measures of the pruned and the inverse view under the soft masks, on the same images.
        budget: number of clean images behind `agreement`.
        perturbed: number of images with the synthesized trigger behind `restored`; 0 if the round made no trigger.
        points: for each order, the points measured so far, by the number of channels cut.
        total: final number of points, over both orders.
        key: what the curves depend on beside the masks, see `curves_key`.
    """

    original: Measures
    learned: tuple[Measures, Measures]
    budget: int
    perturbed: int
    points: dict[Order, tuple[CutPoint, ...]]
    total: int
    key: str

    @property
    def done(self) -> int:
        return sum(len(points) for points in self.points.values())

    @property
    def complete(self) -> bool:
        return self.done >= self.total


def has_work(run: Run) -> bool:
    """Whether curves are requested that are not complete yet."""
    asked = ERRAND.wanted(run)
    if asked is None or ERRAND.problem(run) is not None:
        return False
    found = read_curves(run, asked)
    return found is None or not found.complete


def curves_key(run: Run) -> str:
    """The key of everything that the curves depend on beside the masks."""
    return result_key(run, THRESHOLDS, TOP_STEPS, HARD, ORDER_VERSION)


def read_curves(run: Run, round_taken: int) -> CutCurves | None:
    """The measurements so far; None if there are none.

    A damaged file, or one from another victim or other rules, counts as none and will be made again.
    """
    try:
        values = files.read_json(run.path / _file(round_taken))
        found = None if values is None else _from_json(values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found is not None and found.key == curves_key(run) else None


def write_curves(run: Run, round_taken: int, curves: CutCurves) -> None:
    """Store the measurements so far."""
    files.write_json(run.path / _file(round_taken), asdict(curves))


def _from_json(values: dict[str, Any]) -> CutCurves:
    pruned, inverse = values["learned"]
    return CutCurves(
        original=Measures(**values["original"]),
        learned=(Measures(**pruned), Measures(**inverse)),
        budget=int(values["budget"]),
        perturbed=int(values["perturbed"]),
        points={order: tuple(_point(each) for each in values["points"][order]) for order in Order},
        total=int(values["total"]),
        key=str(values["key"]),
    )


def _point(values: dict[str, Any]) -> CutPoint:
    return CutPoint(
        cut=Cut(**values["cut"]),
        pruned=Measures(**values["pruned"]),
        inverse=Measures(**values["inverse"]),
        agreement=float(values["agreement"]),
        restored=None if values["restored"] is None else float(values["restored"]),
    )


def _file(round_taken: int) -> str:
    return f"{ERRAND.folder}/round-{round_taken}.json"
