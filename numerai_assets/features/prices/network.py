"""Network momentum of the user's own stocks: the momentum of each stock's neighbours on a graph learned from prices.

Papers: Pu et al. 2023, L2GMOM (arXiv 2308.12212), whose eight momentum features U give D^-1/2 A D^-1/2 U; Kalofolias 2016
for the graph A (`graph_learning`), of stocks whose features were alike in all of the past.

Changed: features are sampled at the Fridays of eras, because those of neighbouring days are nearly the same, and scaled
across stocks at each Friday, so that no feature and no crash outweighs the rest; a graph is used for several eras; stocks
come and go, so the distance of two is the mean over the Fridays that both have; only the most traded stocks are nodes,
because the number of pairs grows with the square of the number of nodes.

The values at a date are computed from the bars up to it, whatever other dates are requested.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from numerai_assets.eras import FIRST_FRIDAY
from numerai_assets.errors import FeatureError
from numerai_assets.features.prices.indicators import MOMENTUM_NAMES, Bars, momentum_features, rolling_sum
from numerai_assets.features.prices.momentum import Continuity, Days, Places, Values, asked_days, first_day, values_at
from numerai_assets.nn.graph_learning import as_matrix, normalised, primal_dual, scaled
from numerai_assets.progress import Progress, silent

NAMES = tuple(f"network_{name}" for name in MOMENTUM_NAMES)

_FIRST = np.datetime64(FIRST_FRIDAY, "D")
_TRADED_DAYS = 63
_DAYS_IN_ERA = 7


@dataclass(frozen=True)
class NetworkRules:
    """Choice of the nodes, and lifetime of a graph.

    stocks: largest number of nodes; those with the most money traded over 63 bars are chosen. relearn: eras between
    graphs. history: number of eras up to that of the graph; a node has momentum in each of them.
    """

    stocks: int = 256
    relearn: int = 13
    history: int = 52

    def __post_init__(self) -> None:
        if self.stocks < 2 or self.relearn < 1 or self.history < 1:
            raise FeatureError(f"price network: expected two stocks or more, and eras of 1 or more, found {self}")


@dataclass(frozen=True)
class Momentum:
    """Momentum of n stocks at t days, ascending. tickers: sorted. values: (t, n, 8) float32, MOMENTUM_NAMES, NaN where there
    are too few bars. traded: (t, n) float32 mean money per bar over 63 bars. listed: (t, n) True from a stock's first bar on.
    """

    days: Days
    tickers: pd.Index
    values: NDArray[np.float32]
    traded: NDArray[np.float32]
    listed: NDArray[np.bool_]


def price_network(
    bars: pa.Table | pd.DataFrame,
    dates: Sequence[object],
    *,
    rules: NetworkRules | None = None,
    continuity: Continuity | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Neighbours' momentum (`NAMES`) of every stock at each of `dates`: float32, index (ticker, date).

    bars, dates, continuity, rows and errors are those of `momentum.price_features`. The graph of a date is learned at the
    newest Friday, on or before it, of an era whose number is a multiple of `rules.relearn`. NaN for stocks outside the
    graph, stocks without momentum at the date and stocks none of whose neighbours has any, and for all stocks if there are
    fewer than two nodes. Raises MethodError if all nodes are identical.
    """
    rules = rules or NetworkRules()
    asked = asked_days(dates)
    days = np.union1d(_fridays(first_day(bars), asked), asked)
    momentum = momentum_at(bars, days, continuity=continuity, progress=progress)
    found = np.full(momentum.values.shape, np.nan, np.float32)
    places = np.searchsorted(days, asked)
    learned_at = graph_days(asked, rules)
    graphs = np.unique(learned_at)
    for done, day in enumerate(graphs):
        progress("graphs", done, len(graphs))
        graph = graph_at(momentum, day, rules)
        for place in places[learned_at == day]:
            found[place, graph.nodes] = neighbours(momentum.values[place, graph.nodes], graph.weights)
    progress("graphs", len(graphs), len(graphs))
    moment, stock = np.nonzero(momentum.listed[places])
    tickers = pd.Categorical.from_codes(stock, categories=momentum.tickers)
    index = pd.MultiIndex.from_arrays([tickers, asked[moment].astype("datetime64[s]")], names=["ticker", "date"])
    return pd.DataFrame(found[places[moment], stock], index=index, columns=list(NAMES))


def momentum_at(
    bars: pa.Table | pd.DataFrame, days: Days, *, continuity: Continuity | None = None, progress: Progress = silent
) -> Momentum:
    """Momentum of every stock at each of the days, ascending, from the newest bar on or before it."""
    table = values_at(bars, days, _measure, (*MOMENTUM_NAMES, "traded"), continuity=continuity, progress=progress)
    stocks = pd.Categorical(table.index.get_level_values("ticker"))
    values = np.full((len(days), len(stocks.categories), len(MOMENTUM_NAMES) + 1), np.nan, np.float32)
    listed = np.zeros(values.shape[:2], bool)
    rows = np.searchsorted(days, table.index.get_level_values("date")), stocks.codes
    values[rows], listed[rows] = table.to_numpy(), True
    return Momentum(days, stocks.categories, values[..., :-1], values[..., -1], listed)


