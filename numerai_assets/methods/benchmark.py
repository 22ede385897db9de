"""LightGBM with the official example parameters: the model everybody starts from, and the yardstick.

`quick` is Numerai's example model (hello_numerai: 2,000 trees, learning rate 0.01, depth 5, 31 leaves, a tenth of the
features a tree, every fourth era); `full` has the parameters of the v5 benchmark models (30,000 trees of 1,024 leaves,
learning rate 0.001, at least 10,000 rows a leaf; Numerai docs, "Models"; forum.numer.ai 7638).

Changed for this machine: the int8 features go to LightGBM without a float copy and lie there in four bits each, with the
five levels declared as bins instead of searched for (`lightgbm_bins`).
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from numerai_assets.errors import MethodError
from numerai_assets.methods.cluster import LOCAL
from numerai_assets.methods.contract import (
    Profile,
    Suggests,
    check_features,
    known_parameters,
    rank_within_eras,
)
from numerai_assets.methods.lightgbm_trees import train
from numerai_assets.progress import Progress, silent
from numerai_assets.store.panel import EraPanel

_PROFILES: dict[str, dict[str, Any]] = {
    "quick": {},
    "full": {
        "n_estimators": 30_000,
        "learning_rate": 0.001,
        "max_depth": 10,
        "num_leaves": 1024,
        "min_data_in_leaf": 10_000,
        "every_eras": 1,
    },
}
_MODEL = "model.txt"
_ABOUT = "about.json"


class Benchmark(BaseEstimator):  # type: ignore[misc]
    """LightGBM regression on one target.

    n_estimators, learning_rate, max_depth, num_leaves, colsample_bytree, min_data_in_leaf: LightGBM's own.
    every_eras: fit on each so many-th era before the wall. num_threads: 0 uses every core.
    """

    name: ClassVar[str] = "benchmark"
    horizons: ClassVar[tuple[int, ...]] = (20, 60)
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
        return cls(**known_parameters(cls, _PROFILES[profile] | parameters))

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

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows of the panel whose `target` is known; features (n, d) int8, target (n,) float32.

        Raises MethodError when no row has the target, or when the cluster of `compute` is not there to the end.
        """
        if np.isnan(panel.target(target)).all():
            raise MethodError(f"{self.name}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
        self.booster_ = train(
            panel,
            target,
            self._training_parameters(seed),
            trees=self.n_estimators,
            compute=self.compute,
            progress=progress,
        )
        self.feature_names_ = panel.feature_names
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those fitted."""
        check_features(self, panel)
        raw = [
            self.booster_.predict(era.features, num_threads=self.num_threads, validate_features=False)
            for era in panel.each_era()
        ]
        return rank_within_eras(np.concatenate(raw), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes LightGBM's text model and the feature names."""
        (folder / _MODEL).write_text(self.booster_.model_to_string(), encoding="utf-8")
        about = {"parameters": self.get_params(), "feature_names": list(self.feature_names_)}
        (folder / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        method = cls(**about["parameters"])
        method.booster_ = lgb.Booster(model_file=str(folder / _MODEL))
        method.feature_names_ = tuple(about["feature_names"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        gain = self.booster_.feature_importance("gain").astype(float)
        table = pd.DataFrame(
            {
                "feature": self.feature_names_,
                "gain": gain / max(gain.sum(), 1e-300),
                "splits": self.booster_.feature_importance("split"),
            }
        )
        return table.sort_values("gain", ascending=False, ignore_index=True)

    def _training_parameters(self, seed: int) -> dict[str, Any]:
        return {
            "num_threads": self.num_threads,
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "num_leaves": self.num_leaves,
            "colsample_bytree": self.colsample_bytree,
            "min_data_in_leaf": self.min_data_in_leaf,
            "seed": seed,
            # Same seed, same data, same trees, whatever the number of threads.
            "deterministic": True,
            "force_col_wise": True,
        }
