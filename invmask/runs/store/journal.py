"""Writing a run: first the logs, then the state that makes them valid. A kill loses at most the current round.

Only the holder of the run's lock writes (see `Run.advance_lock`).
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from invmask.defenses.base import Candidates, Examples
from invmask.masks.repair import Gates, Repair, Weights
from invmask.runs.store import files
from invmask.runs.store.format import Shapes
from invmask.runs.store.records import RoundEntry, RunResult, StoredCandidates, StoredExamples, entry_to_json
from invmask.runs.store.run import Run, damage

Packed = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """The position of a defence: the stage of its next round, why it has ended (if it has), and its packed state."""

    stage: str
    ended: str | None
    packed: Packed


@dataclass(frozen=True)
class StoredState(Place):
    """The position as stored on disk after `round` rounds, whose records take `records_bytes` bytes."""

    round: int
    records_bytes: int


def begin(run: Run, shapes: Shapes, repair: Repair, place: Place) -> StoredState:
    """Store round 0: the sizes, the initial repair, and the state before the first round."""
    files.write_json(run.path / files.SHAPES, shapes.as_json())
    _put(run.path / files.RECORDS, 0, b"")
    _put_repair(run, shapes, 0, repair)
    _put(run.path / files.EXAMPLES, 0, b"")
    if shapes.candidates:
        _put(run.path / files.CANDIDATES, 0, b"")
    state = _stored_state(place, 0, 0)
    _write_state(run.path, state)
    return state


def commit(
    run: Run,
    shapes: Shapes,
    before: StoredState,
    entry: RoundEntry,
    repair: Repair,
    examples: Examples | None,
    place: Place,
    candidates: Candidates | None = None,
) -> StoredState:
    """Store one more round. `before` is the state that the last `commit`, `begin` or `load` returned."""
    number = before.round + 1
    line = (json.dumps(entry_to_json(entry)) + "\n").encode()
    _put(run.path / files.RECORDS, before.records_bytes, line)
    _put_repair(run, shapes, number, repair)
    if examples is not None:
        _put(run.path / files.EXAMPLES, number * shapes.example_bytes, shapes.pack_examples(_as_stored(examples)))
    if candidates is not None and shapes.candidates:
        row = shapes.pack_candidates(_found(candidates, shapes))
        _put(run.path / files.CANDIDATES, number * shapes.candidate_row.itemsize, row)
    state = _stored_state(place, number, before.records_bytes + len(line))
    _write_state(run.path, state)
    if not shapes.gated and before.round % shapes.kept_every:
        # These weights belonged to the previous state; the new state uses the newer ones.
        files.weights_file(run.path, before.round).unlink(missing_ok=True)
    return state


def load(run: Run, shapes: Shapes) -> StoredState | None:
    """Load the last committed state, and truncate the logs after it; None before the first commit.

    Raises:
        UserError: the files are inconsistent.
    """
    committed = run.committed()
    if committed is None:
        return None
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(run.path / files.STATE, "pt") as file:
            numbers = json.loads(file.metadata()["run"])["numbers"]
            for name in file.keys():  # noqa: SIM118  # not a mapping
                tensors[name] = file.get_tensor(name)
        _cut(run.path / files.RECORDS, committed.records_bytes)
        if shapes.gated:
            _cut(run.path / files.MASKS, (committed.round + 1) * shapes.mask_bytes)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise damage(run.id) from error
    place = Place(committed.stage, committed.ended, (tensors, numbers))
    return _stored_state(place, committed.round, committed.records_bytes)


def write_result(run: Run, result: RunResult) -> None:
    """Store how the run ended."""
    files.write_json(run.path / files.RESULT, asdict(result))


def _stored_state(place: Place, number: int, records_bytes: int) -> StoredState:
    return StoredState(place.stage, place.ended, place.packed, number, records_bytes)


def _write_state(path: Path, state: StoredState) -> None:
    tensors, numbers = state.packed
    head = {
        "round": state.round,
        "stage": state.stage,
        "ended": state.ended,
        "records_bytes": state.records_bytes,
        "numbers": numbers,
    }
    # Copies, because two names may share memory, which safetensors refuses.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    content = save(copies, {"run": json.dumps(head)})
    files.write_bytes(path / files.STATE, content)


def _put(path: Path, offset: int, content: bytes) -> None:
    """Write `content` at `offset` and truncate the file after it. A gap before it becomes a hole in the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _cut(path: Path, size: int) -> None:
    if path.stat().st_size < size:
        raise ValueError(f"{path} is shorter than its state says")
    os.truncate(path, size)


def _put_repair(run: Run, shapes: Shapes, number: int, repair: Repair) -> None:
    match repair:
        case Gates():
            _put(run.path / files.MASKS, number * shapes.mask_bytes, _mask_row(repair))
        case Weights() if number:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in repair.tensors.items()}
            files.write_bytes(files.weights_file(run.path, number), save(tensors))


def _mask_row(repair: Gates) -> bytes:
    masks = repair.masks
    row = np.stack([vector.detach().float().cpu().numpy() for vector in (masks.mask, masks.selection)])
    return row.astype("<f4").tobytes()


def _as_stored(examples: Examples) -> StoredExamples:
    return StoredExamples(
        examples.indices.cpu().numpy().astype(np.int32),
        examples.perturbations.cpu().numpy().astype(np.float16),
        examples.probabilities.cpu().float().numpy(),
        examples.one_for_all,
    )


def _found(candidates: Candidates, shapes: Shapes) -> StoredCandidates:
    height, width, _ = shapes.portrait
    portraits = candidates.portraits.detach().cpu().float()
    if portraits.shape[-2:] != (height, width):
        portraits = F.interpolate(portraits, (height, width), mode="area")
    return StoredCandidates(
        family=candidates.family,
        labels=candidates.labels.cpu().numpy().astype(np.int32),
        portraits=(portraits.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy(),
        sizes=candidates.sizes.detach().cpu().float().numpy(),
        flips=candidates.flips.detach().cpu().float().numpy(),
        searched=candidates.searched.cpu().numpy(),
        standing_out=candidates.standing_out,
        lead=candidates.lead,
    )
