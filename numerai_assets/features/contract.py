"""What every feature block is: a pure transform of an era, and of what had come before it, into new columns.

Two kinds. A `FeatureBlock` has nothing to learn: its columns of an era follow from that era, from earlier eras and from
targets that had resolved by then, so they are computed once an era and never change. A `FittedBlock` is learned from
targets: it belongs to a vintage, as a model does, and is given only what lies before the vintage's wall.

Columns are feature-major, (k, n), as the era store keeps features: a column of an era is one run of memory.
"""

from pathlib import Path
from typing import ClassVar, Protocol, Self

from numerai_assets.errors import FeatureError
from numerai_assets.panel.panel import Columns, EraPanel, FeatureSets, History
from numerai_assets.progress import Progress, silent

__all__ = ["Columns", "FeatureBlock", "FeatureSets", "FittedBlock", "History", "features_of"]


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
    """New columns whose making is learned from a target; an estimator whose hyperparameters its constructor takes.

    One that reads earlier eras, their resolved targets or columns of other blocks says so in a property `reads: Reads`;
    the panels it is given then answer `history(era)`.
    """

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
