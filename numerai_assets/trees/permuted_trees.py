"""Predictions of LightGBM's trees with some features permuted, at the cost of a few predictions.

A feature that a tree does not split on cannot change its prediction, and of 300 trees of 31 leaves on 3,555 features only
two or three split on a given one. In these trees the other features keep their values. Each feature leaves a set of leaves
reachable, stored as one bit per leaf (Lucchese et al. 2015, "QuickScorer"). These sets are intersected once for all features
of a tree; then the leaf of a row with one feature permuted takes one more `and`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from numerai_assets.panel.blocks import MISSING

Array = NDArray[np.float64]
Bits = NDArray[np.uint64]

_LEVELS = range(int(MISSING), 5)
_WORD = 64
# Bytes of leaf sets in memory at a time.
_HELD_BYTES = 8 << 20


@dataclass(frozen=True)
class Tree:
    """One tree as the leaves that each value of each feature leaves reachable.

    features: (k,) indices of the features it splits on, ascending. open: (words, k, 6) one bit per leaf, set if a row with
    that value, -1 first, can reach the leaf. values: (leaves,).
    """

    features: NDArray[np.intp]
    open: Bits
    values: Array

    @classmethod
    def of_text(cls, text: str) -> Self:
        """A tree of numerical splits from its section of LightGBM's text model."""
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        values = np.array(fields["leaf_value"].split(), float)
        asked, left, right = (
            [int(number) for number in fields.get(name, "").split()]
            for name in ("split_feature", "left_child", "right_child")
        )
        thresholds = [float(number) for number in fields.get("threshold", "").split()]
        every_leaf = (1 << len(values)) - 1
        features = sorted(set(asked))
        still_open = {feature: [every_leaf] * len(_LEVELS) for feature in features}
        order: list[int] = []

        def visit(node: int) -> None:
            if node < 0:
                order.append(~node)
                return
            first = 1 << len(order)
            visit(left[node])
            middle = 1 << len(order)
            visit(right[node])
            on_the_left, on_the_right = middle - first, (1 << len(order)) - middle
            of_feature = still_open[asked[node]]
            for place, level in enumerate(_LEVELS):
                of_feature[place] &= ~(on_the_right if level <= thresholds[node] else on_the_left)

        visit(0 if asked else -1)
        words = -(-len(values) // _WORD)
        bits = [
            [[sets >> (_WORD * word) & (2**_WORD - 1) for sets in still_open[feature]] for feature in features]
            for word in range(words)
        ]
        return cls(
            np.array(features, np.intp),
            np.array(bits, np.uint64).reshape(words, len(features), len(_LEVELS)),
            values[order],
        )

    def left_open(self, levels: NDArray[np.int8]) -> Bits:
        """(words, k, n) leaves that each feature, with its values `levels` (k, n), leaves reachable for each row."""
        return self.open[:, np.arange(len(self.features))[:, None], levels - _LEVELS[0]]

    def value_of(self, leaves: Bits) -> Array:
        """(...) float64 value of the one leaf whose bit is set in each of (words, ...)."""
        place = np.zeros(leaves.shape[1:], np.intp)
        for word, bits in enumerate(leaves):
            place += np.where(bits, np.bitwise_count(bits - np.uint64(1)) + np.intp(_WORD * word), 0)
        return self.values[place]


def trees_of(booster: lgb.Booster) -> list[Tree]:
    """All trees of a model of numerical features without NaN; their predictions sum to its own."""
    text = booster.model_to_string().split("\nend of trees")[0]
    return [Tree.of_text(tree) for tree in text.split("\nTree=")[1:]]


def permuted_predictions(
    trees: list[Tree], levels: NDArray[np.int8], clusters: Sequence[NDArray[np.intp]], rng: np.random.Generator
) -> Iterator[tuple[Array, bool]]:
    """Predictions of the trees for features `levels` (d, n), first as they are, then with each cluster of features permuted.

    Yields (n,) float64 and whether any tree splits on one of the features; if none does, the first predictions are repeated.
    The features of a cluster are permuted together, so that their relation to each other is kept, and all clusters in the
    same order of rows. No feature may be in two clusters. Takes 8 bytes of memory per row and cluster.
    """
    cluster_of = np.full(len(levels), len(clusters))
    for place, cluster in enumerate(clusters):
        cluster_of[cluster] = place
    order = rng.permutation(levels.shape[1])
    whole, moved = np.zeros(levels.shape[1]), np.zeros((len(clusters) + 1, levels.shape[1]))
    concerned = np.zeros(len(clusters) + 1, bool)
    for tree in trees:
        by_cluster = np.argsort(cluster_of[tree.features], kind="stable")
        asked, starts = np.unique(cluster_of[tree.features][by_cluster], return_index=True)
        concerned[asked] = True
        tree = Tree(tree.features[by_cluster], tree.open[:, by_cluster], tree.values)
        held = max(1, _HELD_BYTES // max(tree.open.shape[0] * len(tree.features) * 8, 1))
        for first in range(0, levels.shape[1], held):
            rows = slice(first, first + held)
            seen = levels[tree.features, rows], levels[tree.features[:, None], order[rows]]
            own, changed = _values(tree, starts, *seen)
            whole[rows] += own
            moved[asked, rows] += changed - own
    yield whole, True
    for place in range(len(clusters)):
        yield (whole + moved[place], True) if concerned[place] else (whole, False)


def _values(
    tree: Tree, starts: NDArray[np.intp], levels: NDArray[np.int8], permuted: NDArray[np.int8]
) -> tuple[Array, Array]:
    """(n,) values of the rows as they are, and (m, n) with each of m runs of features, which begin at `starts`, permuted."""
    if not len(starts):
        return np.full(levels.shape[1], tree.values[0]), np.empty((0, levels.shape[1]))
    own: Bits
    other: Bits
    own, other = (np.bitwise_and.reduceat(tree.left_open(seen), starts, axis=1) for seen in (levels, permuted))
    all_open = np.full((len(own), 1, own.shape[2]), np.iinfo(np.uint64).max, np.uint64)
    before: Bits = np.bitwise_and.accumulate(np.concatenate([all_open, own], axis=1), axis=1)
    after: Bits = np.bitwise_and.accumulate(np.concatenate([all_open, own[:, :0:-1]], axis=1), axis=1)[:, ::-1]
    return tree.value_of(before[:, -1]), tree.value_of(before[:, :-1] & after & other)
