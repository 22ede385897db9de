"""Correlations of features within eras, clusters around leaders, and groups of correlated features."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.gram import MIDDLE, integer_gram
from numerai_assets.panel.panel import EraPanel

Matrix = NDArray[np.float32]


def correlations(block: NDArray[np.int8]) -> Matrix:
    """(d, d) float32 Pearson correlations of the features of one era's block (d, n) int8, from their exact Gram matrix.

    A missing cell (-1) counts as the middle level, 2. 0 where a feature is constant, 1 on the diagonal.
    """
    levels = np.ascontiguousarray(np.where(block == MISSING, MIDDLE, block))
    rows = levels.shape[1]
    sums = levels.sum(axis=1, dtype=np.int64).astype(np.float64)
    # In place, and in float64 only until scaled: at 3,555 features each copy is 100 MB.
    moments = integer_gram(levels).astype(np.float64)
    moments -= np.outer(sums / rows, sums)
    spread = moments.diagonal().copy()
    scale = np.where(spread > 0, 1 / np.sqrt(np.where(spread > 0, spread, 1)), 0)
    moments *= scale
    moments *= scale[:, None]
    np.fill_diagonal(moments, 1)
    return moments.astype(np.float32)


def mean_correlations(panel: EraPanel, eras: int) -> Matrix:
    """(d, d) float32 mean of the correlations within up to `eras` eras, evenly spread over the panel's."""
    chosen = spread_evenly(len(panel.eras), eras)
    total = correlations(panel.blocks[chosen[0]])
    for position in chosen[1:]:
        total += correlations(panel.blocks[position])
    total /= len(chosen)
    return total


def spread_evenly(available: int, wanted: int) -> list[int]:
    """Up to `wanted` positions of 0..available-1, evenly spread, first and last among them."""
    return sorted(set(np.linspace(0, available - 1, min(available, wanted)).round().astype(int).tolist()))


def leaders(matrix: Matrix, order: Sequence[int], threshold: float) -> NDArray[np.intp]:
    """(d,) for each feature the position of its leader: itself, or a correlated feature earlier in `order`.

    Features are taken in `order`, which has all d. A feature whose |correlation| with a leader so far is at least `threshold`
    follows the leader it correlates with most; otherwise it leads. So no two leaders correlate that much.
    """
    leader = np.full(len(matrix), -1, np.intp)
    leading: list[int] = []
    for feature in order:
        near = np.abs(matrix[feature, leading])
        if len(near) and near.max() >= threshold:
            leader[feature] = leading[int(near.argmax())]
        else:
            leader[feature] = feature
            leading.append(int(feature))
    return leader


def alike(matrix: Matrix, groups: int) -> list[NDArray[np.intp]]:
    """The features in `groups` groups of even size, correlated features together.

    The groups are runs of the leaves of average linkage by 1 - |correlation|. A cut of the tree would give one giant group
    and many of one feature.
    """
    if len(matrix) < 3:
        return np.array_split(np.arange(len(matrix)), groups)
    apart = np.clip(1 - np.abs(matrix), 0, None)
    np.fill_diagonal(apart, 0)
    order = leaves_list(linkage(squareform(apart, checks=False), "average")).astype(np.intp)
    return np.array_split(order, groups)
