"""What the columns of a learned block are worth: correlation with the target, and the gain of trees that get them."""

import itertools
from typing import Protocol

import lightgbm as lgb
import numpy as np

from numerai_assets.evaluation.metrics import corr
from numerai_assets.panel.panel import Columns, EraPanel
from numerai_assets_tests.features.planted import TARGET


class MakesColumns(Protocol):
    def transform(self, panel: EraPanel) -> Columns: ...


def columns(block: MakesColumns, panel: EraPanel) -> np.ndarray:
    """(n, k) float32 columns of all rows of the panel."""
    return np.concatenate([block.transform(era) for era in panel.each_era()], axis=1).astype(np.float32).T


def mean_corr(predictions: np.ndarray, panel: EraPanel) -> float:
    target = panel.target(TARGET)
    return float(np.mean([corr(predictions[a:b, None], target[a:b])[0] for a, b in itertools.pairwise(panel.edges)]))


def corr_of_trees(fitted: EraPanel, later: EraPanel, block: MakesColumns | None = None, *, trees: int) -> float:
    """Mean CORR in later eras of trees on the features and, if a block is given, its columns."""
    seen, unseen = (
        panel.features if block is None else np.hstack([panel.features, columns(block, panel)])
        for panel in (fitted, later)
    )
    parameters = {"learning_rate": 0.05, "num_leaves": 8, "max_depth": 3, "min_data_in_leaf": 50, "num_threads": 1}
    data = lgb.Dataset(seen.astype(np.float32), fitted.target(TARGET))
    model = lgb.train({"objective": "regression", "seed": 0, "verbosity": -1, **parameters}, data, trees)
    return mean_corr(model.predict(unseen.astype(np.float32)), later)
