"""Price momentum of daily bars: closed forms, TA-Lib and pandas as oracles, no look-ahead, and panels that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import FeatureError
from numerai_assets.features.prices.indicators import NAMES
from numerai_assets.features.prices.momentum import Continuity, price_features, price_picture, ranked_by_date
from numerai_assets_tests.features.prices.stock_bars import FIRST, of, stock, weekdays

talib = pytest.importorskip("talib", reason="TA-Lib is the optional extra `prices`")

NASDAQ = "us_equities_nasdaq_2003_2017.parquet"


@pytest.mark.parametrize("form", [pa.Table.from_pandas, lambda frame: frame], ids=["arrow", "pandas"])
def test_a_date_is_answered_from_the_newest_bar_on_or_before_it(form: Any) -> None:
    bars = stock()
    saturday = np.datetime64("2016-06-04")

    found = price_features(form(bars), [saturday])

    expected = of(bars).loc[pd.Timestamp("2016-06-03")]
    np.testing.assert_array_equal(found.iloc[0].to_numpy(), expected.to_numpy())
    assert found.index.names == ["ticker", "date"]
    assert found.index[0] == ("AAA", pd.Timestamp(saturday))
    assert set(found.dtypes) == {np.dtype(np.float32)}
    assert list(found.columns) == list(NAMES)


@given(cut=st.integers(0, 399), seed=st.integers(0, 3), factor=st.sampled_from([0.0, 0.4, 1.01, 3.0]))
@settings(max_examples=25, deadline=None)
def test_later_bars_change_nothing(cut: int, seed: int, factor: float) -> None:
    bars = stock(400, seed=seed)
    altered = bars.copy()
    later = altered.index > cut
    # A quote may be missing, but not of more bars than a panel may lack.
    if factor == 0:
        later &= altered.index <= cut + 3
    altered.loc[later, ["high", "low", "close"]] *= factor
    altered.loc[later, "volume"] = 7
    asked = bars["date"].iloc[: cut + 1].to_numpy()

    whole, other, short = (price_features(panel, asked) for panel in (bars, altered, bars.iloc[: cut + 1]))

    pd.testing.assert_frame_equal(whole, other, check_exact=True)
    pd.testing.assert_frame_equal(whole, short, check_exact=True)


@given(order=st.permutations(["B", "A", "C"]), seed=st.integers(0, 5))
@settings(max_examples=5, deadline=None)
def test_a_stock_does_not_depend_on_the_others_nor_on_their_order(order: list[str], seed: int) -> None:
    panels = {name: stock(320, seed=seed + ord(name), ticker=name) for name in "ABC"}
    dates = weekdays(320)[[100, 319]]

    together = price_features(pd.concat([panels[name] for name in order]), dates)

    assert list(together.index) == [(name, pd.Timestamp(day)) for day in dates for name in "ABC"]
    for name in "ABC":
        alone = price_features(panels[name], dates)
        np.testing.assert_array_equal(together.xs(name, level="ticker").to_numpy(), alone.to_numpy())


def test_a_stock_listed_later_has_no_rows_before_its_first_bar() -> None:
    late = stock(100, ticker="NEW").assign(date=weekdays(300)[200:])

    found = price_features(pd.concat([stock(300), late]), weekdays(300)[[150, 250]])

    assert list(found.index.get_level_values("ticker")) == ["AAA", "AAA", "NEW"]


def test_a_suspended_stock_is_nan_while_it_is_away_and_begins_anew_when_it_is_back() -> None:
    bars = stock(600)
    away = bars.drop(index=range(400, 420))
    dates = bars["date"].to_numpy()

    found = price_features(away, dates[[402, 410, 419, 425, 440, 599]])

    assert found.iloc[0].notna().all()  # Within a week of its last bar.
    assert found.iloc[1:4].isna().all(axis=None)
    assert found["rsi_14"].iloc[4] == pytest.approx(of(bars.iloc[420:])["rsi_14"].iloc[20])
    assert np.isnan(found["return_252"].iloc[5])


def test_a_split_that_was_not_adjusted_for_begins_a_new_history() -> None:
    bars = stock(500)
    bars.loc[300:, ["high", "low", "close"]] /= 2
    fresh = of(bars.iloc[300:])

    found, trusting = of(bars), of(bars, continuity=Continuity(greatest_move=3))

    pd.testing.assert_frame_equal(found.iloc[300:], fresh)
    assert found["roc_10"].iloc[305:310].isna().all()
    assert (trusting["roc_10"].iloc[305:310] < -40).all()


def test_a_bar_without_a_close_is_none() -> None:
    bars = stock(400).astype({"volume": float})
    bars.loc[200, "close"] = 0

    pd.testing.assert_frame_equal(of(bars).drop(index=bars["date"][200]), of(bars.drop(index=200)))


def test_ranks_lie_between_0_and_1_within_each_date_and_keep_what_is_missing() -> None:
    panel = pd.concat([stock(300, seed=seed, ticker=f"T{seed}") for seed in range(5)] + [stock(9, ticker="Z")])
    dates = weekdays(300)[[5, 290]]

    ranked = price_features(panel, dates, ranked=True)

    second = ranked.xs(pd.Timestamp(dates[1]), level="date")
    assert sorted(second["rsi_14"].dropna()) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert second.loc["Z"].isna().all()
    assert ranked.xs(pd.Timestamp(dates[0]), level="date").isna().all(axis=None)
    pd.testing.assert_frame_equal(ranked, ranked_by_date(price_features(panel, dates)))


@given(st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_ranks_do_not_change_under_a_rising_function_of_the_values(seed: int) -> None:
    index = pd.MultiIndex.from_product([list("ABCDE"), pd.to_datetime(["2015-01-02", "2015-01-09"])])
    values = np.random.default_rng(seed).normal(size=(10, 3)).astype(np.float32)
    frame = pd.DataFrame(values, index=index.set_names(["ticker", "date"]))

    pd.testing.assert_frame_equal(ranked_by_date(frame), ranked_by_date(np.exp(frame)))


def _without(column: str) -> pd.DataFrame:
    return stock(30).drop(columns=column)


def _with(row: int, column: str, value: object) -> pd.DataFrame:
    bars = stock(30).astype({"volume": float})
    bars.loc[row, column] = value
    return bars


REFUSED = {
    "a column is missing": (_without("volume"), r"no column volume; it needs ticker, date, high"),
    "a bar is there twice": (stock(30).iloc[[0, 1, 1, 2]], r"AAA, 2015-01-02 occurs twice; 1 such rows"),
    "dates descend": (
        stock(30).iloc[[0, 2, 1]],
        r"AAA, 2015-01-02 comes after 2015-01-05.*sort the panel by ticker, date",
    ),
    "a ticker's rows are apart": (
        pd.concat([stock(3), stock(3, ticker="B"), stock(6).iloc[3:]]),
        r"the rows of AAA are not contiguous",
    ),
    "a price is negative": (_with(7, "low", -3.5), r"AAA, 2015-01-12: low -3.5, expected a number >= 0"),
    "a price is infinite": (_with(7, "close", np.inf), r"AAA, 2015-01-12: close inf"),
    "volume is negative": (_with(7, "volume", -1), r"AAA, 2015-01-12: volume -1"),
    "too many quotes are missing": (
        _with(3, "close", 0),
        r"3.3% of close is 0 or missing, the first of AAA on 2015-01-06",
    ),
    "a ticker is missing": (_with(3, "ticker", None), r"1 rows without a ticker"),
    "prices are words": (stock(3).astype({"low": str}), r"low is .*string, expected integers or floats"),
    "dates are words": (stock(3).astype({"date": str}), r"date is .*string, expected dates or timestamps"),
    "a date is missing": (_with(3, "date", pd.NaT), r"a row of AAA has no date"),
}


@pytest.mark.parametrize(("bars", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_panel_is_refused_when(bars: pd.DataFrame, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        price_features(bars, [FIRST])


@pytest.mark.parametrize(("day", "message"), [("Friday", "expected days such as"), ("NaT", "one of them is missing")])
def test_dates_that_are_none_are_refused(day: str, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        price_features(stock(3), ["2015-01-02", day])


def test_an_empty_panel_or_no_date_gives_an_empty_table() -> None:
    bars = stock(30)

    for table in (
        price_features(bars.iloc[:0], [FIRST]),
        price_features(bars, []),
        price_features(bars, ["2001-01-05"]),
    ):
        assert table.shape == (0, len(NAMES))
        assert table.index.names == ["ticker", "date"]


@pytest.mark.parametrize("rule", [{"gap_days": 0}, {"greatest_move": 1.0}, {"stale_days": -1}])
def test_rules_that_no_history_could_keep_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(FeatureError, match="must be positive and the greatest move above 1"):
        Continuity(**rule)


def test_the_picture_is_a_png_and_an_unknown_ticker_is_refused() -> None:
    bars = pd.concat([stock(400, seed=seed, ticker=f"T{seed}") for seed in range(3)])
    features = price_features(bars, weekdays(400)[300::5])

    assert price_picture(bars, features, "T1").startswith(b"\x89PNG")
    with pytest.raises(FeatureError, match="'T9': not among the stocks"):
        price_picture(bars, features, "T9")


def test_real_stocks_have_values_within_the_bounds_of_each_measure(shared_data: Path) -> None:
    path = shared_data / NASDAQ
    if not path.is_file():
        pytest.skip(f"no price panel at {path}")
    bars = pq.read_table(path, filters=[("ticker", "in", ["AAPL", "MSFT", "AABA", "ADBE"])])
    fridays = np.arange(np.datetime64("2004-06-04"), np.datetime64("2017-12-08"), 7)

    found = price_features(bars, fridays)

    assert len(found) == 4 * len(fridays)
    assert found.notna().to_numpy().mean() > 0.99
    assert not np.isinf(found.to_numpy()).any()
    for name in ("rsi_14", "stochastic_k", "stochastic_d"):
        assert found[name].dropna().between(0, 100).all()
    assert found["high_ratio_252"].dropna().between(0, 1).all()
    # Apple's first weeks of 2008 fell by a third from their high, and its rise of 2009 was the year's.
    apple = found.xs("AAPL", level="ticker")
    assert apple["high_ratio_252"].loc["2008-02-08"] < 0.7
    assert apple["return_252"].loc["2009-12-31":"2010-01-08"].iloc[0] > 2
