"""Keeping a file small: what is shown of each round is thinned evenly until it fits."""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def fitting(parts: Mapping[int, T], size: Callable[[T], int], most: int) -> dict[int, T]:
    """The parts of all rounds, or of every second, fourth, ... round and the last one, so that they fit.

    Args:
        parts: by round, rising.
        size: the bytes of one part.
        most: the maximum number of bytes of all parts together; a single part is kept in any case.
    """
    kept = dict(parts)
    while len(kept) > 1 and sum(map(size, kept.values())) > most:
        # Counted from the end, because the last round is the one that is looked at most.
        kept = {number: kept[number] for number in sorted(list(kept)[::-2])}
    return kept
