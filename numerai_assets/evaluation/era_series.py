"""Statistics of a series of per-era scores or per-round returns: mean, Sharpe, drawdown and others.

Every function takes scores (eras, ...) in the order of eras and returns (...), one float64 per column. An era whose score is
NaN is left out of its column. The result is NaN without any era and, for a ratio, without variation.
"""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import resolve_lag
from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]

# The example scripts' weekly compounding: 52 weeks less 3 until the first payout.
_PAID_WEEKS = 49
_APY_CLIP = 0.25


def mean(scores: NDArray[np.floating]) -> Array:
    """Mean."""
    known = ~np.isnan(scores)
    return _ratio(np.sum(scores, axis=0, where=known, dtype=np.float64), known.sum(axis=0))


def std(scores: NDArray[np.floating]) -> Array:
    """Standard deviation, ddof 0: exactly 0 for a constant, so also for a single era."""
    return np.sqrt(_ratio(np.sum(_centred(scores) ** 2, axis=0), (~np.isnan(scores)).sum(axis=0)))


def sharpe(scores: NDArray[np.floating]) -> Array:
    """Mean over standard deviation, not annualised; NaN without variation."""
    return _ratio(mean(scores), std(scores))


def sortino(scores: NDArray[np.floating]) -> Array:
    """Mean over the downside deviation, the root mean square of the negative scores (others as 0); NaN without a loss."""
    losses = np.minimum(np.asarray(scores, np.float64), 0.0)
    return _ratio(mean(scores), np.sqrt(mean(losses**2)))


def max_drawdown(scores: NDArray[np.floating]) -> Array:
    """Largest fall of the cumulative sum from an earlier peak, max(cummax(cumsum) - cumsum) >= 0."""
    if not len(scores):
        return np.full(scores.shape[1:], np.nan)
    known = ~np.isnan(scores)
    total = np.nancumsum(scores, axis=0, dtype=np.float64)
    # Before the first known score there is no sum, so no peak.
    peak = np.maximum.accumulate(np.where(known, total, -np.inf), axis=0)
    fall = np.max(peak - total, axis=0, where=known, initial=0.0)
    return np.asarray(np.where(known.any(axis=0), fall, np.nan))


def apy(scores: NDArray[np.floating]) -> Array:
    """Percent a year: the geometric mean of 1 + score, clipped to +-0.25, over 49 weeks of compounding.

    Source: Numerai's example scripts and diagnostics, which treat scores as weekly returns.
    """
    growth = np.log1p(np.clip(np.asarray(scores, np.float64), -_APY_CLIP, _APY_CLIP))
    return np.asarray(np.expm1(mean(growth) * _PAID_WEEKS) * 100)


def autocorrelation(scores: NDArray[np.floating], lag: int = 1) -> Array:
    """Autocorrelation at `lag` eras (>= 0), autocovariance over variance, both divided by the number of known eras.

    A pair with a missing era adds nothing, which keeps every sum with the weights of a Bartlett kernel >= 0.
    NaN without variation and for `lag` or fewer known eras. Raises ScoringError for a negative lag.
    """
    if lag < 0:
        raise ScoringError(f"autocorrelation: lag {lag}, expected at least 0 eras")
    centred = _centred(scores)
    pairs = np.sum(centred[lag:] * centred[: max(len(centred) - lag, 0)], axis=0)
    rho = _ratio(pairs, np.sum(centred**2, axis=0))
    return np.asarray(np.where((~np.isnan(scores)).sum(axis=0) > lag, rho, np.nan))


def smart_sharpe(scores: NDArray[np.floating], *, horizon: int) -> Array:
    """Sharpe ratio corrected for overlapping targets: Sharpe / sqrt(1 + 2 sum_{k<q} (1 - k/q) rho_k).

    q is the number of eras until a target of `horizon` resolves, beyond which two eras share no return, or the number of
    known eras where that is smaller. This is the ratio over q eras, eta(q) Sharpe with eta(q) = q / sqrt(q + 2 sum_{k<q}
    (q-k) rho_k) of Lo (2002, "The Statistics of Sharpe Ratios", time aggregation of returns that are not IID), divided
    by the sqrt(q) that it would be without autocorrelation. The mean over `uncertainty.standard_error` is the same
    times the root of the number of eras. NaN without variation, before the adjustment or after it, and for one era.
    """
    known = (~np.isnan(scores)).sum(axis=0)
    lags = np.minimum(resolve_lag(horizon), known)
    inflation = np.ones(known.shape)
    for lag in range(1, int(lags.max(initial=0))):
        weight = np.where(lag < lags, 1 - lag / np.maximum(lags, 1), 0.0)
        inflation = inflation + 2 * weight * np.nan_to_num(autocorrelation(scores, lag))
    # A sum that cancels leaves rounding errors, some 1e-16 for each of a dozen terms.
    adjusted = _ratio(sharpe(scores), np.sqrt(np.where(inflation > 1e-12, inflation, 0.0)))
    return np.asarray(np.where(known > 1, adjusted, np.nan))


def _centred(scores: NDArray[np.floating]) -> Array:
    """(eras, ...) less the mean; 0 where missing and exactly 0 in a constant column, whose mean may be rounded."""
    known = ~np.isnan(scores)
    least = np.min(scores, axis=0, where=known, initial=np.inf)
    greatest = np.max(scores, axis=0, where=known, initial=-np.inf)
    return np.where(known & (least < greatest), scores - mean(scores), 0.0)


def _ratio(numerator: NDArray[np.number], denominator: NDArray[np.number]) -> Array:
    """NaN where the denominator is not above 0."""
    quotient = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=quotient, where=denominator > 0))
