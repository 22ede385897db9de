"""Hyperparameters that all methods of boosted trees share, under LightGBM's names.

`quick` is Numerai's example model (hello_numerai: 2,000 trees, learning rate 0.01, depth 5, 31 leaves, a tenth of the
features per tree, every fourth era); `full` has the parameters of the v5 benchmark models (30,000 trees of 1,024 leaves,
learning rate 0.001, at least 10,000 rows per leaf; Numerai docs, "Models"; forum.numer.ai 7638).
"""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.methods.contract import Method, Suggests, check_features, rank_within_eras
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS
from numerai_assets.trees.xgboost_bins import BINS

DEEP: dict[str, Any] = {
    "n_estimators": 30_000,
    "learning_rate": 0.001,
    "max_depth": 10,
    "num_leaves": 1024,
    "min_data_in_leaf": 10_000,
    "every_eras": 1,
}
"""Hyperparameters of the v5 benchmark models."""


SHALLOW: dict[str, Any] = {"n_estimators": 20, "learning_rate": 0.1, "max_depth": 3, "num_leaves": 7}
"""For a fit in seconds that only proves that everything is connected."""


@dataclass(kw_only=True, eq=False, repr=False)
class BoostedTrees(Method):
    """Constructor and profiles of a method of boosted trees.

    n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree, min_data_in_leaf: LightGBM's own.
    every_eras: train on every n-th era before the wall. The trees are the same whatever the threads and wherever they grow.
    """

    profiles = MappingProxyType({"smoke": SHALLOW, "quick": {}, "full": DEEP})
    honours = frozenset({"threads", "compute"})

    n_estimators: int = 2000
    learning_rate: float = 0.01
    max_depth: int = 5
    num_leaves: int = 31
    colsample_bytree: float = 0.1
    min_data_in_leaf: int = 20
    every_eras: int = 4

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """Around the example model; the number of trees goes with the learning rate."""
        learning_rate = trial.suggest_float("learning_rate", 0.003, 0.1, log=True)
        return {
            "learning_rate": learning_rate,
            "n_estimators": round(trial.suggest_float("total_learning", 5, 60, log=True) / learning_rate),
            "max_depth": trial.suggest_int("max_depth", 3, 9),
            "num_leaves": trial.suggest_int("num_leaves", 8, 256, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.02, 0.5, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 10_000, log=True),
        }


class SingleBooster(BoostedTrees):
    """A method that is one booster on one target, whatever the library: it trains, predicts, saves and loads the same way."""

    booster_: Any

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows of the panel whose `target` is known; features (n, d) int8, target (n,) float32.

        Raises MethodError when no row has the target, ComputeError when the cluster of `compute` goes away or the disk has
        no room.
        """
        if not panel.eras_with(target):
            raise MethodError(f"{self.name}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
        self.booster_ = self._trained(panel, target, seed, progress)
        self.feature_names_ = panel.feature_names
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those of the fit."""
        check_features(self, panel)
        return rank_within_eras(np.concatenate([self._raw(block) for block in panel.blocks]), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes the library's own model file and the feature names."""
        self._write_booster(folder)
        about = {"parameters": self.get_params(), "feature_names": list(self.feature_names_)}
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = read_about(folder)
        method = cls.of_stored(about["parameters"])
        method.booster_ = cls._read_booster(folder)
        method.feature_names_ = tuple(about["feature_names"])
        return method

    @abstractmethod
    def _trained(self, panel: EraPanel, target: str, seed: int, progress: Progress) -> Any:
        """The booster of the library."""

    @abstractmethod
    def _raw(self, block: NDArray[np.int8]) -> NDArray[np.floating]:
        """(n,) raw scores of a (d, n) int8 block."""

    @abstractmethod
    def _write_booster(self, folder: Path) -> None: ...

    @classmethod
    @abstractmethod
    def _read_booster(cls, folder: Path) -> Any: ...


def importance_table(names: tuple[str, ...], gain: NDArray[np.float64], splits: NDArray[np.number]) -> pd.DataFrame:
    """Columns feature, gain (share of the total) and splits, most gain first; gain, splits: (d,)."""
    table = pd.DataFrame({"feature": names, "gain": gain / max(gain.sum(), 1e-300), "splits": splits})
    return table.sort_values("gain", ascending=False, ignore_index=True)


def lightgbm_parameters(trees: BoostedTrees, seed: int) -> dict[str, Any]:
    """LightGBM's parameters without the objective."""
    return BIN_PARAMETERS | {
        "num_threads": trees.execution.cores,
        "learning_rate": trees.learning_rate,
        "max_depth": trees.max_depth,
        "num_leaves": trees.num_leaves,
        "colsample_bytree": trees.colsample_bytree,
        "min_data_in_leaf": trees.min_data_in_leaf,
        "seed": seed,
        # The same seed and data give the same trees with any number of threads.
        "deterministic": True,
        "force_col_wise": True,
    }


def xgboost_parameters(trees: BoostedTrees, seed: int) -> dict[str, Any]:
    """XGBoost's parameters. The second derivative of squared error is 1, so `min_child_weight` counts rows."""
    return {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_bin": BINS,
        "learning_rate": trees.learning_rate,
        "max_depth": trees.max_depth,
        "max_leaves": trees.num_leaves,
        "colsample_bytree": trees.colsample_bytree,
        "min_child_weight": trees.min_data_in_leaf,
        "nthread": trees.execution.cores,
        "seed": seed,
    }
