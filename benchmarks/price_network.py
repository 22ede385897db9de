"""Network momentum of stocks on real prices: whether the graph matches later returns, and whether it forecasts them.

    python -m benchmarks.price_network
    python -m benchmarks.price_network --stocks 128 --relearn 26

Needs the panel us_equities_nasdaq_2003_2017.parquet in NUMERAI_ASSETS_SHARED_DATA, or in shared/data beside the checkout.
Its stocks are those that survived to its end, and its prices are not adjusted for dividends. Every four weeks the next four
weeks are forecast, so that the scores are independent; the signal is the mean of a stock's eight momentum features, i.e.
trend following.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.eras import friday_of
from numerai_assets.features.prices.momentum import COLUMNS, values_at
from numerai_assets.features.prices.network import (
    Momentum,
    NetworkRules,
    StockGraph,
    graph_at,
    graph_days,
    momentum_at,
    neighbours,
)

Array = NDArray[np.float64]

PRICES = "us_equities_nasdaq_2003_2017.parquet"
# Weeks of a forecast, and eras of the panel.
_AHEAD, _ERAS = 4, 774
# A weight of at least this share of the largest is an edge: iterations end near 0, not at 0.
_EDGE = 1e-3
_LEAST_NODES = 30


@dataclass(frozen=True)
class Market:
    """Momentum and closes (t, n) at Fridays."""

    momentum: Momentum
    close: Array

    @classmethod
    def read(cls, panel: Path) -> "Market":
        bars = pq.read_table(panel, columns=list(COLUMNS))
        fridays = np.array([friday_of(era) for era in range(1, _ERAS + 1)], "datetime64[D]")
        momentum = momentum_at(bars, fridays)
        table = values_at(bars, fridays, lambda of: of.close[:, None], ("close",))
        close = np.full(momentum.listed.shape, np.nan)
        close[momentum.listed] = table["close"].to_numpy()
        return cls(momentum, close)

    def returns(self, start: int, stop: int) -> Array:
        """(n,) from one Friday to another."""
        return np.asarray(self.close[stop] / self.close[start] - 1)


def graph_quality(market: Market, graph: StockGraph, place: int, weeks: int) -> tuple[float, float, float]:
    """Density; rank correlation of the weekly returns in the following weeks between joined stocks, weighted, and between
    the others."""
    weekly = np.stack([market.returns(week, week + 1)[graph.nodes] for week in range(place, place + weeks)])
    known = np.isfinite(weekly).all(axis=0)
    # One unadjusted split would outweigh the common part of plain returns.
    alike = np.corrcoef(rankdata(weekly[:, known], axis=1).T)
    upper = np.triu_indices(len(alike), 1)
    weights, found = graph.weights[np.ix_(known, known)][upper], alike[upper]
    joined = weights > _EDGE * graph.weights.max()
    return float(joined.mean()), float(np.average(found, weights=weights)), float(found[~joined].mean())


def forecasts(market: Market, graph: StockGraph, place: int, rng: np.random.Generator) -> list[float]:
    """Rank correlation with the following return: of own momentum, of the neighbours' momentum, of the neighbours' with
    shuffled nodes, and of the part of the neighbours' that own momentum does not explain."""
    own = market.momentum.values[place, graph.nodes]
    shuffled = rng.permutation(len(own))
    signals = [
        own.mean(axis=1),
        neighbours(own, graph.weights).mean(axis=1),
        neighbours(own, graph.weights[np.ix_(shuffled, shuffled)]).mean(axis=1),
    ]
    paid = market.returns(place, place + _AHEAD)[graph.nodes]
    known = np.isfinite(np.stack([*signals, paid])).all(axis=0)
    ranks = [rankdata(values[known]) for values in (*signals, paid)]
    own_rank, network_rank = ranks[0] - ranks[0].mean(), ranks[1] - ranks[1].mean()
    beside = network_rank - own_rank * (network_rank @ own_rank) / (own_rank @ own_rank)
    return [float(np.corrcoef(signal, ranks[-1])[0, 1]) for signal in (*ranks[:-1], beside)]


def main(panel: Path, stocks: int, relearn: int) -> None:
    began = time.process_time()
    market, rules = Market.read(panel), NetworkRules(stocks=stocks, relearn=relearn)
    days, rng = market.momentum.days, np.random.default_rng(0)
    read = time.process_time() - began
    learned_at = graph_days(days, rules)
    quality, scores, graph = [], [], None
    for place in range(len(days) - relearn):
        if learned_at[place] == days[place]:
            graph = graph_at(market.momentum, days[place], rules)
            if len(graph.nodes) >= _LEAST_NODES:
                quality.append(graph_quality(market, graph, place, relearn))
        if graph is not None and len(graph.nodes) >= _LEAST_NODES and place % _AHEAD == 0:
            scores.append(forecasts(market, graph, place, rng))
    took = time.process_time() - began - read
    print(
        f"{stocks} stocks at most, {len(quality)} graphs, relearned every {relearn} eras; CPU s: {read:.1f} + {took:.1f}"
    )
    for name, values in zip(
        ("density", f"correlation of the {relearn} weeks after: joined stocks", "  others"),
        np.array(quality).T,
        strict=True,
    ):
        print_mean(name, values)
    named = ("own momentum", "neighbours'", "neighbours', nodes shuffled", "neighbours' beside own")
    print(f"rank correlation with the return of the next {_AHEAD} weeks, {len(scores)} dates")
    for name, values in zip(named, np.array(scores).T, strict=True):
        print_mean(f"  {name}", values)


def print_mean(name: str, values: Array) -> None:
    print(f"{name:<52}{values.mean():>9.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}")


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    found = Path(os.environ.get("NUMERAI_ASSETS_SHARED_DATA", beside)) / PRICES
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("stocks", 256), ("relearn", 13)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if found.is_file():
        main(found, options.stocks, options.relearn)
    else:
        print(f"skipped, {found} is not there")