def graph_days(days: Days, rules: NetworkRules) -> Days:
    """(t,) the Friday at which the graph of each of the days (t,) was learned."""
    eras = (days - _FIRST).astype(np.int64) // _DAYS_IN_ERA + 1
    return _FIRST + (eras // rules.relearn * rules.relearn - 1) * _DAYS_IN_ERA


@dataclass(frozen=True)
class StockGraph:
    """nodes: (m,) indices of stocks. weights: (m, m) float64 >= 0, symmetric, diagonal 0."""

    nodes: Places
    weights: Values


def graph_at(momentum: Momentum, day: np.datetime64, rules: NetworkRules) -> StockGraph:
    """Graph learned from the Fridays up to `day`; without nodes if fewer than two stocks have a history."""
    past = np.flatnonzero((momentum.days <= day) & ((momentum.days - _FIRST).astype(np.int64) % _DAYS_IN_ERA == 0))
    nodes = _nodes(momentum, past, rules)
    if len(nodes) < 2:
        return StockGraph(nodes[:0], np.empty((0, 0)))
    distances = scaled(torch.from_numpy(mean_distances(of_one_scale(momentum.values[past][:, nodes]))))
    return StockGraph(nodes, as_matrix(primal_dual(distances)).numpy())


def of_one_scale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(t, m, k) each feature with mean 0 and mean square 1 over the stocks with all features that day; NaN for the others."""
    known = ~np.isnan(values).any(axis=2, keepdims=True)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    away = np.where(known, values - np.where(known, values, 0).sum(axis=1, keepdims=True) / count, 0)
    spread = np.sqrt(np.square(away).sum(axis=1, keepdims=True) / count)
    return np.where(known, away / np.where(spread > 0, spread, 1), np.float32(np.nan))


def mean_distances(values: NDArray[np.float32]) -> Values:
    """(m (m - 1) / 2,) mean squared distance of each pair over the days at which both have values (t, m, k): upper triangle,
    row by row. Each pair must have such a day.
    """
    known = np.asarray(~np.isnan(values).any(axis=2))
    there = np.where(known[..., None], values, 0).astype(np.float64)
    shared = known.astype(np.float64)
    squares = np.asarray(np.square(there).sum(axis=2)).T @ shared
    flat = there.transpose(1, 0, 2).reshape(len(squares), -1)
    upper = np.triu_indices(len(squares), 1)
    total = (squares + squares.T - 2 * flat @ flat.T)[upper]
    return np.asarray(np.maximum(total, 0) / (shared.T @ shared)[upper])


def neighbours(own: NDArray[np.float32], weights: Values) -> NDArray[np.float32]:
    """(m, k) D^-1/2 A D^-1/2 U of momentum U (m, k) and weights A (m, m) over the nodes that have momentum; NaN for the
    others, and for nodes none of whose neighbours has momentum.
    """
    found = np.full(own.shape, np.nan, np.float32)
    known = np.flatnonzero(~np.isnan(own).any(axis=1))
    among = weights[np.ix_(known, known)]
    joined = known[among.any(axis=1)]
    among = weights[np.ix_(joined, joined)]
    found[joined] = normalised(torch.from_numpy(among)).numpy() @ own[joined]
    return found


def _nodes(momentum: Momentum, past: Places, rules: NetworkRules) -> Places:
    """Ascending indices of the stocks that are nodes at the last of the past Fridays."""
    recent = past[-rules.history :]
    if len(recent) < rules.history:
        return past[:0]
    old = np.flatnonzero(~np.isnan(momentum.values[recent]).any(axis=(0, 2)))
    by_traded = np.argsort(-momentum.traded[recent[-1], old], kind="stable")
    return np.sort(old[by_traded[: rules.stocks]])


def _fridays(first: np.datetime64, asked: Days) -> Days:
    """Fridays of eras from the first bar to the last requested day."""
    if np.isnat(first) or not len(asked):
        return asked[:0]
    begin, end = ((day - _FIRST).astype(np.int64) for day in (first, asked[-1]))
    return _FIRST + np.arange(-(-begin // _DAYS_IN_ERA), end // _DAYS_IN_ERA + 1) * _DAYS_IN_ERA


def _measure(bars: Bars) -> Values:
    """(t, 9) momentum, and mean money traded per day."""
    traded = rolling_sum(bars.close * bars.volume, _TRADED_DAYS) / _TRADED_DAYS
    return np.column_stack([momentum_features(bars.close[:, None])[:, 0], traded])
