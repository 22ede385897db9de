"""Cleaning of one era's features: what is missing is found, and filled or left for methods that want it.

Numerai marks a feature that did not exist in an era by the constant 2 (hello_numerai, `apply_missing_all_twos_as_nan`);
a single missing value cannot be told in int8 releases, but a release with real missing values is taken all the same.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import KNNImputer

from numerai_assets.errors import MethodError
from numerai_assets.store.panel import MISSING

LEVELS = 5
Strategy = Literal["median", "mean", "mode", "knn", "keep"]
STRATEGIES: tuple[Strategy, ...] = ("median", "mean", "mode", "knn", "keep")
_KNN_ROWS = 5


def absent_features(features: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(d,) True for features of an era, (n, d) int8, that are constant 2: they did not exist then."""
    return np.asarray((features == 2).all(axis=0))


def leaves_as_released(strategy: Strategy, missing_cells: int) -> bool:
    """True when `clean` would return an era with so many cells without a value as it is."""
    return strategy != "keep" and missing_cells == 0


def clean(features: NDArray[np.int8], strategy: Strategy) -> NDArray[np.int8]:
    """Features (n, d) int8 of one era with missing values (-1) and absent features dealt with.

    median, mean, mode: of the feature's own values in the era, rounded to a level; knn: mean of the five nearest rows
    (scikit-learn's KNNImputer over the era); keep: missing cells and absent features stay or become -1. Under the four
    filling strategies an absent feature becomes 2, the middle level, which is what Numerai releases.
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
        return _fill_from_nearest_rows(features, missing)
    filled = features.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        filled[missing[:, column], column] = _typical_level(features[~missing[:, column], column], strategy)
    return filled


def coverage(features: NDArray[np.int8]) -> NDArray[np.float32]:
    """(n,) float32 share of features, absent ones aside, on which a row is not at the middle level or missing.

    0 where every feature is absent.
    """
    present = features[:, ~absent_features(features)]
    if present.shape[1] == 0:
        return np.zeros(len(features), np.float32)
    return np.asarray(((present != 2) & (present != MISSING)).mean(axis=1), np.float32)


def scale(features: NDArray[np.int8], kind: Literal["rank", "z"]) -> NDArray[np.float32]:
    """(n, d) float32 of one era's features for methods that want floats; missing cells become 0, the centre.

    rank: average rank in the era mapped to (-1, 1); z: mean 0 and standard deviation 1 in the era, constants 0.
    Both are look-up tables over the five levels, so no column is sorted.
    """
    table = _level_table(features, kind)
    return np.take_along_axis(table, features.astype(np.intp) + 1, axis=0)


def _level_table(features: NDArray[np.int8], kind: Literal["rank", "z"]) -> NDArray[np.float32]:
    counts = np.stack([(features == level).sum(axis=0) for level in range(LEVELS)]).astype(np.float64)
    rows = np.maximum(counts.sum(axis=0), 1)
    if kind == "rank":
        below = np.cumsum(counts, axis=0) - counts
        values = (2 * below + counts) / rows - 1
    elif kind == "z":
        levels = np.arange(LEVELS, dtype=np.float64)[:, None]
        mean = (levels * counts).sum(axis=0) / rows
        spread = np.sqrt((np.square(levels - mean) * counts).sum(axis=0) / rows)
        values = np.divide(levels - mean, spread, out=np.zeros_like(counts), where=spread > 0)
    else:
        raise MethodError(f"scaling {kind!r}: expected 'rank' or 'z'")
    return np.vstack([np.zeros((1, counts.shape[1])), values]).astype(np.float32)


def _typical_level(values: NDArray[np.int8], strategy: Strategy) -> np.int8:
    if values.size == 0:
        return np.int8(2)
    if strategy == "mode":
        return np.int8(np.bincount(values, minlength=LEVELS).argmax())
    middle = np.median(values) if strategy == "median" else values.mean()
    return np.int8(np.rint(middle))


def _fill_from_nearest_rows(features: NDArray[np.int8], missing: NDArray[np.bool_]) -> NDArray[np.int8]:
    numbers = np.where(missing, np.nan, features).astype(np.float32)
    # KNNImputer drops columns without any value: they take the middle level here, as everywhere.
    empty = missing.all(axis=0)
    numbers[:, empty] = 2
    filled = KNNImputer(n_neighbors=_KNN_ROWS).fit_transform(numbers)
    return np.where(missing, np.rint(filled), features).astype(np.int8)
