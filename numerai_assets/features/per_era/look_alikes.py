"""Look-alikes: for each row of an era, the rows of earlier eras that are most similar to it.

Rows are compared in the space of the current era (`component_space`), which is fitted on that era only: there is no state
and nothing from later eras, and a live era is treated like a historical one. Every pair is compared, exactly.

Ids do not persist, by Numerai's intent, and this does not undo it: a row has k >= 8 look-alikes, for weighted means
(`trajectories`). One-to-one partners are an option for study only; they are not a better history.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureSets, History, features_of
from numerai_assets.features.per_era import look_alike_quality
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import Points, assigned, nearest
from numerai_assets.features.trajectories.neighbours import LAGS, Trajectories
from numerai_assets.panel.panel import EraPanel

LEAST_K = 8


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LookAlikes:
    """The k rows most similar to each row, in the eras `lags` back; columns as written by `Trajectories.as_columns`.

    lags: eras back, ascending. k: look-alikes per lag. dims, whitening: of the space, see `ComponentSpace.of`.
    feature_set: features to compare rows on; its features should exist in all eras of the look-back.
    one_to_one: instead, one look-alike per row in the era before, different for every row, with the least sum of squared
        distances; needs lags (1,) and k 1.
    """

    name: ClassVar[str] = "look_alikes"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    lags: tuple[int, ...] = LAGS
    k: int = Field(default=LEAST_K, ge=1, le=256)
    dims: int = Field(default=96, ge=1, le=256)
    whitening: float = Field(default=0.75, ge=0, le=1)
    feature_set: str = "medium"
    one_to_one: bool = False

    @model_validator(mode="after")
    def _asks_for_what_can_be_had(self) -> Self:
        if not self.lags or min(self.lags) < 1 or list(self.lags) != sorted(set(self.lags)):
            raise ValueError(f"lags {self.lags}: expected eras back, 1 or more, ascending, without repeats")
        if self.one_to_one and (self.lags != (1,) or self.k != 1):
            raise ValueError(
                f"one_to_one uses the era before only: expected lags (1,) and k 1, not {self.lags}, {self.k}"
            )
        if not self.one_to_one and self.k < LEAST_K:
            raise ValueError(f"k {self.k}: expected {LEAST_K} or more, so that no history is a single guess")
        return self

    @property
    def look_back(self) -> int:
        return max(self.lags)

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """All rows by lag and order of distance, then all distances. Raises FeatureError for an unknown feature set."""
        features_of(feature_sets, self.feature_set)
        return tuple(
            f"{what}_lag_{lag}_{nearness}"
            for what in ("row", "distance")
            for lag in self.lags
            for nearness in range(1, self.k + 1)
        )

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(2 x lags x k, n) int16 of one era; -1 and 0 for lags before the first era.

        Raises FeatureError for an unknown feature set, an era in which no feature varies, an era without rows, and an
        earlier era with fewer than k rows or more than int16 can count.
        """
        space, here = self._placed(panel, history)
        rows = np.full((len(self.lags), self.k, panel.rows), -1, np.int16)
        distances = np.full(rows.shape, np.nan, np.float32)
        for position, lag in enumerate(self.lags):
            if history.holds(history.era - lag):
                there = self._there(space, history, lag)
                found, squares = assigned(here, there) if self.one_to_one else nearest(here, there, self.k)
                rows[position], distances[position] = found, space.distances(squares)
        return Trajectories(self.lags, rows, distances).as_columns()

    def trajectories(self, columns: Columns) -> Trajectories:
        """The look-alikes in columns that `compute` wrote."""
        return Trajectories.of_columns(self.lags, columns)

    def quality(self, panel: EraPanel, columns: Columns, history: History) -> look_alike_quality.Quality:
        """Quality of the look-alikes of an era, by lag; reads the earlier eras again."""
        space, here = self._placed(panel, history)
        return look_alike_quality.quality_of(
            self.trajectories(columns), space, here, lambda lag: self._there(space, history, lag)
        )

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: by lag, distances relative to random rows and the share that is mutual; distributions of distances."""
        return look_alike_quality.picture(
            self.quality(panel, columns, history), f"Look-alikes of era {era_label(history.era)}"
        )

    def _placed(self, panel: EraPanel, history: History) -> tuple[ComponentSpace, Points]:
        """The space of the current era, and its rows in that space."""
        block = self._block(panel, history)
        if not panel.rows:
            raise FeatureError(f"look_alikes: era {era_label(history.era)} has no rows")
        try:
            space = ComponentSpace.of(block, self.dims, self.whitening)
        except FeatureError as error:
            raise FeatureError(
                f"look_alikes: era {era_label(history.era)}, feature set {self.feature_set}: {error}; rows cannot be compared"
            ) from error
        return space, space.place(block)

    def _there(self, space: ComponentSpace, history: History, lag: int) -> Points:
        """Rows of an earlier era in the space of the current era."""
        era = history.era - lag
        panel = history.panel(era)
        if not self.k <= panel.rows <= np.iinfo(np.int16).max:
            raise FeatureError(
                f"look_alikes: era {era_label(era)} has {panel.rows} rows, expected from k = {self.k} to "
                f"{np.iinfo(np.int16).max:,}; it is {lag} eras before {era_label(history.era)}"
            )
        return space.place(self._block(panel, history))

    def _block(self, panel: EraPanel, history: History) -> NDArray[np.int8]:
        return panel.with_features(features_of(history.feature_sets, self.feature_set)).blocks[0]
