"""What LightGBM's trees predict when some features are permuted, at the cost of the trees that ask for these features.

A feature that a tree does not ask for cannot change what it predicts. Of 300 trees of 31 leaves on 3,555 features two or
three ask for any one, so permuting each in turn costs about as much as a few predictions, not thousands.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Self

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """One tree as arrays over its nodes, the root first. A leaf is its own left and right.

    features: (k,) those it asks for, in the order of the data. asks: (nodes,) position in `features` of what a node asks
    for. threshold: (nodes,) at most which a row goes left. left, right: (nodes,). value: (nodes,), of leaves. depth: steps
    from the root to the farthest leaf.
    """

    features: NDArray[np.intp]
    asks: NDArray[np.intp]
    threshold: Array
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: Array
    depth: int

    @classmethod
    def of_dump(cls, root: dict[str, Any]) -> Self:
        """A tree of numerical splits from the `tree_structure` of LightGBM's `dump_model`."""
        found: list[tuple[int, float, int, int, float]] = []
        depth = 0

        def add(node: dict[str, Any], level: int) -> int:
            nonlocal depth
            place, depth = len(found), max(depth, level)
            found.append((-1, np.inf, place, place, float(node.get("leaf_value", 0.0))))
            if "split_feature" in node:
                left, right = add(node["left_child"], level + 1), add(node["right_child"], level + 1)
                found[place] = (int(node["split_feature"]), float(node["threshold"]), left, right, 0.0)
            return place

        add(root, 0)
        asked = np.array([node[0] for node in found], np.intp)
        features = np.unique(asked[asked >= 0])
        # What a leaf asks for is of no consequence.
        asks = np.clip(np.searchsorted(features, asked), 0, max(len(features) - 1, 0))
        columns = list(zip(*found, strict=True))
        left, right = (np.array(columns[place], np.intp) for place in (2, 3))
        return cls(features, asks, np.array(columns[1]), left, right, np.array(columns[4]), depth)

    def predict(self, levels: NDArray[np.int8]) -> Array:
        """(n,) float64 of the features that it asks for, (k, n)."""
        node = np.zeros(levels.shape[1], np.intp)
        if self.depth:
            rows = np.arange(len(node))
            for _ in range(self.depth):
                goes_left = levels[self.asks[node], rows] <= self.threshold[node]
                node = np.where(goes_left, self.left[node], self.right[node])
        return self.value[node]


def trees_of(booster: lgb.Booster) -> list[Tree]:
    """All trees of a model of numerical features without NaN; their predictions sum to its own."""
    return [Tree.of_dump(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def permuted_predictions(
    trees: list[Tree], levels: NDArray[np.int8], clusters: Collection[NDArray[np.intp]], rng: np.random.Generator
) -> Iterator[tuple[Array, bool]]:
    """What the trees predict of (d, n) levels, once as they are, then with each cluster of features permuted.

    Yields (n,) float64 and whether any tree asks for one of the features; where none does the first come again. The rows
    of a cluster's features are permuted together, so what they say of each other stays true.
    """
    by_tree = [tree.predict(levels[tree.features]) for tree in trees]
    whole = np.sum(by_tree, axis=0)
    yield whole, True
    asking: dict[int, list[int]] = {}
    for place, tree in enumerate(trees):
        for feature in tree.features.tolist():
            asking.setdefault(feature, []).append(place)
    for cluster in clusters:
        order = rng.permutation(levels.shape[1])
        concerned = sorted({place for feature in cluster.tolist() for place in asking.get(feature, ())})
        changed = whole.copy()
        for place in concerned:
            tree = trees[place]
            seen = levels[tree.features]
            inside = np.isin(tree.features, cluster)
            seen[inside] = seen[inside][:, order]
            changed += tree.predict(seen) - by_tree[place]
        yield changed, bool(concerned)
