"""Targets as ranks within their era, so that each era says as much, whatever its levels."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.features.fitting import standardised, varies


def standardised_ranks(target: NDArray[np.floating], rows_of_era: Sequence[int]) -> NDArray[np.float32]:
    """(n,) float32 ranks of a target (n,) among the known rows of its era, of mean 0 and mean square 1 over these.

    Equal values share their mean rank, so only their order within the era counts. NaN where the target is unknown, and
    throughout an era in which it does not vary.
    """
    edges = np.cumsum([0, *rows_of_era])
    ranked = np.full(len(target), np.nan, np.float32)
    for start, stop in itertools.pairwise(edges):
        values, of_era = target[start:stop], ranked[start:stop]
        if varies(values):
            known = ~np.isnan(values)
            of_era[known] = standardised(rankdata(values[known]))
    return ranked
