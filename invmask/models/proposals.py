"""Which architectures a file's tensors may belong to: a few proposals, each of which is then compared in full."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from invmask.errors import UserError
from invmask.models import cifar, huggingface
from invmask.models.enlarged import Enlarged, inner
from invmask.models.known_networks import known_networks
from invmask.models.registry import ARCHITECTURES, build
from invmask.models.tensor_match import is_ordered, natural
from invmask.models.tensor_table import (
    Shape,
    Table,
    is_position,
    is_statistic,
    named_number,
    named_sum,
    shaped_number,
    shaped_sum,
    split,
    table_of,
)

_HEADS = ("fc", "linear", "classifier", "head", "heads", "logits", "last_linear", "output", "out")
_MOST_HEADS = 3
_NEAREST, _APART = 4, 6
_MODULUS = 2**64
_MOST_CLASSES = 100_000
_SIDE = 32
_SLIM = ("vgg19bn", "efficientnetb3", "mobilenetv3large")
"""Architectures that are torchvision's own without a width, which the index has, and slim versions with one."""
_ONE_WIDTH = ("vitb16",)


@dataclass(frozen=True)
class Proposal:
    """An architecture to compare with: its name, and how to build it.

    Attributes:
        side: pixels of the images' sides.
        notes: sentences about what was assumed.
    """

    architecture: str
    classes: int
    channels: int
    side: int = _SIDE
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileTable:
    """The tensors of a file.

    Attributes:
        table: shapes of those that identify an architecture; in some spellings under names that are closer to ours.
        first_names: names in the file by names in `table`.
        others: shapes of what `is_aside`, by their names in the file.
        ordered: whether the tensors are in the order of their network. If not, the table is sorted by name.
    """

    table: Table
    first_names: dict[str, str]
    others: Table
    ordered: bool

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "FileTable":
        """The table of a file's tensors by name."""
        table = table_of(tensors)
        prefix = shared_prefix(table)
        closer = huggingface.resnet_names([name.removeprefix(prefix) for name in table])
        closer = {f"{prefix}{name}": place for name, place in closer.items()}
        others = {name: tuple(each.shape) for name, each in tensors.items() if name not in table}
        first_names = {place: name for name, place in closer.items()}
        own, ordered = {closer[name]: shape for name, shape in table.items()}, is_ordered(table)
        return cls(own if ordered else {n: own[n] for n in sorted(own, key=natural)}, first_names, others, ordered)

    def convolutions(self) -> list[Shape]:
        """Shapes of convolutions' weights, the one that takes the images first."""
        found = [shape for shape in self.table.values() if len(shape) == 4]
        if not self.ordered:
            named = [name for name, shape in self.table.items() if len(shape) == 4]
            named.sort(key=lambda name: (self.table[name][1] != 3, _is_numbered(name)))
            found = [self.table[name] for name in named]
        return found

    def heads(self) -> list[tuple[str, int]]:
        """Names of the weights that may give the logits, with their number of outputs; the likeliest first."""
        found = [name for name, shape in self.table.items() if split(name)[1] == "weight" and _is_linear(shape)]
        found.reverse()
        if not self.ordered:
            found.sort(key=lambda name: (name.split(".")[0] not in _HEADS, _is_numbered(name)))
        return [(name, self.table[name][0]) for name in found]

    def without_heads(self) -> Iterator[tuple[Table, int]]:
        """The tensors of each module that may give the logits, and its outputs; also of two such modules together."""
        tables: list[tuple[Table, int]] = []
        for weight, classes in self.heads():
            bias = weight.removesuffix("weight") + "bias"
            tables.append(({name: self.table[name] for name in (weight, bias) if name in self.table}, classes))
        yield from tables
        for (one, classes), (other, same) in pairwise(tables):
            if classes == same:
                yield one | other, classes


def shared_prefix(table: Table) -> str:
    """What all names begin with, up to a dot: a wrapper's name, which may show only without what lies beside it."""
    prefix = ""
    while True:
        first = {name[len(prefix) :].partition(".")[::2] for name in table}
        if len({one for one, _ in first}) != 1 or not all(rest for _, rest in first):
            return prefix
        prefix += f"{first.pop()[0]}."


def _is_numbered(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))


def _is_linear(shape: Shape) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


@dataclass(frozen=True)
class OwnTable:
    """The tensors of a network that `models.build` makes, without the prefix of `Enlarged`.

    Attributes:
        table, others: as in `FileTable`.
        side: pixels of the sides of the only images that it takes; None if it takes others, too.
    """

    table: Table
    others: Table
    side: int | None

    @property
    def statistics(self) -> bool:
        """Whether the network itself has a mean or standard deviation, so that those of a file are its own."""
        return any(is_statistic(name, shape) for name, shape in self.others.items())


@lru_cache(maxsize=256)
def own_table(proposal: Proposal) -> OwnTable:
    """The tensors of a proposed network, which is built without memory for its weights.

    Raises:
        UserError: it cannot be built.
    """
    shape = (proposal.channels, proposal.side, proposal.side)
    try:
        with torch.device("meta"):
            network = build(proposal.architecture, proposal.classes, shape)
    except UserError:
        raise
    except Exception as error:  # the makers are others' code
        # Some networks compute their sizes by tensors, which have to hold numbers. A file's shapes can be absurd, but
        # these sources know the sizes of their networks themselves.
        known = proposal.architecture.startswith(("torchvision:", "timm:", "code:"))
        if not known or proposal.classes > _MOST_CLASSES:
            raise UserError(f"'{proposal.architecture}' cannot be built for these weights.") from error
        network = build(proposal.architecture, proposal.classes, shape)
    state = inner(network)[0].state_dict()
    table = table_of(state)
    others = {name: tuple(tensor.shape) for name, tensor in state.items() if name not in table}
    bound = any(map(is_position, state))
    side = network.side if isinstance(network, Enlarged) else proposal.side if bound else None
    return OwnTable(table, others, side)


