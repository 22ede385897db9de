"""Exposures of rows to named groups of features: exact sums of levels, one row of sums a group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FeatureSets, features_of
from numerai_assets.features.fitting.memo import Kept
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel

OLDEST_GROUPS = (
    "charisma",
    "intelligence",
    "strength",
    "dexterity",
    "constitution",
    "wisdom",
    "agility",
    "serenity",
)
"""Numerai's own grouping of its oldest features."""

_CENTRE = 2
# The most levels whose sum fits in int8: 31 x 4 = 124.
_ADDENDS = 31
_GLANCE = 64
# Eras whose sums are kept: three years, some 0.2 MB each.
_ERAS_KEPT = 160


@dataclass(frozen=True)
class GroupExposures:
    """Exposures of the n rows of one era to g groups.

    sums: (g, n) int32 sum of level - 2 over the features of the group; a missing level counts as 0, the middle.
    features: (g,) int64 features of the group that exist in the era: not all missing, not constant 2.
    """

    sums: NDArray[np.int32]
    features: NDArray[np.int64]

    @property
    def means(self) -> NDArray[np.float32]:
        """(g, n) float32 mean of level - 2 over the features that exist, in -2..2; NaN for a group without any."""
        return np.where(self.features > 0, self.sums.T / np.maximum(self.features, 1), np.nan).T.astype(np.float32)

    @property
    def standard_scores(self) -> NDArray[np.float32]:
        """(g, n) float32 sums with mean 0 and standard deviation 1 (ddof 0) in the era; NaN where all rows are equal."""
        rows = self.sums.shape[1]
        sums = self.sums.astype(np.int64)
        # Sums of whole numbers: the order of rows changes no bit of the two moments.
        total, squares = sums.sum(axis=1), (sums**2).sum(axis=1)
        spread = np.sqrt((rows * squares - total**2).astype(np.float64))[:, None]
        away = (rows * sums - total[:, None]).astype(np.float64)
        found = np.full(sums.shape, np.nan)
        return np.asarray(np.divide(away, spread, out=found, where=spread > 0), np.float32)


def group_exposures(panel: EraPanel, feature_sets: FeatureSets, groups: tuple[str, ...]) -> GroupExposures:
    """Exposures of the rows of a panel of one era to groups of features.

    Every later era that looks back to an era uses its sums again. So the sums of the last 160 eras stay in memory, keyed by
    the digest of the era and the names of its features; for a panel without digests nothing is kept. Raises FeatureError
    for a group that features.json does not have.
    """
    members = tuple(features_of(feature_sets, group) for group in groups)
    return _KEPT.of_era(panel, lambda: _summed(panel, members), members)


def check_groups(feature_sets: FeatureSets, groups: tuple[str, ...]) -> None:
    """Raises FeatureError for a group that features.json does not have, or that is named twice."""
    for group in groups:
        features_of(feature_sets, group)
    twice = sorted({group for group in groups if groups.count(group) > 1})
    if twice:
        raise FeatureError(f"group {twice[0]!r} is named {groups.count(twice[0])} times; expected each once")


def level_sums(block: NDArray[np.int8]) -> tuple[NDArray[np.int32], int]:
    """(n,) int32 sum of level - 2 over the features of a block (d, n) int8 that exist, and how many do."""
    total = np.zeros(block.shape[1], np.int32)
    for start in range(0, len(block), _ADDENDS):
        some = block[start : start + _ADDENDS]
        if some.min(initial=0) < 0:
            some = np.where(some == MISSING, np.int8(_CENTRE), some)
        # Adding bytes to bytes is three times as fast as widening each of them.
        total += np.add.reduce(some, axis=0, dtype=np.int8)
    # Absent features have the middle level in all rows, originally or by the replacement above.
    return total - np.int32(_CENTRE * len(block)), len(block) - _absent(block)


def _absent(block: NDArray[np.int8]) -> int:
    """Number of features of a block (d, n) int8 that are constant 2 or missing in all rows."""
    first = block[:, :1]
    # A few rows rule out nearly all features that vary; only the others are read whole.
    alike = (block[:, :_GLANCE] == first).all(axis=1) & ((first == _CENTRE) | (first == MISSING))[:, 0]
    return int((block[alike] == first[alike]).all(axis=1).sum())


def _summed(panel: EraPanel, members: tuple[tuple[str, ...], ...]) -> GroupExposures:
    block = panel.features.T
    place = dict(zip(panel.feature_names, range(len(panel.feature_names)), strict=True))
    absent = [name for names in members for name in names if name not in place]
    if absent:
        raise FeatureError(f"era {panel.eras[0]:04d}: feature {absent[0]!r} of a group is not among its features")
    found = [level_sums(block[[place[name] for name in names]]) for names in members]
    sums, features = np.empty((len(members), panel.rows), np.int32), np.empty(len(members), np.int64)
    for group, (total, existing) in enumerate(found):
        sums[group], features[group] = total, existing
    sums.flags.writeable = features.flags.writeable = False
    return GroupExposures(sums, features)


_KEPT: Kept[GroupExposures] = Kept(_ERAS_KEPT)
