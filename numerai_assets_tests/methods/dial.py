"""A method of one hyperparameter, fitted in no time."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from numerai_assets.methods.contract import Suggests, rank_within_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.methods.plain_method import PlainMethod


class Dial(PlainMethod):
    """Predicts by the first feature, which tells of the target, and by the second, which does not."""

    name: ClassVar[str] = "dial"
    horizons: ClassVar[tuple[int, ...]] = (60,)

    def __init__(self, *, angle: float = 0.0) -> None:
        self.angle = angle

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        return {"angle": trial.suggest_float("angle", -3.0, 3.0)}

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        raw = np.cos(self.angle) * panel.features[:, 0] + np.sin(self.angle) * panel.features[:, 1]
        return rank_within_eras(raw, panel.rows_of_era)
