"""Cleaning of one era's features: missing values are found, and filled or kept for methods that can use them.

Numerai marks a feature that did not exist in an era by the constant 2 (hello_numerai, `apply_missing_all_twos_as_nan`);
int8 releases cannot mark a single missing value, but a release with real missing values is accepted too.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.features.cleaning.knn import filled_from_nearest_rows
from numerai_assets.features.fitting.levels import LEVELS, level_counts, row_level_counts
from numerai_assets.panel.blocks import MISSING

Strategy = Literal["median", "mean", "mode", "knn", "keep"]
STRATEGIES: tuple[Strategy, ...] = ("median", "mean", "mode", "knn", "keep")


def absent_features(features: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(d,) True for features of an era, (n, d) int8, that are constant 2: they did not exist in that era."""
    absent = np.asarray((features[:1] == 2).all(axis=0))
    # Only features whose first value is 2 can be constant 2, which leaves a fifth of them to check.
    absent[absent] = (features[:, absent] == 2).all(axis=0)
    return absent


def leaves_as_released(strategy: Strategy, missing_cells: int) -> bool:
    """True when `clean` returns an era with this many missing cells unchanged."""
    return strategy != "keep" and missing_cells == 0


def clean(features: NDArray[np.int8], strategy: Strategy) -> NDArray[np.int8]:
    """Features (n, d) int8 of one era, cleaned of missing values (-1) and absent features.

    median, mean, mode: of the feature's own values in the era, rounded to a bin; knn: mean of the five nearest rows
    (as scikit-learn's KNNImputer over the era); keep: missing cells and absent features stay or become -1. Under the four
    filling strategies an absent feature becomes 2, the middle bin, as in Numerai's releases.
    Raises MethodError for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise MethodError(f"cleaning strategy {strategy!r}: expected one of {STRATEGIES}")
    missing = features == MISSING
    if strategy == "keep":
        return np.where(missing | absent_features(features), MISSING, features)
    if not missing.any():
        return features
    if strategy == "knn":
        return filled_from_nearest_rows(np.ascontiguousarray(features.T)).T
    return np.where(missing, _typical_levels(level_counts(features.T), strategy), features)


def coverage(features: NDArray[np.int8]) -> NDArray[np.float32]:
    """(n,) float32 share of features, without absent ones, in which a row is neither in the middle bin nor missing.

    0 where every feature is absent.
    """
    present = np.flatnonzero(~absent_features(features))
    counts = row_level_counts(features.T, [present])[0]
    return np.asarray(counts[[0, 1, 3, 4]].sum(axis=0) / max(len(present), 1), np.float32)


def _typical_levels(counts: NDArray[np.int64], strategy: Strategy) -> NDArray[np.int8]:
    """(d,) bin to fill each feature with, from its counts (d, 5); the middle bin if it has no value."""
    rows = counts.sum(axis=1)
    if strategy == "mode":
        typical = counts.argmax(axis=1).astype(np.float64)
    elif strategy == "mean":
        typical = counts @ np.arange(LEVELS) / np.maximum(rows, 1)
    else:
        through = np.cumsum(counts, axis=1)
        # Mean of the two middle values, which are the same if the number of values is odd.
        typical = sum((through <= middle[:, None]).sum(axis=1) for middle in ((rows - 1) // 2, rows // 2)) / 2
    return np.where(rows > 0, np.rint(typical), 2).astype(np.int8)
