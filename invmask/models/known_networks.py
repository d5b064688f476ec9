"""The index of timm's and torchvision's networks, by which a file's network is found without building hundreds.

``known_networks.npz`` beside this file holds a few numbers for each. ``python -m benchmarks.known_networks`` makes it
again for other versions of the two libraries; the versions are in the file.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from invmask.models.tensor_table import Table, sketch_numbers

INDEX = Path(__file__).with_name("known_networks.npz")
CHANNELS = (3, 1)
"""Channels of the images for which the index has sums."""
SKETCHED = 24
"""Tensors of each network whose numbers are kept: those with the smallest."""
TRANSFORMER, DEPTHWISE, NORMALISED = 1, 2, 4


@dataclass(frozen=True)
class KnownNetworks:
    """The index.

    Attributes:
        names: as `models.build` takes them, [M].
        versions: of the libraries from which the index was made.
        named, shaped: `tensor_table.named_sum` and `shaped_sum` of each network without its last layer, uint64 [M, 2],
            for images of 3 and of 1 channel; 0 where the network cannot be built so.
        sketch: the smallest of `tensor_table.sketch_numbers` of each, uint32 [M, SKETCHED].
        flags: bits of `TRANSFORMER`, `DEPTHWISE` and `NORMALISED`, uint8 [M].
        tensors: number of tensors in the table of each, without its last layer, uint16 [M].
    """

    names: tuple[str, ...]
    versions: dict[str, str]
    named: np.ndarray
    shaped: np.ndarray
    sketch: np.ndarray
    flags: np.ndarray
    tensors: np.ndarray

    def by_sum(self, sums: np.ndarray, wanted: Collection[int]) -> list[tuple[str, int, int]]:
        """The networks one of whose `sums` (`named` or `shaped`) is wanted, in the index's order.

        Returns:
            Of each its name, the channels of its images, and the sum.
        """
        asked = np.array(sorted(set(wanted) - {0}), np.uint64)
        places = np.argwhere(np.isin(sums, asked))
        return [(self.names[place], CHANNELS[column], int(sums[place, column])) for place, column in places]

    def alike(self, table: Table, most: int) -> list[str]:
        """Names of the networks that share the most names and shapes with `table`, best first, at most `most`."""
        own = np.array(sorted(sketch_numbers(table)), np.uint32)
        shared = np.isin(self.sketch, own).sum(1)
        # Among equals, the one with the most similar number of tensors.
        order = np.lexsort((np.abs(self.tensors.astype(int) - len(table)), -shared))
        return [self.names[place] for place in order[:most] if shared[place] >= SKETCHED // 4]

    def flag(self, name: str, bit: int) -> bool | None:
        """One flag of a network; None if the index does not have it."""
        place = _places().get(name)
        return None if place is None else bool(self.flags[place] & bit)


@cache
def known_networks() -> KnownNetworks:
    """The index, read once a process."""
    with np.load(INDEX, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in ("named", "shaped", "sketch", "flags", "tensors")}
        about = json.loads(stored["about"].tobytes())
    return KnownNetworks(tuple(about["names"]), about["versions"], **arrays)


@cache
def _places() -> dict[str, int]:
    return {name: place for place, name in enumerate(known_networks().names)}
