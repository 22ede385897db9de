"""Differences of a row from its look-alikes of earlier eras: lags, differences, moving averages and volatility.

For each named group of features, and for all features together, the exposure of a row is its mean bin. The path of that
exposure is the weighted mean over the row's look-alikes at each lag. A look-alike is similar by construction, so if rows
keep their character, differences are small and are news.
"""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureSets, History
from numerai_assets.features.groups.exposures import OLDEST_GROUPS, check_groups, group_exposures
from numerai_assets.features.plots import COLOURS, png, side_by_side
from numerai_assets.features.trajectories.neighbours import LAGS
from numerai_assets.features.trajectories.sampled_paths import (
    LOOK_ALIKES,
    check_lags,
    check_positions,
    held,
    look_alikes_of,
)
from numerai_assets.panel.panel import EraPanel

LEVEL = "level"
"""Name, among the groups, of all features of the era."""

_Eras = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrajectoryChanges:
    """For each group and for the level: differences, two moving averages, the distance from each, and volatility.

    lags: those of the look-alikes. groups: sets of features.json. changes: lags, each one of `lags`, of the differences.
    short, long: eras of the moving averages, from the nearest lag to that many eras back; the volatility is over the long
    window.
    """

    name: ClassVar[str] = "trajectory_changes"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = (LOOK_ALIKES,)
    targets: ClassVar[tuple[str, ...]] = ()

    lags: tuple[int, ...] = LAGS
    groups: tuple[str, ...] = OLDEST_GROUPS
    changes: tuple[_Eras, ...] = (1, 4, 13, 26)
    short: _Eras = 4
    long: _Eras = 26

    def __post_init__(self) -> None:
        check_lags(self.lags)
        strange = [lag for lag in self.changes if lag not in self.lags]
        if strange:
            raise FeatureError(f"{self.name}: change over {strange[0]} eras, but look-alikes are at lags {self.lags}")
        if not self.lags[0] < self.short < self.long <= self.lags[-1]:
            raise FeatureError(
                f"{self.name}: moving averages of {self.short} and {self.long} eras; expected the first above lag "
                f"{self.lags[0]}, below the second, and that within lag {self.lags[-1]}"
            )

    @property
    def look_back(self) -> int:
        """Eras back to the oldest lag that is used."""
        return self._used[-1]

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """(k,) names, group by group, the level last. Raises FeatureError for an unknown group."""
        check_groups(feature_sets, self.groups)
        return tuple(f"{group}_{what}" for group in self._with_level for what in self._measures)

    def compute(self, panel: EraPanel, history: History) -> NDArray[np.float16]:
        """(k, n) float16, in bins; NaN if the look-alikes do not reach far enough back, or a group has no feature.

        The path has the newest sample at or before each era. Volatility is the square root of the mean squared change of
        the path from era to era: a change over a gap of several eras counts once, as it would if it were spread over them.
        Raises FeatureError for look-alikes of other rows or lags.
        """
        now, samples = self._now(panel, history), self._samples(panel, history)
        path = held(samples, self._used, self.long)
        short, long = (path[-(eras - self.lags[0] + 1) :].mean(axis=0) for eras in (self.short, self.long))
        volatility = np.sqrt((np.diff(path, axis=0) ** 2).mean(axis=0))
        changes = [now - samples[self._used.index(lag)] for lag in self.changes]
        columns = np.stack([*changes, short, now - short, long, now - long, volatility], axis=1)
        return np.asarray(columns.reshape(-1, panel.rows), np.float16)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: change from the look-alikes by lag, and distance of the level from its short and its long average."""
        table = np.asarray(columns, np.float64).reshape(len(self._with_level), len(self._measures), -1)
        figure, (left, right) = side_by_side(f"Trajectory changes, era {era_label(history.era)}", 2)
        for group, name in enumerate(self._with_level):
            moved = np.sqrt(_mean_known(table[group, : len(self.changes)] ** 2))
            style = {"color": "black", "linewidth": 2.0} if name == LEVEL else {"color": COLOURS[group % len(COLOURS)]}
            left.plot(self.changes, moved, marker="o", markersize=3, label=name, **style)
        left.set_xlabel("eras back")
        left.set_ylabel("root mean square change, bins")
        left.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        away = [self._measures.index(f"away_{eras}") for eras in (self.short, self.long)]
        right.plot(*table[-1, away], ".", markersize=2, alpha=0.4, color=COLOURS[0])
        right.axhline(0, color="0.7", linewidth=0.8)
        right.axvline(0, color="0.7", linewidth=0.8)
        right.set_xlabel(f"level minus its mean of {self.short} eras")
        right.set_ylabel(f"minus its mean of {self.long} eras")
        return png(figure)

    @property
    def _used(self) -> tuple[int, ...]:
        """Lags up to the first that covers the long average and all changes."""
        oldest = max(self.long, *self.changes, self.lags[0])
        return (*(lag for lag in self.lags if lag < oldest), min(lag for lag in self.lags if lag >= oldest))

    @property
    def _with_level(self) -> tuple[str, ...]:
        return (*self.groups, LEVEL)

    @property
    def _measures(self) -> tuple[str, ...]:
        averages = [f"{what}_{eras}" for eras in (self.short, self.long) for what in ("average", "away")]
        return (*(f"change_{lag}" for lag in self.changes), *averages, f"volatility_{self.long}")

    def _now(self, panel: EraPanel, history: History) -> NDArray[np.float32]:
        """(groups and level, n) float32 exposures of one era."""
        sets = {**history.feature_sets, LEVEL: panel.feature_names}
        return group_exposures(panel, sets, self._with_level).means

    def _samples(self, panel: EraPanel, history: History) -> NDArray[np.float32]:
        """(used lags, groups and level, n) float32 mean exposure of the look-alikes; NaN before the first era."""
        alikes = look_alikes_of(panel, history, self.lags)
        weights = alikes.weights()
        samples = np.full((len(self._used), len(self._with_level), panel.rows), np.nan, np.float32)
        for position, lag in enumerate(self._used):
            era = history.era - lag
            if history.holds(era):
                exposures = self._now(history.panel(era), history)
                check_positions(alikes, position, era, exposures.shape[1])
                samples[position] = alikes.mean(position, exposures, weights)
        return samples


def _mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) mean of the known values in each row of (m, n); NaN if there are none."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
