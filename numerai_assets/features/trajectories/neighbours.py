"""Look-alike trajectories: for each row of an era, the rows most like it in earlier eras, softly weighted.

Ids do not persist, by Numerai's intent, and nothing here tries to undo that: the history of a row is replaced by weighted
means over the k most similar rows of each earlier era.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns

LAGS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 21, 26, 39, 52)
"""Default lags, in eras back, at which look-alikes are searched; a block that reads look-alikes needs the same lags."""

_NONE = -1
_DISTANCE_UNIT = 1 / 1024
"""Distances are kept as whole multiples of this, in int16: up to 32, in standard deviations a dimension."""


@dataclass(frozen=True)
class Trajectories:
    """The look-alikes of the n rows of one era at some lags.

    lags: eras back, ascending. rows: (lags, k, n) int16 position of each look-alike among the rows of its era, nearest
    first; -1 throughout for a lag before the first era. distances: (lags, k, n) float32, root mean square difference
    in standard deviations of the space they were searched in; NaN where there is no row.
    """

    lags: tuple[int, ...]
    rows: NDArray[np.int16]
    distances: NDArray[np.float32]

    @classmethod
    def of_columns(cls, lags: tuple[int, ...], columns: Columns) -> Self:
        """The inverse of `as_columns`, from (2 x lags x k, n) int16. Raises FeatureError for columns of other lags."""
        if columns.dtype != np.int16 or len(columns) % (2 * len(lags)):
            raise FeatureError(f"look-alikes: {columns.shape} {columns.dtype} are not those of {len(lags)} lags")
        rows, distances = columns.reshape(2, len(lags), -1, columns.shape[1])
        return cls(
            lags,
            np.asarray(rows),
            np.where(rows == _NONE, np.nan, distances * np.float32(_DISTANCE_UNIT)).astype(np.float32),
        )

    def as_columns(self) -> NDArray[np.int16]:
        """(2 x lags x k, n) int16: all rows, then all distances in units of 1/1024."""
        units = np.nan_to_num(np.clip(self.distances / _DISTANCE_UNIT, 0, np.iinfo(np.int16).max), nan=0.0)
        return np.concatenate([self.rows, np.rint(units).astype(np.int16)]).reshape(-1, self.rows.shape[2])

    def weights(self) -> NDArray[np.float32]:
        """(lags, k, n) float32 weight of each look-alike, of sum 1 over k; 0 where there is none.

        A Gaussian kernel as wide as the distance of the farthest of the k: every look-alike has some weight, and nearer
        ones have more.
        """
        width = np.maximum(self.distances[:, -1:], np.finfo(np.float32).tiny)
        raw = np.exp(-0.5 * (self.distances / width) ** 2)
        raw = np.nan_to_num(raw, nan=0.0)
        total = raw.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(raw, total, out=np.zeros_like(raw), where=total > 0), np.float32)

    def mean(self, position: int, values: NDArray[np.floating], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m, n) float32 weighted mean of values (m, n of the lagged era) over the look-alikes at lags[position].

        weights: of `weights()`. A look-alike whose value is NaN does not count; NaN where none counts.
        """
        found = np.full((len(values), self.rows.shape[2]), np.nan, np.float32)
        if (self.rows[position] == _NONE).all():
            return found
        picked = values[:, self.rows[position]]  # (m, k, n)
        known = ~np.isnan(picked)
        share = weights[position] * known
        total = share.sum(axis=1)
        sums = (np.where(known, picked, 0) * weights[position]).sum(axis=1)
        return np.asarray(np.divide(sums, total, out=found, where=total > 0))
