"""Finding the networks' weights among everything that a training program stores in one file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invmask.models.pickled_weights import module_state, name_of

_DEEPEST = 8
_MOST_VISITED = 200_000
_SHOWN = 5
_OF_TRAINING = re.compile(
    r"(^|[._])(optim\w*|opt|(lr_?)?sched\w*|(grad_?)?scaler|amp|rng|grads?)([._]|$)", re.IGNORECASE
)
"""Names under which optimizers and the like store their own tensors."""
_COPIES = ("ema", "teacher", "student", "shadow", "averaged", "swa", "momentum", "target", "online", "backup")
"""Parts of names by which several copies of one network are told apart within one `state_dict`."""
_PACKED = "_packed_params"


@dataclass(frozen=True)
class Entry:
    """One network's weights within a file.

    Attributes:
        name: where they are: keys with dots between them; empty if they are the whole file.
        tensors: by their names in the file.
        of: the class of the network if it was stored whole, else empty.
        quantised: whether some weights are packed as PyTorch's quantised layers pack them, and so are not in `tensors`.
    """

    name: str
    tensors: dict[str, Tensor]
    of: str = ""
    quantised: bool = False


def entries_in(found: Any) -> list[Entry]:
    """All networks' weights in what was read from a file. The same weights under two names count once.

    Raises:
        ValueError: the file's contents are nested without end.
    """
    candidates = list(_walk(found))
    named = [entry for entry in candidates if any(_is_weight(name) for name in entry.tensors)]
    different: list[Entry] = []
    for entry in named or candidates[:1]:
        for copy in _copies(entry):
            if not any(_same(copy, other) for other in different):
                different.append(copy)
    return different


def beside(found: Any, entry: Entry) -> list[str]:
    """The names of what the file holds at its top beside the weights of `entry`."""
    if not isinstance(found, Mapping) or name_of(found):
        return []
    head = entry.name.partition(".")[0]
    kept = entry.tensors if not entry.name else {}
    return [str(name)[:60] for name in found if str(name) != head and str(name) not in kept]


def few(names: list[str]) -> str:
    """Some of the names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _walk(found: Any) -> Iterator[Entry]:
    # Breadth first: what lies at the top comes first.
    level: list[tuple[str, Any]] = [("", found)]
    seen: set[int] = set()
    for _ in range(_DEEPEST):
        below: list[tuple[str, Any]] = []
        for path, thing in level:
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if len(seen) > _MOST_VISITED:
                raise ValueError("too many parts")
            state = module_state(thing)
            if state is not None:
                if state:
                    yield Entry(path, state, name_of(thing))
            elif isinstance(thing, Mapping):
                own = {name: value for name, value in thing.items() if isinstance(name, str)}
                tensors = {name: value for name, value in own.items() if isinstance(value, Tensor)}
                if any(value.ndim >= 2 for value in tensors.values()):
                    yield Entry(path, tensors, quantised=any(_PACKED in name for name in own))
                below += [
                    (f"{path}.{name}" if path else name, value)
                    for name, value in own.items()
                    if not isinstance(value, Tensor) and not _OF_TRAINING.search(name)
                ]
            elif isinstance(thing, list | tuple) and len(thing) <= _MOST_VISITED:
                below += [(f"{path}.{place}" if path else str(place), value) for place, value in enumerate(thing)]
            elif name_of(thing):
                below += [(f"{path}.{key}" if path else str(key), value) for key, value in vars(thing).items()]
        level = below
    if any(isinstance(thing, Mapping) and any(isinstance(v, Tensor) for v in thing.values()) for _, thing in level):
        raise ValueError("nested without end")


def _is_weight(name: str) -> bool:
    last = name.rpartition(".")[2].lower()
    return "weight" in last or "kernel" in last or last in ("w", "original0", "original1")


def _copies(entry: Entry) -> list[Entry]:
    """The copies of one network that a `state_dict` holds side by side, such as `model.` and `ema_model.`."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in entry.tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = tensor
    twins: dict[frozenset[tuple[str, tuple[int, ...]]], list[str]] = {}
    for group, inner in groups.items():
        form = frozenset((name, tuple(tensor.shape)) for name, tensor in inner.items())
        if len(form) > 1 and any(_is_weight(name) for name in inner):
            twins.setdefault(form, []).append(group)
    for alike in twins.values():
        if len(alike) > 1 and any(part in group.lower() for group in alike for part in _COPIES):
            return [
                Entry(
                    f"{entry.name}.{group}" if entry.name else group,
                    {name: tensor for name, tensor in entry.tensors.items() if name.startswith(f"{group}.")},
                    entry.of,
                )
                for group in alike
            ]
    return [entry]


def _same(one: Entry, other: Entry) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        tensor is other.tensors[name] or _at(tensor) == _at(other.tensors[name]) for name, tensor in one.tensors.items()
    )


def _at(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor's numbers lie, which says whether two tensors are the same."""
    if tensor.device.type == "meta" or tensor.layout != torch.strided:
        return (id(tensor),)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), str(tensor.dtype)
