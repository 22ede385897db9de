"""Momentum of regular series: closed forms, TA-Lib where its definitions are the same, and what scale does not change."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.features.groups.momentum_indicators import Series, macd, prices, rsi, scaled_return, stochastic

LAWFUL = settings(deadline=None, max_examples=30)
SEEDS = st.integers(0, 999)


@pytest.fixture(scope="module")
def talib() -> ModuleType:
    return pytest.importorskip("talib")


def walk(eras: int, seed: int, series: int = 3) -> Series:
    """Returns in -0.5..0.5, fourths with many zeros as a target has."""
    return np.asarray(np.random.default_rng(seed).choice([-0.5, -0.25, 0, 0, 0.25, 0.5], (eras, series)))


@given(seed=SEEDS, eras=st.integers(14, 60), period=st.integers(2, 14))
@LAWFUL
def test_relative_strength_is_that_of_talib(talib: ModuleType, seed: int, eras: int, period: int) -> None:
    returns = walk(eras, seed)
    returns[0] = 0.25  # so that there is a move, which TA-Lib calls for

    ours = rsi(returns, period)

    theirs = [talib.RSI(price, period)[-1] for price in np.ascontiguousarray(prices(returns).T)]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


@given(seed=SEEDS, eras=st.integers(17, 60), period=st.integers(2, 14), smooth=st.integers(1, 4))
@LAWFUL
def test_the_stochastic_oscillator_is_that_of_talib(
    talib: ModuleType, seed: int, eras: int, period: int, smooth: int
) -> None:
    # A price that stood still is 50 here and 0 there: none does.
    price = prices(walk(eras, seed) + np.linspace(1e-3, 2e-3, eras)[:, None])

    ours = stochastic(price, period, smooth)

    theirs = [talib.STOCHF(p, p, p, period, smooth, 0) for p in np.ascontiguousarray(price.T)]
    np.testing.assert_allclose(ours.T, [(k[-1], d[-1]) for k, d in theirs], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("short", "long"), [(2, 6), (4, 12), (8, 24)])
def test_convergence_is_that_of_talib_once_its_seed_is_forgotten(talib: ModuleType, short: int, long: int) -> None:
    price = prices(walk(1500, seed=long))

    ours = macd(price, short, long, 13) * price[-13:].std(axis=0)

    for series, value in zip(np.ascontiguousarray(price.T), ours, strict=True):
        averages = [talib.EMA(series, 2 * scale - 1)[-1] for scale in (short, long)]
        assert value == pytest.approx(averages[0] - averages[1], abs=1e-8)
        theirs = talib.MACD(series, 2 * short - 1, 2 * long - 1, 2)[0][-1]
        assert value == pytest.approx(theirs, abs=1e-8)


def test_a_price_that_only_rises_is_at_its_strongest_and_one_that_only_falls_at_its_weakest() -> None:
    returns = np.array([[0.1, -0.1]] * 20) * np.arange(1, 21)[:, None]

    assert rsi(returns, 14).tolist() == [100, 0]
    assert stochastic(prices(returns), 14, 3).tolist() == [[100, 0], [100, 0]]
    assert (np.sign(macd(prices(returns), 4, 12, 13)) == [1, -1]).all()
    assert (np.sign(scaled_return(returns, 4, 4)) == [1, -1]).all()


def test_a_price_that_stands_still_is_in_the_middle_and_has_no_scale() -> None:
    still = np.zeros((30, 1))

    assert rsi(still, 14).tolist() == [50]
    assert stochastic(prices(still), 14, 3).tolist() == [[50], [50]]
    assert np.isnan(macd(prices(still), 4, 12, 13)).all()
    assert np.isnan(scaled_return(still, 4, 4)).all()


def test_a_return_is_measured_in_its_own_volatility() -> None:
    returns = np.array([[1.0], [-1.0]] * 8 + [[1.0]] * 4)

    # Mean 1 of the last four; deviation of twelve at 1 and eight at -1.
    deviation = np.sqrt(1 - 0.2**2)
    assert scaled_return(returns, 4, 1) == pytest.approx(np.sqrt(4) / deviation)
    assert scaled_return(returns, 4, 4) == pytest.approx(1 / deviation)


def test_returns_that_overlap_are_measured_as_those_of_one_era_are() -> None:
    one = np.random.default_rng(0).normal(0.05, 1, (200_000, 1))
    overlap = 4
    shared = np.convolve(one[:, 0], np.ones(overlap), "valid")[:, None]

    # Of a long look-back, as the first and last few eras, which only some of the overlapping values hold, count for less.
    assert scaled_return(shared, 190_000, overlap)[0] == pytest.approx(scaled_return(one, 190_000, 1)[0], rel=0.02)


def test_a_running_sum_of_overlapping_returns_is_an_average_of_the_price() -> None:
    one = walk(40, seed=0, series=1)
    price = prices(one)
    overlap = 4
    shared = price[overlap:] - price[:-overlap]

    averages = np.convolve(price[:, 0], np.ones(overlap), "valid")

    np.testing.assert_allclose(prices(shared)[:, 0], averages - averages[0], atol=1e-12)


def test_an_exponential_mean_halves_its_weights_as_its_scale_says() -> None:
    # Price 1 in one era only: what the difference of the two means gives it is the difference of its weights.
    price = np.zeros((64, 1))
    price[-2] = 1

    found = macd(price, 2, 4, 64) * price.std()

    assert found[0] == pytest.approx(0.25 - 0.75 / 4, abs=1e-6)


@given(seed=SEEDS, factor=st.floats(0.1, 10))
@LAWFUL
def test_the_unit_of_the_target_does_not_matter(seed: int, factor: float) -> None:
    returns = walk(40, seed)

    for measure in measures():
        np.testing.assert_allclose(measure(returns * factor), measure(returns), atol=1e-6)


@given(seed=SEEDS)
@LAWFUL
def test_the_opposite_path_has_the_opposite_momentum(seed: int) -> None:
    returns = walk(40, seed)

    for measure, middle in zip(measures(), (0, 0, 50, 50), strict=True):
        np.testing.assert_allclose(measure(-returns) - middle, middle - measure(returns), atol=1e-9)


@given(seed=SEEDS)
@LAWFUL
def test_series_do_not_touch_each_other(seed: int) -> None:
    returns = walk(40, seed)

    for measure in measures():
        np.testing.assert_array_equal(measure(returns[:, ::-1])[..., ::-1], measure(returns))


def test_what_asks_for_more_eras_than_there_are_has_no_value() -> None:
    returns = walk(10, seed=0)

    assert np.isnan(scaled_return(returns, 11, 1)).all() and np.isfinite(scaled_return(returns, 10, 1)).all()
    assert np.isnan(macd(prices(returns), 2, 12, 3)).all() and np.isfinite(macd(prices(returns), 2, 11, 3)).all()
    assert np.isnan(macd(prices(returns), 2, 3, 12)).all()
    assert np.isnan(rsi(returns, 11)).all() and np.isfinite(rsi(returns, 10)).all()
    assert np.isnan(stochastic(prices(returns), 10, 3)).all()
    assert np.isfinite(stochastic(prices(returns), 9, 3)).all()


def measures():  # type: ignore[no-untyped-def]
    return (
        lambda returns: scaled_return(returns, 13, 4),
        lambda returns: macd(prices(returns), 4, 12, 13),
        lambda returns: rsi(returns, 14),
        lambda returns: stochastic(prices(returns), 14, 3),
    )
