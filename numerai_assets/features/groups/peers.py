"""Peer groups: persistent regions of the space of features, and the share of each row in them.

Ids do not persist, by Numerai's intent, and groups do not undo that: a group is a centre that k-means found on rows of the
training eras, and a row belongs to the few nearest centres, in shares. So a group has a past of many eras, and a row has
none. Rows are compared as look-alikes are (`component_space`), but in one space for all eras, so that centres stay fixed.

All arithmetic after the fit is exact, on multiples of a power of two: the order of rows changes no bit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from numerai_assets.features.fitting.correlations import spread_evenly
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel

Array = NDArray[np.float64]

_WHITENING = 0.75
# Eras that groups are found on, and rows of each.
_ERAS, _ROWS = 64, 512
# Rows of a group in an era, on average: with fewer, its return is that of a row or two.
_LEAST_ROWS = 4
# Centres are rounded to 1/16 of a step of the lattice, shares to 1/1024: sums of their products are exact.
_CENTRE, _SHARE = 16, 1024
_ABOUT, _ARRAYS = "peer_groups.json", "peer_groups.npz"


@dataclass(frozen=True)
class PeerGroups:
    """g groups in a space of some features.

    feature_names: features of the space. centres: (g, dims) float64 on its lattice. nearest: groups that a row belongs to.
    width: a group whose squared distance exceeds that of the nearest centre by `width` has 1/e of the nearest's weight.
    """

    feature_names: tuple[str, ...]
    space: ComponentSpace
    centres: Array
    nearest: int
    width: float

    def __len__(self) -> int:
        return len(self.centres)

    @classmethod
    def of(cls, panel: EraPanel, feature_names: Sequence[str], *, groups: int, nearest: int, seed: int) -> Self:
        """At most `groups` groups of the rows of a panel; fewer where an era has fewer than four rows for each.

        The same seed gives the same groups, whatever the order of rows. Raises FeatureError when no feature varies.
        """
        seen = panel.with_features(feature_names)
        positions = spread_evenly(len(seen.eras), _ERAS)
        rng = np.random.default_rng(seed)
        rows = [_sampled(np.asarray(seen.ids_of_block[position], object), rng) for position in positions]
        blocks = [seen.blocks[position] for position in positions]
        space = ComponentSpace.of(
            np.hstack([block[:, some] for block, some in zip(blocks, rows, strict=True)]),
            len(feature_names),
            _WHITENING,
        )
        points = np.hstack([space.place(block)[:, some] for block, some in zip(blocks, rows, strict=True)]).T
        count = min(groups, len(np.unique(points, axis=0)), max(1, min(seen.rows_of_era) // _LEAST_ROWS))
        found = KMeans(count, n_init=1, random_state=seed).fit(points.astype(np.float64))
        centres = np.rint(found.cluster_centers_ * _CENTRE) / _CENTRE
        squares = np.sort(_squares(points, centres), axis=1)[:, : min(nearest, count)]
        width = float((squares[:, -1] - squares[:, 0]).mean())
        return cls(tuple(feature_names), space, centres, min(nearest, count), max(width, 1.0))

    def loadings(self, panel: EraPanel) -> Array:
        """(n, g) float64 share of each row of a panel of one era in each group; 0 but for the nearest, of sum 1."""
        points = self.space.place(panel.with_features(self.feature_names).blocks[0]).T
        squares = _squares(points, self.centres)
        near = np.argsort(squares, axis=1, kind="stable")[:, : self.nearest]
        beyond = np.take_along_axis(squares, near, axis=1)
        weight = np.exp((beyond[:, :1] - beyond) / self.width)
        shares = np.rint(weight / weight.sum(axis=1, keepdims=True) * _SHARE) / _SHARE
        shares[:, 0] = 1 - shares[:, 1:].sum(axis=1)
        found = np.zeros(squares.shape)
        np.put_along_axis(found, near, shares, axis=1)
        return found

    @property
    def digest(self) -> str:
        """Digest of all values that determine the loadings."""
        arrays = (self.space.varying, self.space.loadings, self.centres)
        named = json.dumps([self.feature_names, self.space.step, self.nearest, self.width]).encode()
        return hashlib.sha256(named + b"".join(array.tobytes() for array in arrays)).hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the arrays as .npz, all else as JSON."""
        arrays = {"varying": self.space.varying, "loadings": self.space.loadings, "centres": self.centres}
        np.savez(folder / _ARRAYS, allow_pickle=False, **arrays)
        about = {
            "feature_names": self.feature_names,
            "step": self.space.step,
            "nearest": self.nearest,
            "width": self.width,
        }
        write_about(folder, about, name=_ABOUT)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The groups that `save` wrote."""
        about = read_about(folder, name=_ABOUT)
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            space = ComponentSpace(arrays["varying"], arrays["loadings"], about["step"])
            return cls(tuple(about["feature_names"]), space, arrays["centres"], about["nearest"], about["width"])


def group_returns(loadings: Array, centred: NDArray[np.float32]) -> Array:
    """(g,) mean of the centred target (n,) of each group's rows, by loadings (n, g); rows without a target left out.

    0 for a group without rows in the era, whose price does not move.
    """
    known = ~np.isnan(centred)
    # Rounded to a millionth, sums are exact: the order of rows changes none.
    earned = np.rint(centred[known].astype(np.float64) * 2**20) / 2**20
    weight = loadings[known].sum(axis=0)
    return np.asarray(np.divide(earned @ loadings[known], weight, out=np.zeros(len(weight)), where=weight > 0))


def _squares(points: NDArray[np.int8], centres: Array) -> Array:
    """(n, g) squared distances of points (n, dims) from centres (g, dims)."""
    here = points.astype(np.float64)
    return np.asarray((here**2).sum(axis=1)[:, None] - 2 * here @ centres.T + (centres**2).sum(axis=1))


def _sampled(ids: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of up to 512 rows, drawn by their ids, so that the order of rows does not matter."""
    return np.asarray(np.argsort(ids)[rng.permutation(len(ids))[:_ROWS]], np.intp)
