"""Characteristics against the plainest pandas, numpy or scipy formula of the same thing."""

import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import NDArray

from numerai_assets.sandbox.market.prices.characteristics import FAMILIES, characterise, groups_of
from numerai_assets.sandbox.market.prices.windows import DAYS, LONG_DAYS, Window, sums

NUMERAI_GROUPS = (
    *("intelligence", "charisma", "strength", "dexterity", "constitution", "wisdom", "agility", "serenity"),
    *("sunshine", "rain", "midnight", "faith", "quantum"),
)
STOCKS = 6


def make_window(seed: int = 0) -> Window:
    """Geometric random walks whose opens lie off yesterday's close."""
    rng = np.random.default_rng(seed)
    shape = (LONG_DAYS, STOCKS)
    long_close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, shape) + rng.normal(0, 0.01, (LONG_DAYS, 1)), axis=0))
    close = long_close[-DAYS:]
    opened = close * np.exp(rng.normal(0, 0.01, close.shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.01, close.shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.01, close.shape)))
    volume = rng.lognormal(13, 0.5, close.shape).round()
    arrays = (x.astype(np.float32) for x in (opened, high, low, close, volume, long_close))
    return Window(np.arange(DAYS) % 5, *arrays)


@pytest.fixture(scope="module")
def window() -> Window:
    return make_window()


@pytest.fixture(scope="module")
def found(window: Window) -> dict[str, NDArray[np.float32]]:
    return characterise(window)


def frames(window: Window) -> dict[str, pd.DataFrame]:
    names = ("open", "high", "low", "close", "volume", "long_close")
    return {name: pd.DataFrame(getattr(window, name).astype(np.float64)) for name in names}


def test_at_least_three_hundred_characteristics_in_the_groups_of_numerai() -> None:
    groups = groups_of()
    counts = Counter(groups.values())
    assert len(groups) >= 300
    assert tuple(counts) == NUMERAI_GROUPS
    assert min(counts.values()) >= 20


def test_no_name_is_given_twice() -> None:
    with np.errstate(all="ignore"):
        names = [name for _, family in FAMILIES for name in family(make_window())]
    assert len(names) == len(set(names))


def test_names_are_those_that_are_computed_in_the_same_order(found: dict[str, NDArray[np.float32]]) -> None:
    assert list(found) == list(groups_of())


def test_every_characteristic_is_one_float32_a_stock_and_known_for_a_stock_with_five_years(
    found: dict[str, NDArray[np.float32]],
) -> None:
    for name, values in found.items():
        assert values.shape == (STOCKS,) and values.dtype == np.float32, name
        assert np.isfinite(values).all(), name


def test_momentum_volatility_and_market_match_pandas(window: Window, found: dict[str, NDArray[np.float32]]) -> None:
    close = frames(window)["close"]
    long_close = frames(window)["long_close"]
    returns = close.pct_change().iloc[1:]
    market = returns.mean(axis=1)
    last = returns.tail(126)
    beta = last.apply(lambda stock: stock.cov(market.tail(126))) / market.tail(126).var()
    residual = (last - np.outer(market.tail(126), beta)).var()
    down = market.tail(252) < 0
    down_beta = returns[down].apply(lambda stock: stock.cov(market[down])) / market[down].var()
    expected = {
        "momentum_21": close.iloc[-1] / close.iloc[-22] - 1,
        "momentum_21_skip_5": close.iloc[-6] / close.iloc[-22] - 1,
        "momentum_504": long_close.iloc[-1] / long_close.iloc[-505] - 1,
        "same_month_return_2_years_ago": long_close.iloc[-505 + 21] / long_close.iloc[-505] - 1,
        "monday_mean_return_126": returns.tail(126)[(window.weekdays[1:] == 0)[-126:]].mean(),
        "volatility_63": returns.tail(63).std(),
        "volatility_ratio_21_252": returns.tail(21).std() / returns.std(),
        "beta_126": beta,
        "idiosyncratic_volatility_126": np.sqrt(residual),
        "downside_beta_252": down_beta,
        "market_correlation_63": returns.tail(63).corrwith(market.tail(63)),
        "market_lag_beta_252": returns.iloc[1:].apply(lambda s: np.cov(s, market.iloc[:-1])[0, 1])
        / market.iloc[:-1].var(),
    }
    agree(found, expected)


def test_oscillators_and_averages_match_pandas(window: Window, found: dict[str, NDArray[np.float32]]) -> None:
    frame = frames(window)
    close, high, low, volume = frame["close"], frame["high"], frame["low"], frame["volume"]
    change = close.diff().iloc[1:]
    rise = change.clip(lower=0).ewm(alpha=1 / 14).mean().iloc[-1]
    fall = (-change).clip(lower=0).ewm(alpha=1 / 14).mean().iloc[-1]
    logs = np.log(close)
    macd = logs.ewm(span=12, adjust=False).mean() - logs.ewm(span=26, adjust=False).mean()
    highest, lowest = high.rolling(14).max(), low.rolling(14).min()
    stochastic = 100 * (close - lowest) / (highest - lowest)
    typical = (high + low + close) / 3
    mean = typical.tail(20).mean()
    average = close.tail(20).mean()
    expected = {
        "rsi_14": 100 - 100 / (1 + rise / fall),
        "stochastic_k_14": stochastic.iloc[-1],
        "stochastic_d_14": stochastic.tail(3).mean(),
        "cci_20": (typical.iloc[-1] - mean) / (0.015 * (typical.tail(20) - mean).abs().mean()),
        "macd_12_26": macd.iloc[-1],
        "macd_histogram_12_26_9": (macd - macd.ewm(span=9, adjust=False).mean()).iloc[-1],
        "price_to_average_20": close.iloc[-1] / average - 1,
        "price_to_exponential_average_20": close.iloc[-1] / close.ewm(span=20).mean().iloc[-1] - 1,
        "average_20_to_100": average / close.tail(100).mean() - 1,
        "bollinger_position_20": (close.iloc[-1] - average) / (2 * close.tail(20).std()),
        "price_to_volume_weighted_average_21": close.iloc[-1]
        / ((close * volume).tail(21).sum() / volume.tail(21).sum())
        - 1,
    }
    agree(found, expected)


