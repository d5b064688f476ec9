"""How well two numbers about the same channels agree: on those at the top, and in how they order the channels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RARELY = 0.01
"""How often chance may give more than `Overlap.most`."""


@dataclass(frozen=True)
class Overlap:
    """The first channels of two rankings, held against each other.

    Attributes:
        shared: channels that are among the first of both.
        first, second: how many are first in the one and in the other.
        channels: of the network.
    """

    shared: int
    first: int
    second: int
    channels: int

    @property
    def chance(self) -> float:
        """What two rankings that know nothing of each other share on average."""
        return self.first * self.second / self.channels

    @property
    def most(self) -> int:
        """Those share more in at most one case in a hundred (hypergeometric)."""
        ways, beyond = math.comb(self.channels, self.first), 0
        for shared in range(min(self.first, self.second), -1, -1):
            beyond += math.comb(self.second, shared) * math.comb(self.channels - self.second, self.first - shared)
            if beyond > RARELY * ways:
                return shared
        return 0


def overlap(first: Sequence[int], second: Sequence[int], channels: int) -> Overlap:
    """The first channels of two rankings of so many channels."""
    return Overlap(len({*first} & {*second}), len(first), len(second), channels)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation in [-1, 1]; equal values share their mean rank.

    Args:
        one, other: float [channels]; a channel of which either is NaN does not count.

    Returns:
        NaN where fewer than three channels are left, or all have the same value.
    """
    known = np.isfinite(one) & np.isfinite(other)
    first, second = _ranks(one[known]), _ranks(other[known])
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
