"""Why one row is predicted as it is: a linear model of the predictions around it (LIME; Ribeiro, Singh & Guestrin 2016).

Features have five levels, so the row is perturbed by draws from the levels that the feature has in the row's own era, not
by Gaussian noise. Of each perturbed row another share of the features is drawn, from none to all: else, of hundreds of
features, all perturbed rows were equally far away and the kernel told none of them from another.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]
Predict = Callable[[NDArray[np.int8]], NDArray[np.floating]]


@dataclass(frozen=True)
class LocalModel:
    """prediction ~ intercept + weights @ levels, near the row.

    weights: (d,) change of the prediction a level. effects: (d,) weight times how far the row's level is from the mean of
    its era. r2: share of the weighted variance of the predictions that the model explains; where it is low, the weights
    tell little.
    """

    weights: Array
    effects: Array
    intercept: float
    r2: float


def local_model(
    predict: Predict,
    row: NDArray[np.int8],
    levels: NDArray[np.int8],
    *,
    seed: int,
    samples: int = 2000,
    width: float = 0.75,
    ridge: float = 0.01,
) -> LocalModel:
    """Fits the linear model.

    predict: (samples, d) int8 levels to (samples,) predictions. row: (d,) levels. levels: (d, n) of the row's era. width:
    of the kernel exp(-(distance / width)^2), the distance being the root mean square difference in standard deviations of
    each feature. ridge: penalty on weights a standard deviation. A feature of one level has weight 0.
    Raises ScoringError when row and levels do not fit.
    """
    if row.shape != levels.shape[:1]:
        raise ScoringError(f"local model: the row has {row.shape} levels, its era has features {levels.shape[:1]}")
    rng = np.random.default_rng(seed)
    places = rng.integers(0, levels.shape[1], (samples, len(row)))
    is_drawn = rng.random((samples, len(row))) < rng.random((samples, 1))
    perturbed = np.where(is_drawn, levels[np.arange(len(row)), places], row)
    # The row itself is what is explained.
    perturbed[0] = row
    spread = levels.std(axis=1, dtype=np.float64)
    apart = (perturbed.astype(np.float64) - row) / np.where(spread > 0, spread, 1.0)
    nearness = np.exp(-(apart**2).mean(axis=1) / width**2)
    predictions = np.asarray(predict(perturbed), np.float64)
    model = Ridge(alpha=ridge).fit(apart, predictions, sample_weight=nearness)
    weights = np.where(spread > 0, model.coef_ / np.where(spread > 0, spread, 1.0), 0.0)
    return LocalModel(
        weights=weights,
        effects=weights * (row - levels.mean(axis=1, dtype=np.float64)),
        intercept=float(model.intercept_ - weights @ row),
        r2=float(model.score(apart, predictions, sample_weight=nearness)),
    )
