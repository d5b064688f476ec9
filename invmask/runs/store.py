"""Runs as directories, for any number of readers: `RunStore` makes, lists and deletes them, `Run` reads one.

Only what a run's state file vouches for is shown: a round that is being written, or that a killed worker left
half written, does not exist yet. So two readers never see different rounds, and nobody waits for a lock.
"""

import json
import re
import secrets
import shutil
import struct
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from invmask.defenses.ims.config import Phase
from invmask.errors import UserError
from invmask.metrics import Measures
from invmask.runs import files
from invmask.runs.entries import (
    RoundEntry,
    RunResult,
    RunState,
    RunSummary,
    StoredExamples,
    entry_from_json,
    result_from_json,
)
from invmask.runs.shapes import Shapes
from invmask.runs.spec import RunSpec
from invmask.runs.wants import Goal, Want, read_want, write_want

if TYPE_CHECKING:
    from invmask.masks.state import MaskLayout, Masks

RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9]{1,16}-[a-z0-9]{4}")
MOST_HEADER_BYTES = 1 << 20
# A worker that has not been heard of for so long is taken for gone.
SILENT_SECONDS = 30.0
_PARSED_RUNS = 64


@dataclass(frozen=True)
class Committed:
    """What the state file vouches for: `round` rounds, in the first `records_bytes` of the records."""

    round: int
    phase: Phase
    records_bytes: int


