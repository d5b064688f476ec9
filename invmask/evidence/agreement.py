"""How well two scores of the same channels agree: in the top channels, and in the ranking of all channels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RARELY = 0.01
"""Probability, at most, that chance gives more than `Overlap.most`."""


@dataclass(frozen=True)
class Overlap:
    """The overlap of the first channels of two rankings.

    Attributes:
        shared: number of channels among the first of both rankings.
        first, second: number of first channels taken from each ranking.
        channels: number of channels in the network.
    """

    shared: int
    first: int
    second: int
    channels: int

    @property
    def chance(self) -> float:
        """The expected number of shared channels of two independent rankings."""
        return self.first * self.second / self.channels

    @property
    def most(self) -> int:
        """Independent rankings share more than this in at most 1 % of cases (hypergeometric distribution)."""
        ways, beyond = math.comb(self.channels, self.first), 0
        for shared in range(min(self.first, self.second), -1, -1):
            beyond += math.comb(self.second, shared) * math.comb(self.channels - self.second, self.first - shared)
            if beyond > RARELY * ways:
                return shared
        return 0


def overlap(first: Sequence[int], second: Sequence[int], channels: int) -> Overlap:
    """The overlap of `first` and `second`, the first channels of two rankings of `channels` channels."""
    return Overlap(len({*first} & {*second}), len(first), len(second), channels)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation in [-1, 1]; equal values share their mean rank.

    Args:
        one, other: float [channels]; a channel with NaN in either is ignored.

    Returns:
        The correlation; NaN if fewer than three channels remain, or if all have the same value.
    """
    known = np.isfinite(one) & np.isfinite(other)
    first, second = _ranks(one[known]), _ranks(other[known])
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
