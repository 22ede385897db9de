"""Standard errors of means over eras whose targets overlap."""

import math

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import resolve_lag


def standard_error(scores: NDArray[np.float64], *, horizon: int) -> float:
    """Standard error of the mean of consecutive per-era scores, Newey and West (1987, eq. 5) with a Bartlett kernel.

    The kernel reaches one era less than the target takes to resolve: eras further apart share no return.
    NaN for fewer than two scores. With few eras it is too small rather than too large, as every such estimate is.
    """
    n = len(scores)
    if n < 2:
        return math.nan
    centred = scores - scores.mean()
    lags = min(resolve_lag(horizon) - 1, n - 1)
    variance = centred @ centred / n
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (centred[lag:] @ centred[:-lag]) / n
    return math.sqrt(max(variance, 0.0) / n)
