"""Indicators of one stock: closed forms, TA-Lib and pandas as oracles, values that are undefined, no look-ahead."""

import builtins
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import FeatureError
from numerai_assets.features.prices.indicators import (
    NAMES,
    RETURN_DAYS,
    TRENDS,
    momentum_features,
    normalised_returns,
    rolling_deviation,
    rolling_sum,
    trends,
    volatility,
    weighted_mean,
)
from numerai_assets.features.prices.momentum import price_features
from numerai_assets_tests.features.prices.stock_bars import of, rising, stock

talib = pytest.importorskip("talib", reason="TA-Lib is the optional extra `prices`")


def equal(found: pd.Series, expected: Any) -> None:
    np.testing.assert_allclose(found.to_numpy(), np.asarray(expected), rtol=2e-6, atol=1e-7)


def test_a_price_that_only_rises_has_an_rsi_and_a_stochastic_of_100_and_stands_at_its_high() -> None:
    last = of(rising(growth=0.001)).iloc[-1]

    assert last["rsi_14"] == last["stochastic_k"] == last["stochastic_d"] == 100
    assert last["high_ratio_252"] == 1
    assert last["roc_10"] == pytest.approx(100 * (1.001**10 - 1))


def test_classic_indicators_are_those_of_ta_lib() -> None:
    bars = stock()
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    volume = bars["volume"].to_numpy().astype(float)
    macd, signal, histogram = talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9)
    slow_k, slow_d = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)

    found = of(bars)

    equal(found["rsi_14"], talib.RSI(close, timeperiod=14))
    equal(found["macd_12_26"], macd / close)
    equal(found["macd_signal_9"], signal / close)
    equal(found["macd_histogram"], histogram / close)
    equal(found["stochastic_k"], slow_k)
    equal(found["stochastic_d"], slow_d)
    equal(found["roc_10"], talib.ROC(close, timeperiod=10))
    equal(found["atr_14"], talib.ATR(high, low, close, timeperiod=14) / close)
    equal(found["high_ratio_252"], close / talib.MAX(high, timeperiod=252))
    slope = talib.LINEARREG_SLOPE(talib.OBV(close, volume), timeperiod=21)
    equal(found["obv_slope_21"], slope / pd.Series(volume).rolling(21).mean())


def test_normalised_returns_and_trends_are_those_that_pandas_gives() -> None:
    bars = stock()
    close = bars["close"]
    sigma = close.pct_change().ewm(span=60, min_periods=60).std()

    found = of(bars)

    for days in RETURN_DAYS:
        equal(found[f"return_{days}"], close.pct_change(days) / (sigma * np.sqrt(days)))
    for short, long in TRENDS:
        means = [close.ewm(halflife=np.log(0.5) / np.log(1 - 1 / scale)).mean() for scale in (short, long)]
        score = (means[0] - means[1]) / close.rolling(63).std()
        equal(found[f"trend_{short}_{long}"], score / score.rolling(252).std())


def test_volume_measures_are_those_that_pandas_gives_where_every_bar_has_a_trade() -> None:
    bars = stock()
    logs = np.log(bars["volume"])
    moved = bars["close"].pct_change().abs() / (bars["close"] * bars["volume"] / 1e6)

    found = of(bars)

    equal(found["volume_z_63"], (logs - logs.rolling(63).mean()) / logs.rolling(63).std(ddof=0))
    # The first bar has no return, which the mean of the first full window does without.
    equal(found["amihud_21"].iloc[20:], np.log(moved.rolling(21, min_periods=20).mean()).iloc[20:])


