"""LightGBM with the official example parameters: the model that everybody starts from, and the reference for all others.

`quick` is Numerai's example model, `full` has the parameters of the v5 benchmark models (`boosted_trees`).
Changed for this machine: the int8 features go to LightGBM without a float copy and take four bits each there; the five bins
are declared instead of searched for (`trees.lightgbm_bins`).
"""

from pathlib import Path
from typing import ClassVar

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.methods.boosted_trees import SingleBooster, importance_table, lightgbm_parameters
from numerai_assets.methods.contract import check_features
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress
from numerai_assets.trees.lightgbm_trees import train
from numerai_assets.trees.permuted_trees import Tree, trees_of

_MODEL = "model.txt"


class Benchmark(SingleBooster):
    """LightGBM regression on one target."""

    name: ClassVar[str] = "benchmark"

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        gain = self.booster_.feature_importance("gain").astype(np.float64)
        return importance_table(self.feature_names_, gain, self.booster_.feature_importance("split"))

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of the raw scores of some rows (Lundberg et al. 2018, LightGBM's `pred_contrib`)."""
        check_features(self, panel)
        found = self.booster_.predict(
            panel.features[rows], pred_contrib=True, num_threads=self.execution.cores, validate_features=False
        )
        return np.asarray(found, np.float32)[:, :-1]

    def trees(self) -> list[Tree]:
        """The trees whose values sum to the raw score."""
        return trees_of(self.booster_)

    def _trained(self, panel: EraPanel, target: str, seed: int, progress: Progress) -> lgb.Booster:
        return train(
            panel,
            target,
            lightgbm_parameters(self, seed) | {"objective": "regression"},
            trees=self.n_estimators,
            compute=self.execution.compute,
            progress=progress,
        )

    def _raw(self, block: NDArray[np.int8]) -> NDArray[np.floating]:
        found = self.booster_.predict(block.T, num_threads=self.execution.cores, validate_features=False)
        return np.asarray(found)

    def _write_booster(self, folder: Path) -> None:
        (folder / _MODEL).write_text(self.booster_.model_to_string(), encoding="utf-8")

    @classmethod
    def _read_booster(cls, folder: Path) -> lgb.Booster:
        return lgb.Booster(model_file=str(folder / _MODEL))
