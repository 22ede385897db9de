"""Forests and boosting on momentum features: three ways to grow trees on one set of bins, blended by rank.

A random forest (Breiman 2001, Machine Learning 45), extremely randomised trees (Geurts, Ernst & Wehenkel 2006, Machine
Learning 63) and gradient boosting. Their input makes them a momentum strategy: the columns of the blocks `target_momentum`,
`network_momentum`, `trajectory_changes` and `group_payoffs` (L2GMOM, Pu et al. 2023, arXiv 2308.12212, feeds such features
to a graph layer) and of `interactions`, besides the features themselves.

Changed for Numerai: each era's target is replaced by normal scores of its ranks, and every era has the same total weight,
so that all eras count the same whatever the bins of their targets and their number of rows. The forests are LightGBM's
(`boosting=rf`, `extra_trees`), which use the same bins as the boosting, half a byte per cell; scikit-learn's need four
bytes. A tree sees a share of the rows without replacement. On a planted world, with 60 trees of 64 leaves, LightGBM's
random forest has a CORR of 0.336 and scikit-learn's 0.340 (error of the difference: 0.002); extremely randomised trees have
0.326 and 0.343 (0.003), because LightGBM draws one of the bins' edges and scikit-learn draws between the extremes of the
node. LightGBM takes a third to a twelfth of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import Wall, horizon_of
from numerai_assets.errors import MethodError
from numerai_assets.methods.boosted_trees import DEEP, SHALLOW, BoostedTrees, importance_table
from numerai_assets.methods.contract import (
    Suggests,
    check_features,
)
from numerai_assets.methods.momentum_ensemble.representative_eras import representative_eras
from numerai_assets.methods.rank_blend import blended, centred_ranks, equal_weights, learned_weights
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import normal_scores
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS, binned

PARTS = ("random_forest", "extra_trees", "boosting")


@dataclass(kw_only=True, eq=False, repr=False)
class MomentumEnsemble(BoostedTrees):
    """Random forest, extremely randomised trees and boosting on one target.

    n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree: LightGBM's own, for the boosting. forest_trees,
    forest_leaves: trees of each forest, leaves of each tree. forest_rows, forest_columns: share of the rows, below 1, and of
    the columns that a tree of a forest is grown on; colsample_bynode: share of these columns that each node considers.
    min_data_in_leaf: LightGBM's own, for all three. blending_eras: number of newest eras that are set aside to learn the
    weights of the three; 0 for equal weights. eras_sampled: number of representative eras to train on; 0 for all.
    every_eras: train on every n-th era before the wall.
    """

    name: ClassVar[str] = "momentum_ensemble"
    honours = frozenset({"threads"})
    profiles = MappingProxyType(
        {
            "smoke": SHALLOW | {"forest_trees": 10, "forest_leaves": 8},
            "quick": {},
            "full": DEEP | {"forest_trees": 2000, "forest_leaves": 1024},
        }
    )

    forest_trees: int = 500
    forest_leaves: int = 128
    forest_rows: float = 0.5
    forest_columns: float = 0.3
    colsample_bynode: float = 0.5
    blending_eras: int = 0
    eras_sampled: int = 0
    every_eras: int = 1

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """The space of boosted trees, and for the forests the leaves of a tree and the columns of trees and nodes."""
        return super().search_space(trial) | {
            "forest_leaves": trial.suggest_int("forest_leaves", 16, 512, log=True),
            "forest_columns": trial.suggest_float("forest_columns", 0.05, 1.0, log=True),
            "colsample_bynode": trial.suggest_float("colsample_bynode", 0.05, 1.0, log=True),
        }

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the eras of the panel in which `target` is known and varies; features (n, d) int8, target (n,) float32.

        If weights are learned, the three are fitted twice: on the eras up to the purge before those set aside, for the
        weights, and then on all. Raises MethodError when there is no era to train on, or none before those set aside.
        """
        known = _with_target(panel, target)
        self.eras_used_ = {"selection": known.eras} if self.eras_sampled else {}
        self.weights_ = equal_weights(len(PARTS))
        if self.blending_eras:
            early, late = _apart(known, target, self.blending_eras)
            self.eras_used_ = {**self.eras_used_, "blending": late.eras}
            ranks = self._ranks(self._grown(early, target, seed, progress), late)
            self.weights_ = learned_weights(zip(ranks, late.targets_of_block[target], strict=True))
        self.boosters_ = self._grown(known, target, seed, progress)
        self.feature_names_ = panel.feature_names
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those of the fit."""
        check_features(self, panel)
        return blended(self.weights_, self._ranks(self.boosters_, panel), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes LightGBM's text models, the feature names and the weights."""
        for part, booster in zip(PARTS, self.boosters_, strict=True):
            (folder / f"{part}.txt").write_text(booster.model_to_string(), encoding="utf-8")
        about = {
            "parameters": self.get_params(),
            "feature_names": list(self.feature_names_),
            "weights": self.weights_.tolist(),
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = read_about(folder)
        method = cls.of_stored(about["parameters"])
        method.boosters_ = [lgb.Booster(model_file=str(folder / f"{part}.txt")) for part in PARTS]
        method.feature_names_ = tuple(about["feature_names"])
        method.weights_ = np.asarray(about["weights"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total, averaged over the three by their weights) and splits (of all three);
        the panel is not needed for these."""
        gains = np.stack([booster.feature_importance("gain") for booster in self.boosters_], axis=1)
        shares = gains / np.maximum(gains.sum(axis=0), 1e-300)
        splits = np.sum([booster.feature_importance("split") for booster in self.boosters_], axis=0)
        return importance_table(self.feature_names_, shares @ self.weights_, splits)

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of some rows of a panel of one era: the weighted sum of those of the three.

        The method blends ranks. The contributions to each of the three are those to its raw score, divided by the standard
        deviation of the score within the era, which brings the three to one scale, as ranks do.
        """
        check_features(self, panel)
        found = np.zeros((len(rows), len(self.feature_names_)), np.float32)
        for weight, booster in zip(self.weights_, self.boosters_, strict=True):
            spread = np.std(booster.predict(panel.features, num_threads=self.execution.cores))
            if weight and spread:
                parts = booster.predict(panel.features[rows], pred_contrib=True, num_threads=self.execution.cores)
                found += np.asarray(weight / spread * np.asarray(parts)[:, :-1], np.float32)
        return found

    def _grown(self, panel: EraPanel, target: str, seed: int, progress: Progress) -> list[lgb.Booster]:
        """The three boosters, on one set of bins: of all eras of the panel, or of representative ones."""
        if 0 < self.eras_sampled < len(panel.eras):
            panel = panel.with_eras(representative_eras(panel, target, self.eras_sampled))
        aim = normal_scores(panel.target(target), panel.rows_of_era)
        data = binned(panel, aim, num_threads=self.execution.cores, progress=progress)
        data.set_weight(_even_weights(aim, panel.rows_of_era))
        return [
            lgb.train(
                self._training_parameters(part, seed),
                data,
                num_boost_round=(trees := self.n_estimators if part == "boosting" else self.forest_trees),
                callbacks=[lambda state, part=part, trees=trees: progress(f"{part} trees", state.iteration + 1, trees)],
            )
            for part in PARTS
        ]

    def _ranks(self, boosters: Sequence[lgb.Booster], panel: EraPanel) -> Iterator[NDArray[np.float64]]:
        """(3, n_era) ranks of each era's rows by each of the three."""
        for era in panel.each_era():
            raw = np.stack([booster.predict(era.features, num_threads=self.execution.cores) for booster in boosters])
            yield centred_ranks(raw, "gaussian")

    def _training_parameters(self, part: str, seed: int) -> dict[str, Any]:
        return {
            **BIN_PARAMETERS,
            **(self._of_boosting if part == "boosting" else self._of_forests),
            "extra_trees": part == "extra_trees",
            "objective": "regression",
            "min_data_in_leaf": self.min_data_in_leaf,
            "num_threads": self.execution.cores,
            # One seed per booster, so that the forests do not draw the same rows and columns tree by tree.
            "seed": int(np.random.default_rng([seed, PARTS.index(part)]).integers(2**31)),
            # The same seed and data give the same trees with any number of threads.
            "deterministic": True,
            "force_col_wise": True,
        }

    @property
    def _of_boosting(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "num_leaves": self.num_leaves,
            "colsample_bytree": self.colsample_bytree,
        }

    @property
    def _of_forests(self) -> dict[str, Any]:
        return {
            "boosting": "rf",
            "num_leaves": self.forest_leaves,
            "bagging_freq": 1,
            "bagging_fraction": self.forest_rows,
            "colsample_bytree": self.forest_columns,
            "feature_fraction_bynode": self.colsample_bynode,
        }


def _with_target(panel: EraPanel, target: str) -> EraPanel:
    eras = panel.eras_with(target, varying=True)
    if not eras:
        raise MethodError(
            f"{MomentumEnsemble.name}: no era of {panel.eras[:1]}..{panel.eras[-1:]} has a {target} that varies"
        )
    return panel.with_eras(eras)


def _apart(panel: EraPanel, target: str, newest: int) -> tuple[EraPanel, EraPanel]:
    """Eras up to the purge before the `newest` ones, and these newest eras."""
    late = panel.eras[-newest:]
    wall = Wall(late[0] - 1, horizon_of(target))
    early = [era for era in panel.eras if era <= wall.last_fit_era]
    if not early:
        raise MethodError(
            f"{MomentumEnsemble.name}: {target} is known in {len(panel.eras)} eras, {panel.eras[0]}..{panel.eras[-1]}: with "
            f"the newest {len(late)} set aside for the weights, none is left up to era {wall.last_fit_era}, where their purge "
            "begins; lower blending_eras, or set it to 0 for equal weights"
        )
    return panel.with_eras(early), panel.with_eras(late)


def _even_weights(aim: NDArray[np.float32], rows_of_era: Sequence[int]) -> NDArray[np.float32]:
    """(known,) weights of the rows whose target score (n,) is known: of mean 1, with the same sum in each era."""
    edges = np.cumsum([0, *rows_of_era])[:-1]
    known = np.add.reduceat(~np.isnan(aim), edges, dtype=np.intp)
    return np.repeat(known.sum() / len(known) / known, known).astype(np.float32)
