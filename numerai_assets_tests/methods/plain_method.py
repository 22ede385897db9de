"""A method that learns nothing: what test doubles build on."""

from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.methods.contract import Method
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent


class PlainMethod(Method):
    """Predicts the middle for every row."""

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        self.feature_names_ = panel.feature_names
        return self

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        return np.full(panel.rows, 0.5, np.float32)

    def save(self, folder: Path) -> None:
        (folder / "nothing").touch()

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls()

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        return pd.DataFrame({"feature": panel.feature_names})
