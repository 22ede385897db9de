"""The payoff of each feature in an era: its correlation with the target over the rows."""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.features.fitting.levels import level_counts
from numerai_assets.panel.gram import MIDDLE, moments, without_gaps

# Targets are rounded to multiples of 1 / 65,536: fourths are exact. Sums of whole numbers are exact in float64.
_PARTS = 65_536


def feature_payoffs(block: NDArray[np.int8], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """(d,) float64 correlation of each feature of an era's block (d, n) int8 with the target (n,), over the rows with a target.

    A missing cell (-1) counts as the middle level, 2. NaN for a feature that is constant over these rows, and for all
    where the target is. Every sum is of whole numbers: the order of rows changes no bit.
    """
    known = ~np.isnan(target)
    if not known.any():
        return np.full(len(block), np.nan)
    # Boolean indices along the second dimension take three times as long.
    cells = block if known.all() else np.take(block, np.flatnonzero(known), axis=1)
    counts = level_counts(cells)
    rows = cells.shape[1]
    counts[:, MIDDLE] += rows - counts.sum(axis=1)
    levels = np.arange(counts.shape[1])
    sums, squares = counts @ levels, counts @ levels**2
    paid = np.rint((target[known].astype(np.float64) - 0.5) * _PARTS)
    covariance = rows * moments(without_gaps(cells), paid[:, None])[:, 0] - sums * paid.sum()
    variance = (rows * squares - sums**2) * (rows * (paid**2).sum() - paid.sum() ** 2)
    scale = np.sqrt(np.maximum(variance, 0))
    return np.asarray(np.divide(covariance, scale, out=np.full(len(block), np.nan), where=scale > 0))
