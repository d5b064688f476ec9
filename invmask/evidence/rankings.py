"""Rankings of the channels by a score, and how many of the first channels are cut together to test a ranking."""

import numpy as np

RANKINGS = ("score", "conductance", "trigger", "synthesized", "asr")
"""Numbers that channels are ranked by, by name: the score of a round; conductance toward the target label; change of
the activation under the attacker's trigger, and under a round's synthesized triggers; change of ASR if cut alone."""
OF_THE_ROUND = ("score", "synthesized")
"""Rankings that need no evidence about the victim and take only seconds."""
TURNED = ("asr", "acc")
"""Scores for which a low number is suspect: cutting an important channel lowers ASR and ACC."""
COUNTS = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100)
"""How many of a ranking's first channels are cut; closer together at the start, where it matters most."""


def suspicion(name: str, values: np.ndarray) -> np.ndarray:
    """The numbers, with the sign changed if needed, so that higher is more suspect; float [channels]."""
    return -values if name in TURNED else values


def first_of(name: str, values: np.ndarray, most: int = COUNTS[-1]) -> list[int]:
    """The first channels by that number, at most `most`; equal channels in the network's order.

    Channels are left out if the number is unknown, is 0, or speaks against suspicion.

    Args:
        values: float [channels], as measured; NaN where not known.
    """
    worth = np.nan_to_num(suspicion(name, np.asarray(values, np.float64)), nan=-np.inf)
    order = np.argsort(-worth, kind="stable")[:most]
    return [int(channel) for channel in order if worth[channel] > 0]


def cut_counts(ranked: int) -> tuple[int, ...]:
    """The entries of `COUNTS` up to `ranked`, the number of ranked channels."""
    return tuple(count for count in COUNTS if count <= ranked)


def nearest_count(asked: int, ranked: int) -> int:
    """The entry of `cut_counts` nearest to `asked`; the smaller one of two."""
    return min(cut_counts(ranked), key=lambda count: (abs(count - asked), count))
