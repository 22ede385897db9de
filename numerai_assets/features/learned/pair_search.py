"""A search through all pairs of features for those that act together on a target, and tables of some pairs.

The search consists of matrix products alone. The effect of a pair beyond those of its features has 16 contrasts in a 5 x 5
table. Four of them, the products of the linear and the quadratic contrast of each feature, contain most of a smooth effect.
Weighted by the target, the products of all pairs in one contrast are one Gram matrix of int8, exact in int32. The tables
then remove the additive effects, which the search does not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from numerai_assets.features.fitting.levels import LEVELS
from numerai_assets.panel.blocks import MISSING

CELLS = LEVELS * LEVELS

Array = NDArray[np.float64]

# Rows of the Gram matrices computed at once; only cells at or right of the diagonal are computed.
_TILE = 512
# Times two, the largest contrast, it fits int8; 31 steps are finer than any target's levels.
_TARGET_STEPS = 31
# Pairs whose cells are counted at once.
_PAIRS = 256


@dataclass(frozen=True)
class EraCells:
    """One era to search in. block: (d, n) int8. target: (n,) float64, mean 0 and mean square 1 over the rows it is known
    for, NaN elsewhere."""

    block: NDArray[np.int8]
    target: Array


def best_pairs(
    stretches: Sequence[Sequence[Callable[[], EraCells]]], features: int, most: int, report: Callable[[], None]
) -> NDArray[np.intp]:
    """(p, 2) positions a < b of the at most `most` pairs of features whose products agree best with the target, best first.

    stretches: of eras, each read when it is used; eras of a stretch share returns of their targets, so a stretch counts
    once. The score of a pair is that of its best contrast: the sum over stretches of its moment with the target, over the
    root of the sum of squares plus the mean sum of squares of all pairs, so that pairs that vary little by chance do not
    win. report: called after each era. Time grows with eras x rows x features^2, memory with features^2.
    """
    starts = range(0, features, _TILE)
    sums, squares = (
        [np.zeros((4, min(_TILE, features - i), features - i), np.float32) for i in starts] for _ in range(2)
    )
    for stretch in stretches:
        total = [np.zeros_like(tile) for tile in sums]
        for read in stretch:
            for tile, moments in zip(total, _tiles(read()), strict=True):
                tile += moments
            report()
        for tile, tile_sums, tile_squares in zip(total, sums, squares, strict=True):
            tile_sums += tile
            np.square(tile, out=tile)
            tile_squares += tile
    # Of the upper triangle and a few cells below it, which hardly change a mean.
    usual = sum(float(tile.sum(dtype=np.float64)) for tile in squares) / sum(tile.size for tile in squares)
    found = [
        _best_of_tile(start, tile_sums, tile_squares, usual, most)
        for start, tile_sums, tile_squares in zip(starts, sums, squares, strict=True)
    ]
    pairs, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return np.asarray(pairs[np.argsort(-scores, kind="stable")[:most]])


def cell_sums(era: EraCells, pairs: NDArray[np.intp]) -> tuple[Array, Array]:
    """(p, 25) sums of the target and (p, 25) rows of each cell, level of the first feature x 5 + that of the second.

    Rows count where the target and both features are known.
    """
    known = ~np.isnan(era.target)
    block = era.block if known.all() else era.block[:, known]
    target = era.target[known]
    sums, rows = np.empty((len(pairs), CELLS)), np.empty((len(pairs), CELLS))
    for start in range(0, len(pairs), _PAIRS):
        some = slice(start, start + _PAIRS)
        cells = cells_of(block, pairs[some])
        # The cell after the last is that of rows in which one of the two is missing.
        place = (cells + np.arange(len(cells))[:, None] * (CELLS + 1)).ravel()
        size = len(cells) * (CELLS + 1)
        weights = np.broadcast_to(target, cells.shape).ravel()
        sums[some] = np.bincount(place, weights, minlength=size).reshape(-1, CELLS + 1)[:, :CELLS]
        rows[some] = np.bincount(place, minlength=size).reshape(-1, CELLS + 1)[:, :CELLS]
    return sums, rows


def cells_of(block: NDArray[np.int8], pairs: NDArray[np.intp]) -> NDArray[np.int8]:
    """(p, n) int8 cell of each row in each pair's table, 0..24; 25 where one of the two features is missing."""
    first, second = block[pairs[:, 0]], block[pairs[:, 1]]
    cells = first * np.int8(LEVELS) + second
    cells[(first == MISSING) | (second == MISSING)] = CELLS
    return cells


def beyond_additive(tables: Array, rows: Array) -> Array:
    """(p, 25) of `tables` (p, 25) less the best sum of a function of each feature; 0 in cells without rows.

    Best in least squares weighted by rows (p, 25), of which each pair must have some.
    """
    level = np.eye(LEVELS)
    design = np.hstack([np.repeat(level, LEVELS, axis=0), np.tile(level, (LEVELS, 1))])  # (25, 10)
    share = rows / rows.sum(axis=1, keepdims=True)
    normal = np.einsum("cx,pc,cy->pxy", design, share, design, optimize=True)
    moments = (share * tables) @ design
    # The two sets of levels share their constant, and a level may have no rows: the pseudo-inverse handles both.
    weights = np.einsum("pxy,py->px", np.linalg.pinv(normal, rcond=1e-9, hermitian=True), moments)
    return np.asarray(np.where(rows > 0, tables - weights @ design.T, 0))


def _tiles(era: EraCells) -> Iterator[NDArray[np.float32]]:
    """For each tile of features I, (4, |I|, d - first of I): mean over rows of target x contrast x contrast."""
    target = np.nan_to_num(era.target)
    steps = np.rint(target * (_TARGET_STEPS / np.abs(target).max())).astype(np.int8)
    linear = np.where(era.block == MISSING, np.int8(0), era.block - np.int8(2))
    quadratic = np.where(era.block == MISSING, np.int8(0), linear * linear - np.int8(2))
    # Each era has the same weight, for any number of rows and any rounding of its target.
    size = np.float32(1 / np.sqrt(np.square(steps, dtype=np.int64).sum() * (~np.isnan(era.target)).sum()))
    right = [from_dlpack(contrast) for contrast in (linear, quadratic)]
    for start in range(0, len(linear), _TILE):
        left = [from_dlpack(contrast[start : start + _TILE] * steps) for contrast in (linear, quadratic)]
        moments = [torch._int_mm(ours, theirs[start:].T).numpy() for ours in left for theirs in right]
        yield np.stack(moments).astype(np.float32) * size


def _best_of_tile(
    start: int, sums: NDArray[np.float32], squares: NDArray[np.float32], usual: float, most: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """(p, 2) pairs of a tile and their scores (p,), at most `most`, in no particular order."""
    # Where the mean is 0, all sums are.
    score = (np.abs(sums) / np.sqrt(squares + np.float32(usual or 1))).max(axis=0)
    first, second = np.triu_indices(len(score), 1, score.shape[1])
    above = score[first, second]
    kept = np.argpartition(-above, most - 1)[:most] if len(above) > most else np.arange(len(above))
    return np.stack([first[kept], second[kept]], axis=1) + start, above[kept]
