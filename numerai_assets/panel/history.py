"""What may be known at one era besides its rows: earlier eras and, of targets, only those that had resolved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label, horizon_of, resolved_through
from numerai_assets.errors import WallError

if TYPE_CHECKING:
    from numerai_assets.panel.panel import EraPanel

Columns = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.float16]
"""(k, n): int8 levels 0..4 with -1 for missing, int16 positions of rows with -1 for none, or float16 with NaN."""

FeatureSets = Mapping[str, tuple[str, ...]]
"""Features of each set of features.json, by its name."""


@dataclass(frozen=True)
class Reads:
    """What is read beside the rows of an era.

    look_back: earlier eras, so many before the one at hand; 0 for none. targets: of earlier eras, named in full.
    columns: feature blocks whose columns of the era at hand are read as they are, not as levels.
    """

    look_back: int = 0
    targets: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def reads_of(estimator: object) -> Reads:
    """What a method or learned block says it reads in its `reads`; one that says nothing reads nothing."""
    found: Reads = getattr(estimator, "reads", Reads())
    return found


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
    read_era: Callable[[int], "EraPanel"]
    read_columns: Callable[[str], Columns]
    newest_release: int | None = None

    def resolved_through(self, target: str) -> int:
        """Newest era whose `target` was known at the era at hand."""
        newest = self.era if self.newest_release is None else min(self.era, self.newest_release)
        return resolved_through(newest, horizon_of(target))

    @property
    def _earlier(self) -> range:
        """Earlier eras within the look-back that there are."""
        newest = self.era - 1 if self.newest_release is None else min(self.era - 1, self.newest_release)
        return range(max(self.first_era, self.era - self.look_back), newest + 1)

    def holds(self, era: int) -> bool:
        """True for an earlier era within the look-back; False before the first era there is and after a late release."""
        return era in self._earlier

    def has_resolved(self, era: int, target: str) -> bool:
        """True when `target` of `era` was known at the era at hand."""
        return era <= self.resolved_through(target)

    def panel(self, era: int) -> "EraPanel":
        """An earlier era with those of its targets that had resolved by the era at hand.

        Raises WallError for one that is not earlier, that the block did not say it looks back to, or that there is not.
        """
        if not self.holds(era):
            earlier = self._earlier
            raise WallError(
                f"era {era_label(self.era)} may look back to eras {earlier.start} to {earlier.stop - 1}, not to {era}"
            )
        found = self.read_era(era)
        known = {name: values for name, values in found.targets_of_block.items() if self.has_resolved(era, name)}
        return replace(found, targets_of_block=known)

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
