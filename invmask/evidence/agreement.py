"""How well several numbers about the same channels agree: Spearman's rank correlation, pair by pair."""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def rank_agreement(values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Rank correlations in [-1, 1] between all pairs; equal values share their mean rank.

    Args:
        values: by name, float [channels]; NaN where not known, and left out of each pair.

    Returns:
        Square, names on both sides; NaN where a name has only one value or too few channels are known.
    """
    ranks = pd.DataFrame({name: np.asarray(column, np.float64) for name, column in values.items()})
    return ranks.corr(method="spearman", min_periods=3)


def top_overlap(first: np.ndarray, second: np.ndarray, size: int) -> int:
    """How many of the `size` channels with the highest first number are among the `size` with the highest second one.

    By chance it would be size² / channels. NaN ranks last; of equal numbers the earlier channel ranks higher.
    """
    one, other = (np.argsort(-np.nan_to_num(each, nan=-np.inf), kind="stable")[:size] for each in (first, second))
    return len(np.intersect1d(one, other))
