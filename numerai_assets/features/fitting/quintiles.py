"""Columns of any kind as five levels, like those of Numerai's features, for methods that are fitted on levels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from numerai_assets.features.fitting.levels import LEVELS

_MIDDLE = 2
_CUTS = ndtri(np.arange(1, LEVELS) / LEVELS)


def quintiles(columns: NDArray[Any]) -> NDArray[np.int8]:
    """(k, n) int8: five equal bins of each column (k, n) within the era, ties together; the middle level where it is NaN.

    A column that is constant in the era describes the era alone: it is read as a standard score and cut at the quintiles of
    the normal distribution.
    """
    values = np.asarray(columns, np.float32)
    known = ~np.isnan(values)
    ranks = rankdata(values, axis=1, nan_policy="omit")
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    levels = np.floor(np.where(known, (ranks - 0.5) / count, 0.5) * LEVELS)
    levels[~known] = _MIDDLE
    lowest = np.where(known, values, np.inf).min(axis=1)
    is_constant = lowest == np.where(known, values, -np.inf).max(axis=1)
    levels[is_constant] = np.where(known[is_constant], np.searchsorted(_CUTS, lowest[is_constant])[:, None], _MIDDLE)
    return np.asarray(levels, np.int8)
