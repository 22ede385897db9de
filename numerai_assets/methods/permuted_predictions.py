"""Predictions of a method for an era whose features are permuted among its rows: through its trees, or by predicting again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from numerai_assets.methods.contract import Method, OfTrees
from numerai_assets.panel.panel import EraPanel
from numerai_assets.trees.permuted_trees import permuted_predictions

Predictions = Iterator[tuple[NDArray[np.floating], bool]]
Permuting = Callable[[EraPanel, Sequence[int], np.random.Generator], Predictions]


def permuting(method: Method) -> Permuting:
    """A function of a panel of one era, indices of features and a random generator.

    It yields the (n,) predictions as they are, then with each feature permuted, and whether they can differ. A method of
    trees yields raw scores, any other ranks; both order the rows in the same way.
    """
    if isinstance(method, OfTrees):
        trees = method.trees()
        return lambda panel, places, rng: permuted_predictions(
            trees, panel.blocks[0], [np.array([place], np.intp) for place in places], rng
        )
    return lambda panel, places, rng: _asked_anew(method, panel, places, rng)


def _asked_anew(method: Method, panel: EraPanel, places: Sequence[int], rng: np.random.Generator) -> Predictions:
    block = panel.blocks[0]
    yield method.predict(panel), True
    for place in places:
        changed = block.copy()
        changed[place] = rng.permutation(block[place])
        # Digests and cache belong to the panel with the original features.
        yield method.predict(replace(panel, blocks=(changed,), digests=(), cache=None)), True
