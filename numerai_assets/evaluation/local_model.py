"""Local explanation of one prediction: a linear model around the row (LIME; Ribeiro, Singh & Guestrin 2016).

Features have five bins, so a perturbed row takes bins that occur in the row's own era, not Gaussian noise. Each perturbed row
redraws another share of the features, from none to all: with hundreds of features and one share, all perturbed rows would be
equally far away and the kernel would weight them alike.
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

    weights: (d,) change of the prediction per bin. effects: (d,) weight times the distance of the row's bin from the mean of
    its era. r2: explained share of the weighted variance of the predictions; where it is low, the weights mean little.
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
    """Fit the linear model.

    predict: (samples, d) int8 bins to (samples,) predictions. row: (d,) bins. levels: (d, n) bins of the row's era. width:
    of the kernel exp(-(distance / width)^2); the distance is the root mean square difference in standard deviations of each
    feature. ridge: penalty on the weights per standard deviation. A constant feature has weight 0.
    Raises ScoringError when row and levels have different numbers of features.
    """
    if row.shape != levels.shape[:1]:
        raise ScoringError(f"local model: the row has {row.shape} bins, its era has features {levels.shape[:1]}")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, levels.shape[1], (samples, len(row)))
    is_drawn = rng.random((samples, len(row))) < rng.random((samples, 1))
    perturbed = np.where(is_drawn, levels[np.arange(len(row)), drawn], row)
    # The first sample is the row itself.
    perturbed[0] = row
    std = levels.std(axis=1, dtype=np.float64)
    apart = (perturbed.astype(np.float64) - row) / np.where(std > 0, std, 1.0)
    nearness = np.exp(-(apart**2).mean(axis=1) / width**2)
    predictions = np.asarray(predict(perturbed), np.float64)
    model = Ridge(alpha=ridge).fit(apart, predictions, sample_weight=nearness)
    weights = np.where(std > 0, model.coef_ / np.where(std > 0, std, 1.0), 0.0)
    return LocalModel(
        weights=weights,
        effects=weights * (row - levels.mean(axis=1, dtype=np.float64)),
        intercept=float(model.intercept_ - weights @ row),
        r2=float(model.score(apart, predictions, sample_weight=nearness)),
    )
