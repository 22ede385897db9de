"""Churn: how much two sets of predictions of the same rows differ.

The definitions are those of numerai-tools 0.7 (`signals.churn`). Numerai Classic draws new ids every round, so the same rows
exist only within a round: two vintages, two slots, a model before and after neutralising.
"""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import pearson_rows, tie_kept_ranks

Array = NDArray[np.float64]


def churn(first: NDArray[np.floating], second: NDArray[np.floating], *, top_bottom: int | None = None) -> Array:
    """(m,) churn between the same columns of (n, m) and (n, m), of the same rows of one era.

    1 less the Spearman correlation, 0 to 2. With `top_bottom` k: 1 less the mean share of the k highest and of the k
    lowest that stay, 0 to 1; of equal predictions the later row counts as higher, as in numerai-tools. NaN for a column
    with NaN, and for a constant one without `top_bottom`. Raises ScoringError when shapes differ and for a k outside 1..n.
    """
    if first.ndim != 2 or first.shape != second.shape or not len(first):
        raise ScoringError(f"predictions to compare: expected (n > 0, m) twice, found {first.shape} and {second.shape}")
    if top_bottom is None:
        return 1 - pearson_rows(tie_kept_ranks(first).T, tie_kept_ranks(second).T)
    rows = len(first)
    if not 0 < top_bottom <= rows:
        raise ScoringError(f"churn: top and bottom {top_bottom}, expected 1 to {rows:,}, the number of rows")
    ours, theirs = (np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0) for values in (first, second))
    lowest = ((ours < top_bottom) & (theirs < top_bottom)).sum(axis=0)
    highest = ((ours >= rows - top_bottom) & (theirs >= rows - top_bottom)).sum(axis=0)
    gaps = np.isnan(first).any(axis=0) | np.isnan(second).any(axis=0)
    return np.asarray(np.where(gaps, np.nan, 1 - (lowest + highest) / (2 * top_bottom)))
