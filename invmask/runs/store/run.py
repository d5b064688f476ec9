"""One run's directory, for any number of readers.

Only rounds that the run's state file confirms are shown. A round that is being written, or that a killed worker left
half written, does not exist for readers. So all readers see the same rounds, and no reader waits for a lock.
"""

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file

from invmask.errors import UserError
from invmask.masks.repair import Gates, Repair, Weights
from invmask.masks.state import MaskLayout, Masks
from invmask.runs.store import files, living_process, rows
from invmask.runs.store.format import Shapes
from invmask.runs.store.goals import Goal, Want, read_want
from invmask.runs.store.parsed_records import PARSED
from invmask.runs.store.records import (
    RoundEntry,
    RunResult,
    RunState,
    RunSummary,
    StoredCandidates,
    StoredExamples,
    result_from_json,
)
from invmask.runs.store.run_name import check_name
from invmask.runs.store.spec import FORMAT, RunSpec

MOST_HEADER_BYTES = 1 << 20
# A busy worker that has been silent for this long counts as lost; a worker between two units of work, sooner. On this
# machine it is known whether the worker's process lives, so its round may take longer.
SILENT_SECONDS = 120.0
SILENT_HERE_SECONDS = 3600.0
BETWEEN_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Committed:
    """The content of the state file: `round` rounds are committed, in the first `records_bytes` bytes of the records.

    `ended` is why the defence has ended, as a sentence; None while there is more to do.
    """

    round: int
    stage: str
    records_bytes: int
    ended: str | None


@dataclass(frozen=True)
class Status:
    """Whether a run failed, and a sentence about the last error; None if there was none."""

    failed: bool
    message: str | None


