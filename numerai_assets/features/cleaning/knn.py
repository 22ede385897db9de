"""Missing bins filled from the nearest rows of the era: scikit-learn's KNNImputer on bins, at the size of an era.

scikit-learn's distances between rows with gaps take four matrix products, one of them of 64-bit integers, which no BLAS
multiplies. Bins are whole numbers from 0 to 4, so four int8 products give the same distances exactly. The nearest rows
of a row are sorted once, not once per missing cell. Ties between equally near rows are resolved as KNNImputer does: by
numpy's `argpartition` of the same distances in the same order.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from numerai_assets.panel.blocks import MISSING

# Number of rows to fill whose distances to all rows are in memory at a time.
_RECEIVERS = 512
# Number of nearest rows sorted for each row; gaps that they do not settle are filled one by one.
_RANKED = 64
# Number of gaps filled at a time.
_GAPS = 1 << 14


def filled_from_nearest_rows(block: NDArray[np.int8], neighbours: int = 5) -> NDArray[np.int8]:
    """(d, n) int8 with each missing cell (-1) replaced by the mean of the nearest rows that have the feature, rounded to a bin.

    block: (d, n) int8, feature-major. The result is that of scikit-learn's `KNNImputer(n_neighbors=neighbours)` on float32
    with uniform weights: the distance of two rows is that over the features both have, scaled up to all features. If a row
    shares no feature with any row that has the missing one, it takes the feature's mean. A feature without any value takes
    the middle bin, 2, before anything else.
    """
    filled = block.copy()
    filled[(block == MISSING).all(axis=1)] = 2
    missing = filled == MISSING
    levels = np.where(missing, np.int8(0), filled)
    gapped = np.flatnonzero(missing.any(axis=0))
    for start in range(0, len(gapped), _RECEIVERS):
        rows = gapped[start : start + _RECEIVERS]
        distances = nan_distances(levels, missing, rows)
        nearest = _in_order(distances)
        for row, feature in _gaps(missing, rows):
            filled[feature, rows[row]], settled = _from_ranked(
                levels, missing, feature, distances[row[:, None], nearest[row]], nearest[row], neighbours
            )
            for of_row, of_feature in zip(row[~settled], feature[~settled], strict=True):
                filled[of_feature, rows[of_row]] = _as_knn_imputer(
                    levels[of_feature], missing[of_feature], distances[of_row], neighbours
                )
    return filled


def nan_distances(levels: NDArray[np.int8], missing: NDArray[np.bool_], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """(r, n) float32 distances of some rows to all, NaN if two share no feature; bit-equal to `nan_euclidean_distances`.

    levels: (d, n) int8, 0 where missing (d, n) is True. rows: (r,) positions.
    """
    squares, present = levels * levels, (~missing).view(np.int8)
    ours_levels, ours_squares, ours_present = (
        from_dlpack(np.ascontiguousarray(of[:, rows].T)) for of in (levels, squares, present)
    )
    theirs_levels, theirs_squares, theirs_present = (from_dlpack(of) for of in (levels, squares, present))
    apart = torch._int_mm(ours_squares, theirs_present)
    apart += torch._int_mm(ours_present, theirs_squares)
    apart -= 2 * torch._int_mm(ours_levels, theirs_levels)
    shared = torch._int_mm(ours_present, theirs_present).numpy()
    # Divided in float64, stored and multiplied in float32, as in scikit-learn: other rounding would give other ties.
    distances: NDArray[np.float32] = (apart.numpy() / np.maximum(shared, 1)).astype(np.float32)
    distances *= np.float32(len(levels))
    np.sqrt(distances, out=distances)
    distances[shared == 0] = np.nan
    return distances


def _in_order(distances: NDArray[np.float32]) -> NDArray[np.intp]:
    """(r, 64) positions of the nearest rows, nearest first, of distances (r, n); all n of them where there are fewer."""
    if distances.shape[1] <= _RANKED:
        return np.argsort(distances, axis=1)
    some = np.argpartition(distances, _RANKED - 1, axis=1)[:, :_RANKED]
    return np.take_along_axis(some, np.argsort(np.take_along_axis(distances, some, axis=1), axis=1), axis=1)


def _gaps(missing: NDArray[np.bool_], rows: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Index into `rows` and feature of each missing cell of these rows, in batches."""
    feature, row = np.nonzero(missing[:, rows])
    for start in range(0, len(row), _GAPS):
        yield row[start : start + _GAPS], feature[start : start + _GAPS]


def _from_ranked(
    levels: NDArray[np.int8],
    missing: NDArray[np.bool_],
    feature: NDArray[np.intp],
    distances: NDArray[np.float32],
    nearest: NDArray[np.intp],
    neighbours: int,
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """(g,) bin of each gap from the rows nearest to it, and (g,) True if these rows settle it.

    feature: (g,). distances, nearest: (g, k) of the k nearest rows of each gap's row, nearest first. They settle a gap if
    enough of them have the feature, and the farthest row used is strictly nearer than every row not used.
    """
    known = ~missing[feature[:, None], nearest]
    place = np.cumsum(known, axis=1, dtype=np.int16)
    chosen = known & (place <= neighbours)
    farthest = np.where(chosen, distances, -np.inf).max(axis=1)
    left_out = np.where(known & ~chosen, distances, np.inf).min(axis=1)
    # Rows outside the nearest k are no nearer than the last of the k.
    settled = (place[:, -1] >= neighbours) & (farthest < np.minimum(left_out, distances[:, -1]))
    total = (levels[feature[:, None], nearest] * chosen).sum(axis=1, dtype=np.int64)
    return np.rint(total / neighbours).astype(np.int8), settled


def _as_knn_imputer(
    levels: NDArray[np.int8], missing: NDArray[np.bool_], distances: NDArray[np.float32], neighbours: int
) -> int:
    """Bin of one gap from the values `levels` (n,) of its feature and the distances (n,) of its row."""
    donors = np.flatnonzero(~missing)
    theirs = distances[donors]
    if np.isnan(theirs).all():
        return int(np.rint(levels[donors].mean()))
    enough = min(neighbours, len(donors))
    chosen = np.argpartition(theirs, enough - 1)[:enough]
    chosen = chosen[~np.isnan(theirs[chosen])]
    return int(np.rint(levels[donors[chosen]].mean()))
