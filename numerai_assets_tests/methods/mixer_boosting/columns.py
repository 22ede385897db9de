"""What the columns of a learned block are worth: their correlation with the target, alone and through trees."""

import itertools

import lightgbm as lgb
import numpy as np

from numerai_assets.evaluation.metrics import corr
from numerai_assets.features.contract import FittedBlock
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.features.planted import TARGET


def columns(block: FittedBlock, panel: EraPanel) -> np.ndarray:
    """(n, k) float32 columns of all rows of a panel."""
    return np.concatenate([block.transform(era) for era in panel.each_era()], axis=1).astype(np.float32).T


def mean_corr(predictions: np.ndarray, panel: EraPanel) -> float:
    """Mean CORR over eras of predictions (n,)."""
    target = panel.target(TARGET)
    return float(np.mean([corr(predictions[a:b, None], target[a:b])[0] for a, b in itertools.pairwise(panel.edges)]))


def corr_of_trees(fitted: EraPanel, later: EraPanel, block: FittedBlock | None = None, *, trees: int = 100) -> float:
    """Mean CORR in later eras of trees on the features and, where there is one, the block's columns."""
    seen, unseen = (
        panel.features if block is None else np.hstack([panel.features, columns(block, panel)])
        for panel in (fitted, later)
    )
    settings = {"learning_rate": 0.05, "num_leaves": 8, "max_depth": 3, "min_data_in_leaf": 50, "num_threads": 1}
    data = lgb.Dataset(seen.astype(np.float32), fitted.target(TARGET))
    booster = lgb.train({"objective": "regression", "seed": 0, "verbosity": -1, **settings}, data, trees)
    return mean_corr(booster.predict(unseen.astype(np.float32)), later)
