"""What is wanted of a run. Anyone may write it; whoever advances the run reads it again before every round."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock

from invmask.runs.store.files import WANT, WANT_LOCK, WANTED, lock_file, read_json, write_json


class Goal(StrEnum):
    """Pause: leave it be. Advance: to a round, then pause. Finish: to the end. Stop: measure it and end it here."""

    PAUSE = "pause"
    ADVANCE = "advance"
    FINISH = "finish"
    STOP = "stop"


@dataclass(frozen=True)
class Want:
    """A goal.

    Attributes:
        until: the round to advance to; with `FINISH`, the round after which the run is ended in any case.
        because: with `STOP` or `until`, the sentence that the run ends with.
    """

    goal: Goal = Goal.PAUSE
    until: int | None = None
    because: str | None = None

    def wants_round(self, round_taken: int) -> bool:
        """Whether another round is wanted after `round_taken`."""
        if self.goal is Goal.FINISH:
            return self.until is None or round_taken < self.until
        return self.goal is Goal.ADVANCE and self.until is not None and round_taken < self.until

    def wants_end(self, round_taken: int) -> bool:
        """Whether the run is to be measured and ended after `round_taken`, done or not."""
        return self.goal is Goal.STOP or (self.goal is Goal.FINISH and not self.wants_round(round_taken))


def read_want(path: Path) -> Want:
    """What is wanted of the run in `path`.

    Raises:
        ValueError, TypeError, KeyError: the file is damaged.
    """
    values = read_json(path / WANT) or {}
    want = Want(**{**values, "goal": Goal(values.get("goal", Goal.PAUSE))})
    if not isinstance(want.until, int | None) or not isinstance(want.because, str | None):
        raise TypeError("no wish")
    return want


def write_want(path: Path, want: Want) -> None:
    """Replace what is wanted. To take the old wish into account, hold `want_lock` over both."""
    write_json(path / WANT, asdict(want))
    mark(path)


def mark(path: Path) -> None:
    """Have the run in `path` looked at by whoever advances runs. Called after what is wanted of it was written."""
    marks = path.parent / WANTED
    marks.mkdir(exist_ok=True)
    (marks / path.name).touch()


def unmark(path: Path) -> None:
    """Take the mark away. Whoever does so looks at the run once more: something may have been wanted just before."""
    (path.parent / WANTED / path.name).unlink(missing_ok=True)


def want_lock(path: Path) -> FileLock:
    """Guards reading and replacing a wish in one go."""
    return FileLock(lock_file(path, WANT_LOCK), timeout=5)
