"""Test of explanations on the sandbox's market, where the features that pay are known.

    python -m benchmarks.planted_features                                   # the default dials, and 2, 4 and 8 times as strong
    python -m benchmarks.planted_features --strengths 1 --trees 2000 --learning-rate 0.01

A synthetic market of size `default` is made in memory; its effects and regimes are the default ones times a strength.
`benchmark` is fitted on the first eras. The importance of its features is measured on the last eras, after a purge: by
gain, by permutation and by SHAP. The table has, for each kind of signal: the number of features that carry it, the share of
them in the top decile of all 310 (chance: .10), and their median rank among all (0 is the top, chance: .50). It also has the
method's mean CORR on the out-of-sample eras, and that of the best possible prediction.

`effects` are the linear, quadratic and interacting features together. `regimes` are features whose payoffs cancel over all
regimes, and `kinship` are the slow features that leaders and followers of the hidden network share, which have no payoff of
their own; both without features that also carry an effect.
"""

import argparse
import itertools
import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import PAYOUT_TARGET, Wall, friday_of, horizon_of, last_era_before
from numerai_assets.evaluation.importance import importances
from numerai_assets.evaluation.metrics import corr
from numerai_assets.evaluation.permutation_importance import corr_lost
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.permuted_predictions import permuting
from numerai_assets.panel.panel import EraPanel
from numerai_assets.sandbox.market.economy import Dials, draw_economy
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published.encoder import bin_features, encode_ids, encode_target
from numerai_assets.sandbox.published.sizes import SIZES, Size

MEASURES = ("gain", "permutation", "shap")
_HORIZON = horizon_of(PAYOUT_TARGET)


@dataclass(frozen=True)
class World:
    """Eras of a market as Numerai would publish them. carriers: features by the kind of their signal.

    best: of each era, (n,) the best possible prediction.
    """

    panel: EraPanel
    carriers: dict[str, tuple[str, ...]]
    best: dict[int, NDArray[np.float32]]


def world(size: Size, dials: Dials, seed: int, eras: range, judged: range) -> World:
    """Some eras of a synthetic market, in memory, and the best predictions of the out-of-sample eras."""
    market = SyntheticMarket(size, seed, dials=dials)
    # All snapshots first: the market caches few states, and restarts from its beginning for an older one.
    seen, blocks, best = {}, [], {}
    for era in eras:
        snapshot = market.snapshot(friday_of(era))
        seen[era] = replace(snapshot, characteristics=np.empty((0, 0), np.float32))
        blocks.append(
            np.ascontiguousarray(bin_features(snapshot.characteristics, np.random.default_rng([seed, era])).T)
        )
        if era in judged:
            parts = market.oracle(friday_of(era), snapshot.stocks, _HORIZON)
            best[era] = np.sum(list(parts.values()), axis=0)
    targets = tuple(
        encode_target(
            "ender",
            market.forward_returns(friday_of(era), snapshot.stocks, _HORIZON),
            snapshot.exposures,
            market.exposure_groups,
            np.random.default_rng([seed, era]),
            fill=True,
        )
        for era, snapshot in seen.items()
    )
    ids = tuple(encode_ids(seed, str(era), seen[era].stocks).astype(str).astype(object) for era in eras)
    panel = EraPanel(tuple(blocks), market.characteristics, tuple(eras), ids, {PAYOUT_TARGET: targets})
    return World(panel, carriers_of(size, dials, seed), best)


def carriers_of(size: Size, dials: Dials, seed: int) -> dict[str, tuple[str, ...]]:
    """Features by the kind of their signal."""
    economy = draw_economy(size.characteristics, size.first_era, seed, dials)
    columns = {
        "linear": economy.effects.linear,
        "quadratic": economy.effects.square,
        "interactions": np.unique(economy.effects.pairs),
        "effects": economy.effects.columns(),
        "regimes": np.setdiff1d(economy.local.columns(), economy.effects.columns()),
        "kinship": np.setdiff1d(economy.kinship, economy.effects.columns()),
    }
    return {kind: tuple(economy.names[place] for place in places) for kind, places in columns.items()}


