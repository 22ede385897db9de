"""Length of the blocks for a bootstrap of per-era scores.

Politis and White (2004), "Automatic block-length selection for the dependent bootstrap", section 3.2, with the constant
of the stationary bootstrap as corrected by Patton, Politis and White (2009). One addition for the tournament: a block is
never shorter than the eras until a target resolves, because a short series may not show the overlap.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_assets.eras import resolve_lag
from numerai_assets.evaluation.uncertainty import calendar_grid, centred

Array = NDArray[np.float64]


def block_lengths(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> Array:
    """(m,) mean block lengths in eras for the stationary bootstrap of the means of scores (n, m).

    At most min(3 sqrt(span), span / 3), but at least the resolve lag of the horizon. eras: (n,) ascending
    numbers; None for consecutive ones. NaN: a missing score.
    Raises ScoringError for eras that do not ascend or have another length than the scores.
    """
    grid = calendar_grid(scores, eras)
    known = (~np.isnan(grid)).sum(axis=0)
    lags = min(math.ceil(math.sqrt(len(grid))) + _quiet_run(len(grid)), len(grid) - 1)
    if lags < 1:
        return np.full(grid.shape[1], float(resolve_lag(horizon)))
    covariances = autocovariances(grid, lags)
    found = [_best(column, n, len(grid)) for column, n in zip(covariances.T, known.tolist(), strict=True)]
    return np.maximum(found, float(resolve_lag(horizon)))


def autocovariances(grid: Array, lags: int) -> Array:
    """(lags + 1, m) sums of products of centred scores (span, m) 0, 1, .. `lags` < span eras apart, over known eras.

    A missing era (NaN) adds nothing to the sums; 0 for a column without any score.
    """
    values, count = centred(grid), np.maximum((~np.isnan(grid)).sum(axis=0), 1)
    span = len(values)
    sums = [np.einsum("ij,ij->j", values[lag:], values[: span - lag]) for lag in range(lags + 1)]
    return np.asarray(np.stack(sums) / count)


def _quiet_run(span: int) -> int:
    """K_N: number of successive autocorrelations that must be small."""
    return max(5, math.ceil(math.sqrt(math.log10(max(span, 1)))))


def _best(covariances: Array, known: int, span: int) -> float:
    """From the autocovariances (lags + 1,) of one column; 1 for one without variance."""
    if known < 2 or covariances[0] <= 0:
        return 1.0
    greatest = min(3 * math.sqrt(span), span / 3)
    bandwidth = _bandwidth(covariances, known, _quiet_run(span))
    lags = np.arange(1, bandwidth + 1)
    flat_top = np.clip(2 * (1 - lags / bandwidth), 0.0, 1.0)
    weighted = flat_top * covariances[1 : bandwidth + 1]
    slope, density = abs(2 * float(lags @ weighted)), float(covariances[0] + 2 * weighted.sum())
    if density <= 0:
        return greatest
    # (2 G^2 / D)^(1/3) N^(1/3) with D = 2 g(0)^2.
    return max(1.0, min(math.pow(slope / density, 2 / 3) * math.cbrt(known), greatest))


def _bandwidth(covariances: Array, known: int, run: int) -> int:
    """M = 2 m: m the smallest lag after which `run` autocorrelations are small, else the last at which one is large."""
    lags = len(covariances) - 1
    is_large = np.abs(covariances[1:] / covariances[0]) >= 2 * math.sqrt(math.log10(known) / known)
    quiet = [m for m in range(lags - run + 1) if not is_large[m : m + run].any()]
    last = quiet[0] if quiet else int(np.flatnonzero(is_large).max(initial=-1)) + 1
    return min(2 * max(last, 1), lags)
