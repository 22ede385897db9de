"""What a prediction loses when a feature is permuted among the rows of an era (Breiman 2001, section 10)."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import corr

Array = NDArray[np.float64]

# Predictions scored at once.
_SCORED = 64


def corr_lost(predictions: Iterable[tuple[NDArray[np.floating], bool]], target: NDArray[np.float32]) -> Array:
    """(k,) CORR of the first predictions (n,) of one era less that of each of the k others; negative where one gains.

    Beside each prediction stands whether it can differ from the first: where it cannot, 0 is lost and nothing is scored.
    Raises ScoringError when no target is known.
    """
    if np.isnan(target).all():
        raise ScoringError(f"permutation: none of {len(target)} targets is known, so nothing can be lost")
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
    """(m,) CORR; 0 for predictions that are all alike, which tell nothing."""
    return np.asarray(np.nan_to_num(corr(predictions, target)))
