"""How much one set of predictions differs from another on the same rows: churn of ranks, turnover of weights.

The definitions are those of numerai-tools 0.7 (`signals.churn`, `signals.turnover`). Numerai Classic draws new ids every
round, so there are the same rows only within a round: two vintages, two slots, a model before and after neutralising.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import MIN_OVERLAP, pearson_rows, tie_kept_ranks

Array = NDArray[np.float64]


def common_rows(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(k,) positions in each of two arrays of ids of those that both hold, in the order of the ids.

    Raises ScoringError for an id that stands twice, and where the common ones are less than 0.8 of either.
    """
    for which, ids in (("first", first), ("second", second)):
        if len(np.unique(ids)) < len(ids):
            raise ScoringError(f"ids of the {which} predictions: some stand more than once among {len(ids):,}")
    common, ours, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    if not len(common) or len(common) < MIN_OVERLAP * max(len(first), len(second)):
        raise ScoringError(
            f"ids: {len(common):,} are common to {len(first):,} and {len(second):,}, "
            f"expected at least {MIN_OVERLAP:.0%} of either"
        )
    return ours, theirs


def churn(first: NDArray[np.floating], second: NDArray[np.floating], *, top_bottom: int | None = None) -> Array:
    """(m,) churn between the same columns of (n, m) and (n, m), of the same rows of one era.

    1 less the Spearman correlation, 0 to 2. With `top_bottom` k: 1 less the mean share of the k highest and of the k
    lowest that stay, 0 to 1; of equal predictions the later row counts as higher, as in numerai-tools. NaN for a column
    with NaN, and for a constant one without `top_bottom`. Raises ScoringError when shapes differ and for a k that is not
    1 to n.
    """
    _check(first, second)
    if top_bottom is None:
        return 1 - pearson_rows(tie_kept_ranks(first).T, tie_kept_ranks(second).T)
    rows = len(first)
    if not 0 < top_bottom <= rows:
        raise ScoringError(f"churn: top and bottom {top_bottom}, expected 1 to {rows:,}, the number of rows")
    places = [np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0) for values in (first, second)]
    stay = [
        (ends[0] & ends[1]).sum(axis=0) for ends in zip(*(_ends(place, top_bottom) for place in places), strict=True)
    ]
    gaps = np.isnan(first).any(axis=0) | np.isnan(second).any(axis=0)
    return np.asarray(np.where(gaps, np.nan, 1 - (stay[0] + stay[1]) / (2 * top_bottom)))


def turnover(first: NDArray[np.floating], second: NDArray[np.floating]) -> Array:
    """(m,) half the sum of absolute changes between the same columns of weights (n, m) and (n, m); NaN for one with NaN.

    Raises ScoringError when shapes differ.
    """
    _check(first, second)
    return np.asarray(np.abs(np.asarray(first, np.float64) - second).sum(axis=0) / 2)


def compare_eras(
    compare: Callable[[NDArray[np.floating], NDArray[np.floating]], Array],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    rows_of_era: Sequence[int],
) -> Array:
    """(eras, m) of `churn` or `turnover` of predictions (n, m) and (n, m), whose rows of an era are contiguous.

    Raises ScoringError as these do, and when the rows of the eras are not n together.
    """
    _check(first, second)
    if sum(rows_of_era) != len(first):
        raise ScoringError(f"rows of the eras together: {sum(rows_of_era):,}, but there are {len(first):,} rows")
    edges = np.cumsum([0, *rows_of_era])
    return np.stack([compare(first[a:b], second[a:b]) for a, b in itertools.pairwise(edges)])


def _ends(places: NDArray[np.intp], count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return places < count, places >= len(places) - count


def _check(first: NDArray[np.floating], second: NDArray[np.floating]) -> None:
    if first.ndim != 2 or first.shape != second.shape or not len(first):
        raise ScoringError(f"predictions to compare: expected (n > 0, m) twice, found {first.shape} and {second.shape}")
