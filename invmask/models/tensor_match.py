"""Pair the tensors of a file with those of a network: by name, or by order and shape if the names differ."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from invmask.models.tensor_table import Table, split

_GROUPED = ("weight", "bias", "running_mean", "running_var")
Kind = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Unit:
    """The tensors of one module, or a single tensor whose own name is not the same in all spellings.

    Attributes:
        kind: own name and shape of each, sorted; the own name is empty for a single tensor.
        names: the tensors' full names, in the order of `kind`.
    """

    kind: Kind
    names: tuple[str, ...]

    @property
    def part(self) -> str:
        """The part of the network that it lies in."""
        return self.names[0].partition(".")[0]

    @property
    def numbered(self) -> bool:
        """Whether it lies in a numbered part, such as a block: its place follows from the numbers."""
        return any(part.isdigit() for part in self.names[0].split("."))


def is_ordered(table: Table) -> bool:
    """Whether the names may be in the order of a network: not sorted, and the tensors of each module together."""
    modules = [split(name)[0] for name in table if split(name)[1] in _GROUPED]
    turns = sum(before != after for before, after in pairwise(modules))
    return list(table) != sorted(table) and turns == len(set(modules)) - 1


def units(table: Table) -> list[Unit]:
    """The units of a table, in the order of their first tensors."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in table:
        module, leaf = split(name)
        groups[f"{module}." if leaf in _GROUPED else name].append(name)
    found = []
    for key, names in groups.items():
        own = sorted((split(name)[1] if key.endswith(".") else "", table[name], name) for name in names)
        found.append(Unit(tuple((leaf, shape) for leaf, shape, _ in own), tuple(name for *_, name in own)))
    return found


def pair(file: Table, network: Table, ordered: bool = True) -> dict[str, str] | None:
    """Names in the network by names in the file, if all tensors of both find their places; None otherwise.

    Equal names are paired. Otherwise modules with tensors of the same shapes are paired in order.

    Args:
        ordered: whether the file has its tensors in the order of its network. If not, numbers in names stand for it.
    """
    if file.keys() == network.keys():
        return {name: name for name in file} if file == network else None
    own, found = units(network), units(file)
    if len(own) != len(found):
        return None
    if ordered and [unit.kind for unit in found] == [unit.kind for unit in own]:
        return _joined(found, own)
    equal = set(own) & set(found)
    found, own = [unit for unit in found if unit not in equal], [unit for unit in own if unit not in equal]
    # Equal names are a coincidence where others in the same part differ, as where blocks are counted from 1.
    if {unit.part for unit in equal} & {unit.part for unit in (*found, *own)}:
        found, own, equal = units(file), units(network), set()
    kept = {name: name for unit in equal for name in unit.names}
    rest = _in_order(found, own, ordered)
    return None if rest is None else kept | rest


def _in_order(found: list[Unit], own: list[Unit], ordered: bool) -> dict[str, str] | None:
    if ordered:
        return _by_kind(found, own, lambda unit: unit.kind)
    found.sort(key=lambda unit: natural(unit.names[0]))
    # What lies in no block comes before or after all blocks, which names do not tell.
    return _by_kind(found, own, lambda unit: (unit.kind, unit.numbered)) or _by_kind(found, own, lambda unit: unit.kind)


def _by_kind(file: Sequence[Unit], network: Sequence[Unit], kind: Callable[[Unit], object]) -> dict[str, str] | None:
    """Pair the first units of each kind, the second, and so on; None if one has more of a kind than the other."""
    left: dict[object, list[Unit]] = defaultdict(list)
    for unit in file:
        left[kind(unit)].append(unit)
    ordered = []
    for unit in network:
        if not left[kind(unit)]:
            return None
        ordered.append(left[kind(unit)].pop(0))
    return _joined(ordered, network)


def _joined(file: Sequence[Unit], network: Sequence[Unit]) -> dict[str, str]:
    return {
        theirs: ours
        for one, other in zip(file, network, strict=True)
        for theirs, ours in zip(one.names, other.names, strict=True)
    }


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts `block2` before `block10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


@dataclass(frozen=True)
class Difference:
    """What keeps a file's tensors from fitting a network, by name."""

    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    other_shape: tuple[str, ...] = ()


def difference(file: Table, network: Table) -> Difference:
    """The names that are only in one of the two, and those with another shape in the other."""
    return Difference(
        tuple(name for name in network if name not in file),
        tuple(name for name in file if name not in network),
        tuple(name for name in file if name in network and file[name] != network[name]),
    )
