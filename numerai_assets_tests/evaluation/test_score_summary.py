"""The summary of a score: its parts are those of their own modules, and nothing is invented where nothing is known."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kurtosis, skew

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.era_series import max_drawdown, sharpe
from numerai_assets.evaluation.score_summary import deflated_sharpe_of, summarise
from numerai_assets.evaluation.selection_bias import deflated_sharpe, probabilistic_sharpe
from numerai_assets.evaluation.uncertainty import effective_eras, estimate

ERAS = np.arange(500, 800)


def overlapping(mean: float) -> NDArray[np.float64]:
    shocks = np.random.default_rng(0).normal(size=len(ERAS) + 12)
    return mean + 0.02 * np.convolve(shocks, np.ones(13) / math.sqrt(13), mode="valid")


def test_each_number_is_that_of_its_own_function() -> None:
    scores = overlapping(0.01)

    found = summarise(ERAS, scores, horizon=60, trials=7, seed=0)

    mean, worth = estimate(scores, horizon=60, eras=ERAS), effective_eras(scores, horizon=60, eras=ERAS)
    moments = {"observations": worth, "skew": skew(scores), "kurtosis": kurtosis(scores, fisher=False)}
    assert (found.eras, found.mean, found.error) == (300, mean.mean, mean.error)
    assert (found.low, found.high) == mean.interval(0.9)
    assert found.std == pytest.approx(scores.std())
    assert found.sharpe == pytest.approx(sharpe(scores))
    assert found.max_drawdown == pytest.approx(max_drawdown(scores))
    assert found.effective_eras == worth
    assert found.adjusted_sharpe == pytest.approx(mean.mean / mean.cautious_error / math.sqrt(300))
    assert found.probabilistic_sharpe == pytest.approx(probabilistic_sharpe(sharpe(scores), benchmark=0, **moments))
    assert found.deflated_sharpe == pytest.approx(deflated_sharpe(sharpe(scores), trials=7, **moments))
    assert found.deflated_sharpe == pytest.approx(deflated_sharpe_of(ERAS, scores, horizon=60, trials=7))
    assert found.sharpe_low < found.sharpe < found.sharpe_high
    assert 0 < found.drawdown_low < found.drawdown_high


def test_overlap_makes_a_series_worth_less_than_as_many_independent_eras() -> None:
    scores = overlapping(0.01)
    shuffled = np.random.default_rng(1).permutation(scores)

    found, independent = (summarise(ERAS, s, horizon=60, trials=1, seed=0) for s in (scores, shuffled))

    assert found.sharpe == pytest.approx(independent.sharpe)
    assert found.effective_eras < 0.5 * independent.effective_eras
    assert found.adjusted_sharpe < independent.adjusted_sharpe
    assert found.probabilistic_sharpe < independent.probabilistic_sharpe
    assert found.least_eras > independent.least_eras


def test_a_record_as_long_as_the_least_is_believed_at_95_per_cent() -> None:
    found = summarise(ERAS, overlapping(0.01), horizon=60, trials=1, seed=0)

    assert (found.probabilistic_sharpe >= 0.95) == (found.eras >= found.least_eras)


def test_eras_without_a_score_do_not_count() -> None:
    scores = overlapping(0.01)
    scores[-20:] = np.nan
    scores[50:60] = np.nan
    known = ~np.isnan(scores)

    found = summarise(ERAS, scores, horizon=60, trials=3, seed=0)
    again = summarise(ERAS, scores, horizon=60, trials=3, seed=0)
    short = summarise(ERAS[known], scores[known], horizon=60, trials=3, seed=0)

    assert found == again
    assert found.eras == 270
    for name, value in asdict(found).items():
        assert asdict(short)[name] == pytest.approx(value), name


@pytest.mark.parametrize("scores", [[0.02], [0.01, 0.01, 0.01]])
def test_of_one_era_or_a_constant_there_is_a_mean_and_no_ratio(scores: list[float]) -> None:
    found = asdict(summarise(np.arange(len(scores)) + 1, np.array(scores), horizon=20, trials=2, seed=0))

    assert found["mean"] == pytest.approx(scores[0])
    for name in ("sharpe", "sharpe_low", "adjusted_sharpe", "probabilistic_sharpe", "deflated_sharpe", "least_eras"):
        assert math.isnan(found[name]), name


def test_no_score_and_no_trial_are_refused() -> None:
    with pytest.raises(ScoringError, match="all are NaN"):
        summarise([1, 2], np.array([np.nan, np.nan]), horizon=20, trials=1, seed=0)
    with pytest.raises(ScoringError, match="expected one or more"):
        summarise(ERAS, overlapping(0.0), horizon=20, trials=0, seed=0)
