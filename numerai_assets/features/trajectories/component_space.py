"""A space of few dimensions in which rows of eras can be compared: principal components of one era's features.

It is fitted on one era, so it knows nothing of later eras; other eras are then placed in it. Levels are whole numbers, so
means and products are exact in any order of rows.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from numerai_assets.errors import FeatureError
from numerai_assets.features.trajectories.nearest import LARGEST, Points
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.gram import integer_gram

Array = NDArray[np.float64]
Block = NDArray[np.int8]

_MIDDLE = np.int8(2)
# Shares of a feature's mean variance. A component below the first is rounding, and is dropped. Whitening treats a component
# below the second as if it had that share; otherwise it would amplify effects of binning.
_NOTHING, _LITTLE = 1e-9, 1e-2
# Step of the lattice in standard deviations: rounding to it adds 0.0003 to a variance of 1. The step is wider if the widest
# component would otherwise be cut off within five of its standard deviations.
_STEP, _REACH = 1 / 16, 5
# Features turned to float64 at once.
_CHUNK = 256


@dataclass(frozen=True)
class ComponentSpace:
    """The first principal components of one era, scaled and put on a lattice.

    varying: (v,) positions of the features that vary in the era. loadings: (dims, v) float64, from levels to coordinates.
    step: of the lattice, in standard deviations of a typical component.
    """

    varying: NDArray[np.intp]
    loadings: Array
    step: float

    @property
    def dims(self) -> int:
        return len(self.loadings)

    @classmethod
    def of(cls, block: Block, dims: int, whitening: float) -> Self:
        """The space of at most `dims` components of an era's block (d, n) int8, where a missing cell (-1) counts as 2.

        whitening: a component of variance v gets v ** (1 - whitening): 1 gives all the same variance, 0 leaves them as they
        are. Then all are scaled to a mean variance of 1 in the era. Raises FeatureError when no feature varies.
        """
        levels = _filled(block)
        varying = np.flatnonzero((levels != levels[:, :1]).any(axis=1))
        if not len(varying):
            raise FeatureError(f"all {len(block)} features are constant over the era's {block.shape[1]} rows")
        covariance = _covariance(levels[varying])
        average = covariance.trace() / len(varying)
        variances, components = _leading(covariance, dims, _NOTHING * average)
        raised = np.maximum(variances, _LITTLE * average) ** (-whitening / 2)
        scale = raised / np.sqrt(np.mean(variances * raised**2))
        step = max(_STEP, _REACH * float((np.sqrt(variances) * scale).max()) / LARGEST)
        return cls(varying, components * (scale / step)[:, None], step)

    def place(self, block: Block) -> Points:
        """(dims, n) lattice points of the rows of an era, of its block (d, n) int8 with the features of the space.

        Each era is centred on its own mean: the comparison is between positions of rows relative to their own era.
        """
        rows = block.shape[1]
        found, means = np.zeros((self.dims, rows)), np.empty(len(self.varying))
        for start in range(0, len(self.varying), _CHUNK):
            some = slice(start, start + _CHUNK)
            levels = _filled(block[self.varying[some]])
            means[some] = levels.sum(axis=1, dtype=np.int64) / rows
            found += self.loadings[:, some] @ levels.astype(np.float64)
        found -= (self.loadings @ means)[:, None]
        return np.clip(np.rint(found), -LARGEST, LARGEST).astype(np.int8)

    def distances(self, squares: NDArray[np.floating]) -> NDArray[np.float32]:
        """Root mean square difference a dimension, in standard deviations, of squared distances of lattice points."""
        return np.asarray(np.sqrt(squares / self.dims) * self.step, np.float32)


def _filled(block: Block) -> Block:
    return np.where(block == MISSING, _MIDDLE, block) if block.min(initial=0) < 0 else block


def _covariance(levels: Block) -> Array:
    """(v, v) covariances of features (v, n) over the rows."""
    rows = levels.shape[1]
    means = levels.sum(axis=1, dtype=np.int64) / rows
    return np.asarray(integer_gram(np.ascontiguousarray(levels)) / rows - np.outer(means, means))


def _leading(covariance: Array, dims: int, least: float) -> tuple[Array, Array]:
    """Variances (c,), descending, and unit vectors (c, v) of the first components: at most `dims`, none below `least`."""
    size = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=(max(size - dims, 0), size - 1), check_finite=False)
    kept = values > least
    return np.asarray(values[kept][::-1]), np.asarray(vectors[:, kept].T[::-1])
