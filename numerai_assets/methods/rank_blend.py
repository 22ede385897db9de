"""Blending what several models predict: the mean of their ranks within an era, with weights that are never negative."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata

from numerai_assets.evaluation.metrics import gaussian_ranks

Ranks = Literal["uniform", "gaussian"]
RANKS: tuple[Ranks, ...] = ("uniform", "gaussian")

Array = NDArray[np.float64]

# How far learned weights are drawn to equal ones: members are near copies of each other, so their optimum is ill-defined.
_SHRINKAGE = 0.5


def centred_ranks(raw: NDArray[np.floating], kind: Ranks) -> Array:
    """(m, n) ranks, of mean 0, of (m, n) raw scores of one era; ties share their average rank."""
    if kind == "gaussian":
        return np.ascontiguousarray(gaussian_ranks(raw.T).T)
    return np.asarray((rankdata(raw, axis=1) - 0.5) / raw.shape[1] - 0.5, np.float64)


def equal_weights(members: int) -> Array:
    """(members,) weights of sum 1."""
    return np.full(members, 1 / members)


def learned_weights(eras: Iterable[tuple[Array, NDArray[np.floating]]]) -> Array:
    """(m,) weights >= 0 of sum 1: half equal, half such that the blend is nearest to the target by least squares.

    eras: of each, (m, n) centred ranks and the (n,) target, NaN where unknown. Where no weights but 0 are nearest, as where
    each member is worse than nothing, they are equal. Eras weigh the same.
    """
    gram, moment = np.zeros((0, 0)), np.zeros(0)
    for ranks, target in eras:
        known = ~np.isnan(target)
        seen, wanted = ranks[:, known], np.asarray(target[known], np.float64)
        gram = seen @ seen.T / known.sum() + (gram if gram.size else 0)
        moment = seen @ (wanted - wanted.mean()) / known.sum() + (moment if moment.size else 0)
    members = len(moment)
    # Least squares on the sums alone, with a ridge so small that it only makes copies of one member share.
    lower = np.linalg.cholesky(gram + 1e-6 * np.trace(gram) / members * np.eye(members))
    nearest, _ = nnls(lower.T, np.linalg.solve(lower, moment))
    learned = nearest / nearest.sum() if nearest.any() else equal_weights(members)
    return np.asarray((1 - _SHRINKAGE) * learned + _SHRINKAGE * equal_weights(members))
