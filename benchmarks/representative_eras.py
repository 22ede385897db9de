"""Loss of CORR when trained on fewer eras, and how much representative eras reduce it.

    python -m benchmarks.representative_eras                      # 45 and 20 of 172 eras, eight markets: 2 CPU minutes
    python -m benchmarks.representative_eras --markets 4 --sampled 30

Synthetic markets of the sandbox, with a stronger signal than Numerai's so that few eras show a difference. The momentum
ensemble, with few trees, is trained on all eras before the wall, on representative, on evenly spaced and on random ones. The
score is the CORR in the same later eras.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from numerai_assets.eras import Wall, friday_of, horizon_of
from numerai_assets.evaluation.comparison import compare
from numerai_assets.evaluation.metrics import Score, score_era
from numerai_assets.methods.momentum_ensemble.estimator import MomentumEnsemble
from numerai_assets.methods.momentum_ensemble.representative_eras import representative_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published import encoder
from numerai_assets.sandbox.published.sizes import SIZES

TARGET = "target_ender_20"
FIRST, FITTED, JUDGED = 300, 180, 120
_LOUD = Dials(effects=0.05, regimes=0.01)
_SMALL: dict[str, Any] = {
    "n_estimators": 200,
    "learning_rate": 0.05,
    "forest_trees": 60,
    "forest_leaves": 64,
    "colsample_bytree": 0.3,
    "num_threads": 1,
}


def market_panel(eras: Sequence[int], seed: int, *, stocks: int = 300, characteristics: int = 100) -> EraPanel:
    """Binned characteristics and the 20-day target of a synthetic market, rows in random order."""
    size = replace(SIZES["tiny"].with_stocks(stocks), characteristics=characteristics, first_era=eras[0])
    market = SyntheticMarket(size, seed, dials=_LOUD)
    blocks, targets, ids = [], [], []
    for era in eras:
        day, rng = friday_of(era), np.random.default_rng([seed, era])
        snapshot = market.snapshot(day)
        returns = market.forward_returns(day, snapshot.stocks, horizon_of(TARGET))
        target = encoder.encode_target("ender", returns, snapshot.exposures, market.exposure_groups, rng, fill=True)
        order = rng.permutation(len(target))
        blocks.append(np.ascontiguousarray(encoder.bin_features(snapshot.characteristics, rng)[order].T))
        targets.append(target[order])
        ids.append(order.astype(str).astype(object))
    names = tuple(f"feature_{i}" for i in range(characteristics))
    return EraPanel(tuple(blocks), names, tuple(eras), tuple(ids), {TARGET: tuple(targets)})


def scores_of(fitted: EraPanel, judged: EraPanel) -> pd.Series:
    """CORR of each out-of-sample era, by its number."""
    method = MomentumEnsemble(**_SMALL).fit(fitted, target=TARGET, seed=0)
    return pd.Series(
        [
            float(score_era(method.predict(era)[:, None].astype(float), Score(era.target(TARGET)))[0])
            for era in judged.each_era()
        ],
        index=list(judged.eras),
    )


def choices(panel: EraPanel, sampled: int, draws: int, seed: int) -> Iterator[tuple[str, list[int]]]:
    """Each way to choose that many eras, and the eras that it chooses."""
    yield "representative", representative_eras(panel, TARGET, sampled)
    runs = np.array_split(np.asarray(panel.eras), sampled)
    yield "evenly spaced", [int(run[len(run) // 2]) for run in runs]
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        yield "random", sorted(rng.choice(panel.eras, sampled, replace=False).tolist())


def measure(sampled: Sequence[int], markets: int, draws: int) -> dict[str, pd.Series]:
    """CORR by era, averaged over the markets and, for random choices, over draws; keys "all" and e.g. "45 random"."""
    found: dict[str, list[pd.Series]] = {}
    for market in range(markets):
        panel = market_panel(range(FIRST, FIRST + FITTED + JUDGED), market)
        wall = Wall(FIRST + FITTED - 1, horizon_of(TARGET))
        before = panel.with_eras(wall.fit_eras(panel.eras))
        judged = panel.with_eras(wall.judged_eras(panel.eras))
        found.setdefault("all", []).append(scores_of(before, judged))
        for count in sampled:
            for way, eras in choices(before, count, draws, market):
                found.setdefault(f"{count} {way}", []).append(scores_of(before.with_eras(eras), judged))
    return {name: pd.concat(scores, axis=1).mean(axis=1) for name, scores in found.items()}


def print_table(found: dict[str, pd.Series]) -> None:
    """Prints CORR, and the differences to all eras and to as many evenly spaced eras."""
    horizon = horizon_of(TARGET)
    print(f"{'eras':<20}{'CORR':>9}{'less all':>11}{'se':>9}{'90 %':>20}{'less evenly spaced':>21}{'se':>9}")
    for name, scores in found.items():
        line = f"{name:<20}{scores.mean():>9.4f}"
        if name != "all":
            loss = compare(scores, found["all"], horizon=horizon, seed=0)
            line += (
                f"{loss.difference.mean:>+11.4f}{loss.difference.error:>9.4f}{f'{loss.low:+.4f}..{loss.high:+.4f}':>20}"
            )
            even = found[f"{name.split()[0]} evenly spaced"]
            if scores is not even:
                gain = compare(scores, even, horizon=horizon, seed=0)
                line += f"{gain.difference.mean:>+21.4f}{gain.difference.error:>9.4f}"
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampled", type=int, nargs="+", default=[45, 20])
    parser.add_argument("--markets", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2)
    options = parser.parse_args()
    print_table(measure(options.sampled, options.markets, options.draws))
