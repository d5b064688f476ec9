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
