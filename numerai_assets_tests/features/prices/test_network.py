"""Network momentum of stocks: no look-ahead, stocks in any order, planted sectors, and stocks that come and go."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from numerai_assets.errors import FeatureError
from numerai_assets.features.prices.indicators import MOMENTUM_NAMES
from numerai_assets.features.prices.momentum import price_features
from numerai_assets.features.prices.network import (
    NAMES,
    NetworkRules,
    graph_at,
    graph_days,
    mean_distances,
    momentum_at,
    neighbours,
    of_one_scale,
    price_network,
)
from numerai_assets.nn.graph_learning import pairwise_distances

SECTORS, MEMBERS, DAYS = 4, 4, 700
RULES = NetworkRules(relearn=4, history=26)


def panel(seed: int = 0, days: int = DAYS) -> pd.DataFrame:
    """Bars of stocks that share most of what moves them with their sector, "A0".."D3"."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.015, (SECTORS, 1, days))
    moves = (shared + rng.normal(0, 0.008, (SECTORS, MEMBERS, days))).reshape(-1, days)
    close = 50 * np.exp(np.cumsum(moves, axis=1)).ravel()
    tickers = [f"{sector}{member}" for sector in "ABCD" for member in range(MEMBERS)]
    return pd.DataFrame(
        {
            "ticker": np.repeat(tickers, days),
            "date": np.tile(pd.bdate_range("2013-01-01", periods=days), len(tickers)),
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": rng.integers(1_000, 100_000, len(close)),
        }
    )


BARS = panel()
FRIDAYS = np.unique(BARS["date"][BARS["date"].dt.day_of_week == 4].to_numpy().astype("datetime64[D]"))[-7:]


def of(bars: pd.DataFrame, dates: Any = FRIDAYS, rules: NetworkRules = RULES) -> pd.DataFrame:
    return price_network(bars, dates, rules=rules)


def on(found: pd.DataFrame, day: object) -> pd.DataFrame:
    """Rows of one date, by ticker."""
    return found.loc[found.index.get_level_values("date") == day].droplevel("date")


def empty(found: pd.DataFrame) -> set[str]:
    """Stocks without any value."""
    return set(found.index[np.isnan(found.to_numpy()).all(axis=1)])


@functools.cache
def whole() -> pd.DataFrame:
    return of(BARS)


def test_rows_are_those_of_the_indicators_and_all_stocks_with_a_history_have_values() -> None:
    assert list(whole().columns) == list(NAMES)
    assert set(whole().dtypes) == {np.dtype(np.float32)}
    assert len(whole()) == len(FRIDAYS) * SECTORS * MEMBERS
    assert np.isfinite(whole().to_numpy()).all()


def test_columns_stand_beside_the_indicators() -> None:
    pytest.importorskip("talib", reason="needs the extra `prices`")

    pd.testing.assert_index_equal(whole().index, price_features(BARS, list(FRIDAYS)).index)


@given(place=st.integers(0, len(FRIDAYS) - 1), factor=st.sampled_from([0.6, 1.3, 3.0]))
@settings(max_examples=4, deadline=None)
def test_bars_after_the_friday_change_nothing(place: int, factor: float) -> None:
    friday = FRIDAYS[place]
    later = BARS["date"] > friday
    altered = BARS.copy()
    altered.loc[later & (altered["ticker"] < "C"), ["high", "low", "close"]] *= factor
    altered.loc[later, "volume"] = 7

    pd.testing.assert_frame_equal(on(of(altered, [friday]), friday), on(whole(), friday))
    pd.testing.assert_frame_equal(of(BARS[~later], [friday]), of(altered, [friday]))


def test_a_date_does_not_depend_on_the_others_asked_for() -> None:
    thursday = FRIDAYS[2] - np.timedelta64(1, "D")

    together, alone = of(BARS, [thursday, *FRIDAYS]), of(BARS, [thursday])

    pd.testing.assert_frame_equal(together.drop(pd.Timestamp(thursday), level="date"), whole())
    pd.testing.assert_frame_equal(on(together, thursday), on(alone, thursday))


@given(order=st.permutations(sorted(set(BARS["ticker"]))))
@settings(max_examples=3, deadline=None)
def test_stocks_in_another_order_have_the_same_values(order: list[str]) -> None:
    renamed = BARS.assign(ticker=BARS["ticker"].map(dict(zip(sorted(set(order)), order, strict=True))))
    last = FRIDAYS[-1]

    found = on(of(renamed, [last]), last)

    expected = on(whole(), last)
    assert_allclose(found.loc[order].to_numpy(), expected.to_numpy(), rtol=1e-3, atol=1e-4)


