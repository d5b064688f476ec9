"""The effect on a victim of cutting the first channels of a ranking, stored in the run, one file per round.

Several rankings are compared, each with random sets from the same layers. Files are replaced atomically and grow during
the work.
"""

from dataclasses import asdict, dataclass
from typing import Any

from invmask.evidence.rankings import COUNTS, cut_counts
from invmask.measure.metrics import Measures
from invmask.runs.store import files
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import result_key

DRAWS = 5
"""Random sets for each number of channels."""


@dataclass(frozen=True)
class Ranked:
    """The effect of cutting one ranking's first channels together in the original network.

    Attributes:
        channels: the first channels, in order; empty if the ranking tells nothing.
        top: measures for each number of channels in `counts`, as far as measured.
        random: measures for each number from the second of `counts` on, as far as measured: one for each of `DRAWS`
            random sets with as many channels of each layer.
    """

    channels: tuple[int, ...]
    top: tuple[Measures, ...] = ()
    random: tuple[tuple[Measures, ...], ...] = ()

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of channels that are cut, from 0 upwards."""
        return cut_counts(len(self.channels))

    @property
    def complete(self) -> bool:
        return len(self.top) == len(self.counts) and len(self.random) == len(self.counts) - 1


@dataclass(frozen=True)
class TopCuts:
    """All rankings of the channels at a round.

    Attributes:
        original: measures of the uncut network, on the run's probe of the test images, like all measures here.
        wanted: names of the rankings that will be measured.
        of: the rankings that have been begun, by name.
        key: what the curves depend on, see `top_cuts_key`.
    """

    original: Measures
    wanted: tuple[str, ...]
    of: dict[str, Ranked]
    key: str

    @property
    def complete(self) -> bool:
        return all(name in self.of and self.of[name].complete for name in self.wanted)

    @property
    def done(self) -> float:
        """The share of the work that has been done, in [0, 1]; each ranking counts the same."""
        parts = [_share(self.of[name]) if name in self.of else 0.0 for name in self.wanted]
        return sum(parts) / max(1, len(parts))


def top_cuts_key(run: Run, of_victim: str) -> str:
    """The key of everything that the curves of a round depend on beside the masks.

    Args:
        of_victim: the key of the evidence on which some rankings are based.
    """
    return result_key(run, of_victim, COUNTS, DRAWS)


def read_top_cuts(run: Run, round_taken: int, of_victim: str) -> TopCuts | None:
    """The curves of a round as far as measured; None if they were not begun or are stale."""
    try:
        values = files.read_json(run.path / _file(round_taken))
        found = None if values is None else _top_cuts(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found is not None and found.key == top_cuts_key(run, of_victim) else None


def write_top_cuts(run: Run, round_taken: int, found: TopCuts) -> None:
    """Store the curves of a round."""
    files.write_json(run.path / _file(round_taken), asdict(found))


def _share(ranked: Ranked) -> float:
    return (len(ranked.top) + len(ranked.random)) / (2 * len(ranked.counts) - 1)


def _top_cuts(values: dict[str, Any]) -> TopCuts:
    return TopCuts(
        original=Measures(**values["original"]),
        wanted=tuple(str(name) for name in values["wanted"]),
        of={str(name): _ranked(each) for name, each in values["of"].items()},
        key=str(values["key"]),
    )


def _ranked(values: dict[str, Any]) -> Ranked:
    return Ranked(
        channels=tuple(int(channel) for channel in values["channels"]),
        top=tuple(Measures(**measures) for measures in values["top"]),
        random=tuple(tuple(Measures(**measures) for measures in draws) for draws in values["random"]),
    )


def _file(round_taken: int) -> str:
    return f"evidence/round-{round_taken}.json"
