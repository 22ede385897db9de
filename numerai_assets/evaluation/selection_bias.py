"""Significance of a Sharpe ratio that was selected as the best of several.

Bailey and Lopez de Prado: "The Sharpe Ratio Efficient Frontier" (2012) for the probabilistic Sharpe ratio and the
minimum track record, "The Deflated Sharpe Ratio" (2014) for the rest. All Sharpe ratios are per observation, none is
annualised. `observations` counts independent returns: for eras whose targets overlap, `uncertainty.effective_eras`.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from numerai_assets.errors import ScoringError


def probabilistic_sharpe(
    sharpe: float, *, benchmark: float, observations: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark` (2012, eq. 11; kurtosis is 3 of a normal distribution).

    NaN for a NaN Sharpe ratio and for one observation or fewer.
    Raises ScoringError for a skew and kurtosis that no distribution can have (kurtosis < 1 + skew^2).
    """
    scale = _variance(sharpe, skew, kurtosis)
    if math.isnan(sharpe) or not observations > 1:
        return math.nan
    distance = (sharpe - benchmark) * math.sqrt(observations - 1)
    if scale == 0:
        return 0.5 * (1 + float(np.sign(distance)))
    return float(ndtr(distance / math.sqrt(scale)))


def expected_max_sharpe(trials: int, *, spread: float) -> float:
    """Expected largest Sharpe ratio of independent trials without skill (2014, eq. 1); 0 for a single trial.

    spread: standard deviation of the Sharpe ratios of the trials. Raises ScoringError for fewer than one trial.
    """
    if trials < 1:
        raise ScoringError(f"{trials} trials: expected one or more, the selected one included")
    if trials == 1:
        return 0.0
    near, far = float(ndtri(1 - 1 / trials)), float(ndtri(1 - 1 / (trials * math.e)))
    return spread * ((1 - np.euler_gamma) * near + np.euler_gamma * far)


def deflated_sharpe(
    sharpe: float,
    *,
    trials: int,
    observations: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    spread: float | None = None,
) -> float:
    """Probability that the true Sharpe ratio of the best of `trials` exceeds 0 (2014, eq. 2).

    spread: standard deviation of the trials' Sharpe ratios; None takes that of trials without skill, which differ by
    sampling alone: 1 / sqrt(observations - 1). Variants of one method are not independent, so counting them as trials makes
    the result too low rather than too high. NaN and errors as in `probabilistic_sharpe` and `expected_max_sharpe`.
    """
    if not observations > 1:
        return math.nan
    by_chance = 1 / math.sqrt(observations - 1) if spread is None else spread
    benchmark = expected_max_sharpe(trials, spread=by_chance)
    return probabilistic_sharpe(sharpe, benchmark=benchmark, observations=observations, skew=skew, kurtosis=kurtosis)


def minimum_track_record(
    sharpe: float, *, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """Observations after which the probabilistic Sharpe ratio reaches `confidence` (2012, eq. 13).

    Infinite for a Sharpe ratio that does not exceed the benchmark, NaN for one that is NaN.
    Raises ScoringError for a confidence outside 0.5..1 and for moments that no distribution has.
    """
    if not 0.5 <= confidence < 1:
        raise ScoringError(f"confidence {confidence}: expected 0.5 or more, and less than 1")
    scale = _variance(sharpe, skew, kurtosis)
    if math.isnan(sharpe):
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    return 1 + scale * (float(ndtri(confidence)) / (sharpe - benchmark)) ** 2


def _variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """Of the estimated Sharpe ratio, times observations - 1."""
    # A series of two distinct values has exactly the smallest kurtosis: leave room for rounding.
    if kurtosis < 1 + skew**2 - 1e-9 * (1 + skew**2):
        raise ScoringError(f"skew {skew:g} with kurtosis {kurtosis:g}: no distribution has a kurtosis below 1 + skew^2")
    return max(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2, 0.0)