@dataclass(frozen=True)
class Run:
    """One run's directory. Reads only; every method raises UserError if the directory is damaged or gone."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def created(self) -> float:
        """Seconds since 1970."""
        return datetime.strptime(self.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()

    def spec(self) -> RunSpec:
        """What the run is made of."""
        return RunSpec.from_json(self._json(files.SPEC) or _damaged(self.id))

    def want(self) -> Want:
        """What is wanted of it."""
        try:
            return read_want(self.path)
        except (OSError, ValueError, TypeError) as error:
            raise _damage(self.id) from error

    def result(self) -> RunResult | None:
        """How it ended; None before."""
        values = self._json(files.RESULT)
        try:
            return None if values is None else result_from_json(values)
        except (TypeError, KeyError) as error:
            raise _damage(self.id) from error

    def shapes(self) -> Shapes | None:
        """Masked layers and the sizes of what is stored; None before the run was first taken up."""
        values = self._json(files.SHAPES)
        try:
            return None if values is None else Shapes.from_json(values)
        except (TypeError, KeyError) as error:
            raise _damage(self.id) from error

    def layout(self) -> "MaskLayout | None":
        """The masked layers; None before the run was first taken up."""
        shapes = self.shapes()
        return None if shapes is None else shapes.layout()

    def committed(self) -> Committed | None:
        """How far the run is; None before it was first taken up."""
        try:
            with (self.path / files.STATE).open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                if size > MOST_HEADER_BYTES:
                    raise ValueError("too large")
                head = json.loads(json.loads(file.read(size))["__metadata__"]["run"])
            return Committed(int(head["round"]), Phase(head["phase"]), int(head["records_bytes"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
            raise _damage(self.id) from error

    def summary(self) -> RunSummary:
        """The run at a glance."""
        spec, want, committed, result = self.spec(), self.want(), self.committed(), self.result()
        status, shapes = self._json(files.STATUS) or {}, self.shapes()
        taken = committed.round if committed else 0
        ended = result is not None and (result.finished or not want.wants_round(taken))
        return RunSummary(
            id=self.id,
            spec=spec,
            created=self.created,
            round=taken,
            phase=committed.phase if committed else Phase.INITIALISE,
            state=self._state(want, taken, result if ended else None, bool(status.get("failed"))),
            until=want.until if want.wants_round(taken) else None,
            stopped_because=result.stopped_because if ended and result else None,
            message=status.get("message"),
            original=shapes.original if shapes else None,
            result=result if ended else None,
        )

    def entries(self, since: int = 0) -> tuple[RoundEntry, ...]:
        """All rounds after round `since`, in order. Each line is parsed once a process, so asking often is cheap."""
        committed = self.committed()
        if committed is None:
            return ()
        return tuple(_PARSED.rounds(self, committed)[since : committed.round])

    def entry(self, round_taken: int) -> RoundEntry:
        """Round `round_taken`, from 1."""
        self._check(round_taken, first=1)
        return self.entries(round_taken - 1)[0]

    def masks_at(self, round_taken: int) -> "Masks":
        """The masks after a round; 0 for the ones it began with. As quick for any round."""
        import torch

        from invmask.masks.state import Masks

        row = torch.from_numpy(self.mask_history()[self._check(round_taken)].copy())
        return Masks(row[0], row[1], self.spec().config.steepness)

    def mask_history(self) -> np.ndarray:
        """All masks, float32 [rounds + 1, 2, channels]: mask and selection after each round, from round 0.

        Memory-mapped: only the rounds that are looked at are read. Empty before the run was first taken up.
        """
        committed, shapes = self.committed(), self.shapes()
        if committed is None or shapes is None:
            return np.empty((0, 2, 0), np.float32)
        try:
            return np.memmap(self.path / files.MASKS, np.float32, "r", shape=(committed.round + 1, 2, shapes.channels))
        except (OSError, ValueError) as error:
            raise _damage(self.id) from error

    def examples_at(self, round_taken: int) -> StoredExamples | None:
        """Example perturbations of a round; None if it made none."""
        self._check(round_taken)
        shapes = self.shapes()
        if shapes is None:
            return None
        try:
            with (self.path / files.EXAMPLES).open("rb") as file:
                file.seek(round_taken * shapes.example_bytes)
                return shapes.unpack_examples(file.read(shapes.example_bytes))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damage(self.id) from error

    def advance_lock(self) -> FileLock:
        """Held by whoever advances the run; nobody else writes to it."""
        return FileLock(self.path / files.LOCK)

    def _state(self, want: Want, taken: int, result: RunResult | None, failed: bool) -> RunState:
        if failed:
            return RunState.FAILED
        if result is not None:
            return RunState.FINISHED if result.finished else RunState.STOPPED
        if want.wants_round(taken) or want.wants_end(taken):
            return RunState.RUNNING if self._worked_on() else RunState.WAITING
        return RunState.PAUSED if taken else RunState.NEW

    def _worked_on(self) -> bool:
        try:
            heard = (self.path / files.WORKER).stat().st_mtime
        except OSError:
            return False
        return time.time() - heard < SILENT_SECONDS

    def _check(self, round_taken: int, first: int = 0) -> int:
        committed = self.committed()
        last = committed.round if committed else 0
        if committed is None or not first <= round_taken <= last:
            raise UserError(f"Run {self.id} has no round {round_taken}; it has rounds {first} to {last}.")
        return round_taken

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            return files.read_json(self.path / name)
        except (OSError, ValueError) as error:
            raise _damage(self.id) from error


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


@dataclass
class _ParsedRun:
    inode: int
    offset: int = 0
    entries: list[RoundEntry] = field(default_factory=list)


class _Parsed:
    """Lines parsed so far, by run; shared by all threads of a process."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Path, _ParsedRun] = OrderedDict()
        self._lock = threading.Lock()

    def rounds(self, run: Run, committed: Committed) -> list[RoundEntry]:
        """At least the committed rounds, parsed."""
        try:
            with self._lock, (run.path / files.RECORDS).open("rb") as file:
                inode = _inode(file.fileno())
                parsed = self._runs.get(run.path)
                if parsed is None or parsed.inode != inode:
                    parsed = self._runs[run.path] = _ParsedRun(inode)
                self._runs.move_to_end(run.path)
                while len(self._runs) > _PARSED_RUNS:
                    self._runs.popitem(last=False)
                file.seek(parsed.offset)
                content = file.read(max(0, committed.records_bytes - parsed.offset))
                fresh = [entry_from_json(json.loads(line)) for line in content.splitlines()]
                parsed.entries += fresh
                parsed.offset += len(content)
        except FileNotFoundError as error:
            if committed.round == 0:
                return []
            raise _damage(run.id) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damage(run.id) from error
        if len(parsed.entries) < committed.round:
            raise _damage(run.id)
        return parsed.entries


_PARSED = _Parsed()


def _inode(descriptor: int) -> int:
    import os

    return os.fstat(descriptor).st_ino


def _damage(run_id: str) -> UserError:
    return UserError(f"Run {run_id} is damaged and cannot be read; delete it with 'python -m invmask delete {run_id}'.")


def _damaged(run_id: str) -> Any:
    raise _damage(run_id)
