"""Permutation importance: the CORR lost when a feature is permuted among the rows of an era (Breiman 2001, section 10)."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import corr

Array = NDArray[np.float64]

# Number of predictions scored at once.
_SCORED = 64


def corr_lost(predictions: Iterable[tuple[NDArray[np.floating], bool]], target: NDArray[np.float32]) -> Array:
    """(k,) CORR of the first predictions (n,) of one era less that of each of the k others; negative for a gain.

    Each prediction comes with a flag whether it can differ from the first: where it cannot, the loss is 0 without scoring.
    Raises ScoringError when no target is known.
    """
    if np.isnan(target).all():
        raise ScoringError(
            f"permutation: none of {len(target)} targets is known; score an era whose target has resolved"
        )
    found = iter(predictions)
    as_they_are = _corr(next(found)[0][:, None], target)[0]
    lost: list[float] = []
    while batch := list(itertools.islice(found, _SCORED)):
        differs = np.array([concerned for _, concerned in batch])
        some = np.zeros(len(batch))
        if differs.any():
            some[differs] = as_they_are - _corr(np.stack([p for p, concerned in batch if concerned], axis=1), target)
        lost += some.tolist()
    return np.array(lost)


def _corr(predictions: NDArray[np.floating], target: NDArray[np.float32]) -> Array:
    """(m,) CORR; 0 for constant predictions."""
    return np.asarray(np.nan_to_num(corr(predictions, target)))