def test_planted_sectors_are_found_and_the_graph_is_far_from_complete() -> None:
    day = graph_days(FRIDAYS[-1:], RULES)[0]
    fridays = np.arange(day - 7 * 120, day + 1, 7)

    graph = graph_at(momentum_at(BARS, fridays), day, RULES)

    sector = graph.nodes // MEMBERS
    within = sector[:, None] == sector
    edges = graph.weights > 1e-3 * graph.weights.max()
    assert len(graph.nodes) == SECTORS * MEMBERS
    assert_array_equal(graph.weights, graph.weights.T)
    assert graph.weights[within].sum() > 0.8 * graph.weights.sum()
    assert edges.sum() < 0.5 * edges.size
    assert edges.any(axis=1).all()


def test_neighbours_momentum_goes_with_that_of_the_sector() -> None:
    friday = FRIDAYS[-1]
    own = momentum_at(BARS, FRIDAYS[-1:]).values[0].reshape(SECTORS, MEMBERS, -1)
    found = on(whole(), friday).to_numpy().reshape(SECTORS, MEMBERS, -1)

    others = (own.sum(axis=1, keepdims=True) - own) / (MEMBERS - 1)

    column = MOMENTUM_NAMES.index("return_252")
    assert np.corrcoef(found[..., column].ravel(), others[..., column].ravel())[0, 1] > 0.95


def test_a_graph_is_relearned_at_the_fridays_of_eras_that_its_cadence_divides() -> None:
    days = np.array(["2003-01-10", "2003-02-06", "2003-02-07", "2003-05-01"], "datetime64[D]")

    learned = graph_days(days, NetworkRules(relearn=4))

    # Eras 1, 4 less a day, 5 and 16; era 0 is the Friday before the first.
    assert [str(day) for day in learned] == ["2003-01-03", "2003-01-31", "2003-01-31", "2003-04-25"]


def test_only_the_stocks_that_most_money_is_traded_in_are_nodes() -> None:
    bars = BARS.assign(volume=np.where(BARS["ticker"].isin(["A0", "A1", "C2"]), 10**9, BARS["volume"]))

    found = on(of(bars, FRIDAYS[-1:], NetworkRules(stocks=3, relearn=4, history=26)), FRIDAYS[-1])

    assert set(found.index) - empty(found) == {"A0", "A1", "C2"}


def test_a_young_stock_and_one_that_is_gone_are_left_out() -> None:
    young = (BARS["ticker"] == "A0") & (BARS["date"] < FRIDAYS[0] - np.timedelta64(400, "D"))
    gone = (BARS["ticker"] == "B1") & (BARS["date"] > FRIDAYS[-1] - np.timedelta64(9, "D"))

    found = on(of(BARS[~(young | gone)]), FRIDAYS[-1])

    assert empty(found) == {"A0", "B1"}
    assert np.isfinite(found.drop(index=["A0", "B1"]).to_numpy()).all()


def test_without_a_history_there_are_rows_but_no_values() -> None:
    found = of(BARS, BARS["date"].iloc[[100, 320]].to_numpy())

    assert len(found) == 2 * SECTORS * MEMBERS
    assert np.isnan(found.to_numpy()).all()


def test_an_empty_panel_and_no_dates_give_no_rows() -> None:
    assert len(of(BARS.iloc[:0])) == len(of(BARS, [])) == 0


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_distances_over_whole_histories_are_those_of_graph_learning(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(6, 5, 3)).astype(np.float32)

    found = mean_distances(values)

    expected = pairwise_distances(torch.from_numpy(values.transpose(1, 0, 2).reshape(5, -1).astype(np.float64)))
    assert_allclose(found * 6, expected.numpy())


def test_a_distance_is_the_mean_over_the_days_that_two_stocks_share() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
    values[:2, 0], values[4, 1, 1] = np.nan, np.nan

    first = mean_distances(values)[0]

    shared = [2, 3, 5]
    assert first == pytest.approx(np.square(values[shared, 0] - values[shared, 1]).sum(axis=1).mean(), rel=1e-5)


def test_a_feature_is_of_one_scale_across_the_stocks_of_a_day() -> None:
    values = np.random.default_rng(0).normal(3, [1, 50], (5, 40, 2)).astype(np.float32)
    values[1, :7, 0] = np.nan
    values[2, :, 1] = 4

    found = of_one_scale(values)

    assert_array_equal(np.isnan(found), np.isnan(values).any(axis=2, keepdims=True).repeat(2, axis=2))
    assert_allclose(np.nanmean(found, axis=1), 0, atol=1e-5)
    assert_allclose(np.nanstd(found, axis=1)[[0, 1, 3, 4]], 1, rtol=1e-4)
    assert (found[2, :, 1] == 0).all()


def test_who_has_no_momentum_lends_none_and_who_has_no_neighbour_left_gets_none() -> None:
    weights = np.array([[0, 1, 0, 0], [1, 0, 2, 0], [0, 2, 0, 3], [0, 0, 3, 0]], float)
    own = np.array([[1], [np.nan], [3], [4]], np.float32)

    assert_allclose(neighbours(own, weights), np.array([[np.nan], [np.nan], [4], [3]], np.float32), rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"stocks": 1}, {"relearn": 0}, {"history": 0}])
def test_rules_that_make_no_network_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(FeatureError, match="two stocks or more"):
        NetworkRules(**wrong)
