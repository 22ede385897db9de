"""XGBoost from disk: boosting that trains on any number of eras in about half a gigabyte, and takes its time for it.

The last resort where LightGBM's half a byte per cell does not fit into memory (`trees.xgboost_bins`). `quick` and `full` have
the shapes of the benchmark's trees: Numerai's example model and its deep one.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from numerai_assets.methods.boosted_trees import SingleBooster, importance_table, xgboost_parameters
from numerai_assets.methods.contract import check_features
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress
from numerai_assets.trees.xgboost_bins import contributions, importances, predicted
from numerai_assets.trees.xgboost_trees import train

_MODEL = "model.ubj"


class ExternalBoosting(SingleBooster):
    """XGBoost regression on one target, trained from disk.

    A fit writes 2.2 bytes per cell beside the panel's cache, or among temporary files, until it is over.
    """

    name: ClassVar[str] = "external_boosting"

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """Columns feature, gain (share of the total) and splits; the panel is not needed for these."""
        return importance_table(self.feature_names_, *importances(self.booster_, len(self.feature_names_)))

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) SHAP values of the raw scores of some rows (Lundberg et al. 2018, XGBoost's `pred_contribs`)."""
        check_features(self, panel)
        self.booster_.set_param({"nthread": self.execution.cores})
        return contributions(self.booster_, panel.blocks[0][:, rows])

    def _trained(self, panel: EraPanel, target: str, seed: int, progress: Progress) -> xgb.Booster:
        return train(
            panel,
            target,
            xgboost_parameters(self, seed),
            trees=self.n_estimators,
            compute=self.execution.compute,
            progress=progress,
        )

    def _raw(self, block: NDArray[np.int8]) -> NDArray[np.floating]:
        self.booster_.set_param({"nthread": self.execution.cores})
        return predicted(self.booster_, block)

    def _write_booster(self, folder: Path) -> None:
        self.booster_.save_model(folder / _MODEL)

    @classmethod
    def _read_booster(cls, folder: Path) -> xgb.Booster:
        return xgb.Booster(model_file=str(folder / _MODEL))
