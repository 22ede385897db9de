"""XGBoost from disk: boosting that trains on any number of eras in about half a gigabyte, and takes its time for it.

The path of last resort where LightGBM's half a byte a cell does not fit (`xgboost_bins`). `quick` and `full` have the shapes
of the benchmark's trees: Numerai's example model and its deep one.
"""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.methods.boosted_trees import BoostedTrees, importance_table, xgboost_parameters
from numerai_assets.methods.contract import check_features, rank_within_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.store.about import read_about, write_about
from numerai_assets.trees.xgboost_bins import contributions, importances, predicted
from numerai_assets.trees.xgboost_trees import train

_MODEL = "model.ubj"


class ExternalBoosting(BoostedTrees):
    """XGBoost regression on one target, trained from disk."""

    name: ClassVar[str] = "external_boosting"
    horizons: ClassVar[tuple[int, ...]] = (20, 60)

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows of the panel whose `target` is known; features (n, d) int8, target (n,) float32.

        2.2 bytes a cell are written beside the panel's cache, or among temporary files, until the fit is over.
        Raises MethodError when no row has the target, when the disk has no room for that, and when the cluster of
        `compute` is not there to the end.
        """
        if not panel.eras_with(target):
            raise MethodError(f"{self.name}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
        self.booster_ = train(
            panel,
            target,
            xgboost_parameters(self, seed),
            trees=self.n_estimators,
            compute=self.compute,
            progress=progress,
        )
        self.feature_names_ = panel.feature_names
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era. Raises MethodError when the features are not those fitted."""
        check_features(self, panel)
        raw = [predicted(self.booster_, block) for block in panel.blocks]
        return rank_within_eras(np.concatenate(raw), panel.rows_of_era)

    def save(self, folder: Path) -> None:
        """Writes XGBoost's binary JSON model and the feature names."""
        self.booster_.save_model(folder / _MODEL)
        about = {"parameters": self.get_params(), "feature_names": list(self.feature_names_)}
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = read_about(folder)
        method = cls(**about["parameters"])
        method.booster_ = xgb.Booster({"nthread": method.num_threads}, model_file=str(folder / _MODEL))
        method.feature_names_ = tuple(about["feature_names"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        return importance_table(self.feature_names_, *importances(self.booster_, len(self.feature_names_)))

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of the raw scores of some rows (Lundberg et al. 2018, XGBoost's `pred_contribs`)."""
        check_features(self, panel)
        return contributions(self.booster_, panel.blocks[0][:, rows])
