"""Blends of several models: the weighted mean of their ranks within an era, with weights >= 0."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import rankdata

from numerai_assets.evaluation.metrics import gaussian_ranks
from numerai_assets.methods.contract import rank_within_eras

Ranks = Literal["uniform", "gaussian"]
RANKS: tuple[Ranks, ...] = ("uniform", "gaussian")

Array = NDArray[np.float64]

# Share of equal weights in the learned ones: members are almost copies of each other, so their optimum is ill-defined.
_SHRINKAGE = 0.5


def centred_ranks(raw: NDArray[np.floating], kind: Ranks) -> Array:
    """(m, n) ranks, of mean 0, of (m, n) raw scores of one era; ties share their average rank."""
    if kind == "gaussian":
        return np.ascontiguousarray(gaussian_ranks(raw.T).T)
    return np.asarray((rankdata(raw, axis=1) - 0.5) / raw.shape[1] - 0.5, np.float64)


def blended(weights: Array, ranks: Iterable[Array], rows_of_era: list[int]) -> NDArray[np.float32]:
    """(n,) float32 ranks within each era of the weighted mean (m,) of the members' ranks, (m, n_era) of each era."""
    # Not a matrix product, whose rounding depends on where a row stands.
    means = [np.sum(weights[:, None] * of_era, axis=0) for of_era in ranks]
    return rank_within_eras(np.concatenate(means), rows_of_era)


def equal_weights(members: int) -> Array:
    """(members,) weights of sum 1."""
    return np.full(members, 1 / members)


def learned_weights(eras: Iterable[tuple[Array, NDArray[np.floating]]]) -> Array:
    """(m,) weights >= 0 of sum 1: the mean of equal weights and of those whose blend is nearest to the target (least squares).

    eras: for each era, (m, n) centred ranks and the (n,) target, NaN where unknown. Eras weigh the same. The weights are
    equal if least squares sets all of them to 0, for example if every member is worse than no prediction.
    """
    gram, moment = np.zeros((0, 0)), np.zeros(0)
    for ranks, target in eras:
        known = ~np.isnan(target)
        seen, wanted = ranks[:, known], np.asarray(target[known], np.float64)
        gram = seen @ seen.T / known.sum() + (gram if gram.size else 0)
        moment = seen @ (wanted - wanted.mean()) / known.sum() + (moment if moment.size else 0)
    members = len(moment)
    # Least squares on the sums only. The small ridge splits the weight between identical members.
    lower = np.linalg.cholesky(gram + 1e-6 * np.trace(gram) / members * np.eye(members))
    nearest, _ = nnls(lower.T, np.linalg.solve(lower, moment))
    learned = nearest / nearest.sum() if nearest.any() else equal_weights(members)
    return np.asarray((1 - _SHRINKAGE) * learned + _SHRINKAGE * equal_weights(members))
