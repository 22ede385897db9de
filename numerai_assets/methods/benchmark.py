"""LightGBM with the official example parameters: the model everybody starts from, and the yardstick.

`quick` is Numerai's example model, `full` has the parameters of the v5 benchmark models (`tree_parameters`).

Changed for this machine: the int8 features go to LightGBM without a float copy and lie there in four bits each, with the
five levels declared as bins instead of searched for (`lightgbm_bins`).
"""

from pathlib import Path
from typing import ClassVar, Self

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.methods.boosted_trees import BoostedTrees, importance_table, lightgbm_parameters
from numerai_assets.methods.contract import check_features, rank_within_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.store.about import read_about, write_about
from numerai_assets.trees.lightgbm_trees import train
from numerai_assets.trees.permuted_trees import Tree, trees_of

_MODEL = "model.txt"


class Benchmark(BoostedTrees):
    """LightGBM regression on one target."""

    name: ClassVar[str] = "benchmark"
    horizons: ClassVar[tuple[int, ...]] = (20, 60)

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows of the panel whose `target` is known; features (n, d) int8, target (n,) float32.

        Raises MethodError when no row has the target, or when the cluster of `compute` is not there to the end.
        """
        if not panel.eras_with(target):
            raise MethodError(f"{self.name}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
        self.booster_ = train(
            panel,
            target,
            lightgbm_parameters(self, seed) | {"objective": "regression"},
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
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""
        about = read_about(folder)
        method = cls(**about["parameters"])
        method.booster_ = lgb.Booster(model_file=str(folder / _MODEL))
        method.feature_names_ = tuple(about["feature_names"])
        return method

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        gain = self.booster_.feature_importance("gain").astype(np.float64)
        return importance_table(self.feature_names_, gain, self.booster_.feature_importance("split"))

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of the raw scores of some rows (Lundberg et al. 2018, LightGBM's `pred_contrib`)."""
        check_features(self, panel)
        parts = self.booster_.predict(
            panel.features[rows], pred_contrib=True, num_threads=self.num_threads, validate_features=False
        )
        return np.asarray(parts, np.float32)[:, :-1]

    def trees(self) -> list[Tree]:
        """The trees whose values sum to the raw score."""
        return trees_of(self.booster_)
