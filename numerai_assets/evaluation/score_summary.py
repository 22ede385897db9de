"""Summary of one score over eras: mean, Sharpe ratio and drawdown, each with its uncertainty."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kurtosis, skew

from numerai_assets.evaluation.bootstrap import bootstrap_intervals
from numerai_assets.evaluation.era_series import sharpe
from numerai_assets.evaluation.selection_bias import deflated_sharpe, minimum_track_record, probabilistic_sharpe
from numerai_assets.evaluation.uncertainty import effective_eras, estimate

LEVEL = 0.9


@dataclass(frozen=True)
class ScoreSummary:
    """eras: number with a score. error: Newey-West standard error of the mean. low, high: 90 % interval of the true mean.

    std: ddof 0. sharpe: mean / std, with its bootstrap interval at 0.9. adjusted_sharpe: the ratio of independent eras with
    the same mean and the same error, comparable between horizons. effective_eras: number of independent eras with the same
    error. max_drawdown: with the interval of another such run of eras. probabilistic_sharpe: probability of a true mean
    above 0. deflated_sharpe: the same for the best of the trials. least_eras: number of eras at which probabilistic_sharpe
    reaches 0.95, infinite for a mean of 0 or less. NaN: the eras do not determine the value.
    """

    eras: int
    mean: float
    error: float
    low: float
    high: float
    std: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    adjusted_sharpe: float
    effective_eras: float
    max_drawdown: float
    drawdown_low: float
    drawdown_high: float
    probabilistic_sharpe: float
    deflated_sharpe: float
    least_eras: float


def summarise(eras: ArrayLike, scores: NDArray[np.float64], *, horizon: int, trials: int, seed: int) -> ScoreSummary:
    """Summary of per-era scores (n,) of ascending eras (n,); NaN: an era without a score.

    trials: number of variants scored on these eras, this one included (`HoldoutLedger.trials`).
    Raises ScoringError without any score, for fewer than one trial, and for eras that do not ascend.
    """
    values = np.asarray(scores, np.float64)
    found = estimate(values, horizon=horizon, eras=eras)
    low, high = found.interval(LEVEL)
    drawn = bootstrap_intervals(
        values[:, None], horizon=horizon, seed=seed, eras=eras, statistics=["sharpe", "max_drawdown"], level=LEVEL
    )
    ratio, worth = float(drawn["sharpe"].value[0]), effective_eras(values, horizon=horizon, eras=eras)
    moments = _moments(values)
    return ScoreSummary(
        eras=found.eras,
        mean=found.mean,
        error=found.error,
        low=low,
        high=high,
        std=float(np.nanstd(values)),
        sharpe=ratio,
        sharpe_low=float(drawn["sharpe"].low[0]),
        sharpe_high=float(drawn["sharpe"].high[0]),
        adjusted_sharpe=ratio * math.sqrt(worth / found.eras),
        effective_eras=worth,
        max_drawdown=float(drawn["max_drawdown"].value[0]),
        drawdown_low=float(drawn["max_drawdown"].low[0]),
        drawdown_high=float(drawn["max_drawdown"].high[0]),
        probabilistic_sharpe=probabilistic_sharpe(ratio, benchmark=0.0, observations=worth, **moments),
        deflated_sharpe=deflated_sharpe(ratio, trials=trials, observations=worth, **moments),
        least_eras=minimum_track_record(ratio, **moments) * found.eras / worth,
    )


def deflated_sharpe_of(eras: ArrayLike, scores: NDArray[np.float64], *, horizon: int, trials: int) -> float:
    """`ScoreSummary.deflated_sharpe` alone, without resampling; arguments and errors as in `summarise`."""
    values = np.asarray(scores, np.float64)
    worth = effective_eras(values, horizon=horizon, eras=eras)
    ratio = float(sharpe(values))
    return deflated_sharpe(ratio, trials=trials, observations=worth, **_moments(values))


def _moments(values: NDArray[np.float64]) -> dict[str, float]:
    """Skew and kurtosis of the known scores; for a constant, whose Sharpe ratio is NaN anyway, those of a normal variable."""
    known = values[~np.isnan(values)]
    if math.isnan(sharpe(known)):
        return {"skew": 0.0, "kurtosis": 3.0}
    return {"skew": float(skew(known)), "kurtosis": float(kurtosis(known, fisher=False))}
