"""Orders of the channels by any number about them, and how many of the first are cut together to hold them up."""

import numpy as np

RANKINGS = ("score", "conductance", "trigger", "synthesized", "asr")
"""Numbers that channels are ranked by, by name: the score of a round; conductance toward the target label; change of
the activation under the attacker's trigger, and under a round's synthesized triggers; change of ASR if cut alone."""
OF_THE_ROUND = ("score", "synthesized")
"""Those that need no evidence about the victim, and are there in seconds."""
TURNED = ("asr", "acc")
"""Those of which a low number is suspect: cutting a channel that matters lowers ASR and ACC."""
COUNTS = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100)
"""How many channels are cut, the first of a ranking; closer together where the first few decide."""


def suspicion(name: str, values: np.ndarray) -> np.ndarray:
    """The numbers with such a sign that the higher is the more suspect; float [channels]."""
    return -values if name in TURNED else values


def first_of(name: str, values: np.ndarray, most: int = COUNTS[-1]) -> list[int]:
    """The first channels by that number, at most so many; equal ones in the network's order.

    Channels of which it says nothing, for it is not known, 0 or speaks for them, are not among them.

    Args:
        values: float [channels], as measured; NaN where not known.
    """
    worth = np.nan_to_num(suspicion(name, np.asarray(values, np.float64)), nan=-np.inf)
    order = np.argsort(-worth, kind="stable")[:most]
    return [int(channel) for channel in order if worth[channel] > 0]


def cut_counts(ranked: int) -> tuple[int, ...]:
    """Those of `COUNTS` that so many ranked channels allow."""
    return tuple(count for count in COUNTS if count <= ranked)


def nearest_count(asked: int, ranked: int) -> int:
    """Of `cut_counts`, the one nearest to the number asked for; of two, the smaller."""
    return min(cut_counts(ranked), key=lambda count: (abs(count - asked), count))
