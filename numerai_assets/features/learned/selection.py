"""Feature selection by four measures of importance, most of them on eras outside the fit.

The measures of a feature:
- gain: its share of the loss that splits on it saved, in the training eras of the model;
- permutation: the per-era CORR that the model loses in later eras, a purge after its training eras, when the feature is
  permuted within the era together with the features that correlate with it (else each hides behind the others);
- shap: mean |contribution| to predictions of those later eras (Lundberg et al. 2018, LightGBM's `pred_contrib`);
- stability: the smaller of two shares: of the validation eras in which permuting it costs CORR, so that the learned effect
  persists, and of half samples of the training eras (complementary halves of runs of eras; Meinshausen & Buhlmann 2010,
  Shah & Samworth 2013) whose own model has it among the q best. q bounds the expected number of features picked by chance
  in more than `stable` of the half samples to `false_expected`: q^2 / ((2 stable - 1) d).

A feature that correlates with a better one is redundant with it and never selected. Greedy trees may miss a feature that
only matters in a product, and so may these measures. Cost: `n_estimators` trees once and half as many in each half sample,
for any number of features; a permutation costs the trees that split on the feature (`trees.permuted_trees`) and a CORR for
each cluster and era.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.eras import Wall, horizon_of
from numerai_assets.errors import FeatureError
from numerai_assets.evaluation.permutation_importance import corr_lost
from numerai_assets.features.contract import FittedBlock
from numerai_assets.features.fitting.correlations import leaders, mean_correlations, spread_evenly
from numerai_assets.features.learned_plots import selection_picture
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS, binned
from numerai_assets.trees.permuted_trees import permuted_predictions, trees_of

Array = NDArray[np.float64]

_TABLE = "table.parquet"
_CORRELATED_ERAS = 8
# Rows whose contributions of all features are in memory at once.
_EXPLAINED = 500


@dataclass(kw_only=True, eq=False, repr=False)
class FeatureSelection(FittedBlock):
    """Ranks the features of a panel by their importance in validation eras, which it keeps apart.

    keep: the most features selected. correlated: |correlation| from which features form a cluster. judged_share: share of
    the panel's eras, the newest, that is kept apart for validation. judged_eras: number of validation eras used, evenly
    spaced. shap_rows: rows of these explained. pairs: of complementary half samples. stable: share from which a feature
    counts as stable (> 0.5). false_expected: features expected in that share of the half samples by chance. every_eras:
    fit on every n-th era, counted back. n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree,
    min_data_in_leaf: LightGBM's own.
    """

    name: ClassVar[str] = "selection"
    version: ClassVar[int] = 1

    keep: int = 780
    correlated: float = 0.8
    judged_share: float = 0.25
    judged_eras: int = 24
    shap_rows: int = 2000
    pairs: int = 4
    stable: float = 0.75
    false_expected: float = 1.0
    every_eras: int = 4
    n_estimators: int = 300
    learning_rate: float = 0.05
    max_depth: int = 5
    num_leaves: int = 31
    colsample_bytree: float = 0.1
    min_data_in_leaf: int = 200

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Sets `table_`, `selected_` (also `names_`), `stable_`, and, of eras, `fitted_eras_` and `judged_eras_`.

        The panel ends before the caller's wall; eras without the target are left out. table_: one row a feature,
        best first, redundant ones after the others: feature, gain (share of the total), permutation (CORR lost by its
        cluster), shap, stability, held and frequency (the two shares), redundant_with (a feature, or ""), rank from 1.
        selected_: names of the first `keep` that the model uses and that are not redundant. stable_: names of those whose
        stability reaches `stable`. Raises FeatureError when no row has the target, WallError when too few eras do.
        """
        known = panel.eras_with(target)
        if not known:
            raise FeatureError(f"{self.name}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
        newest = known[len(known) - max(1, round(self.judged_share * len(known))) :]
        wall = Wall(newest[0] - 1, horizon_of(target))
        self.fitted_eras_ = tuple(wall.fit_eras(known)[:: -self.every_eras][::-1])
        self.judged_eras_ = tuple(newest[place] for place in spread_evenly(len(newest), self.judged_eras))
        fitted, judged = panel.with_eras(self.fitted_eras_), panel.with_eras(self.judged_eras_)

        booster = self._train(fitted, target, seed, self.n_estimators)
        gain = booster.feature_importance("gain").astype(float)
        gain /= max(gain.sum(), 1e-300)
        order = np.argsort(-gain, kind="stable").tolist()
        leader = leaders(mean_correlations(fitted, _CORRELATED_ERAS), order, self.correlated)
        _, cluster_of = np.unique(leader, return_inverse=True)
        lost = self._lost(booster, judged, target, cluster_of, seed, progress)
        shap = self._contributions(booster, judged, seed)
        frequency = self._frequency(fitted, target, cluster_of, seed, progress)

        held = (lost > 0).mean(axis=0)
        measures = np.stack(
            [
                np.bincount(cluster_of, gain),
                lost.mean(axis=0),
                np.bincount(cluster_of, shap),
                np.minimum(held, frequency),
            ]
        )
        score = rankdata(measures, axis=1).mean(axis=0)[cluster_of]
        redundant = leader != np.arange(len(leader))
        names = np.asarray(panel.feature_names, object)
        table = pd.DataFrame(
            {
                "feature": names,
                "gain": gain,
                "permutation": measures[1][cluster_of],
                "shap": shap,
                "stability": measures[3][cluster_of],
                "held": held[cluster_of],
                "frequency": frequency[cluster_of],
                "redundant_with": np.where(redundant, names[leader], ""),
            }
        )
        best_first = np.lexsort((-gain, -score, redundant))
        self.table_ = table.iloc[best_first].reset_index(drop=True)
        self.table_["rank"] = np.arange(1, len(table) + 1)
        self._choose()
        return self

    def save(self, folder: Path) -> None:
        """Writes the table as Parquet, and about.json."""
        self.table_.to_parquet(folder / _TABLE, index=False)
        about = {
            "parameters": self.get_params(),
            "fitted_eras": self.fitted_eras_,
            "judged_eras": self.judged_eras_,
            "selected": self.selected_,
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The selection that `save` wrote."""
        about = read_about(folder)
        selection = cls.of_stored(about["parameters"])
        selection.table_ = pd.read_parquet(folder / _TABLE)
        selection.fitted_eras_, selection.judged_eras_ = tuple(about["fitted_eras"]), tuple(about["judged_eras"])
        selection._choose()
        return selection

    def picture(self) -> bytes:
        """A PNG of the best features: what they are good for and how stably."""
        return selection_picture(self.table_)

    def _choose(self) -> None:
        apart = self.table_[self.table_["redundant_with"] == ""]
        self.selected_ = tuple(apart.loc[apart["gain"] > 0, "feature"].head(self.keep))
        # The result for a method, as columns are that of other learned blocks.
        self.names_ = self.selected_
        self.stable_ = tuple(apart.loc[apart["stability"] >= self.stable, "feature"])

    def _train(self, panel: EraPanel, target: str, seed: int, trees: int) -> lgb.Booster:
        data = binned(panel, panel.target(target), num_threads=self.execution.cores)
        parameters: dict[str, Any] = BIN_PARAMETERS | {
            "num_threads": self.execution.cores,
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "num_leaves": self.num_leaves,
            "colsample_bytree": self.colsample_bytree,
            "min_data_in_leaf": self.min_data_in_leaf,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
        }
        return lgb.train(parameters, data, num_boost_round=trees)

    def _lost(
        self,
        booster: lgb.Booster,
        judged: EraPanel,
        target: str,
        cluster_of: NDArray[np.intp],
        seed: int,
        progress: Progress,
    ) -> Array:
        """(validation eras, clusters) CORR that an era loses when a cluster is permuted; 0 where no tree splits on it."""
        trees = trees_of(booster)
        clusters = np.split(np.argsort(cluster_of, kind="stable"), np.cumsum(np.bincount(cluster_of))[:-1])
        lost = np.zeros((len(judged.eras), len(clusters)))
        for place, era in enumerate(judged.each_era()):
            values, rng = era.target(target), np.random.default_rng([seed, era.eras[0]])
            lost[place] = corr_lost(permuted_predictions(trees, era.blocks[0], clusters, rng), values)
            progress("eras permuted", place + 1, len(judged.eras))
        return lost

    def _contributions(self, booster: lgb.Booster, judged: EraPanel, seed: int) -> Array:
        """(d,) mean |contribution| of each feature to predictions of rows sampled from the validation eras."""
        rng = np.random.default_rng([seed, 0])
        each = max(1, self.shap_rows // len(judged.eras))
        total, rows = np.zeros(len(judged.feature_names)), 0
        for block in judged.blocks:
            some = rng.permutation(block.shape[1])[:each]
            for start in range(0, len(some), _EXPLAINED):
                cells = block[:, some[start : start + _EXPLAINED]].T
                found = booster.predict(cells, pred_contrib=True, num_threads=self.execution.cores)
                total += np.abs(np.asarray(found)[:, :-1]).sum(axis=0)
            rows += len(some)
        return total / rows

    def _frequency(
        self, fitted: EraPanel, target: str, cluster_of: NDArray[np.intp], seed: int, progress: Progress
    ) -> Array:
        """(clusters,) share of the half samples of eras whose own model has the cluster among the q of most gain."""
        clusters = int(cluster_of.max()) + 1
        most = max(1, int(np.sqrt(self.false_expected * (2 * self.stable - 1) * clusters)))
        rng = np.random.default_rng([seed, 1])
        runs = np.array_split(np.asarray(fitted.eras), min(8, len(fitted.eras)))
        picked = np.zeros(clusters)
        halves = []
        for _ in range(self.pairs):
            order = rng.permutation(len(runs))
            halves += [order[: len(runs) // 2], order[len(runs) // 2 :]]
        halves = [half for half in halves if len(half)]
        for done, half in enumerate(halves):
            eras = np.concatenate([runs[place] for place in half]).tolist()
            booster = self._train(fitted.with_eras(eras), target, seed + 1 + done, max(1, self.n_estimators // 2))
            gain = np.bincount(cluster_of, booster.feature_importance("gain").astype(float))
            best = np.argsort(-gain, kind="stable")[:most]
            picked[best[gain[best] > 0]] += 1
            progress("half samples", done + 1, len(halves))
        return picked / len(halves)
