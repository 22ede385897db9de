"""Look-alikes: for each row of an era, the rows of earlier eras that look most like it.

Rows are compared in the space of the era at hand (`component_space`), which is fitted on that era alone: there is no
state, nothing from later eras, and a live era is treated as a historical one. Every pair is compared, exactly.

Ids do not persist, by Numerai's intent, and this does not undo it: a row is given k >= 8 look-alikes, for weighted means
(`trajectories`). Partners one to one are an option for study; they are no better history, only a bolder claim.
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
    """The k rows most like each row, in the eras `lags` back; columns as `Trajectories.as_columns` writes them.

    lags: eras back, ascending. k: look-alikes a lag. dims, whitening: of the space, see `ComponentSpace.of`.
    feature_set: features that rows are compared on; best one whose features exist in all eras looked back to.
    one_to_one: instead, one look-alike in the era before, no two rows the same, the sum of squared distances the least;
        with lags (1,) and k 1 only.
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
                f"one_to_one is of the era before alone: expected lags (1,) and k 1, not {self.lags}, {self.k}"
            )
        if not self.one_to_one and self.k < LEAST_K:
            raise ValueError(f"k {self.k}: expected {LEAST_K} or more, so that nobody's history is one guess")
        return self

    @property
    def look_back(self) -> int:
        return max(self.lags)

    @property
    def targets(self) -> tuple[str, ...]:
        return ()

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """All rows by lag and nearness, then all distances. Raises FeatureError for an unknown feature set."""
        features_of(feature_sets, self.feature_set)
        return tuple(
            f"{what}_lag_{lag}_{nearness}"
            for what in ("row", "distance")
            for lag in self.lags
            for nearness in range(1, self.k + 1)
        )

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(2 x lags x k, n) int16 of one era; -1 and 0 for lags before the first era.

        Raises FeatureError for an unknown feature set, an era without a feature that varies, one without rows, and an
        earlier era of fewer rows than k or of more than int16 can number.
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
        """What `compute` wrote, to be used."""
        return Trajectories.of_columns(self.lags, columns)

    def quality(self, panel: EraPanel, columns: Columns, history: History) -> look_alike_quality.Quality:
        """How good the look-alikes of an era are, by lag; reads the earlier eras again."""
        space, here = self._placed(panel, history)
        return look_alike_quality.quality_of(
            self.trajectories(columns), space, here, lambda lag: self._there(space, history, lag)
        )

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: how much nearer than chance look-alikes are and how often they are mutual, by lag, and distances."""
        return look_alike_quality.picture(
            self.quality(panel, columns, history), f"Look-alikes of era {era_label(history.era)}"
        )

    def _placed(self, panel: EraPanel, history: History) -> tuple[ComponentSpace, Points]:
        """The space of the era at hand, and its rows in it."""
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
        """Rows of an earlier era in the space of the era at hand."""
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
