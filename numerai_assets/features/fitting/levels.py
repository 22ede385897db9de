"""Ranks, scores and group means of the features of an era from counts of their five levels, without sorting.

All functions are look-up tables: `level_counts` counts the rows of each level of each feature, a function of the counts
gives the value of each level, `looked_up` puts it into the cells. Blocks are feature-major, as in the era store, so a
feature is one run of bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.errors import MethodError

LEVELS = 5
Kind = Literal["rank", "z", "gauss"]
KINDS: tuple[Kind, ...] = ("rank", "z", "gauss")

Array = NDArray[np.float64]

# Cells worked on at once: 1 MiB of positions.
_CELLS = 1 << 18
# Features whose levels are counted at once, over all rows: below 256, and few enough for the cache of one core.
_COUNTED = 64
# A type of the size of two values, by the bytes of one.
_PAIR_TYPES = {2: np.uint32, 4: np.uint64, 8: np.complex128}


def level_counts(block: NDArray[np.int8]) -> NDArray[np.int64]:
    """(d, 5) rows of each level of each feature of an era's block (d, n) int8; missing cells (-1) count for none."""
    counts = np.empty((len(block), LEVELS), np.int64)
    rows = block.shape[1]
    for some in _slices(block):
        # Three bits distinguish the levels 0..4 and -1, which has all three; counting bits is cheaper than comparing.
        planes = np.zeros((3, len(block[some]), -(-rows // 64) * 8), np.uint8)
        for bit in range(3):
            planes[bit, :, : -(-rows // 8)] = np.packbits(block[some] & np.int8(1 << bit), axis=1)
        ones, twos, fours = planes.view(np.uint64)
        has_1, has_2, has_4, has_12, missing = map(_bits, (ones, twos, fours, ones & twos, ones & fours))
        counts[some, 1:] = np.stack([has_1 - has_12, has_2 - has_12, has_12 - missing, has_4 - missing], axis=1)
        counts[some, 0] = rows - missing - counts[some, 1:].sum(axis=1)
    return counts


def row_level_counts(block: NDArray[np.int8], groups: Sequence[NDArray[np.intp]]) -> NDArray[np.int32]:
    """(g, 5, n) features of each group at each level, for each row of an era's block (d, n) int8; -1 counts for none.

    groups: positions of the features of each, which may share some.
    """
    counts = np.zeros((len(groups), LEVELS, block.shape[1]), np.int32)
    for of_group, places in zip(counts, groups, strict=True):
        for start in range(0, len(places), _COUNTED):
            cells = block[places[start : start + _COUNTED]]
            for level, of_level in enumerate(of_group):
                # Sums of at most _COUNTED fit in bytes, and bytes are cheapest.
                of_level += np.add.reduce((cells == level).view(np.uint8), axis=0, dtype=np.uint8)
    return counts


def rank_table(counts: NDArray[np.int64]) -> Array:
    """(d, 5) average rank of each level in the era, mapped to (-1, 1): 2 (rank - 0.5) / rows - 1."""
    below = np.cumsum(counts, axis=1) - counts
    return np.asarray((2 * below + counts) / _rows(counts) - 1)


def z_table(counts: NDArray[np.int64]) -> Array:
    """(d, 5) standard score of each level in the era (ddof 0); 0 where the feature is constant."""
    levels = np.arange(LEVELS)
    mean = (counts * levels).sum(axis=1, keepdims=True) / _rows(counts)
    away = levels - mean
    spread = np.sqrt((counts * away**2).sum(axis=1, keepdims=True) / _rows(counts))
    return np.asarray(np.divide(away, spread, out=np.zeros(counts.shape), where=spread > 0))


def gauss_table(counts: NDArray[np.int64]) -> Array:
    """(d, 5) normal quantile of each level's average rank; 0 for levels of a feature without any value."""
    # A level without rows may have an infinite quantile; no cell looks it up.
    return np.asarray(ndtri(np.where(counts > 0, (rank_table(counts) + 1) / 2, 0.5)))


def mean_table(block: NDArray[np.int8], values: NDArray[np.floating]) -> Array:
    """(d, 5) mean of `values` (n,) over the rows of each level; NaN for a level that no row has.

    If the values are a target, the era must have resolved before the means are used.
    """
    sums = np.empty((len(block), LEVELS))
    exact = np.asarray(values, np.float64)
    for some in _slices(block):
        for level in range(LEVELS):
            sums[some, level] = (block[some] == level).astype(np.float64) @ exact
    counts = level_counts(block)
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def looked_up(
    block: NDArray[np.int8], table: Array, *, missing: float = 0.0, dtype: type[np.floating] = np.float32
) -> NDArray[np.floating]:
    """(d, n) of `dtype`: the value of each cell's level in its feature's row of `table` (d, 5); `missing` for -1."""
    features, rows = block.shape
    even = rows + rows % 2
    # By the lowest three bits of a cell: those of -1 are 7.
    entries = np.zeros((features, 8), dtype)
    entries[:, :LEVELS], entries[:, 7] = table, missing
    found = np.empty((features, even), dtype)
    pair_type = _PAIR_TYPES[np.dtype(dtype).itemsize]
    for some in _slices(block):
        cells = np.ascontiguousarray(block[some])
        if even > rows:
            cells = np.pad(cells, ((0, 0), (0, 1)))
        # Two neighbours are looked up at once, in the 64 pairs of their feature: half the positions, half the fetches.
        two = cells.view(np.uint16)
        place = ((two & np.uint16(7)) | ((two >> np.uint16(5)) & np.uint16(56))).astype(np.intp)
        place += np.arange(0, 64 * len(cells), 64)[:, None]
        pairs = np.empty((len(cells), 8, 8, 2), dtype)
        pairs[..., 0], pairs[..., 1] = entries[some, None, :], entries[some, :, None]
        # Positions are in range by construction; a mode other than "raise" spares numpy a buffered copy, and "clip" is
        # a quarter faster than "wrap".
        np.take(pairs.view(pair_type).ravel(), place, out=found.view(pair_type)[some], mode="clip")
    return found if even == rows else np.ascontiguousarray(found[:, :rows])


def scaled(block: NDArray[np.int8], kind: Kind, *, dtype: type[np.floating] = np.float32) -> NDArray[np.floating]:
    """(d, n) of `dtype`: an era's block (d, n) int8 for methods that want floats; missing cells become 0, the centre.

    rank: average rank in the era mapped to (-1, 1); z: mean 0 and standard deviation 1 in the era, constants 0; gauss:
    normal quantile of the average rank. Raises MethodError for another kind.
    """
    tables = {"rank": rank_table, "z": z_table, "gauss": gauss_table}
    if kind not in tables:
        raise MethodError(f"scaling {kind!r}: expected one of {KINDS}")
    return looked_up(block, tables[kind](level_counts(block)), dtype=dtype)


def scaled_eras(
    blocks: Iterable[NDArray[np.int8]], kind: Kind, *, dtype: type[np.floating] = np.float32
) -> Iterator[NDArray[np.floating]]:
    """`scaled` of each era's block in turn: no more than one era of floats is held here."""
    for block in blocks:
        yield scaled(block, kind, dtype=dtype)


def _bits(plane: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.asarray(np.bitwise_count(plane).sum(axis=1, dtype=np.int64))


def _rows(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _slices(block: NDArray[np.int8]) -> Iterator[slice]:
    features, rows = block.shape
    step = max(1, _CELLS // max(rows, 1))
    for start in range(0, features, step):
        yield slice(start, start + step)
