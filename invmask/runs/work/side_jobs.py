"""Work beside the rounds of a run: requested in a file, done a few seconds at a time, errors stored in a file."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from invmask.errors import UserError, in_brief
from invmask.runs.store import files
from invmask.runs.store.goals import mark
from invmask.runs.store.run import Run
from invmask.runs.work.advance import MOST_LOSSES, Outcome


@dataclass(frozen=True)
class Errand:
    """One kind of such work.

    Attributes:
        folder: its folder in the run's directory.
        failure: the first sentence of the message if it fails.
    """

    folder: str
    failure: str

    @property
    def want(self) -> str:
        return f"{self.folder}/want.json"

    @property
    def status(self) -> str:
        return f"{self.folder}/status.json"

    def ask(self, run: Run, round_taken: int) -> None:
        """Request the work for the masks after `round_taken`. An earlier failure is cleared.

        Raises:
            UserError: the run was deleted.
        """
        try:
            (run.path / self.folder).mkdir(exist_ok=True)
            (run.path / self.status).unlink(missing_ok=True)
            files.write_json(run.path / self.want, {"round": round_taken})
            mark(run.path)
        except OSError as error:
            raise UserError(f"Nothing can be written to run {run.id}; see whether it is still there.") from error

    def wanted(self, run: Run) -> int | None:
        """The round for which the work is requested; None if it is not."""
        try:
            values = files.read_json(run.path / self.want)
            return None if values is None else int(values["round"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def problem(self, run: Run) -> str | None:
        """What went wrong, as a sentence; None if all is well."""
        try:
            values = files.read_json(run.path / self.status)
        except (OSError, ValueError):
            return None
        return None if values is None else str(values.get("message"))

    def do(
        self,
        path: Path,
        has_work: Callable[[Run], bool],
        pieces: Callable[[Run], Iterator[None]],
        seconds: float | None = None,
        patience: float = 0.0,
    ) -> Outcome:
        """Do the requested work on the run in `path` for about `seconds`; at least one piece.

        Args:
            has_work: whether requested work remains.
            pieces: does piece after piece; each is stored before the next.
            seconds: None to do everything.
            patience: seconds to wait for another process with the same work, before giving up as `BUSY`.
        """
        run, started = Run(path), time.monotonic()
        if not run.exists() or not has_work(run):
            return Outcome.IDLE
        try:
            lock = FileLock(files.lock_file(path, f"{self.folder}.lock"))
            with lock.acquire(timeout=patience), self._marked(path):
                for _ in pieces(run):
                    if seconds is not None and time.monotonic() - started >= seconds:
                        break
        except Timeout:
            return Outcome.BUSY
        except Exception as error:
            if not run.exists():
                return Outcome.IDLE
            message = str(error) if isinstance(error, UserError) else f"{in_brief(error)}."
            files.write_json(path / self.status, {"message": f"{self.failure} {message}"})
            return Outcome.FAILED
        return Outcome.MORE if has_work(run) else Outcome.IDLE

    @contextlib.contextmanager
    def _marked(self, path: Path) -> Iterator[None]:
        """Hold a mark within the block; it remains if the process is killed. Only for the holder of the lock.

        Raises:
            UserError: `MOST_LOSSES` processes in a row were killed here, so another one would be killed too.
        """
        mark = path / self.folder / "at-work.json"
        try:
            losses = int((files.read_json(mark) or {}).get("losses", 0))
        except (OSError, ValueError, TypeError):
            losses = 0
        try:
            if losses >= MOST_LOSSES:
                raise UserError(f"The worker was killed {losses} times, perhaps for want of memory; free some.")
            files.write_json(mark, {"losses": losses + 1})
            yield
        finally:
            mark.unlink(missing_ok=True)
