"""What every feature block is: a pure transform of an era, and of what had come before it, into new columns.

Two kinds. A `FeatureBlock` has nothing to learn: its columns of an era follow from that era, from earlier eras and from
targets that had resolved by then, so they are computed once an era and never change. A `FittedBlock` is learned from
targets: it belongs to a vintage, as a model does, and is given only what lies before the vintage's wall.

Columns are feature-major, (k, n), as the era store keeps features: a column of an era is one run of memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label, horizon_of, resolved_through
from numerai_assets.errors import FeatureError, WallError
from numerai_assets.progress import Progress, silent
from numerai_assets.store.panel import EraPanel

Columns = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.float16]
"""(k, n): int8 levels 0..4 with -1 for missing, int16 positions of rows with -1 for none, or float16 with NaN."""

FeatureSets = Mapping[str, tuple[str, ...]]
"""Features of each set of features.json, by its name."""


@dataclass(frozen=True)
class History:
    """What a block may know besides the era at hand: earlier eras and, of targets, only those that had resolved.

    era: the era at hand. first_era: the earliest there is; before it a block has nothing to look back on. look_back:
    eras the block said it looks back. targets: those the block said it reads. newest_release: newest era of the release
    that targets come from; a live round is ahead of it when the vendor is late. None for an era of a release.
    """

    era: int
    first_era: int
    look_back: int
    targets: tuple[str, ...]
    feature_sets: FeatureSets
    read_era: Callable[[int], EraPanel]
    read_columns: Callable[[str], Columns]
    newest_release: int | None = None

    def resolved_through(self, target: str) -> int:
        """Newest era whose `target` was known at the era at hand."""
        newest = self.era if self.newest_release is None else min(self.era, self.newest_release)
        return resolved_through(newest, horizon_of(target))

    def holds(self, era: int) -> bool:
        """True for an earlier era within the look-back; False before the first era there is."""
        return max(self.first_era, self.era - self.look_back) <= era < self.era

    def has_resolved(self, era: int, target: str) -> bool:
        """True when `target` of `era` was known at the era at hand."""
        return era <= self.resolved_through(target)

    def panel(self, era: int) -> EraPanel:
        """An earlier era. Raises WallError for one that is not earlier or that the block did not say it looks back to."""
        if not self.holds(era):
            raise WallError(
                f"era {era_label(self.era)} may look back to eras {max(self.first_era, self.era - self.look_back)} to "
                f"{self.era - 1}, not to {era}"
            )
        return self.read_era(era)

    def target(self, era: int, name: str) -> NDArray[np.float32]:
        """(n,) float32 target of the rows of an earlier era. Raises WallError unless it had resolved by the era at hand."""
        if name not in self.targets:
            raise WallError(f"{name}: the block does not say that it reads it; it reads {self.targets or 'none'}")
        if not self.has_resolved(era, name):
            raise WallError(
                f"{name} of era {era_label(era)} was not known at era {era_label(self.era)}: resolved through "
                f"{era_label(self.resolved_through(name))}"
            )
        return self.panel(era).target(name)

    def columns(self, block: str) -> Columns:
        """(k, n) columns of another block, one that this block needs, for the era at hand."""
        return self.read_columns(block)


class FeatureBlock(Protocol):
    """New columns of each era. Its parameters are the fields of a frozen dataclass; it holds nothing else."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised whenever the same parameters give other columns than before: what is held counts as absent then."""
    needs: ClassVar[tuple[str, ...]]
    """Blocks whose columns of the era at hand it reads."""

    @property
    def look_back(self) -> int:
        """Eras before the one at hand that it reads; 0 for none."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of earlier eras that it reads, named in full."""

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """(k,) names of its columns, unique within the block. Raises FeatureError for an unknown feature set."""

    def compute(self, panel: EraPanel, history: History) -> Columns:
        """(k, n) columns of one era, a panel of n rows with all features. The order of rows changes nothing but theirs.

        Raises FeatureError for an era it cannot be computed for, saying which and why.
        """

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG that shows what it does on one era."""


class FittedBlock(Protocol):
    """New columns whose making is learned from a target; an estimator whose hyperparameters its constructor takes."""

    name: ClassVar[str]
    version: ClassVar[int]
    names_: tuple[str, ...]
    """(k,) names of its columns; set by `fit` and `load`."""
    feature_names_: tuple[str, ...]
    """Features it reads; set by `fit` and `load`."""

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Learns from the rows of the panel, which holds nothing behind the wall, whose target is known."""

    def transform(self, panel: EraPanel) -> Columns:
        """(k, n) columns of one era, a panel of n rows with at least the features it reads."""

    def save(self, folder: Path) -> None:
        """Writes the fitted block into an empty folder; nothing in it is a pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""

    def picture(self) -> bytes:
        """A PNG of what was learned."""


def features_of(feature_sets: FeatureSets, name: str) -> tuple[str, ...]:
    """Features of one set. Raises FeatureError, listing the sets, for an unknown one."""
    if name not in feature_sets:
        raise FeatureError(f"feature set {name!r} is not in features.json; it has {', '.join(sorted(feature_sets))}")
    return feature_sets[name]
