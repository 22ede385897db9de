"""State of the market in an era: dispersion of rows, share of high rows, co-movement of groups, share of known features.

One value per era, the same for all its rows, so that a tree can split eras by it and a network can gate on it. Each of
Numerai's bins holds a fifth of the rows in every era, so a single feature carries none of this information; the agreement
between the features of a row does. Values and their z-scores against earlier eras are floats, not bins: a constant has no
rank within its era, and a method that needs bins cuts the scores at fixed thresholds.
"""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from numerai_assets.features.cleaning.fill import coverage
from numerai_assets.features.contract import Columns, FeatureSets, History, features_of
from numerai_assets.features.fitting.levels import LEVELS, row_level_counts
from numerai_assets.features.fitting.memo import Kept
from numerai_assets.features.per_era.aggregates import chosen_groups, group_means, group_places
from numerai_assets.features.plots import COLOURS, empty_axes, png
from numerai_assets.panel.panel import EraPanel

STATISTICS = ("dispersion", "breadth", "togetherness", "coverage")

Array = NDArray[np.float64]

_FEWEST_ERAS = 4
"""With fewer eras a standard deviation over eras is too uncertain, and there is no score."""


def era_statistics(panel: EraPanel, feature_sets: FeatureSets, groups: tuple[str, ...]) -> Array:
    """(4,) float64 STATISTICS of one era.

    dispersion: mean over groups of the standard deviation over rows of the group's mean, in bins. breadth: share of rows
    and groups whose mean lies above the middle bin, plus half of those on it. togetherness: mean absolute correlation over
    rows between the means of two groups. coverage: mean over rows. NaN if nothing is known; togetherness is also NaN if
    fewer than two groups vary.
    """
    means = group_means(row_level_counts(panel.blocks[0], group_places(panel, feature_sets, groups)))
    known = ~np.isnan(means)
    return np.array(
        [
            _mean(_deviations(means)),
            _mean((np.sign(means[known] - LEVELS // 2) + 1) / 2),
            _mean(np.abs(_correlations(means))),
            _mean(coverage(panel.features)),
        ]
    )


def standard_score(now: Array, before: Array) -> Array:
    """(s,) z-score (ddof 0) of values (s,) against those of earlier eras (e, s), of which NaN are ignored.

    NaN if fewer than four earlier values are known, and if these are all the same.
    """
    known = (~np.isnan(before)).sum(axis=0)
    enough = np.where(known >= _FEWEST_ERAS, 1.0, np.nan)
    total = np.maximum(known, 1)
    mean = np.nansum(before, axis=0) / total
    spread = np.sqrt(np.nansum((before - mean) ** 2, axis=0) / total)
    return np.asarray(enough * np.divide(now - mean, spread, out=np.full(now.shape, np.nan), where=spread > 1e-12))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MarketState:
    """Statistics of the era and their z-scores against the eras of the look-back, the same for all rows.

    groups: as in `Aggregates`. look_back: eras; if fewer than four of them exist, scores are NaN.
    """

    groups: tuple[str, ...] | None = None
    look_back: Annotated[int, Field(ge=_FEWEST_ERAS)] = 52

    name: ClassVar[str] = "market_state"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """`market_<statistic>`, then `market_<statistic>_change`. Raises FeatureError for an unknown group."""
        chosen_groups(feature_sets, self.groups)
        return tuple(f"market_{statistic}{kind}" for kind in ("", "_change") for statistic in STATISTICS)

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(8, n) float16, each row constant. Reads every era of the look-back and caches its statistics."""
        groups = chosen_groups(history.feature_sets, self.groups)
        now = _remembered_statistics(panel, history.feature_sets, groups)
        before = self._before(history, groups)
        values = np.concatenate([now, standard_score(now, before)]).astype(np.float16)
        return np.repeat(values[:, None], panel.rows, axis=1)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: each statistic over the look-back and, last, in the current era, with its score."""
        before = self._before(history, chosen_groups(history.feature_sets, self.groups))
        figure, axes = empty_axes(2, 2, height=4.2)
        for place, (axis, statistic) in enumerate(zip(axes, STATISTICS, strict=True)):
            axis.plot(np.arange(-len(before), 0), before[:, place], color=COLOURS[5], marker=".", linewidth=0.8)
            axis.plot([0], columns[place, :1].astype(np.float64), color=COLOURS[1], marker="o")
            score = float(columns[place + len(STATISTICS), 0])
            axis.set_title(f"{statistic}, score {score:+.1f}", loc="left", fontsize=10)
            axis.set_xlabel("eras before", fontsize=8)
        return png(figure)

    def _before(self, history: History, groups: tuple[str, ...]) -> Array:
        """(e, 4) statistics of the existing eras of the look-back, oldest first."""
        eras = [era for era in range(history.era - self.look_back, history.era) if history.holds(era)]
        found = [_remembered_statistics(history.panel(era), history.feature_sets, groups) for era in eras]
        return np.array(found).reshape(-1, len(STATISTICS))


_STATISTICS: Kept[Array] = Kept(512)


def _remembered_statistics(panel: EraPanel, feature_sets: FeatureSets, groups: tuple[str, ...]) -> Array:
    """`era_statistics`, cached by digest if the panel has one: a pure function of the era's content and the groups."""
    if not panel.digests:
        return era_statistics(panel, feature_sets, groups)
    key = (*panel.digests, panel.feature_names, *(features_of(feature_sets, group) for group in groups))
    return _STATISTICS.of(key, lambda: era_statistics(panel, feature_sets, groups))


def _mean(values: NDArray[np.floating]) -> float:
    """Mean of the known values; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else float("nan")


def _deviations(means: Array) -> Array:
    """(g,) standard deviation over the rows (ddof 0) of each group's mean (g, n); NaN for a group without any value."""
    return np.array(
        [of_group[~np.isnan(of_group)].std() if not np.isnan(of_group).all() else np.nan for of_group in means]
    )


def _correlations(means: Array) -> Array:
    """(pairs,) correlations between the groups' means (g, n) that vary, over the rows in which all of these are known."""
    varying = means[_deviations(means) > 0]
    complete = varying[:, ~np.isnan(varying).any(axis=0)]
    centred = complete - complete.mean(axis=1, keepdims=True) if complete.shape[1] else complete
    norms = np.sqrt((centred**2).sum(axis=1))
    # Rounding leaves about 1e-13 of a constant.
    kept = norms > 1e-9
    scaled = centred[kept] / norms[kept, None]
    return np.asarray((scaled @ scaled.T)[np.triu_indices(len(scaled), 1)])