def importances_of(method: Benchmark, judged: EraPanel, seed: int, rows: int = 50) -> pd.DataFrame:
    """Importance of each feature of a fitted method on unseen eras, by every measure; all features are permuted."""
    permute, by_era = permuting(method), []
    for panel in judged.each_era():
        (era,), rng = panel.eras, np.random.default_rng([seed, *panel.eras])
        found = permute(panel, range(len(panel.feature_names)), rng)
        frame = method.explain(panel).set_index("feature")[["gain"]].reindex(list(panel.feature_names))
        frame["permutation"] = corr_lost(found, panel.target(PAYOUT_TARGET))
        some = np.sort(rng.permutation(panel.rows)[:rows])
        frame["shap"] = np.abs(method.contributions(panel, some)).mean(axis=0)
        by_era.append(frame.rename_axis("feature").reset_index().assign(era=era, vintage=0))
    return importances(pd.concat(by_era), dict.fromkeys(judged.feature_names, ""), horizon=_HORIZON)


def share_in_top_decile(table: pd.DataFrame, measure: str, features: tuple[str, ...]) -> float:
    """Share of the features that is in the top decile of the table."""
    return float(np.isin(features, table.nlargest(len(table) // 10, measure)["feature"]).mean())


def median_place(table: pd.DataFrame, measure: str, features: tuple[str, ...]) -> float:
    """Median rank of the features in the table, from 0 (the top) to 1."""
    places = table.set_index("feature")[measure].rank(ascending=False, pct=True)
    return float(places[list(features)].median())


def mean_corr(predictions: dict[int, NDArray[np.float32]], panel: EraPanel) -> float:
    """Mean CORR of predictions by era."""
    eras = panel.each_era()
    return float(np.mean([corr(predictions[p.eras[0]][:, None].astype(float), p.target(PAYOUT_TARGET)) for p in eras]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strengths", type=float, nargs="*", default=(1.0, 2.0, 4.0, 8.0))
    parser.add_argument("--seeds", type=int, nargs="*", default=(0,))
    parser.add_argument("--judged", type=int, default=40)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--colsample", type=float, default=0.1)
    options = parser.parse_args()
    size, usual = SIZES["default"], Dials()
    eras = range(size.first_era, Wall(size.newest_era, _HORIZON).last_fit_era + 1)
    judged = eras[-options.judged :]
    print(f"{'':52}in the top decile{'':10}median place")
    print(f"strength seed   CORR attainable  kind          carry {' gain  perm  shap   ' * 2}  CPU s", flush=True)
    for strength, seed in itertools.product(options.strengths, options.seeds):
        began = time.process_time()
        dials = replace(usual, effects=strength * usual.effects, regimes=strength * usual.regimes)
        made = world(size, dials, seed, eras, judged)
        method = Benchmark(
            n_estimators=options.trees,
            learning_rate=options.learning_rate,
            colsample_bytree=options.colsample,
        ).run_on(threads=1)
        fitted = made.panel.with_eras(range(eras[0], last_era_before(judged[0], _HORIZON) + 1))
        method.fit(fitted, target=PAYOUT_TARGET, seed=seed)
        unseen = made.panel.with_eras(judged)
        table = importances_of(method, unseen, seed)
        predictions = {panel.eras[0]: method.predict(panel) for panel in unseen.each_era()}
        found = f"{strength:8g} {seed:4d} {mean_corr(predictions, unseen):6.3f} {mean_corr(made.best, unseen):10.3f}"
        for kind, features in made.carriers.items():
            top = " ".join(f"{share_in_top_decile(table, measure, features):5.2f}" for measure in MEASURES)
            place = " ".join(f"{median_place(table, measure, features):5.2f}" for measure in MEASURES)
            spent = time.process_time() - began
            print(f"{found}  {kind:<13}{len(features):6d} {top}   {place}  {spent:5.0f}", flush=True)


if __name__ == "__main__":
    main()
