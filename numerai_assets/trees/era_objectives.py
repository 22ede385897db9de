"""Objectives of boosted trees that count by era, for LightGBM and XGBoost, and era boosting.

With the target y of an era standardised, and its raw predictions p less their mean, of standard deviation s:

    c_e = mean(p y) / r_e,  r_e^2 = s^2 + ridge^2        dc_e/dp_i = (y_i - p_i mean(p y) / r_e^2) / (n_e r_e)

which is the correlation once s is well beyond the ridge. Objectives are minimised:

    mse       half the squared error of the target less its era's mean
    era_corr  -m, where m is the mean of c_e over eras
    sharpe    -m / q, with q^2 the variance of c_e over eras plus what chance alone makes of it, 1 / rows of an era;
              dL/dc_e = -(1/E)[1/q - m(c_e - m)/q^3], which is 1/q times that of era_corr times 1 - m(c_e - m)/q^2

The ridge gives a learning rate the meaning that it has for mse. A correlation does not depend on the scale of the
predictions: without a ridge, a small first tree would count for as much as a grown ensemble, and every later tree would be
fitted to the residual of the few before it, however little these had explained. Measured on two planted worlds, with 100
and 300 trees, the ratio of the correlation in later eras to that of mse is 0.36 to 0.84 at a ridge of 0.03 of the target's
standard deviation, 0.95 to 1.03 at 0.1, and 1.00 to 1.14 at 0.3; the correlation in the training eras is about the same.
The ridge also defines the gradient of the first tree, where predictions are constant, and of an era in which no feature
varies: it is the standardised target, as for mse. The gradient is multiplied by one number for all rows, so that in these
two cases it equals that of mse.

The second derivative is set to the weight of the row's era. Eras weigh the same whatever their number of rows, except
under mse.

Era boosting (R. Craib, forum.numer.ai, "Era Boosted Models"): after each round of trees, the next one is grown on the eras
with the lowest correlation so far.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

Objective = Literal["mse", "era_corr", "sharpe"]
OBJECTIVES: tuple[Objective, ...] = ("mse", "era_corr", "sharpe")

Array = NDArray[np.float64]

RIDGE = 0.3
"""In units of the target's std. Predictions with a correlation of 0.3 have the least squared error when this is their std."""


@dataclass(frozen=True)
class EraTargets:
    """Known targets of rows that are sorted by era.

    values: (n,) of mean 0 and mean square 1 within each era, 0 in an era whose targets do not vary. spread: (E,) standard
    deviation of each era. rows: (E,) rows of each era, none of them 0.
    """

    values: Array
    spread: Array
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, target: NDArray[np.floating], rows_of_era: NDArray[np.intp]) -> Self:
        """target: (n,) without NaN. Eras without a row are left out."""
        rows = rows_of_era[rows_of_era > 0]
        values = centred(np.asarray(target, np.float64), rows)
        spread = np.sqrt(era_means(values**2, rows))
        return cls(values / np.repeat(np.where(spread > 0, spread, 1), rows), spread, rows)

    @property
    def scale(self) -> float:
        """Root mean square of the eras' standard deviations."""
        return float(np.sqrt(np.mean(self.spread**2)))


def era_means(values: Array, rows: NDArray[np.intp]) -> Array:
    """(E,) means of (n,) values over the rows of each era."""
    return np.asarray(np.add.reduceat(values, np.cumsum(rows) - rows) / rows)


def centred(values: Array, rows: NDArray[np.intp]) -> Array:
    """(n,) values less their era's mean."""
    return np.asarray(values - np.repeat(era_means(values, rows), rows))


def era_correlations(predicted: Array, targets: EraTargets) -> Array:
    """(E,) Pearson correlation of (n,) predictions with the target in each era, 0 where either does not vary."""
    raw = centred(predicted, targets.rows)
    spread = np.sqrt(era_means(raw**2, targets.rows))
    return np.asarray(era_means(raw * targets.values, targets.rows) / np.where(spread > 0, spread, 1))


def mse_gradient(predicted: Array, targets: EraTargets) -> tuple[Array, Array]:
    """First and second derivative, (n,) each, of half the squared error of the targets less their era's mean."""
    return predicted - targets.values * np.repeat(targets.spread, targets.rows), np.ones_like(predicted)


def correlation_gradient(predicted: Array, targets: EraTargets, *, sharpe: bool) -> tuple[Array, Array]:
    """(n,) gradient of -m, or of -m / q, times one number for all rows, and (n,) weight of each row's era."""
    rows = targets.rows
    raw = centred(predicted, rows)
    lengths = np.sqrt(era_means(raw**2, rows) + (RIDGE * targets.scale) ** 2)
    covariances = era_means(raw * targets.values, rows)
    steps = np.sqrt(np.mean(lengths**2)) / lengths
    if sharpe:
        steps *= sharpe_weights(covariances / lengths, rows)
    weights = rows.mean() / rows
    residuals = targets.values - np.repeat(covariances / lengths**2, rows) * raw
    return -targets.scale * np.repeat(weights * steps, rows) * residuals, np.repeat(weights, rows)


def sharpe_weights(correlations: Array, rows: NDArray[np.intp]) -> Array:
    """(E,) weight of each era's correlation in m / q, of mean 1; below 0 for a correlation far above the others."""
    mean = correlations.mean()
    variance = correlations.var() + 1 / rows.mean()
    return np.asarray(1 - mean * (correlations - mean) / variance)


def worst_eras(correlations: Array, share: float) -> NDArray[np.bool_]:
    """(E,) true for the share of the eras, at least one, with the lowest correlation."""
    worst = np.argsort(correlations, kind="stable")[: max(1, math.ceil(share * len(correlations)))]
    return np.isin(np.arange(len(correlations)), worst)


class EraObjective:
    """A custom objective for LightGBM and XGBoost, called once per tree.

    trees: how many will be grown. rounds: of era boosting, 1 for none: the first round grows on all eras, each later round
    on the `share` of them with the lowest correlation when it begins.
    """

    def __init__(
        self, kind: Objective, targets: EraTargets, *, trees: int, rounds: int = 1, share: float = 0.5
    ) -> None:
        self._kind = kind
        self._targets = targets
        self._trees_a_round = math.ceil(trees / rounds)
        self._share = share
        self._trees = 0
        self._grown_on = np.ones(len(targets.rows), bool)

    def __call__(self, predicted: NDArray[np.floating], data: object) -> tuple[Array, Array]:
        """First and second derivatives, (n,) each, at raw predictions (n,)."""
        raw = np.asarray(predicted, np.float64)
        if self._trees and self._trees % self._trees_a_round == 0:
            self._grown_on = worst_eras(era_correlations(raw, self._targets), self._share)
        self._trees += 1
        if self._kind == "mse":
            gradient, weight = mse_gradient(raw, self._targets)
        else:
            gradient, weight = correlation_gradient(raw, self._targets, sharpe=self._kind == "sharpe")
        counts = np.repeat(self._grown_on, self._targets.rows)
        return gradient * counts, weight * counts