def every(file: FileTable, config: Mapping[str, Any]) -> Iterator[Proposal]:
    """Architectures that the file's tensors may belong to, ours first."""
    yield from huggingface_proposals(file, config)
    yield from _of_registry(file, slim=False)
    yield from _of_index(file, by_name=True)
    yield from _of_cifar(file)
    yield from _of_registry(file, slim=True)
    yield from _of_index(file, by_name=False)


def huggingface_proposals(file: FileTable, config: Mapping[str, Any]) -> Iterator[Proposal]:
    """Hugging Face's Vision Transformer, if the names are its names."""
    found = huggingface.vit_name(file.table, config)
    if found is not None:
        name, classes, channels, side, notes = found
        yield Proposal(f"huggingface:{name}", classes, channels, side, notes)


def _of_registry(file: FileTable, slim: bool, apart: int = 0) -> Iterator[Proposal]:
    """Our architectures in the width of the file's; the slim versions of torchvision's, or the others.

    Args:
        apart: by how many tensors their numbers may differ.
    """
    convolutions = file.convolutions()
    if len(convolutions) < 2:
        return
    first, second, channels = convolutions[0][0], convolutions[1][0], convolutions[0][1]
    for name, known in ARCHITECTURES.items():
        # A WideResNet has one shortcut less in its smallest width, so tensors do not tell.
        counted = name == "wideresnet16" or abs(_tensors_of(name) - len(file.table)) <= apart
        if (name in _SLIM) != slim or name in _ONE_WIDTH or not counted:
            continue
        width = {"vit": 2 * first, "wideresnet16": second}.get(name, first)
        whole = name if width == known.width and not slim else f"{name}w{width}"
        side = _vit_side(file.table) if name == "vit" else _SIDE
        yield from (Proposal(whole, classes, channels, side) for classes in _classes(file))


def _of_cifar(file: FileTable) -> Iterator[Proposal]:
    convolutions = file.convolutions()
    if len(convolutions) < 2:
        return
    first, second, channels = convolutions[0][0], convolutions[1][0], convolutions[0][1]
    for name in cifar.suited(len(convolutions), first, second):
        for classes in _classes(file):
            yield Proposal(f"cifar:{name}", classes, channels)


def _of_index(file: FileTable, by_name: bool) -> Iterator[Proposal]:
    """Networks in the index with the same tensors, or with tensors of the same shapes under other names."""
    index = known_networks()
    sums, count, whole = (
        (index.named, named_number, named_sum) if by_name else (index.shaped, shaped_number, shaped_sum)
    )
    total = whole(file.table)
    wanted = {
        (total - sum(count(name, shape) for name, shape in head.items())) % _MODULUS: classes
        for head, classes in file.without_heads()
    }
    for name, channels, found in index.by_sum(sums, wanted):
        yield Proposal(name, wanted[found], channels)


def named(file: FileTable, architecture: str, classes: int | None, side: int | None) -> list[Proposal]:
    """A named architecture with the numbers of logits that the file may have, and channels as in the file."""
    convolutions = file.convolutions()
    channels = convolutions[0][1] if convolutions and convolutions[0][1] in (1, 3) else 3
    numbers = (classes,) if classes is not None else (_classes(file) or (10,))
    return [Proposal(architecture, number, channels, side or _SIDE) for number in numbers]


def nearly(file: FileTable) -> list[Proposal]:
    """Architectures with most of the file's tensors, to say what is wrong."""
    convolutions = file.convolutions()
    channels = convolutions[0][1] if convolutions and convolutions[0][1] in (1, 3) else 3
    classes = (*_classes(file), 10)[0]
    published = [Proposal(name, classes, channels) for name in known_networks().alike(file.table, _NEAREST)]
    return [*_of_registry(file, slim=False, apart=_APART), *_of_cifar(file), *published]


def _classes(file: FileTable) -> tuple[int, ...]:
    """The likeliest numbers of logits."""
    return tuple(dict.fromkeys(outputs for _, outputs in file.heads()))[:_MOST_HEADS]


@lru_cache(maxsize=64)
def _tensors_of(name: str) -> int:
    """The number of tensors of one of our architectures; it is the same in every width."""
    whole = f"{name}w{ARCHITECTURES[name].width}" if name in _SLIM else name
    return len(own_table(Proposal(whole, 10, 3)).table)


def _vit_side(table: Table) -> int:
    """The images' side for which the small Vision Transformer's embedding of positions was made."""
    tokens = next((shape[1] for shape in table.values() if len(shape) == 3 and shape[0] == 1 and shape[1] > 1), 65)
    return 4 * math.isqrt(tokens - 1)


def resized(file: Table, own: OwnTable, proposal: Proposal) -> Proposal | None:
    """The proposal for images of another size, if the embedding of positions alone shows that; None otherwise."""
    if own.side is None or proposal.architecture in ARCHITECTURES or "@" in proposal.architecture:
        return None
    positions = [name for name in own.table if is_position(name) and name in file]
    for name in positions:
        theirs, ours = file[name], own.table[name]
        if theirs == ours or len(theirs) != 3 or len(ours) != 3 or theirs[::2] != ours[::2]:
            continue
        across = math.isqrt(ours[1])
        extra = ours[1] - across**2
        wanted = math.isqrt(max(theirs[1] - extra, 0))
        if wanted and wanted**2 + extra == theirs[1] and own.side % across == 0:
            side = wanted * own.side // across
            return replace(proposal, architecture=f"{proposal.architecture}@{side}")
    return None
