"""The nearest rows of one era to those of another: exact, and independent of the order of rows and blocks.

Points lie on a lattice: their coordinates are whole numbers of one byte. So distances are sums of whole numbers, exact in
any order of addition, the result depends on the points alone, and the products are int8, the fastest type.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch.utils.dlpack import from_dlpack

Points = NDArray[np.int8]
"""(dims, n) int8, coordinates from -LARGEST to LARGEST; at most 256 dims, with which float32 holds every squared distance."""

LARGEST = 127

# Rows whose distances to all others are in memory at once: 24 MB at 6,000 rows.
_ROWS_AT_ONCE = 1024


def nearest(here: Points, there: Points, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions (k, n) of the k points of `there` (dims, m >= k) nearest to each of `here` (dims, n), and their squared
    distances (k, n); nearest first, the lower position first where two are as near."""
    found = np.empty((k, here.shape[1]), np.int64)
    squares = np.empty((k, here.shape[1]), np.float32)
    for start in range(0, here.shape[1], _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        distances = squared_distances(here[:, some], there)
        positions = _smallest(distances, k)
        found[:, some] = positions.T
        squares[:, some] = np.take_along_axis(distances, positions, axis=1).T
    return found, squares


def assigned(here: Points, there: Points) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions (1, n) in `there` (dims, m) of the partners of `here` (dims, n), no two the same, whose squared distances
    (1, n) have the least sum. -1 and NaN for those left over where m < n.

    Holds all n m distances, in float64.
    """
    distances = squared_distances(here, there)
    rows, columns = linear_sum_assignment(distances)
    found = np.full((1, here.shape[1]), -1, np.int64)
    squares = np.full((1, here.shape[1]), np.nan, np.float32)
    found[0, rows], squares[0, rows] = columns, distances[rows, columns]
    return found, squares


def squared_distances(here: Points, there: Points) -> NDArray[np.int32]:
    """(n, m) exact squared distances between points (dims, n) and (dims, m)."""
    # As in neutralising: the one int8 product at hand that sums in int32. It has no public name in torch yet; a test
    # holds it to the exact product.
    distances: NDArray[np.int32] = torch._int_mm(
        from_dlpack(np.ascontiguousarray(here.T)), from_dlpack(np.ascontiguousarray(there))
    ).numpy()
    distances *= -2
    distances += _squared_lengths(there)
    distances += _squared_lengths(here)[:, None]
    return distances


def _squared_lengths(points: Points) -> NDArray[np.int32]:
    return np.asarray(np.einsum("ij,ij->j", points, points, dtype=np.int32))


def _smallest(values: NDArray[np.int32], k: int) -> NDArray[np.int64]:
    """(n, k) positions of the k smallest of each row of (n, m), ascending, equal ones by position."""
    width = values.shape[1]
    # One more than k shows whether the last one was chosen among equals, where the choice of torch is arbitrary.
    smallest, positions = (
        part.numpy() for part in torch.topk(from_dlpack(values), min(k + 1, width), dim=1, largest=False)
    )
    found = positions[:, :k].copy()
    if k < width:
        tied = np.flatnonzero(smallest[:, k - 1] == smallest[:, k])
        keys = values[tied].astype(np.int64) * width + np.arange(width)
        found[tied] = np.argpartition(keys, k - 1, axis=1)[:, :k]
    order = np.lexsort((found, np.take_along_axis(values, found, axis=1)), axis=1)
    return np.take_along_axis(found, order, axis=1)
