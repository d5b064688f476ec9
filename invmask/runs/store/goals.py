"""Requests for a run. Any process may write one; the worker that advances the run reads it before every round."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock

from invmask.runs.store.files import WANT, WANT_LOCK, WANTED, lock_file, read_json, write_json


class Goal(StrEnum):
    """Pause: do nothing. Advance: go to a round, then pause. Finish: go to the end. Stop: measure the run, end it."""

    PAUSE = "pause"
    ADVANCE = "advance"
    FINISH = "finish"
    STOP = "stop"


@dataclass(frozen=True)
class Want:
    """A request: a goal with its details.

    Attributes:
        until: the round to advance to; with `FINISH`, the round after which the run ends in any case.
        because: with `STOP` or `until`, the sentence that the run ends with.
        stage: with `ADVANCE`, take rounds of this stage only.
    """

    goal: Goal = Goal.PAUSE
    until: int | None = None
    because: str | None = None
    stage: str | None = None

    def wants_round(self, round_taken: int, stage: str | None = None) -> bool:
        """Whether another round is requested after round `round_taken`.

        Args:
            stage: the next round's stage; None if work on the run has not begun.
        """
        if self.goal is Goal.FINISH:
            return self.until is None or round_taken < self.until
        elsewhere = self.stage is not None and stage is not None and stage != self.stage
        return self.goal is Goal.ADVANCE and self.until is not None and round_taken < self.until and not elsewhere

    def wants_end(self, round_taken: int) -> bool:
        """Whether the run shall be measured and ended after round `round_taken`, even if the defence is not done."""
        return self.goal is Goal.STOP or (self.goal is Goal.FINISH and not self.wants_round(round_taken))


def read_want(path: Path) -> Want:
    """Read the request for the run in `path`.

    Raises:
        ValueError, TypeError, KeyError: the file is damaged.
    """
    values = read_json(path / WANT) or {}
    want = Want(**{**values, "goal": Goal(values.get("goal", Goal.PAUSE))})
    texts = (want.because, want.stage)
    if not isinstance(want.until, int | None) or not all(isinstance(text, str | None) for text in texts):
        raise TypeError("no wish")
    return want


def write_want(path: Path, want: Want) -> None:
    """Replace the request. If the new request depends on the old one, hold `want_lock` while reading and writing."""
    write_json(path / WANT, asdict(want))
    mark(path)


def mark(path: Path) -> None:
    """Mark the run in `path`, so that an executor checks it. Call this after the request has been written."""
    marks = path.parent / WANTED
    marks.mkdir(exist_ok=True)
    (marks / path.name).touch()


def unmark(path: Path) -> None:
    """Remove the mark. The caller must check the run once more, because a request may have arrived just before."""
    (path.parent / WANTED / path.name).unlink(missing_ok=True)


def want_lock(path: Path) -> FileLock:
    """The lock for reading and replacing a request in one step."""
    return FileLock(lock_file(path, WANT_LOCK), timeout=5)