@dataclass(frozen=True)
class Run:
    """One run's directory, for reading. Every method raises UserError if the directory is damaged or deleted."""

    path: Path

    @property
    def home(self) -> Path:
        """The home folder of the run, with its victims and exports."""
        return self.path.parents[1]

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def created(self) -> float:
        """Seconds since 1970."""
        try:
            return datetime.strptime(self.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise damage(self.id) from error

    def exists(self) -> bool:
        """Whether it has not been deleted."""
        return (self.path / files.SPEC).is_file()

    def spec(self) -> RunSpec:
        """The specification of the run."""
        values = self._json(files.SPEC)
        if values is None:
            raise damage(self.id)
        if "victim" in values and values.get("format") != FORMAT:
            raise UserError(
                f"Run {self.id} was made by an earlier version of invmask, and this one cannot read it; delete it with "
                f"'python -m invmask delete {self.id}' and make it anew."
            )
        try:
            return RunSpec.from_json(values)
        except (UserError, TypeError, AttributeError) as error:
            raise damage(self.id) from error

    def name(self) -> str:
        """The name that a user gave the run; empty if it has none."""
        try:
            return check_name(str((files.read_json(self.path / files.NAME) or {}).get("name", "")))
        except (OSError, ValueError, UserError):
            # An invalid name must not make the run unreadable.
            return ""

    def want(self) -> Want:
        """The current request for the run."""
        try:
            return read_want(self.path)
        except (OSError, ValueError, TypeError) as error:
            raise damage(self.id) from error

    def result(self) -> RunResult | None:
        """How the run ended; None before the end."""
        values = self._json(files.RESULT)
        try:
            return None if values is None else result_from_json(values)
        except (TypeError, KeyError) as error:
            raise damage(self.id) from error

    def shapes(self) -> Shapes | None:
        """The masked layers and sizes of stored arrays; None before work on the run began."""
        values = self._json(files.SHAPES)
        try:
            return None if values is None else Shapes.from_json(values)
        except (TypeError, KeyError) as error:
            raise damage(self.id) from error

    def layout(self) -> MaskLayout | None:
        """The masked layers; None before work on the run began."""
        shapes = self.shapes()
        return None if shapes is None else shapes.layout()

    def committed(self) -> Committed | None:
        """The committed progress of the run; None before work on it began."""
        try:
            with (self.path / files.STATE).open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                if size > MOST_HEADER_BYTES:
                    raise ValueError("too large")
                head = json.loads(json.loads(file.read(size))["__metadata__"]["run"])
            return Committed(int(head["round"]), str(head["stage"]), int(head["records_bytes"]), head["ended"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
            raise damage(self.id) from error

    def summary(self) -> RunSummary:
        """The summary of the run."""
        spec, want, committed, result = self.spec(), self.want(), self.committed(), self.result()
        status, shapes = self.status(), self.shapes()
        taken, stage = (committed.round, committed.stage) if committed else (0, None)
        if result is not None and not result.finished and want.wants_round(taken, stage):
            result = None
        return RunSummary(
            id=self.id,
            spec=spec,
            created=self.created,
            round=taken,
            stage=committed.stage if committed else spec.entry.stages[0].name,
            state=self._state(taken, result),
            until=want.until if want.wants_round(taken, stage) else None,
            stopped_because=result.stopped_because if result else None,
            message=status.message,
            original=shapes.original if shapes else None,
            result=result,
            ending=result is None and want.wants_end(taken),
            weights=shapes.weights if shapes else None,
            name=self.name(),
        )

    def status(self) -> Status:
        """The last stored status of the run, beside its rounds."""
        values = self._json(files.STATUS) or {}
        return Status(bool(values.get("failed")), values.get("message"))

    def has_work(self) -> bool:
        """Whether a worker should continue the run: more is requested than has been done."""
        if self.status().failed:
            return False
        want, committed, result = self.want(), self.committed(), self.result()
        taken, stage = (committed.round, committed.stage) if committed else (0, None)
        if result is not None:
            return not result.finished and want.wants_round(taken, stage)
        if committed is not None and committed.ended is not None:
            return want.goal is not Goal.PAUSE
        return want.wants_round(taken, stage) or want.wants_end(taken)

    def forget_result(self) -> None:
        """Delete the result of a stopped run that continues."""
        (self.path / files.RESULT).unlink(missing_ok=True)

    def entries(self, since: int = 0) -> tuple[RoundEntry, ...]:
        """All rounds after round `since`, in order. Each line is parsed once per process, so calls are cheap."""
        committed = self.committed()
        if committed is None or committed.round == 0:
            return ()
        try:
            rounds = PARSED.rounds(self.path / files.RECORDS, committed.records_bytes)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damage(self.id) from error
        if len(rounds) < committed.round:
            raise damage(self.id)
        return tuple(rounds[since : committed.round])

    def entry(self, round_taken: int) -> RoundEntry:
        """Round `round_taken`, from 1."""
        self._check(round_taken, first=1)
        return self.entries(round_taken - 1)[0]

    def repair_at(self, round_taken: int) -> Repair:
        """The repair after a round. A repair of weights is that after `kept_round(round_taken)`."""
        number = self._check(round_taken)
        shapes = self.shapes()
        if shapes is None or shapes.gated:
            return Gates(self.masks_at(number))
        kept = self.kept_round(number)
        if not kept:
            return Weights()
        try:
            return Weights(load_file(files.weights_file(self.path, kept)))
        except (OSError, ValueError, SafetensorError) as error:
            raise damage(self.id) from error

    def kept_round(self, round_taken: int) -> int:
        """The last round up to this one whose repair is stored. Masks are stored for all rounds, weights for some."""
        shapes = self.shapes()
        if shapes is None or shapes.gated:
            return round_taken
        latest = self.committed()
        if latest is not None and round_taken == latest.round:
            return round_taken
        return round_taken - round_taken % shapes.kept_every

    def masks_at(self, round_taken: int) -> Masks:
        """The masks after a round; round 0 gives the initial masks. Equally fast for every round.

        Raises:
            UserError: no such round, or the defence of the run has no masks.
        """
        number = self._check(round_taken)
        shapes = self.shapes()
        if shapes is None or not shapes.gated:
            raise UserError(f"Run {self.id} has no masks: its defence, {self.spec().entry.title}, changes weights.")
        row = torch.from_numpy(self.mask_history()[number].copy())
        return Masks(row[0], row[1], shapes.steepness)

    def mask_history(self) -> np.ndarray:
        """All masks, float32 [rounds + 1, 2, channels]: mask and selection after each round, from round 0.

        The array is memory-mapped, so only the rounds that are used are read. It is empty before work on the run began,
        and if the defence has no masks.
        """
        committed = self.committed()
        found = None if committed is None else self._row(rows.map_masks, committed.round)
        return np.empty((0, 2, 0), np.float32) if found is None else found

    def examples_at(self, round_taken: int) -> StoredExamples | None:
        """The example perturbations of a round; None if it made none."""
        return self._row(rows.read_examples, round_taken)

    def candidates_at(self, round_taken: int) -> StoredCandidates | None:
        """The candidates of a round, or of the last search round before it; None if there are none."""
        return self._row(rows.read_candidates, round_taken)

    def advance_lock(self) -> FileLock:
        """The lock that a worker holds while it advances the run. Only its holder writes to the run."""
        return FileLock(files.lock_file(self.path, files.LOCK))

    def _state(self, taken: int, result: RunResult | None) -> RunState:
        if self.status().failed:
            return RunState.FAILED
        if result is not None:
            return RunState.FINISHED if result.finished else RunState.STOPPED
        if self._worked_on(0.0):
            # Also while the current round is finished before a pause.
            return RunState.RUNNING
        if self.has_work():
            return RunState.RUNNING if self._worked_on(BETWEEN_SECONDS) else RunState.WAITING
        return RunState.PAUSED if taken else RunState.NEW

    def _worked_on(self, between: float) -> bool:
        """Whether a living worker works on the run, or did within the last `between` seconds."""
        path = self.path / files.WORKER
        try:
            silent = time.time() - path.stat().st_mtime
            worker = files.read_json(path) or {}
            here = worker.get("host") == socket.gethostname()
            if silent > ((SILENT_HERE_SECONDS if here else SILENT_SECONDS) if worker["busy"] else between):
                return False
            return not here or living_process.lives(int(worker["pid"]), float(worker["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _check(self, round_taken: int, first: int = 0) -> int:
        committed = self.committed()
        if committed is None:
            raise UserError(f"Run {self.id} has no rounds yet; take a step first.")
        if not first <= round_taken <= committed.round:
            raise UserError(f"Run {self.id} has no round {round_taken}; it has rounds {first} to {committed.round}.")
        return round_taken

    def _row(self, read: Callable[[Path, Shapes, int], T | None], round_taken: int) -> T | None:
        self._check(round_taken)
        shapes = self.shapes()
        try:
            return None if shapes is None else read(self.path, shapes, round_taken)
        except (OSError, ValueError) as error:
            raise damage(self.id) from error

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            return files.read_json(self.path / name)
        except (OSError, ValueError) as error:
            raise damage(self.id) from error


class RunDamagedError(UserError):
    """A run exists, but its files cannot be read."""


def damage(run_id: str) -> RunDamagedError:
    """The error for a run whose files cannot be read."""
    return RunDamagedError(
        f"Run {run_id} is damaged and cannot be read; delete it with 'python -m invmask delete {run_id}'."
    )
