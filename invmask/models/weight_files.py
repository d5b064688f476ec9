"""Weights from a stranger's file: safetensors, `torch.save` in all its forms, or `torch.export`.

The file is read in a process of its own (`invmask.confined`), and nothing in it is executed.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from invmask import confined
from invmask.errors import UserError
from invmask.models.exported_weights import read_exported
from invmask.models.pickled_weights import unpickle
from invmask.models.weight_entries import Entry, beside, entries_in, few
from invmask.models.weight_formats import EXPORTED, SAFETENSORS, format_of, module_command
from invmask.models.weight_names import fit_names, without_wrappers

MOST_BYTES = 2 << 30
MOST_NUMBERS = 1 << 30
MOST_TENSORS = 100_000
MOST_NAME = 500
MOST_ENTRIES = 50
_SECONDS = 60.0
_WRITTEN = "weights.safetensors"
# A hostile or damaged file can make PyTorch's and Python's readers raise nearly anything.
_UNREADABLE = (Exception, RecursionError)


@dataclass(frozen=True)
class WeightFile:
    """The weights of one network, as a file holds them.

    Attributes:
        tensors: by name without wrappers' prefixes; float32, and integers or booleans as they are stored.
        own_names: the names in the file by those in `tensors`.
        notes: plain sentences: what was converted, and what was passed over.
        kind: what the file is, "safetensors", "torch.save", "torch.export" or "a whole network".
        entry: where in the file the weights are, such as "state_dict"; empty if they are the whole file.
        dtypes: the data types in the file, such as "float16", by the names in the file.
        digest: SHA-256 of the file, in hexadecimal digits.
    """

    tensors: dict[str, Tensor]
    own_names: dict[str, str]
    notes: tuple[str, ...]
    kind: str
    entry: str
    dtypes: dict[str, str]
    digest: str


class EntryNeeded(UserError):  # noqa: N818
    """A file holds the weights of several networks, and it is not clear which of them is meant.

    Attributes:
        name: the file's name.
        entries: the networks' names, to be given as `entry`.
    """

    def __init__(self, name: str, entries: tuple[str, ...]) -> None:
        super().__init__(f"{name} holds the weights of several networks; choose one of them: {', '.join(entries)}.")
        self.name = name
        self.entries = entries

    def __reduce__(self) -> tuple[type["EntryNeeded"], tuple[str, tuple[str, ...]]]:
        # Workers hand errors on by pickling them.
        return EntryNeeded, (self.name, self.entries)


def read_weight_file(path: Path, entry: str | None = None) -> WeightFile:
    """Read a file of weights in a process of its own.

    Args:
        path: at most 2 GiB.
        entry: which network's weights, if the file holds several; a name of `EntryNeeded.entries`.

    Raises:
        EntryNeeded: the file holds several networks, and `entry` is None.
        UserError: it cannot be read, or holds no weights; the sentence says what to do.
    """
    try:
        if not path.is_file():
            there = f"{path} is a folder; give the file of weights in it." if path.is_dir() else ""
            raise UserError(there or f"There is no file {path}; check its name.")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise UserError(f"There is no file {str(path)[:200]!r}; check its name.") from error
    if size > MOST_BYTES:
        raise UserError(f"{path.name} has {size / (1 << 30):.1f} GB; a file of weights may have {MOST_BYTES >> 30} GB.")
    with tempfile.TemporaryDirectory(prefix="invmask-weights-") as folder:
        scratch = Path(folder)
        said = confined.call(
            parse,
            path.absolute(),
            entry,
            scratch,
            what=path.name,
            scratch=scratch,
            # 20 MB/s is slower than any disk.
            seconds=_SECONDS + size / 20e6,
            memory_bytes=(1 << 30) + 6 * size,
        )
        if "entries" in said:
            raise EntryNeeded(path.name, tuple(said["entries"]))
        tensors = load_file(scratch / _WRITTEN)
    return WeightFile(
        tensors={name: tensors[name] for name in said["own_names"]},
        own_names=said["own_names"],
        notes=tuple(said["notes"]),
        kind=said["kind"],
        entry=said["entry"],
        dtypes=said["dtypes"],
        digest=said["digest"],
    )


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the weights in a file into `network`.

    Raises:
        UserError: the file has no weights, or those of another network; `network` is then unchanged.
    """
    found = read_weight_file(path)
    network.load_state_dict(fit_names(found.tensors, network))


