"""What every method of boosted trees is told about its trees, in LightGBM's words.

`quick` is Numerai's example model (hello_numerai: 2,000 trees, learning rate 0.01, depth 5, 31 leaves, a tenth of the
features a tree, every fourth era); `full` has the parameters of the v5 benchmark models (30,000 trees of 1,024 leaves,
learning rate 0.001, at least 10,000 rows a leaf; Numerai docs, "Models"; forum.numer.ai 7638).
"""

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from numerai_assets.methods.contract import Profile, Suggests, known_parameters
from numerai_assets.trees.cluster import LOCAL
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
"""Of the v5 benchmark models."""


class BoostedTrees(BaseEstimator):  # type: ignore[misc]
    """Constructor and profiles of a method of boosted trees.

    n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree, min_data_in_leaf: LightGBM's own.
    every_eras: fit on each so many-th era before the wall. num_threads: 0 uses every core.
    """

    profiles: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}, "full": DEEP}
    compute: str = LOCAL
    """Where it is trained: here, or on the Dask cluster at "dask://HOST:PORT"; the trees are the same."""

    def __init__(
        self,
        *,
        n_estimators: int = 2000,
        learning_rate: float = 0.01,
        max_depth: int = 5,
        num_leaves: int = 31,
        colsample_bytree: float = 0.1,
        min_data_in_leaf: int = 20,
        every_eras: int = 4,
        num_threads: int = 2,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.num_leaves = num_leaves
        self.colsample_bytree = colsample_bytree
        self.min_data_in_leaf = min_data_in_leaf
        self.every_eras = every_eras
        self.num_threads = num_threads

    @classmethod
    def of_profile(cls, profile: Profile, **parameters: Any) -> Self:
        """The profile's hyperparameters, `parameters` replacing some. Raises MethodError for one that does not exist."""
        return cls(**known_parameters(cls, cls.profiles[profile] | parameters))

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


def importance_table(names: tuple[str, ...], gain: NDArray[np.float64], splits: NDArray[np.number]) -> pd.DataFrame:
    """Columns feature, gain (share of the total) and splits, most gain first; gain, splits: (d,)."""
    table = pd.DataFrame({"feature": names, "gain": gain / max(gain.sum(), 1e-300), "splits": splits})
    return table.sort_values("gain", ascending=False, ignore_index=True)


def lightgbm_parameters(trees: BoostedTrees, seed: int) -> dict[str, Any]:
    """All that LightGBM is told but the objective."""
    return BIN_PARAMETERS | {
        "num_threads": trees.num_threads,
        "learning_rate": trees.learning_rate,
        "max_depth": trees.max_depth,
        "num_leaves": trees.num_leaves,
        "colsample_bytree": trees.colsample_bytree,
        "min_data_in_leaf": trees.min_data_in_leaf,
        "seed": seed,
        # Same seed, same data, same trees, whatever the number of threads.
        "deterministic": True,
        "force_col_wise": True,
    }


def xgboost_parameters(trees: BoostedTrees, seed: int) -> dict[str, Any]:
    """The same for XGBoost. A row's squared error has a second derivative of 1, so rows are what its leaves weigh."""
    return {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "max_bin": BINS,
        "learning_rate": trees.learning_rate,
        "max_depth": trees.max_depth,
        "max_leaves": trees.num_leaves,
        "colsample_bytree": trees.colsample_bytree,
        "min_child_weight": trees.min_data_in_leaf,
        "nthread": trees.num_threads,
        "seed": seed,
    }