@given(scale=st.sampled_from([1e-3, 0.5, 8.0, 1e4]), seed=st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_the_currency_that_prices_are_in_changes_only_illiquidity(scale: float, seed: int) -> None:
    bars = stock(420, seed=seed)
    other = bars.copy()
    other[["high", "low", "close"]] *= scale

    found, scaled = (price_features(panel, [bars["date"].iloc[-1]]) for panel in (bars, other))

    assert not found.isna().any(axis=None)
    np.testing.assert_allclose(
        scaled.drop(columns="amihud_21").to_numpy(), found.drop(columns="amihud_21").to_numpy(), rtol=1e-4, atol=1e-5
    )
    assert (scaled - found)["amihud_21"].item() == pytest.approx(-np.log(scale), rel=1e-3)


def test_windows_that_are_not_full_are_nan_each_from_its_own_bar_on() -> None:
    found = of(stock(400))

    first = {name: int(found[name].notna().to_numpy().argmax()) for name in NAMES}

    assert first["rsi_14"] == first["atr_14"] == 14
    assert first["macd_12_26"] == first["macd_signal_9"] == 33
    assert (first["stochastic_k"], first["stochastic_d"]) == (17, 17)
    assert first["return_1"] == first["return_21"] == 60
    assert first["return_252"] == 252
    assert first["trend_8_24"] == first["trend_32_96"] == 62 + 251
    assert (first["volume_z_63"], first["amihud_21"], first["high_ratio_252"]) == (62, 20, 251)
    for name in NAMES:
        assert found[name].iloc[first[name] :].notna().all(), name


def test_measures_of_a_price_that_stands_still_are_nan_instead_of_0_or_infinite() -> None:
    last = of(rising(400, growth=0)).iloc[-1]

    undefined = last[last.isna()].index
    assert set(undefined) == {
        "rsi_14",
        "stochastic_k",
        "stochastic_d",
        "amihud_21",
        *(f"return_{days}" for days in RETURN_DAYS),
        *(f"trend_{short}_{long}" for short, long in TRENDS),
    }
    assert last["atr_14"] == last["roc_10"] == 0


def test_a_constant_growth_has_no_volatility_to_be_measured_in() -> None:
    last = of(rising(400, growth=0.01)).iloc[-1]

    assert last[[f"return_{days}" for days in RETURN_DAYS]].isna().all()


def test_bars_without_a_trade_count_for_no_volume_and_most_of_them_leave_none_to_measure() -> None:
    bars = stock(300)
    bars.loc[[250, 299], "volume"] = 0
    some = of(bars)
    bars.loc[240:, "volume"] = 0
    bars.loc[298, "volume"] = 500
    many = of(bars)

    assert np.isnan(some["volume_z_63"].iloc[250])
    assert some[["volume_z_63", "amihud_21"]].iloc[251].notna().all()
    assert some["amihud_21"].iloc[299] == pytest.approx(of(bars.iloc[:240])["amihud_21"].iloc[-1], abs=2)
    assert many[["volume_z_63", "amihud_21", "obv_slope_21"]].iloc[298].isna().all()
    assert many["rsi_14"].iloc[298] == some["rsi_14"].iloc[298]


@pytest.mark.parametrize("change", [{"high": 0.0}, {"low": np.nan}, {"high": 1.0}])
def test_a_bar_whose_range_is_missing_or_false_is_worth_its_close_and_masks_what_reads_ranges(
    change: dict[str, float],
) -> None:
    bars = stock(400)
    sound = of(bars)
    bars.loc[380, list(change)] = list(change.values())

    found = of(bars)

    for name, bars_masked in (("stochastic_k", 16), ("stochastic_d", 18), ("atr_14", 15)):
        missing = np.flatnonzero(found[name].isna().to_numpy() & sound[name].notna().to_numpy())
        assert missing.tolist() == list(range(380, min(380 + bars_masked, 400)))
    pd.testing.assert_series_equal(found["rsi_14"], sound["rsi_14"])


def test_without_ta_lib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refusing(name: str, *rest: Any, **options: Any) -> Any:
        if name == "talib":
            raise ImportError(name)
        return imported(name, *rest, **options)

    monkeypatch.delitem(sys.modules, "talib")
    monkeypatch.setattr(builtins, "__import__", refusing)

    with pytest.raises(FeatureError, match=r"pip install numerai-assets\[prices\]"):
        of(stock(30))


def test_momentum_features_are_returns_without_the_week_s_and_trends_of_each_stock() -> None:
    closes = 50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (400, 3)), axis=0))

    found = momentum_features(closes)

    assert found.shape == (400, 3, 8)
    assert np.isnan(found[:313]).any(axis=2).all()
    assert np.isfinite(found[313:]).all()
    for place, close in enumerate(closes.T):
        returns = dict(zip(RETURN_DAYS, normalised_returns(close), strict=True))
        expected = [*(returns[days] for days in (1, 21, 63, 126, 252)), *trends(close)]
        np.testing.assert_array_equal(found[:, place], np.stack(expected, axis=1))


def test_momentum_features_of_a_day_know_nothing_of_later_ones() -> None:
    closes = 50 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, (400, 2)), axis=0))
    changed = np.concatenate([closes[:350], 2 * closes[350:]])

    np.testing.assert_array_equal(momentum_features(changed)[:350], momentum_features(closes)[:350])


@given(
    values=st.lists(st.one_of(st.floats(-100, 100), st.just(np.nan)), min_size=1, max_size=40), days=st.integers(2, 12)
)
@settings(max_examples=60, deadline=None)
def test_rolling_deviations_are_those_of_pandas(values: list[float], days: int) -> None:
    found = rolling_deviation(np.array(values), days)

    np.testing.assert_allclose(found, pd.Series(values).rolling(days).std(), rtol=1e-6, atol=1e-5)


@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=40), days=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_rolling_sums_are_those_of_pandas(values: list[int], days: int) -> None:
    found = rolling_sum(np.array(values, float), days)

    np.testing.assert_array_equal(found, pd.Series(values).rolling(days).sum())


def test_a_rolling_deviation_keeps_its_digits_whatever_the_price_is_and_was() -> None:
    recent = 1e4 + np.random.default_rng(0).normal(0, 1e-3, 60)

    found = rolling_deviation(np.concatenate([np.full(500, 1e9), recent]), 20)

    np.testing.assert_allclose(found[-1], recent[-20:].std(ddof=1), rtol=1e-6)


def test_exponential_means_and_volatility_are_those_of_pandas() -> None:
    returns = pd.Series(np.random.default_rng(0).normal(0.01, 0.02, 200))

    np.testing.assert_allclose(weighted_mean(returns.to_numpy(), 0.1), returns.ewm(alpha=0.1).mean())
    np.testing.assert_allclose(volatility(returns.to_numpy()), returns.ewm(span=60, min_periods=60).std())