def parse(path: str, entry: str | None, scratch: str) -> dict[str, Any]:
    """The child's part: read the file, write its tensors to `scratch`, and describe them.

    Raises:
        UserError: as `read_weight_file`.
    """
    file = Path(path)
    kind = format_of(file)
    notes: list[str] = []
    foreign: list[str] = []
    try:
        if kind == SAFETENSORS:
            found: Any = load_file(file)
        elif kind == EXPORTED:
            found = read_exported(file)
        else:
            unpickled = unpickle(file)
            foreign = list(unpickled.foreign)
            found = unpickled.found
            if unpickled.devices:
                notes.append(f"Weights stored on {few(list(unpickled.devices))} were loaded onto the CPU.")
        entries = entries_in(found)
    except MemoryError:
        raise
    except _UNREADABLE as error:
        if "allocate memory" in str(error):
            raise
        if "but got <class 'str'>" in str(error):
            # Only whole networks in the old form have such a part: the source text of a class.
            raise UserError(
                f"{file.name} is a whole network in an old form; if you trust it, take the weights out, in a folder "
                f"where its code lies, with: {module_command(file)}"
            ) from error
        raise UserError(_unreadable(file)) from error
    if not entries:
        raise UserError(_unreadable(file))
    if entry is None and len(entries) > 1:
        return {"entries": [one.name or "(top)" for one in entries[:MOST_ENTRIES]]}
    chosen = entries[0] if entry is None else _chosen(file, entries, entry)
    if chosen.quantised or (chosen.of and any(".quantized." in name for name in foreign)):
        raise UserError(_quantised(file))
    if chosen.of:
        kind = "a whole network"
        notes.insert(0, f"This is a whole network, {chosen.of}; its weights were read, and its code was not run.")
    elif foreign:
        notes.append(f"Objects of these kinds were passed over without being made: {few(foreign)}.")
    passed = beside(found, chosen)
    if passed:
        notes.append(f"Beside the weights the file holds {few(passed)}; this is not used.")
    tensors, dtypes = _plain(file, chosen, notes)
    own_names = without_wrappers(list(tensors))
    save_file({new: tensors[own] for new, own in own_names.items()}, Path(scratch) / _WRITTEN)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "own_names": own_names,
        "notes": notes,
        "kind": kind,
        "entry": chosen.name,
        "dtypes": dtypes,
        "digest": digest,
    }


def _chosen(file: Path, entries: list[Entry], wanted: str) -> Entry:
    for one in entries:
        if (one.name or "(top)") == wanted:
            return one
    names = ", ".join(one.name or "(top)" for one in entries[:MOST_ENTRIES])
    raise UserError(f"{file.name} has no weights under '{wanted[:80]}'; choose one of: {names}.")


def _plain(file: Path, entry: Entry, notes: list[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors as ordinary float32 (or integers) that share no memory, and the types that they had.

    Raises:
        UserError: they are quantised, not there at all, or too many.
    """
    if len(entry.tensors) > MOST_TENSORS:
        raise UserError(f"{file.name} holds more than {MOST_TENSORS:,} tensors; give the weights of one network.")
    if not all(name.isprintable() and 0 < len(name) <= MOST_NAME for name in entry.tensors):
        raise UserError(f"{file.name} has tensors whose names are not text; get it again.")
    tensors: dict[str, Tensor] = {}
    dtypes: dict[str, str] = {}
    converted: dict[str, None] = {}
    left_out: list[str] = []
    total = 0
    for name, tensor in entry.tensors.items():
        if _is_quantised(name, tensor):
            raise UserError(_quantised(file))
        if tensor.device.type == "meta":
            raise UserError(f"{file.name} holds names and shapes without the weights themselves; store them again.")
        if tensor.layout != torch.strided or tensor.is_complex():
            left_out.append(name)
            continue
        total += tensor.numel()
        if total > MOST_NUMBERS:
            raise UserError(f"{file.name} holds more than {MOST_NUMBERS:,} weights; give a smaller network.")
        dtypes[name] = str(tensor.dtype).removeprefix("torch.")
        plain = tensor.detach()
        if plain.is_floating_point() and plain.dtype != torch.float32:
            converted[dtypes[name]] = None
            plain = plain.float()
        # A Parameter becomes a tensor, and a view of other numbers a tensor of its own.
        tensors[name] = torch.empty(plain.shape, dtype=plain.dtype).copy_(plain)
    if converted:
        notes.append(f"Weights in {few(list(converted))} were converted to float32.")
    if left_out:
        notes.append(f"Sparse and complex tensors were left out: {few(left_out)}.")
    if not any(tensor.is_floating_point() and tensor.ndim > 1 for tensor in tensors.values()):
        raise UserError(_unreadable(file))
    return tensors, dtypes


def _is_quantised(name: str, tensor: Tensor) -> bool:
    whole = not (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.bool
    return tensor.is_quantized or (whole and tensor.ndim > 1 and name.rpartition(".")[2] in ("weight", "qweight"))


def _quantised(file: Path) -> str:
    return (
        f"{file.name} holds quantised weights, which a mask cannot be learned for; give those of the network from "
        "before it was quantised, stored with: torch.save(network.state_dict(), 'weights.pt')"
    )


def _unreadable(file: Path) -> str:
    return f"{file.name} holds no weights that can be read safely; store the network's state_dict as safetensors."
