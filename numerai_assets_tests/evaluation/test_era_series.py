"""What a series of per-era scores amounts to, column by column, with missing eras left out."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numerai_tools.scoring import sharpe_ratio

from numerai_assets.errors import CalendarError, ScoringError
from numerai_assets.evaluation.era_series import (
    apy,
    autocorrelation,
    max_drawdown,
    mean,
    sharpe,
    smart_sharpe,
    sortino,
    std,
)
from numerai_assets.evaluation.uncertainty import standard_error

LAWFUL = settings(deadline=None, max_examples=60)
SEEDS = st.integers(0, 2**32 - 1)
SERIES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 6)), min_size=1, max_size=50)

Measure = Callable[[np.ndarray], np.ndarray]


def smart_sharpe_20(scores: np.ndarray) -> np.ndarray:
    return smart_sharpe(scores, horizon=20)


ALL = (mean, std, sharpe, sortino, max_drawdown, apy, autocorrelation, smart_sharpe_20)
RATIOS = (sharpe, sortino, autocorrelation, smart_sharpe_20)


def some_scores(seed: int, eras: int, columns: int) -> np.ndarray:
    """(eras, columns) with autocorrelation and a positive mean, as scores of overlapping targets have."""
    noise = np.random.default_rng(seed).normal(0.005, 0.02, (eras + 3, columns))
    return np.mean([noise[k : k + eras] for k in range(4)], axis=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("measure", ALL)
@given(seed=SEEDS, eras=st.integers(1, 40), columns=st.integers(1, 5))
@LAWFUL
def test_many_columns_measure_as_each_does_alone(measure: Measure, seed: int, eras: int, columns: int) -> None:
    scores = some_scores(seed, eras, columns)
    scores[np.random.default_rng([seed, 1]).random(scores.shape) < 0.2] = np.nan

    together = measure(scores)

    assert together.shape == (columns,)
    np.testing.assert_allclose(together, [measure(column) for column in scores.T], rtol=1e-12)


@pytest.mark.parametrize("measure", [mean, std, sharpe, sortino, max_drawdown, apy])
@given(scores=SERIES, seed=SEEDS)
@LAWFUL
def test_eras_without_a_score_are_left_out(measure: Measure, scores: list[float], seed: int) -> None:
    with_gaps = np.insert(np.array(scores), np.random.default_rng(seed).integers(0, len(scores) + 1, 3), np.nan)

    np.testing.assert_allclose(measure(with_gaps), measure(np.array(scores)), rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("scores", [np.empty(0), np.full(5, np.nan)])
def test_nothing_measures_as_nan(measure: Measure, scores: np.ndarray) -> None:
    assert np.isnan(measure(scores))
    assert np.isnan(measure(np.stack([scores, scores], axis=1))).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("measure", RATIOS)
@given(value=st.floats(0, 1), eras=st.integers(1, 40))
@LAWFUL
def test_ratios_without_variation_are_nan(measure: Measure, value: float, eras: int) -> None:
    assert np.isnan(measure(np.full(eras, value)))
    assert std(np.full(eras, value)) == 0


@given(scores=SERIES)
@LAWFUL
def test_mean_std_and_sharpe_are_those_of_numpy_and_numerai(scores: list[float]) -> None:
    values = np.array(scores)
    assume(np.std(values) > 1e-9)

    np.testing.assert_allclose([mean(values), std(values)], [np.mean(values), np.std(values)], rtol=1e-9, atol=1e-15)
    assert sharpe(values) == pytest.approx(sharpe_ratio(values), rel=1e-9, abs=1e-12)


@given(seed=SEEDS, factor=st.floats(0.01, 100))
@LAWFUL
def test_ratios_do_not_see_the_scale(seed: int, factor: float) -> None:
    scores = some_scores(seed, 30, 3)

    for ratio in RATIOS:
        np.testing.assert_allclose(ratio(scores * factor), ratio(scores), rtol=1e-9)


@given(scores=SERIES)
@LAWFUL
def test_drawdown_is_the_largest_fall_of_the_sum_from_a_peak_before(scores: list[float]) -> None:
    total = np.cumsum(scores)
    falls = [total[i] - total[j] for j in range(len(total)) for i in range(j + 1)]

    drawdown = max_drawdown(np.array(scores))

    assert drawdown == pytest.approx(max(falls), abs=1e-12)
    assert drawdown >= 0


def test_drawdown_of_an_example() -> None:
    assert max_drawdown(np.array([0.1, -0.2, 0.05, -0.1, 0.4, -0.05])) == pytest.approx(0.25)
    assert max_drawdown(np.array([0.1, 0.2])) == 0


def test_sharpe_and_sortino_of_an_example() -> None:
    assert sharpe(np.array([0.01, 0.03])) == pytest.approx(2.0)
    assert sharpe(np.array([-0.01, -0.03])) == pytest.approx(-2.0)
    # Mean 0.01; the only loss is -0.02, so the mean square below 0 is 0.0004 / 4.
    assert sortino(np.array([0.01, -0.02, 0.03, 0.02])) == pytest.approx(0.01 / 0.01)


def test_sortino_without_a_loss_is_nan() -> None:
    assert np.isnan(sortino(np.array([0.01, 0.02])))


@given(scores=SERIES)
@LAWFUL
def test_apy_is_the_product_of_the_clipped_returns_to_the_power_of_49_eras(scores: list[float]) -> None:
    growth = np.prod(1 + np.clip(scores, -0.25, 0.25)) ** (1 / len(scores))

    assert apy(np.array(scores)) == pytest.approx((growth**49 - 1) * 100, rel=1e-9, abs=1e-9)


@given(seed=SEEDS, eras=st.integers(3, 40), lag=st.integers(0, 6))
@LAWFUL
def test_autocorrelation_is_the_sum_over_pairs_by_the_sum_of_squares(seed: int, eras: int, lag: int) -> None:
    scores = some_scores(seed, eras, 1)[:, 0]
    centred = scores - scores.mean()

    found = autocorrelation(scores, lag)

    if lag >= eras:
        assert np.isnan(found)
    else:
        expected = sum(centred[i] * centred[i + lag] for i in range(eras - lag)) / (centred @ centred)
        assert found == pytest.approx(expected, abs=1e-12)
        assert abs(found) <= 1 + 1e-12


@given(seed=SEEDS, eras=st.integers(2, 80), horizon=st.sampled_from([20, 60]))
@LAWFUL
def test_smart_sharpe_is_the_mean_over_its_newey_west_error(seed: int, eras: int, horizon: int) -> None:
    scores = some_scores(seed, eras, 1)[:, 0]
    error = standard_error(scores, horizon=horizon)
    assume(error > 1e-7)

    smart = smart_sharpe(scores, horizon=horizon)

    assert smart == pytest.approx(scores.mean() / (error * np.sqrt(eras)), rel=1e-6)


def test_overlap_lowers_the_smart_sharpe_and_independent_eras_hardly_do() -> None:
    rng = np.random.default_rng(0)
    alone = rng.normal(0.01, 0.02, 4000)
    overlapping = np.convolve(rng.normal(0.01, 0.02, 4003), np.full(4, 0.25), "valid")

    assert smart_sharpe(alone, horizon=20) == pytest.approx(float(sharpe(alone)), rel=0.1)
    # Means of four: rho is 3/4, 2/4 and 1/4, and 1 + 2 (4/5 3/4 + 3/5 2/4 + 2/5 1/4) = 3.
    assert smart_sharpe(overlapping, horizon=20) == pytest.approx(float(sharpe(overlapping)) / np.sqrt(3), rel=0.1)


@given(seed=SEEDS)
@LAWFUL
def test_a_gap_leaves_the_eras_around_it_as_far_apart_as_they_are(seed: int) -> None:
    scores = some_scores(seed, 30, 1)[:, 0]
    scores[10] = np.nan
    filled = np.where(np.isnan(scores), np.nanmean(scores), scores)

    # The mean in place of a gap adds nothing to any pair.
    np.testing.assert_allclose(autocorrelation(scores, 2), autocorrelation(filled, 2), rtol=1e-9)


def test_unknown_lags_and_horizons_are_named() -> None:
    with pytest.raises(ScoringError, match="lag -1, expected at least 0"):
        autocorrelation(np.ones(3), -1)
    with pytest.raises(CalendarError, match="horizon 30"):
        smart_sharpe(np.ones(3), horizon=30)
