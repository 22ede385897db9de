"""Exposures: how much predictions correlate with single features."""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.panel.gram import checked, moments, without_gaps

Array = NDArray[np.float64]


def feature_exposures(predictions: NDArray[np.floating], block: NDArray[np.int8]) -> Array:
    """(d, m) Pearson correlation of each feature of a (d, n) int8 block with each prediction of (n, m) of one era.

    A missing cell (-1) counts as the middle bin, 2. NaN where the feature or the prediction is constant.
    Raises ScoringError for predictions of other rows or with NaN.
    """
    levels = without_gaps(block)
    rows = levels.shape[1]
    values = checked(predictions, rows)
    values = values - values.mean(axis=0)
    sums = levels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", levels, levels, dtype=np.int64)
    # rows x variance, in whole numbers: exactly 0 for a constant.
    scatter = (rows * squares - sums**2) / rows
    norms = np.sqrt(np.outer(scatter, np.einsum("ij,ij->j", values, values)))
    varies = (scatter > 0)[:, None] & (predictions.min(axis=0) < predictions.max(axis=0))
    return np.asarray(np.divide(moments(levels, values), norms, out=np.full(norms.shape, np.nan), where=varies))
