"""Forests and boosting on momentum features: three ways to grow trees on one set of bins, their ranks blended.

A random forest (Breiman 2001, Machine Learning 45), extremely randomised trees (Geurts, Ernst & Wehenkel 2006, Machine
Learning 63) and gradient boosting. What makes them a momentum strategy is what they are given: the columns of the blocks
`target_momentum`, `network_momentum`, `trajectory_changes` and `group_payoffs` (L2GMOM, Pu et al. 2023, arXiv 2308.12212,
feeds such features to a graph layer) and `interactions` beside the features themselves.

Changed for Numerai. Each era's target is replaced by normal scores of its ranks, and its rows weigh the same together as those
of any other: an era says as much, whatever its levels and its length. The forests are LightGBM's (`boosting=rf`,
`extra_trees`), which grow on the bins that the boosting uses, half a byte a cell; scikit-learn's want four bytes. A tree
sees a share of the rows without replacement. On a planted world, 60 trees of 64 leaves, LightGBM's random forest has a
CORR of 0.336, scikit-learn's 0.340 (0.002 is the error of the difference); extremely randomised trees 0.326 and 0.343
(0.003), as LightGBM draws one of the bins' edges where scikit-learn draws between the extremes of the node; in a third to
a twelfth of the time.
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
    Method,
    Suggests,
    check_features,
    rank_within_eras,
)
from numerai_assets.methods.momentum_ensemble.representative_eras import representative_eras
from numerai_assets.methods.rank_blend import centred_ranks, equal_weights, learned_weights
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import normal_scores
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS, binned

PARTS = ("random_forest", "extra_trees", "boosting")


@dataclass(kw_only=True, eq=False, repr=False)
class MomentumEnsemble(Method):
    """Random forest, extremely randomised trees and boosting on one target.

    n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree: LightGBM's own, of the boosting. forest_trees,
    forest_leaves: trees of each forest, leaves of each tree. forest_rows, forest_columns: share of the rows, below 1, and of
    the columns that a tree of a forest is grown on; colsample_bynode: share of these columns that each of its nodes looks at.
    min_data_in_leaf: LightGBM's own, of all three. blending_eras: newest eras that are kept apart to learn the weights of the
    three; 0 for equal ones. eras_sampled: representative eras to fit on; 0 for all. every_eras: fit on each so many-th era
    before the wall.
    """

    name: ClassVar[str] = "momentum_ensemble"
    profiles = MappingProxyType(
        {
            "smoke": SHALLOW | {"forest_trees": 10, "forest_leaves": 8},
            "quick": {},
            "full": DEEP | {"forest_trees": 2000, "forest_leaves": 1024},
        }
    )

    n_estimators: int = 2000
    learning_rate: float = 0.01
    max_depth: int = 5
    num_leaves: int = 31
    forest_trees: int = 500
    forest_leaves: int = 128
    forest_rows: float = 0.5
    forest_columns: float = 0.3
    colsample_bynode: float = 0.5
    colsample_bytree: float = 0.1
    min_data_in_leaf: int = 20
    blending_eras: int = 0
    eras_sampled: int = 0
    every_eras: int = 1

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """That of boosted trees, and of the forests what a tree and its nodes look at."""
        return BoostedTrees.search_space(trial) | {
            "forest_leaves": trial.suggest_int("forest_leaves", 16, 512, log=True),
            "forest_columns": trial.suggest_float("forest_columns", 0.05, 1.0, log=True),
            "colsample_bynode": trial.suggest_float("colsample_bynode", 0.05, 1.0, log=True),
        }

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the eras of the panel in which `target` is known and varies; features (n, d) int8, target (n,) float32.

        Where weights are learned the three are fitted twice: up to the purge before the eras kept apart, and, with these
        weights, on all. Raises MethodError when there is no era to fit on, or none before those kept apart.
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
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those fitted."""
        check_features(self, panel)
        # Not a matrix product, whose rounding depends on where a row stands.
        blended = [np.sum(self.weights_[:, None] * ranks, axis=0) for ranks in self._ranks(self.boosters_, panel)]
        return rank_within_eras(np.concatenate(blended), panel.rows_of_era)

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
        """(r, d) SHAP values of some rows of a panel of one era: those of the three, by their weights.

        What is blended are ranks. The parts of each are those of its raw score over the standard deviation of this within
        the era, which puts the three on one scale as ranks do.
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
        """The three, on one set of bins: of all eras of the panel, or of those that stand for them."""
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
            # Of its own, so that the forests do not draw the same rows and columns tree by tree.
            "seed": int(np.random.default_rng([seed, PARTS.index(part)]).integers(2**31)),
            # Same seed, same data, same trees, whatever the number of threads.
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
    """Eras up to the purge before the `newest` ones, and these."""
    late = panel.eras[-newest:]
    wall = Wall(late[0] - 1, horizon_of(target))
    early = [era for era in panel.eras if era <= wall.last_fit_era]
    if not early:
        raise MethodError(
            f"{MomentumEnsemble.name}: {target} is known in {len(panel.eras)} eras, {panel.eras[0]}..{panel.eras[-1]}: with "
            f"the newest {len(late)} kept apart for the weights, none is left up to era {wall.last_fit_era}, where their purge "
            "begins; lower blending_eras, or 0 for equal weights"
        )
    return panel.with_eras(early), panel.with_eras(late)


def _even_weights(aim: NDArray[np.float32], rows_of_era: Sequence[int]) -> NDArray[np.float32]:
    """(known,) weights of the rows whose aim (n,) is known: of mean 1, and of the same sum in each era."""
    edges = np.cumsum([0, *rows_of_era])[:-1]
    known = np.add.reduceat(~np.isnan(aim), edges, dtype=np.intp)
    return np.repeat(known.sum() / len(known) / known, known).astype(np.float32)
