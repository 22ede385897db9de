"""Statistics of each row within each group of features: mean, std, skewness, share of extremes, rank in the era.

Everything is computed from five counts per row and group, the number of features in each bin. Power sums of bins are whole
numbers and exact, so equal rows get equal columns, and the order of features within a group changes nothing.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from scipy.stats import rankdata

from numerai_assets.errors import FeatureError
from numerai_assets.features.cleaning.fill import coverage
from numerai_assets.features.contract import Columns, FeatureSets, History, features_of
from numerai_assets.features.fitting.levels import LEVELS, row_level_counts
from numerai_assets.features.groups.exposures import OLDEST_GROUPS
from numerai_assets.features.plots import empty_axes, png
from numerai_assets.panel.panel import EraPanel

NAMED_GROUPS = (*OLDEST_GROUPS, "sunshine", "rain", "midnight", "faith", "quantum")
"""The groups of features that Numerai names; the other sets of features.json are subsets by size or version."""

STATISTICS = ("mean", "deviation", "skewness", "extremes", "rank")

Array = NDArray[np.float64]


def chosen_groups(feature_sets: FeatureSets, groups: tuple[str, ...] | None) -> tuple[str, ...]:
    """`groups`, or, for None, the named groups in features.json in the order of NAMED_GROUPS.

    Raises FeatureError for a group that features.json lacks, and if it has none of the named groups.
    """
    for name in groups or ():
        features_of(feature_sets, name)
    chosen = groups if groups is not None else tuple(name for name in NAMED_GROUPS if name in feature_sets)
    if not chosen:
        raise FeatureError(
            f"groups of features: features.json has none of {', '.join(NAMED_GROUPS)}; it has "
            f"{', '.join(sorted(feature_sets)) or 'no set'}. Name the groups to aggregate"
        )
    return chosen


def group_places(panel: EraPanel, feature_sets: FeatureSets, groups: tuple[str, ...]) -> list[NDArray[np.intp]]:
    """Indices of the features of each group in the panel. Raises StoreError for a feature that the panel lacks."""
    return [np.array(panel.places_of(features_of(feature_sets, name)), np.intp) for name in groups]


def group_means(counts: NDArray[np.int32]) -> Array:
    """(g, n) mean bin from counts (g, 5, n); NaN if no feature of the group has a value."""
    cells, first, _, _ = _power_sums(counts)
    return _ratio(first, cells)


def group_statistics(counts: NDArray[np.int32]) -> Array:
    """(g, 5, n) STATISTICS from counts (g, 5, n) of features in each bin.

    mean and deviation (ddof 0), in bins; skewness: third central moment over the cube of the deviation, NaN if the group
    is constant in the row; extremes: share of features in bin 0 or 4; rank: average rank of the mean among the rows, mapped
    to (-1, 1). All are NaN if no feature of the group has a value.
    """
    cells, first, second, third = _power_sums(counts)
    mean = _ratio(first, cells)
    # cells^2 x variance and cells^3 x third central moment, whole numbers below 2^63 for up to 10,000 features.
    spread = cells * second - first**2
    lean = cells**2 * third - 3 * cells * first * second + 2 * first**3
    return np.stack(
        [
            mean,
            _ratio(np.sqrt(spread), cells),
            _ratio(lean, spread.astype(np.float64) ** 1.5),
            _ratio(counts[:, 0] + counts[:, LEVELS - 1], cells),
            ranks_within(mean),
        ],
        axis=1,
    )


def ranks_within(values: Array) -> Array:
    """(m, n) average rank of each value in its row, mapped to (-1, 1): 2 (rank - 0.5) / values - 1; NaN stays NaN."""
    values_of_row = np.maximum((~np.isnan(values)).sum(axis=1, keepdims=True), 1)
    return np.asarray(2 * (rankdata(values, axis=1, nan_policy="omit") - 0.5) / values_of_row - 1)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Aggregates:
    """Statistics of each group of features for each row, and the row's coverage, in float16.

    groups: sets of features.json; None for all named groups in it. Missing cells are ignored. coverage: share of the
    features present in the era in which the row is not in the middle bin.
    """

    groups: tuple[str, ...] | None = None

    name: ClassVar[str] = "aggregates"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def look_back(self) -> int:
        return 0

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """Five per group, `<group>_<statistic>`, then coverage. Raises FeatureError for an unknown group."""
        groups = chosen_groups(feature_sets, self.groups)
        return (*(f"{group}_{statistic}" for group in groups for statistic in STATISTICS), "coverage")

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(5 g + 1, n) float16. float16 has 11 bits, so ranks that differ by less than about 1/2,000 become equal."""
        groups = chosen_groups(history.feature_sets, self.groups)
        counts = row_level_counts(panel.blocks[0], group_places(panel, history.feature_sets, groups))
        statistics = group_statistics(counts).reshape(-1, panel.rows)
        return np.vstack([statistics, coverage(panel.features)]).astype(np.float16)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: distributions over the rows of each group's mean and deviation."""
        groups = chosen_groups(history.feature_sets, self.groups)
        figure, axes = empty_axes(1, 2, height=1.0 + 0.26 * len(groups))
        for place, axis in enumerate(axes):
            values = np.asarray(columns[place : -1 : len(STATISTICS)], np.float64)
            known = [of_group[~np.isnan(of_group)] for of_group in values]
            axis.boxplot(known, orientation="horizontal", showfliers=False, whis=(5, 95), tick_labels=groups)
            axis.set_title(f"{STATISTICS[place]} over a group's features", loc="left", fontsize=10)
            axis.set_xlabel("bins; 5, 25, 50, 75 and 95 % of rows", fontsize=8)
        return png(figure)


def _power_sums(counts: NDArray[np.int32]) -> tuple[NDArray[np.int64], ...]:
    """Number of cells, and sums of bins, of their squares and of their cubes: (g, n) int64 each."""
    wide = counts.astype(np.int64)
    return tuple(np.tensordot(np.arange(LEVELS) ** power, wide, axes=(0, 1)) for power in range(4))


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Array:
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))
