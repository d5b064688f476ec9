"""All runs in one folder: creating, listing and deleting them, and requesting work."""

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from invmask.errors import UserError
from invmask.runs.store import files
from invmask.runs.store.goals import Goal, Want, mark, want_lock, write_want
from invmask.runs.store.owner import set_owner
from invmask.runs.store.records import RunSummary
from invmask.runs.store.run import Run, damage
from invmask.runs.store.run_name import check_name
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.summaries import Summaries

RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9]{1,16}-[a-z0-9]{4}", re.ASCII)
MOST_ROUNDS = 100_000
_SUMMARIES: dict[Path, Summaries] = {}


@dataclass(frozen=True)
class Listing:
    """Every run, newest first, and a sentence for each directory that could not be read."""

    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class RunStore:
    """All runs in one folder (`settings.runs_folder()`)."""

    folder: Path

    def create(self, spec: RunSpec, want: Want | None = None, owner: str | None = None) -> Run:
        """Create a run; it appears atomically. No work begins unless `want` requests it.

        Args:
            owner: the key of its maker; None for a run that everybody may steer.
        """
        slug = re.sub(r"[^a-z0-9]", "", spec.victim.rpartition("-")[2].lower())[:16] or "run"
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            run = Run(self.folder / f"{stamp}-{slug}-{secrets.token_hex(2)}")
            if not run.path.exists():
                break
        fresh = self.folder / f".new-{run.id}"
        fresh.mkdir()
        files.write_json(fresh / files.SPEC, spec.as_json())
        files.write_json(fresh / files.WANT, asdict(want or Want()))
        if owner is not None:
            set_owner(fresh, owner)
        fresh.rename(run.path)
        if want is not None:
            mark(run.path)
        return run

    def run(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            UserError: there is no such run (ids come from addresses and command lines, so they can be anything), or its
                specification is missing (`RunDamagedError`).
        """
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            raise _missing(run_id)
        run = Run(self.folder / run_id)
        if not run.exists():
            raise damage(run_id)
        return run

    def runs(self) -> list[Run]:
        """Every run's directory, newest first, readable or not."""
        try:
            names = sorted((path.name for path in self.folder.iterdir()), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"The runs in {self.folder} cannot be read; set INVMASK_HOME to another folder.") from error
        return [Run(self.folder / name) for name in names if RUN_ID.fullmatch(name)]

    def marked(self) -> set[str]:
        """The ids of runs that may have work, see `runs_with_work`. The cost does not grow with the number of runs."""
        try:
            return {path.name for path in (self.folder / files.WANTED).iterdir() if RUN_ID.fullmatch(path.name)}
        except FileNotFoundError:
            return set()

    def listing(self) -> Listing:
        """The summary of every run; damaged runs are listed separately."""
        found, problems, runs = [], [], self.runs()
        summaries = _SUMMARIES.setdefault(self.folder, Summaries())
        summaries.keep(runs)
        for run in runs:
            try:
                found.append(summaries.of(run))
            except UserError as error:
                if run.path.is_dir():
                    problems.append(str(error))
        return Listing(tuple(found), tuple(problems))

    def advance(self, run_id: str, rounds: int = 1, stage: str | None = None) -> None:
        """Request `rounds` more rounds, then a pause. Two requests add up.

        Args:
            stage: take rounds of this stage only: the run pauses before a round of another stage.

        Raises:
            UserError: there is no such run, or `rounds` is outside 1 to 100,000.
        """
        if not 1 <= rounds <= MOST_ROUNDS:
            raise UserError(f"The number of rounds has to be between 1 and {MOST_ROUNDS}, not {rounds}.")
        run = self.run(run_id)
        with _asking(run):
            committed, want = run.committed(), run.want()
            taken, now = (committed.round, committed.stage) if committed else (0, None)
            under_way = want.goal is Goal.ADVANCE and want.wants_round(taken, now)
            start = want.until if under_way and want.until is not None else taken
            self._ask(run, Want(Goal.ADVANCE, start + rounds, stage=stage))

    def go_on(self, run_id: str, until: int | None = None, because: str | None = None) -> None:
        """Request all rounds to the end, after a pause, a failure or a stop.

        Args:
            until: end the run after this round in any case.
            because: the sentence that then explains why the run ended.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with _asking(run):
            self._ask(run, Want(Goal.FINISH, until, because))

    def pause(self, run_id: str) -> None:
        """Request a pause after the current round. A round at which the run shall end stays stored.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with _asking(run):
            want = Want()
            with contextlib.suppress(UserError):
                want = run.want()
            kept = want if want.goal in (Goal.FINISH, Goal.PAUSE) else Want()
            write_want(run.path, Want(Goal.PAUSE, kept.until, kept.because))

    def stop(self, run_id: str) -> None:
        """Request the end of the run after the current round; its views are measured then.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with _asking(run):
            write_want(run.path, Want(Goal.STOP))

    def rename(self, run_id: str, name: str) -> None:
        """Name a run, with at most `run_name.MOST_NAME` characters; an empty name removes the run's name.

        Raises:
            UserError: there is no such run, or the name is not valid.
        """
        run, name = self.run(run_id), check_name(name)
        try:
            files.write_json(run.path / files.NAME, {"name": name})
        except FileNotFoundError as error:
            raise _missing(run_id) from error

    def _ask(self, run: Run, want: Want) -> None:
        # In this order: a process that sees no failure any more must see the new request.
        write_want(run.path, want)
        (run.path / files.STATUS).unlink(missing_ok=True)

    def delete(self, run_id: str, patience: float = 30.0) -> None:
        """Delete a run, damaged or not. A worker that advances it is asked to stop and has `patience` seconds to do so.

        Raises:
            UserError: there is no such run, or a worker still holds it.
        """
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            raise _missing(run_id)
        run = Run(self.folder / run_id)
        trash = self.folder / f".old-{run.id}-{secrets.token_hex(2)}"
        try:
            write_want(run.path, Want(Goal.PAUSE))
            with run.advance_lock().acquire(timeout=patience):
                run.path.rename(trash)
        except Timeout as error:
            raise UserError(f"Run {run.id} is still busy with a round; try again in a moment.") from error
        except FileNotFoundError as error:
            if run.path.is_dir():
                raise
            raise _missing(run_id) from error
        finally:
            self._forget_gone()
        shutil.rmtree(trash, ignore_errors=True)

    def _forget_gone(self) -> None:
        """Remove locks and marks of deleted runs, which another process or a late request left behind.

        A run exists before its first lock, and a deleted run never comes back. So a lock without a run guards nothing.
        """
        left = [path for folder in (files.LOCKS, files.WANTED) for path in (self.folder / folder).glob("*")]
        # In this order, so that a run created meanwhile is not mistaken for a deleted one.
        there = {path.name for path in self.folder.iterdir()}
        for path in left:
            if path.name.partition(".")[0] not in there:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _asking(run: Run) -> Iterator[None]:
    """Hold the lock on the run's requests within the block.

    Raises:
        UserError: the run was deleted meanwhile.
    """
    try:
        with want_lock(run.path):
            yield
    except FileNotFoundError as error:
        if run.exists():
            raise
        raise _missing(run.id) from error


def _missing(run_id: str) -> UserError:
    return UserError(f"There is no run '{run_id[:60]}'; see 'python -m invmask runs' for those there are.")