def test_ranges_highs_and_shapes_match_pandas(window: Window, found: dict[str, NDArray[np.float32]]) -> None:
    frame = frames(window)
    opened, close, high, low = frame["open"], frame["close"], frame["high"], frame["low"]
    returns = close.pct_change().iloc[1:]
    squared = np.log(high / low) ** 2
    body = np.log(close / opened) ** 2
    before = close.shift()
    true_range = (np.maximum(high, before) - np.minimum(low, before)) / before
    recent = close.tail(63)
    expected = {
        "parkinson_volatility_21": np.sqrt(squared.tail(21).mean() / (4 * np.log(2))),
        "garman_klass_volatility_21": np.sqrt((squared / 2 - (2 * np.log(2) - 1) * body).tail(21).mean()),
        "average_true_range_10": true_range.tail(10).mean(),
        "distance_to_high_252": close.iloc[-1] / high.tail(252).max() - 1,
        "days_since_low_63": 62 - recent.reset_index(drop=True).idxmin(),
        "largest_drawdown_63": (recent / recent.cummax() - 1).min(),
        "skewness_252": pd.Series(scipy.stats.skew(returns)),
        "kurtosis_63": pd.Series(scipy.stats.kurtosis(returns.tail(63))),
        "max_return_21": returns.tail(21).max(),
        "return_quantile_05_252": returns.quantile(0.05, interpolation="nearest"),
        "overnight_return_21": np.log(opened / before).tail(21).mean(),
        "intraday_return_1": np.log(close / opened).iloc[-1],
    }
    agree(found, expected)


def test_volume_dependence_and_trend_match_pandas(window: Window, found: dict[str, NDArray[np.float32]]) -> None:
    frame = frames(window)
    close, volume = frame["close"], frame["volume"]
    returns = close.pct_change().iloc[1:]
    millions = close * volume / 1e6
    logs = np.log(close).tail(63)
    lines = [scipy.stats.linregress(np.arange(63), logs[stock]) for stock in logs]
    lag = [returns[stock].tail(64).autocorr(1) for stock in returns]
    expected = {
        "volume_ratio_5_63": volume.tail(5).mean() / volume.tail(63).mean(),
        "signed_volume_share_21": (np.sign(returns) * volume).tail(21).sum() / volume.tail(21).sum(),
        "amihud_21": (returns.abs() / millions).tail(21).mean(),
        "dollar_volume_63": millions.tail(63).mean(),
        "autocorrelation_lag_1_63": pd.Series(lag),
        "return_volume_correlation_63": returns.tail(63).corrwith(np.log1p(volume).tail(63)),
        "trend_slope_63": pd.Series([line.slope for line in lines]),
        "trend_fit_63": pd.Series([line.rvalue**2 for line in lines]),
        "trend_efficiency_63": np.log(close.iloc[-1] / close.iloc[-64]) / np.log(close).diff().tail(63).abs().sum(),
    }
    agree(found, expected)


def test_a_stock_that_never_moves_nor_trades_gives_nan_without_a_warning() -> None:
    moving = make_window()
    flat = np.full((DAYS, 1), 7, dtype=np.float32)
    none = np.zeros((DAYS, 1), dtype=np.float32)
    still = Window(moving.weekdays, flat, flat, flat, flat, none, np.full((LONG_DAYS, 1), 7, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = characterise(still)
    assert found["momentum_252"] == 0
    assert found["volatility_63"] == 0
    for name in ("rsi_14", "beta_126", "skewness_63", "amihud_21", "volume_ratio_5_21", "autocorrelation_lag_1_63"):
        assert np.isnan(found[name]).all(), name


def test_a_day_without_a_quote_is_left_out_of_what_needs_one() -> None:
    window = make_window()
    opened, high, low = (x.copy() for x in (window.open, window.high, window.low))
    for prices in (opened, high, low):
        prices[-3, 0] = np.nan
    found = characterise(Window(window.weekdays, opened, high, low, window.close, window.volume, window.long_close))
    squared = np.log(high[-21:, 0] / low[-21:, 0]) ** 2
    np.testing.assert_allclose(
        found["parkinson_volatility_21"][0], np.sqrt(np.nanmean(squared) / (4 * np.log(2))), rtol=1e-5
    )
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_stock_is_described_alike_in_any_company_but_for_the_market(window: Window) -> None:
    alone = Window(
        window.weekdays,
        *(getattr(window, name)[:, 2:3] for name in ("open", "high", "low", "close", "volume", "long_close")),
    )
    whole, single, groups = characterise(window), characterise(alone), groups_of()
    for name, values in single.items():
        if groups[name] != "wisdom" and "market" not in name:
            np.testing.assert_allclose(values[0], whole[name][2], rtol=2e-3, atol=1e-5, err_msg=name)


def test_a_look_back_longer_than_the_window_is_refused() -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        sums(np.zeros((10, 2), dtype=np.float32), (5, 11))


def agree(found: dict[str, NDArray[np.float32]], expected: dict[str, pd.Series]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], np.asarray(values), rtol=2e-3, atol=2e-6, err_msg=name)
