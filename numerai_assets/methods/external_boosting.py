"""XGBoost from disk: boosting that trains on any number of eras in about half a gigabyte, and takes its time for it.

The path of last resort where LightGBM's half a byte a cell does not fit. XGBoost reads the eras through an iterator, keeps
their bins in a file, by rows and again by columns, and maps that file at every level of every tree (ExtMemQuantileDMatrix;
XGBoost docs, "Using XGBoost External Memory Version"). `quick` and `full` have the shapes of the
benchmark's trees: Numerai's example model and its deep one.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xgboost as xgb
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
from numerai_assets.methods.xgboost_trees import BINS, levels_of_rows, train
from numerai_assets.progress import Progress, silent
from numerai_assets.store.panel import MISSING, EraPanel

_PROFILES: dict[str, dict[str, Any]] = {
    "quick": {},
    "full": {
        "n_estimators": 30_000,
        "learning_rate": 0.001,
        "max_depth": 10,
        "max_leaves": 1024,
        "min_child_weight": 10_000,
        "every_eras": 1,
    },
}
_MODEL = "model.ubj"
_ABOUT = "about.json"


class ExternalBoosting(BaseEstimator):  # type: ignore[misc]
    """XGBoost regression on one target, trained from disk.

    n_estimators, learning_rate, max_depth, max_leaves, colsample_bytree, min_child_weight: XGBoost's own.
    every_eras: fit on each so many-th era before the wall. num_threads: 0 uses every core.
    """

    name: ClassVar[str] = "external_boosting"
    horizons: ClassVar[tuple[int, ...]] = (20, 60)
    compute: str = LOCAL
    """Where it is trained: here, or on the Dask cluster at "dask://HOST:PORT"; the trees are the same."""

    def __init__(
        self,
        *,
        n_estimators: int = 2000,
        learning_rate: float = 0.01,
        max_depth: int = 5,
        max_leaves: int = 31,
        colsample_bytree: float = 0.1,
        min_child_weight: float = 20.0,
        every_eras: int = 4,
        num_threads: int = 2,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.colsample_bytree = colsample_bytree
        self.min_child_weight = min_child_weight
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
            "max_leaves": trial.suggest_int("max_leaves", 8, 256, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.02, 0.5, log=True),
            "min_child_weight": trial.suggest_float("min_child_weight", 20, 10_000, log=True),
        }

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows of the panel whose `target` is known; features (n, d) int8, target (n,) float32.

        2.2 bytes a cell are written beside the panel's cache, or among temporary files, until the fit is over.
        Raises MethodError when no row has the target, when the disk has no room for that, and when the cluster of
        `compute` is not there to the end.
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
            self.booster_.inplace_predict(matrix, missing=int(MISSING)) for matrix in map(levels_of_rows, panel.blocks)
        ]
        return rank_within_eras(np.concatenate(raw), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes XGBoost's binary JSON model and the feature names."""
        self.booster_.save_model(folder / _MODEL)
        about = {"parameters": self.get_params(), "feature_names": list(self.feature_names_)}
        (folder / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        method = cls(**about["parameters"])
        method.booster_ = xgb.Booster({"nthread": method.num_threads}, model_file=str(folder / _MODEL))
        method.feature_names_ = tuple(about["feature_names"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        keys = [f"f{position}" for position in range(len(self.feature_names_))]
        table = pd.DataFrame({"feature": self.feature_names_})
        for column, kind in (("gain", "total_gain"), ("splits", "weight")):
            # XGBoost leaves out the features that no tree uses.
            table[column] = (
                pd.Series(self.booster_.get_score(importance_type=kind)).reindex(keys, fill_value=0).to_numpy()
            )
        table["gain"] /= max(table["gain"].sum(), 1e-300)
        return table.sort_values("gain", ascending=False, ignore_index=True)

    def _training_parameters(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_bin": BINS,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "max_leaves": self.max_leaves,
            "colsample_bytree": self.colsample_bytree,
            "min_child_weight": self.min_child_weight,
            "nthread": self.num_threads,
            "seed": seed,
        }
