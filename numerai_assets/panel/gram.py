"""Exact Gram matrices of int8 features, and their products with predictions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from numerai_assets.errors import ScoringError
from numerai_assets.panel.blocks import MISSING

Array = NDArray[np.float64]


Positions = Sequence[int] | NDArray[np.intp]
"""Indices of some features of a block."""


MIDDLE = np.int8(2)
"""Bin of a missing cell here: the bin that Numerai itself releases where there was no value."""


# Number of features converted to float64 at once.
_CHUNK = 256


def without_gaps(block: NDArray[np.int8], subset: Positions | None = None) -> NDArray[np.int8]:
    """(k, n) int8 bins of a block or of some of its features; a missing cell becomes the middle bin.

    Raises ScoringError for another dtype and for an era without rows.
    """
    if block.dtype != np.int8 or block.ndim != 2 or block.shape[1] == 0:
        raise ScoringError(f"features of an era: expected (d, n) int8 with rows, found {block.shape} {block.dtype}")
    levels = block if subset is None else block[np.asarray(subset, np.intp)]
    return np.where(levels == MISSING, MIDDLE, levels) if levels.min(initial=0) < 0 else levels


def checked(values: NDArray[np.floating], rows: int) -> Array:
    """Predictions (rows, m) as float64. Raises ScoringError for another shape and for NaN."""
    if values.ndim != 2 or len(values) != rows:
        raise ScoringError(f"predictions: expected ({rows}, m), found {values.shape}")
    gaps = np.flatnonzero(np.isnan(values).any(axis=0))
    if gaps.size:
        raise ScoringError(f"predictions: {gaps.size} of {values.shape[1]} columns hold NaN, the first is {gaps[0]}")
    return np.asarray(values, np.float64)


def integer_gram(levels: NDArray[np.int8]) -> NDArray[np.int32]:
    """(k, k) exact products of the features (k, n): at most 16 per row, so int32 suffices for any era."""
    # With a single row, the product below returns memory that was never written (torch 2.13).
    if levels.shape[1] == 1:
        return levels.astype(np.int32) * levels.T
    # The one int8 matrix product available that sums in int32: four times as fast as numpy's of float32 copies, which are
    # exact too. It has no public name in torch yet; a test compares it with the exact product.
    rows = from_dlpack(levels)
    gram: NDArray[np.int32] = torch._int_mm(rows, rows.T).numpy()
    return gram


def moments(levels: NDArray[np.int8], values: Array) -> Array:
    """(k, m) sums over the rows of features (k, n) times values (n, m), in float64 and in bounded memory."""
    total = np.empty((len(levels), values.shape[1]))
    for i in range(0, len(levels), _CHUNK):
        total[i : i + _CHUNK] = levels[i : i + _CHUNK].astype(np.float64) @ values
    return total
