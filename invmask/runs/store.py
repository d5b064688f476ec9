"""All runs below one folder: making, listing and deleting them, and saying what is wanted of them."""

import contextlib
import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from invmask.errors import UserError
from invmask.runs import files
from invmask.runs.entries import RunSummary
from invmask.runs.run import Run
from invmask.runs.spec import RunSpec
from invmask.runs.wants import Goal, Want, want_lock, write_want

RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9]{1,16}-[a-z0-9]{4}", re.ASCII)
MOST_ROUNDS = 100_000


@dataclass(frozen=True)
class Listing:
    """Every run, newest first, and a sentence for each directory that could not be read."""

    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class RunStore:
    """All runs below one folder (`settings.runs_folder()`)."""

    folder: Path

    def create(self, spec: RunSpec, want: Want | None = None) -> Run:
        """A new run; it appears all at once. Nothing is done yet unless `want` says so."""
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
        write_want(fresh, want or Want())
        fresh.rename(run.path)
        return run

    def run(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            UserError: there is none. Ids come from addresses and command lines, so anything may be asked for.
        """
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id / files.SPEC).is_file():
            raise UserError(f"There is no run '{run_id[:60]}'; see 'python -m invmask runs' for those there are.")
        return Run(self.folder / run_id)

    def runs(self) -> list[Run]:
        """Every run's directory, newest first, readable or not."""
        try:
            names = sorted((path.name for path in self.folder.iterdir()), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"The runs in {self.folder} cannot be read; set INVMASK_HOME to another folder.") from error
        return [Run(self.folder / name) for name in names if RUN_ID.fullmatch(name)]

    def listing(self) -> Listing:
        """Every run at a glance; a damaged one never hides the others."""
        found, problems = [], []
        for run in self.runs():
            try:
                found.append(run.summary())
            except UserError as error:
                if run.path.is_dir():
                    problems.append(str(error))
        return Listing(tuple(found), tuple(problems))

    def advance(self, run_id: str, rounds: int = 1) -> None:
        """Ask for so many rounds more, then a pause; asked twice, twice as many.

        Raises:
            UserError: there is no such run, or `rounds` is outside 1 to 100,000.
        """
        if not 1 <= rounds <= MOST_ROUNDS:
            raise UserError(f"The number of rounds has to be between 1 and {MOST_ROUNDS}, not {rounds}.")
        run = self.run(run_id)
        with want_lock(run.path):
            committed, want = run.committed(), run.want()
            taken = committed.round if committed else 0
            start = max(taken, want.until or 0) if want.goal is Goal.ADVANCE else taken
            self._ask(run, Want(Goal.ADVANCE, start + rounds))

    def go_on(self, run_id: str, until: int | None = None, because: str | None = None) -> None:
        """Ask for all rounds to the end, after a pause, a failure or a stop.

        Args:
            until: end the run after this round in any case, and say so with the sentence `because`.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with want_lock(run.path):
            self._ask(run, Want(Goal.FINISH, until, because))

    def pause(self, run_id: str) -> None:
        """Ask for a pause after the round in hand; where the run is to end at some round, that stays known.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with want_lock(run.path):
            want = Want()
            with contextlib.suppress(UserError):
                want = run.want()
            kept = want if want.goal in (Goal.FINISH, Goal.PAUSE) else Want()
            write_want(run.path, Want(Goal.PAUSE, kept.until, kept.because))

    def stop(self, run_id: str) -> None:
        """Ask to end the run after the round in hand and to measure it as it stands.

        Raises:
            UserError: there is no such run.
        """
        run = self.run(run_id)
        with want_lock(run.path):
            write_want(run.path, Want(Goal.STOP))

    def _ask(self, run: Run, want: Want) -> None:
        # In this order: who sees the failure gone must see what is wanted now.
        write_want(run.path, want)
        (run.path / files.STATUS).unlink(missing_ok=True)

    def delete(self, run_id: str, patience: float = 30.0) -> None:
        """Delete a run, damaged or not; whoever advances it is asked to stop and given `patience` seconds.

        Raises:
            UserError: there is no such run, or a worker still holds it.
        """
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            raise UserError(f"There is no run '{run_id[:60]}'; see 'python -m invmask runs' for those there are.")
        run = Run(self.folder / run_id)
        write_want(run.path, Want(Goal.PAUSE))
        trash = self.folder / f".old-{run.id}-{secrets.token_hex(2)}"
        try:
            with run.advance_lock().acquire(timeout=patience):
                run.path.rename(trash)
        except Timeout as error:
            raise UserError(f"Run {run.id} is still busy with a round; try again in a moment.") from error
        shutil.rmtree(trash, ignore_errors=True)
