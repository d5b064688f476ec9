"""The first kind of work: advance a run by some rounds, in any process, and store everything on disk.

The records are the same whether a run is stepped by hand, runs without a pause, or is killed and resumed.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import Timeout

from invmask.errors import UserError, in_brief
from invmask.runs.store import files
from invmask.runs.store.records import RoundEntry
from invmask.runs.store.run import Run
from invmask.runs.work.progress import Progress
from invmask.runs.work.worker_mark import Marker

MOST_LOSSES = 3


class Outcome(StrEnum):
    """How a unit ended. More: there is more to do. Idle: nothing is requested. Busy: another process has the run."""

    MORE = "more"
    IDLE = "idle"
    FAILED = "failed"
    BUSY = "busy"


@dataclass(frozen=True)
class Limits:
    """Limits of a unit of work: a number of rounds, and about a number of seconds; at least one round is taken."""

    rounds: int | None = None
    seconds: float | None = None


def advance(
    path: Path,
    limits: Limits | None = None,
    patience: float = 0.0,
    on_round: Callable[[RoundEntry], None] = lambda entry: None,
) -> Outcome:
    """Do the requested work on the run in `path`, within `limits`. The request is read again before every round.

    Errors during the work are stored in the run and not raised.

    Args:
        path: the run's directory.
        limits: None for no limits.
        patience: seconds to wait for the run's lock before giving up as `BUSY`.
        on_round: called after each round is stored.
    """
    run = Run(path)
    try:
        if not run.exists():
            return Outcome.IDLE
        with run.advance_lock().acquire(timeout=patience):
            # The run may have been deleted while we waited. Then our lock is on a file that no other process sees.
            return _advance(run, limits or Limits(), on_round) if run.exists() else Outcome.IDLE
    except Timeout:
        return Outcome.BUSY
    except FileNotFoundError:
        if run.exists():
            raise
        return Outcome.IDLE


def _advance(run: Run, limits: Limits, on_round: Callable[[RoundEntry], None]) -> Outcome:
    try:
        if not run.has_work():
            return Outcome.IDLE
        marker = Marker.take(run)
        try:
            if marker.losses >= MOST_LOSSES:
                raise UserError(
                    f"The worker was killed {marker.losses} times in round {marker.round + 1}, perhaps for want of "
                    "memory; free some or take a smaller batch size, then resume the run."
                )
            if marker.losses:
                _tell(run, f"Round {marker.round + 1} was interrupted and done again; nothing else was lost.")
            _work(Progress.take_up(run), limits, on_round, marker)
        finally:
            marker.leave()
        return Outcome.MORE if run.has_work() else Outcome.IDLE
    except Exception as error:
        if not run.exists():
            return Outcome.IDLE
        _tell(run, _sentence(error), failed=True)
        files.write_bytes(run.path / files.FAILURE, "".join(traceback.format_exception(error)).encode())
        return Outcome.FAILED


def _work(progress: Progress, limits: Limits, on_round: Callable[[RoundEntry], None], marker: Marker) -> None:
    run, started, taken = progress.run, time.monotonic(), 0
    while run.has_work():
        if progress.may_end(run.want()):
            progress.end(run.want())
            return
        late = limits.seconds is not None and time.monotonic() - started >= limits.seconds
        if taken and (late or taken == limits.rounds):
            return
        run.forget_result()
        on_round(progress.take_round())
        marker.alive()
        taken += 1


def _tell(run: Run, message: str, failed: bool = False) -> None:
    files.write_json(run.path / files.STATUS, {"failed": failed, "message": message})


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "The memory ran out; free some or take a smaller batch size, then resume the run."
    return f"The round failed ({in_brief(error)}); the run's {files.FAILURE} says where."
