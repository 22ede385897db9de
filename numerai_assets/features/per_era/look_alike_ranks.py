"""Rank of a row among its look-alikes of the era before: whether its groups are high or low for such a row."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureSets, History
from numerai_assets.features.fitting.levels import row_level_counts
from numerai_assets.features.per_era.aggregates import chosen_groups, group_means, group_places
from numerai_assets.features.plots import COLOURS, empty_axes, png
from numerai_assets.features.trajectories.neighbours import LAGS, Trajectories
from numerai_assets.panel.panel import EraPanel

Array = NDArray[np.float64]


def rank_among(values: Array, others: Array, weights: NDArray[np.floating]) -> Array:
    """(m, n) weighted share of others (m, k, n) below values (m, n), plus half of those equal, mapped to (-1, 1).

    weights: (k, n) >= 0. Others that are NaN are ignored; the result is NaN if all are, and if the value is.
    """
    shares = np.where(np.isnan(others), 0, weights)
    balance = (shares * np.sign(values[:, None] - np.nan_to_num(others))).sum(axis=1)
    total = shares.sum(axis=1)
    return np.asarray(np.divide(balance, total, out=np.full(values.shape, np.nan), where=total > 0))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LookAlikeRanks:
    """Weighted rank of each row's group means among those of its look-alikes at the first lag, in float16.

    groups: as in `Aggregates`. lags: must be those of the block `look_alikes`; the first is used.
    """

    groups: tuple[str, ...] | None = None
    lags: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = LAGS

    name: ClassVar[str] = "look_alike_ranks"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("look_alikes",)

    @property
    def look_back(self) -> int:
        return self.lags[0]

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """One per group, `<group>_rank_among_look_alikes`. Raises FeatureError for an unknown group."""
        return tuple(f"{group}_rank_among_look_alikes" for group in chosen_groups(feature_sets, self.groups))

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(g, n) float16; NaN if the era before does not exist. Raises FeatureError for look-alikes of other lags."""
        groups = chosen_groups(history.feature_sets, self.groups)
        earlier = history.era - self.lags[0]
        if not history.holds(earlier):
            return np.full((len(groups), panel.rows), np.nan, np.float16)
        found = Trajectories.of_columns(self.lags, history.columns("look_alikes"))
        before = history.panel(earlier)
        if found.rows[0].max(initial=-1) >= before.rows:
            raise FeatureError(
                f"{self.name} of era {history.era}: look-alikes point to row {found.rows[0].max()} of era {earlier}, "
                f"which has {before.rows} rows; are its lags those of the block look_alikes, {self.lags}?"
            )
        means, theirs = (
            group_means(row_level_counts(of.blocks[0], group_places(of, history.feature_sets, groups)))
            for of in (panel, before)
        )
        return rank_among(means, theirs[:, found.rows[0]], found.weights()[0]).astype(np.float16)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: histogram over rows and groups."""
        figure, (axis,) = empty_axes(1, 1, height=2.6)
        axis.hist(np.ravel(columns)[~np.isnan(np.ravel(columns))], bins=40, range=(-1, 1), color=COLOURS[0])
        axis.set_title("rank of a row's group means among its look-alikes, one era before", loc="left", fontsize=10)
        axis.set_ylabel("rows x groups", fontsize=8)
        return png(figure)
