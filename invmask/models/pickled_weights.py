"""Files of `torch.save`, read without running anything that they name.

The weights-only reader of PyTorch refuses a file that names any class beyond tensors. Training programs store such
objects beside the weights (argparse.Namespace, NumPy numbers, paths, dates). Here each of them becomes a placeholder
that knows its name and its contents. So a whole pickled network can be taken apart, too, without its code.
"""

import contextlib
import io
import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.serialization import safe_globals

MOST_NAMES = 1000
MOST_PICKLE_BYTES = 512 << 20
_PICKLES_OF_OLD_FILES = 5
_STANDS_FOR = "_stands_for"
# Such objects never hold weights; they are only named.
_NEVER_HOLD_WEIGHTS = ("numpy.", "datetime.", "pathlib.", "decimal.", "uuid.")


class _Placeholder:
    """Stands for an object of a class that the file names. The class is neither imported nor called.

    Above all, NumPy arrays are not made, because the writer of the file could choose how their bytes are interpreted.
    """

    _stands_for = ""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        # The object's attributes, or (attributes, those in slots).
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update(part)


class _Filled:
    """Stands for a kind of dictionary (EasyDict, defaultdict). PyTorch's reader fills exact dictionaries only."""

    _stands_for = ""

    def __new__(cls, *_: object) -> Any:
        made: OrderedDict[Any, Any] = OrderedDict()
        made.__dict__[_STANDS_FOR] = cls._stands_for
        return made


@dataclass(frozen=True)
class Unpickled:
    """What a file of `torch.save` holds.

    Attributes:
        found: dictionaries, lists, numbers, strings, tensors on the CPU, and placeholders.
        devices: where its tensors were when they were stored, such as cuda:0.
        foreign: full names of the classes and functions that placeholders stand for.
    """

    found: Any
    devices: tuple[str, ...]
    foreign: tuple[str, ...]


def unpickle(file: Path | BinaryIO) -> Unpickled:
    """Read a file of `torch.save`, in its new (zip) or old form.

    Raises:
        Exception: of nearly any type, if the file is damaged or hostile; call it in `invmask.confined`.
    """
    names = _names_in(file)
    try:
        return _load(file, names, _Placeholder)
    except pickle.UnpicklingError as error:
        if "SETITEM" not in str(error):
            raise
        return _load(file, names, _Filled)


def name_of(thing: object) -> str:
    """The full name of the class that a placeholder stands for; empty for anything else."""
    return str(getattr(thing, _STANDS_FOR, "")) if isinstance(thing, _Placeholder | OrderedDict) else ""


def module_state(thing: object) -> dict[str, Tensor] | None:
    """The `state_dict` of a pickled network, from its placeholder; None if it is no network.

    Raises:
        ValueError: networks are nested without end.
    """
    if not _is_module(thing):
        return None
    state: dict[str, Tensor] = {}
    waiting: list[tuple[str, object]] = [("", thing)]
    steps = 0
    while waiting:
        steps += 1
        if steps > 100 * MOST_NAMES:
            raise ValueError("networks nested without end")
        prefix, module = waiting.pop()
        inner = vars(module)
        passing = inner.get("_non_persistent_buffers_set")
        kept = {**_mapping(inner.get("_parameters")), **_mapping(inner.get("_buffers"))}
        for name, tensor in kept.items():
            if isinstance(tensor, Tensor) and not (isinstance(passing, set) and name in passing):
                state[f"{prefix}{name}"] = tensor
        children = [(f"{prefix}{name}.", part) for name, part in _mapping(inner.get("_modules")).items()]
        # The order of `state_dict`.
        waiting += [(name, part) for name, part in reversed(children) if _is_module(part)]
    return state


def _is_module(thing: object) -> bool:
    return bool(name_of(thing)) and isinstance(vars(thing).get("_modules"), Mapping)


def _mapping(thing: object) -> Mapping[Any, Any]:
    return thing if isinstance(thing, Mapping) else {}


def _load(file: Path | BinaryIO, names: list[str], kind: type) -> Unpickled:
    devices: dict[str, None] = {}

    def onto_the_cpu(storage: Any, location: str) -> Any:
        devices[str(location)[:40]] = None
        return storage

    stand_ins: list[Any] = []
    for name in names:
        base = _Placeholder if name.startswith(_NEVER_HOLD_WEIGHTS) else kind
        stand_ins.append((type("StandIn", (base,), {_STANDS_FOR: name}), name))
    if not isinstance(file, Path):
        file.seek(0)
    with warnings.catch_warnings(), safe_globals(stand_ins):
        warnings.simplefilter("ignore")  # a warning about the old file form does not matter if it can be read
        found = torch.load(file, map_location=onto_the_cpu, weights_only=True)
    return Unpickled(found, tuple(name for name in devices if name != "cpu"), tuple(_foreign(names)))


def _foreign(names: list[str]) -> list[str]:
    """Those of the names that PyTorch itself does not read."""
    known = ("torch._utils.", "torch.serialization.", "torch._tensor.", "torch.nn.parameter.", "_codecs.")
    plain = {"builtins.set", "builtins.bytearray", "builtins.complex", "collections.Counter"}
    own = [name for name in names if not name.startswith(known) and name not in plain]
    return [name for name in own if not (name.startswith("torch.") and name.count(".") == 1)]


def _names_in(file: Path | BinaryIO) -> list[str]:
    """Every class and function that the file names, found by reading its instructions without following them."""
    names: dict[str, None] = {}
    with _pickles(file) as content:
        # The numbers that follow the instructions are no instructions.
        for _ in range(_PICKLES_OF_OLD_FILES):
            with contextlib.suppress(ValueError, EOFError, OverflowError):
                for operation, argument, _place in pickletools.genops(content):
                    if operation.name == "GLOBAL" and len(names) < MOST_NAMES:
                        module, _, name = str(argument).partition(" ")
                        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                        names[f"{module}.{name}"] = None
    # The ordinary dictionary has to stay one.
    return [name for name in names if name != "collections.OrderedDict"]


@contextlib.contextmanager
def _pickles(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """The instructions, opened: `data.pkl` of a new file, or an old file from its beginning."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            inner = [member for member in archive.infolist() if member.filename.endswith("data.pkl")]
            if not inner or inner[0].file_size > MOST_PICKLE_BYTES:
                raise ValueError("no data.pkl of a usual size")
            yield io.BytesIO(archive.read(inner[0]))
    elif isinstance(file, Path):
        with file.open("rb") as content:
            yield content
    else:
        file.seek(0)
        yield file
