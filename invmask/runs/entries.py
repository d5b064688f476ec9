"""What readers get of a run: frozen dataclasses, and their way from and to JSON. Fractions in [0, 1]."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from invmask.defenses.ims.config import Phase
from invmask.defenses.ims.records import InnerReport, RoundRecord
from invmask.metrics import Measures
from invmask.runs.spec import RunSpec


class RunState(StrEnum):
    """What a run is doing."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Views:
    """What the three views do on one set of test images."""

    original: Measures
    pruned: Measures
    inverse: Measures


@dataclass(frozen=True)
class RoundEntry:
    """One round of a run.

    Attributes:
        record: what the defence tells of it.
        views: the three views after it, on the run's probe of the test images.
        seconds: the time of the defence's step, without measuring the views. The one value that two equal
            runs do not share.
    """

    record: RoundRecord
    views: Views
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        stopped_because: why, as a sentence.
        finished: the defence was done; False if somebody stopped it before.
        round: rounds taken.
        rounds: rounds taken in each phase, by its name.
        seconds: of all rounds together.
        channels, selected, pruned, inverse_cut: counts over the final masks (s < 0.5, m < 0.5, m-bar < 0.5).
        views: the three views on all embedded test images.
    """

    stopped_because: str
    finished: bool
    round: int
    rounds: dict[str, int]
    seconds: float
    channels: int
    selected: int
    pruned: int
    inverse_cut: int
    views: Views


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance.

    Attributes:
        id: the name of its directory.
        spec: what it is made of.
        created: seconds since 1970.
        round: rounds taken and stored.
        phase: the phase that the next round belongs to, or that the last belonged to at the end.
        state: what it is doing.
        until: the round it goes on to, if one was asked for; None otherwise.
        stopped_because: why it ended, as a sentence; None before.
        message: what went wrong, as a sentence; None if all is well. Not always the end: a round that a
            killed worker lost is done again.
        original: the unmasked victim on the probe; None before the run was first taken up.
        result: at the end.
        ending: no further round is wanted: the one in hand is finished, then the views are measured for the result.
        weights: what the victim was when the run was first taken up (`Shapes.weights`); None where that is not known.
        name: what somebody called it; empty where nobody did.
    """

    id: str
    spec: RunSpec
    created: float
    round: int
    phase: Phase
    state: RunState
    until: int | None
    stopped_because: str | None
    message: str | None
    original: Measures | None
    result: RunResult | None
    ending: bool = False
    weights: str | None = None
    name: str = ""


@dataclass(frozen=True)
class StoredExamples:
    """Example perturbations of one round, as stored.

    Attributes:
        indices: int32 [E], places in the run's clean budget.
        perturbations: float16 [E, C, H, W], in the units of [0, 1]; may be negative.
        probabilities: float32 [3, E, K], answers to the perturbed images of the original, pruned, inverse view.
        one_for_all: whether the perturbation is one and the same, for any image.
    """

    indices: np.ndarray
    perturbations: np.ndarray
    probabilities: np.ndarray
    one_for_all: bool = False

    @property
    def shared(self) -> np.ndarray | None:
        """The one perturbation that goes on every image, float32 [C, H, W]; None where each has its own."""
        return self.perturbations[0].astype(np.float32) if self.one_for_all else None


def last_of_race(entries: Sequence[RoundEntry]) -> RoundRecord | None:
    """The record of the last round in which labels raced; None where none did."""
    return next((entry.record for entry in reversed(entries) if entry.record.racing), None)


def views_from_json(values: dict[str, Any]) -> Views:
    """Raises TypeError or KeyError for anything else than what `asdict` gave of one."""
    return Views(*(Measures(**values[name]) for name in ("original", "pruned", "inverse")))


def entry_to_json(entry: RoundEntry) -> dict[str, Any]:
    """As stored, one line a round."""
    return {"record": asdict(entry.record), "views": asdict(entry.views), "seconds": entry.seconds}


def entry_from_json(values: dict[str, Any]) -> RoundEntry:
    """Raises TypeError, KeyError or ValueError for anything else than what `entry_to_json` gave."""
    record = dict(values["record"])
    inner = record["inner"]
    if inner is not None:
        inner = InnerReport(**{**inner, "flipped_to": tuple(inner["flipped_to"])})
    record |= {"phase": Phase(record["phase"]), "inner": inner}
    return RoundEntry(RoundRecord(**record), views_from_json(values["views"]), float(values["seconds"]))


def result_from_json(values: dict[str, Any]) -> RunResult:
    """Raises TypeError or KeyError for anything else than what `asdict` gave of one."""
    return RunResult(**{**values, "views": views_from_json(values["views"])})
