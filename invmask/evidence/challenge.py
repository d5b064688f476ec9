"""The challenge "you prune": points for cutting few channels, and rivals that cut equally many."""

from collections.abc import Sequence

import numpy as np

from invmask.measure.metrics import Measures

BUDGETS = (3, 5, 10, 20, 40)
"""How many channels may be cut."""
ACC_WEIGHT = 3.0
"""Points that a percentage point of ACC costs; a percentage point of ASR is worth one."""
DRAWS = 5
"""Random sets that are measured; their points are averaged."""


def score(original: Measures, now: Measures) -> float:
    """Points: percentage points of ASR that are gone, less three times those of ACC that are lost.

    ACC above the original's earns nothing.

    Raises:
        ValueError: there is no trigger to measure ASR with.
    """
    if original.asr is None or now.asr is None:
        raise ValueError("without a trigger there is no score")
    return 100 * (original.asr - now.asr) - ACC_WEIGHT * 100 * max(0.0, original.acc - now.acc)


def lowest_gates(gates: np.ndarray, budget: int) -> tuple[int, ...]:
    """The channels that the learned mask cuts most: those with the lowest gates of the pruned view.

    Args:
        gates: float [channels] in [0, 1].
    """
    return tuple(int(channel) for channel in np.argsort(gates, kind="stable")[:budget])


def random_channels(channels: int, budget: int, draws: int = DRAWS) -> list[tuple[int, ...]]:
    """Random sets of `budget` of the network's channels, the same ones each time."""
    generator = np.random.default_rng(0)
    sets = (generator.choice(channels, min(budget, channels), replace=False) for _ in range(draws))
    return [tuple(sorted(int(channel) for channel in chosen)) for chosen in sets]


def mean_score(original: Measures, found: Sequence[Measures]) -> float:
    """The mean of the points of several sets."""
    return float(np.mean([score(original, each) for each in found]))
