"""Names and shapes of a network's tensors, by which an architecture is recognised, and short numbers for them.

Two sums identify a table. The first is over names and shapes; the second is over shapes alone, so it is the same under
other names. Both leave out what differs between two uses of one architecture: the last layer, whose size is the number
of classes, and, for the first sum, position embeddings, whose size is that of the images.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Protocol

Shape = tuple[int, ...]
Table = dict[str, Shape]
"""Shapes by name, in the order of the file or network."""
DERIVED = (
    "num_batches_tracked",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "position_ids",
    "total_ops",
    "total_params",
)
"""Last parts of the names of buffers that are counts or follow from the architecture. Some files leave them out."""
AUXILIARY = ("AuxLogits", "aux1", "aux2")
"""Torchvision's names for second heads, which GoogLeNet and Inception need only in training."""
STATISTICS = ("mean", "std", "mu", "sigma")
"""Last parts of the names under which networks that normalise their images keep mean and standard deviation."""
_COUNTERS = ("n_averaged", "step", "global_step", "epoch")
_MOST_CHANNELS = 4
_POSITIONS = ("pos_embed", "pos_embedding", "position_embeddings", "absolute_pos_embed")
_LEAVES = ("weight", "bias", "running_mean", "running_var")
_BITS = 64


class Shaped(Protocol):
    """A tensor, of which only the shape is read."""

    @property
    def shape(self) -> Iterable[int]: ...


def split(name: str) -> tuple[str, str]:
    """The module's name and the tensor's own: `layer1.0.bn1`, `weight`."""
    module, _, leaf = name.rpartition(".")
    return module, leaf


def is_derived(name: str) -> bool:
    """Whether the tensor is a count, or follows from the architecture."""
    return split(name)[1] in DERIVED


def is_auxiliary(name: str) -> bool:
    """Whether the tensor belongs to a second head that is used in training only."""
    return name.partition(".")[0] in AUXILIARY


def is_position(name: str) -> bool:
    """Whether the tensor is an embedding of positions, whose size depends on that of the images."""
    return any(part in _POSITIONS for part in name.split("."))


def is_statistic(name: str, shape: Shape) -> bool:
    """Whether the tensor may be a mean or standard deviation of images: one number for each channel, or for all."""
    return split(name)[1].strip("_") in STATISTICS and math.prod(shape) <= _MOST_CHANNELS


def is_aside(name: str, shape: Shape) -> bool:
    """Whether the tensor says nothing about the architecture: derived, a second head, a count, or a normalisation."""
    counter = split(name)[1] in _COUNTERS and math.prod(shape) == 1
    return is_derived(name) or is_auxiliary(name) or counter or is_statistic(name, shape)


def table_of(tensors: Mapping[str, Shaped]) -> Table:
    """The shapes that identify an architecture, without what `is_aside`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return {name: shape for name, shape in shapes.items() if not is_aside(name, shape)}


def number(text: str, bits: int = _BITS) -> int:
    """The first `bits` bits of the BLAKE2b hash of a text. It is the same in every process and version."""
    return int.from_bytes(blake2b(text.encode(), digest_size=bits // 8).digest(), "big")


def named_number(name: str, shape: Shape) -> int:
    """The number of one tensor by name and shape; 0 for an embedding of positions."""
    return 0 if is_position(name) else number(f"{name} {_text(shape)}")


def shaped_number(name: str, shape: Shape) -> int:
    """The number of one tensor by shape; its own name counts only where all spellings agree on it."""
    leaf = split(name)[1]
    return number(f"{leaf if leaf in _LEAVES else ''} {_text(shape)}")


def named_sum(table: Table) -> int:
    """One number for all names and shapes, in any order."""
    return sum(named_number(*item) for item in table.items()) % 2**_BITS


def shaped_sum(table: Table) -> int:
    """One number for all shapes, in any order, whatever the names."""
    return sum(shaped_number(*item) for item in table.items()) % 2**_BITS


def sketch_numbers(table: Table) -> set[int]:
    """A number of 32 bits for every name with its shape."""
    return {number(f"{name} {_text(shape)}", 32) for name, shape in table.items()}


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
