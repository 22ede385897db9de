"""Objectives by era: their gradients are those of what they say they minimise, and steps are as long as those of mse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from numerai_assets.trees.era_objectives import (
    RIDGE,
    EraObjective,
    EraTargets,
    correlation_gradient,
    era_correlations,
    mse_gradient,
    sharpe_weights,
    worst_eras,
)

LAWFUL = settings(deadline=None, max_examples=30)
ROWS = st.lists(st.integers(3, 9), min_size=2, max_size=5)
SEEDS = st.integers(0, 1000)
SCALES = st.sampled_from([0.01, 0.1, 1.0, 30.0])


def drawn(rows: list[int], seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, EraTargets]:
    """Predictions of that scale, five-level targets and what the objectives make of these, eras of so many rows."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 5, sum(rows)) / 4
    return scale * rng.normal(size=sum(rows)), target, EraTargets.of(target, np.array(rows))


def ridge_correlations(predicted: np.ndarray, target: np.ndarray, rows: list[int]) -> np.ndarray:
    """c_e era by era, from the definition."""
    eras = [np.split(values, np.cumsum(rows)[:-1]) for values in (predicted, target)]
    scale = np.sqrt(np.mean([era.var() for era in eras[1]]))
    found = []
    for p, y in zip(*eras, strict=True):
        spread = y.std() or 1.0
        found.append(np.mean((p - p.mean()) * (y - y.mean())) / spread / np.hypot(p.std(), RIDGE * scale))
    return np.array(found)


def sharpe_loss(predicted: np.ndarray, target: np.ndarray, rows: list[int]) -> float:
    correlations = ridge_correlations(predicted, target, rows)
    return float(-correlations.mean() / np.sqrt(correlations.var() + 1 / np.mean(rows)))


def assert_same_direction(gradient: np.ndarray, expected: np.ndarray) -> None:
    """They differ by a positive number alone."""
    ratio = gradient @ expected / (expected @ expected)
    assert ratio > 0
    np.testing.assert_allclose(gradient, ratio * expected, atol=1e-5 * np.abs(gradient).max())


@given(rows=ROWS, seed=SEEDS, scale=SCALES)
@LAWFUL
def test_the_gradient_of_mse_is_that_of_half_the_squared_error(rows: list[int], seed: int, scale: float) -> None:
    predicted, target, targets = drawn(rows, seed, scale)
    means = np.concatenate([np.full(len(era), era.mean()) for era in np.split(target, np.cumsum(rows)[:-1])])

    gradient, second = mse_gradient(predicted, targets)

    np.testing.assert_allclose(gradient, predicted - (target - means), atol=1e-12)
    assert (second == 1).all()


@given(rows=ROWS, seed=SEEDS, scale=SCALES)
@LAWFUL
def test_the_gradient_of_era_corr_is_that_of_the_mean_correlation(rows: list[int], seed: int, scale: float) -> None:
    predicted, target, targets = drawn(rows, seed, scale)

    gradient, _ = correlation_gradient(predicted, targets, sharpe=False)

    def loss(p: np.ndarray) -> float:
        return float(-ridge_correlations(p, target, rows).mean())

    assert_same_direction(gradient, approx_fprime(predicted, loss, 1e-7 * scale))


@given(rows=ROWS, seed=SEEDS, scale=SCALES)
@LAWFUL
def test_the_gradient_of_sharpe_is_that_of_mean_over_spread(rows: list[int], seed: int, scale: float) -> None:
    predicted, target, targets = drawn(rows, seed, scale)

    gradient, _ = correlation_gradient(predicted, targets, sharpe=True)

    assert_same_direction(gradient, approx_fprime(predicted, lambda p: sharpe_loss(p, target, rows), 1e-7 * scale))


@given(correlations=st.lists(st.floats(-1, 1), min_size=2, max_size=9), seed=SEEDS)
@LAWFUL
def test_sharpe_weighs_eras_with_a_mean_of_one_and_the_worst_most(correlations: list[float], seed: int) -> None:
    values = np.abs(correlations)
    rows = np.random.default_rng(seed).integers(50, 500, len(values))

    weights = sharpe_weights(values, rows)

    assert weights.mean() == pytest.approx(1)
    assert weights[values.argmin()] == weights.max()


@pytest.mark.parametrize("sharpe", [False, True])
def test_from_nothing_the_first_step_is_that_of_mse(sharpe: bool) -> None:
    _, _, targets = drawn([40, 40, 40], 0)
    nothing = np.full(120, 0.3)
    even = EraTargets(targets.values, np.full(3, targets.scale), targets.rows)

    gradient, second = correlation_gradient(nothing, even, sharpe=sharpe)

    expected, ones = mse_gradient(np.zeros(120), even)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    np.testing.assert_array_equal(second, ones)


@pytest.mark.parametrize("sharpe", [False, True])
def test_an_era_without_variation_makes_no_number_that_is_none(sharpe: bool) -> None:
    predicted, target, _ = drawn([10, 10, 1], 0)
    predicted[:10], target[10:20] = 0.25, 0.5
    targets = EraTargets.of(target, np.array([10, 10, 1]))

    for part in correlation_gradient(predicted, targets, sharpe=sharpe):
        assert np.isfinite(part).all()
    np.testing.assert_array_equal(era_correlations(predicted, targets), [0, 0, 0])


def test_eras_count_the_same_however_many_rows_they_have() -> None:
    predicted, target, targets = drawn([20, 200], 1)

    gradient, weight = correlation_gradient(predicted, targets, sharpe=False)

    assert weight[:20].sum() == pytest.approx(weight[20:].sum())
    longer = EraTargets.of(np.r_[target[:20], np.tile(target[20:], 3)], np.array([20, 600]))
    again, _ = correlation_gradient(np.r_[predicted[:20], np.tile(predicted[20:], 3)], longer, sharpe=False)
    before, after = (np.abs(found[20:]).sum() / np.abs(found[:20]).sum() for found in (gradient, again))
    assert after == pytest.approx(before)


def test_eras_without_a_known_row_are_left_out() -> None:
    target = np.arange(6) / 5

    np.testing.assert_array_equal(EraTargets.of(target, np.array([0, 4, 0, 2])).rows, [4, 2])


def test_era_boosting_grows_on_all_eras_and_then_on_those_that_correlate_worst() -> None:
    _, _, targets = drawn([30, 30, 30, 30], 2)
    objective = EraObjective("mse", targets, trees=4, rounds=2, share=0.5)
    # Good in the first and third era, bad in the others.
    signs = np.repeat([1.0, -1.0, 1.0, -1.0], 30)

    seen = [objective(signs * targets.values, None)[1] for _ in range(4)]

    np.testing.assert_array_equal(seen[0], np.ones(120))
    np.testing.assert_array_equal(seen[1], np.ones(120))
    np.testing.assert_array_equal(seen[2], signs < 0)
    np.testing.assert_array_equal(seen[3], signs < 0)


@given(correlations=st.lists(st.floats(-1, 1), min_size=1, max_size=9), share=st.floats(0.01, 1))
@LAWFUL
def test_the_worst_eras_are_no_better_than_any_other(correlations: list[float], share: float) -> None:
    values = np.array(correlations)
    worst = worst_eras(values, share)

    assert worst.any()
    assert values[worst].max() <= values[~worst].min(initial=np.inf)
