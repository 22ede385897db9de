"""The contract of a feature block: a pure transform of an era, and of what came before it, into new columns.

There are three kinds. A `FeatureBlock` (`Kind.PER_ERA`) learns nothing: its columns follow from the era, from earlier eras
and from targets that had resolved by then, so they are computed once per era and never change. A `FittedBlock`
(`Kind.LEARNED`) is learned from targets: it belongs to a vintage, as a model does, and sees only what lies before the
vintage's wall. A selection (`Kind.SELECTION`) is learned too; it removes features instead of adding columns.

Columns are feature-major, (k, n), as the era store keeps features: a column of an era is one run of memory.
"""

from abc import abstractmethod
from enum import StrEnum
from typing import ClassVar, Protocol

from numerai_assets.errors import FeatureError
from numerai_assets.panel.estimator import PanelEstimator
from numerai_assets.panel.panel import Columns, EraPanel, FeatureSets, History

__all__ = ["Columns", "FeatureBlock", "FeatureSets", "FittedBlock", "History", "Kind", "features_of"]


class Kind(StrEnum):
    """What a feature block does, and how often."""

    PER_ERA = "per era"
    LEARNED = "learned"
    SELECTION = "selection"

    @property
    def is_learned(self) -> bool:
        """True when the block is fitted once per vintage."""
        return self is not Kind.PER_ERA


class FeatureBlock(Protocol):
    """New columns of each era. Its parameters are the fields of a frozen dataclass; it holds nothing else."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised whenever the same parameters give other columns than before: what is held counts as absent then."""
    needs: ClassVar[tuple[str, ...]]
    """Blocks whose columns of the era at hand it reads."""

    @property
    def look_back(self) -> int:
        """Eras before the current one that it reads; 0 for none."""

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


class FittedBlock(PanelEstimator):
    """New columns whose making is learned from a target."""

    version: ClassVar[int]
    """Raised whenever the same parameters learn other columns than before: stored vintages count as outdated then."""
    names_: tuple[str, ...]
    """(k,) names of its columns; set by `fit` and `load`."""

    def transform(self, panel: EraPanel) -> Columns:
        """(k, n) columns of one era, a panel of n rows with at least the features it reads. A selection has none."""
        raise FeatureError(f"{self.name}: removes features and gives no columns")

    @abstractmethod
    def picture(self) -> bytes:
        """A PNG of what was learned."""


def features_of(feature_sets: FeatureSets, name: str) -> tuple[str, ...]:
    """Features of one set. Raises FeatureError, listing the sets, for an unknown one."""
    if name not in feature_sets:
        raise FeatureError(f"feature set {name!r} is not in features.json; it has {', '.join(sorted(feature_sets))}")
    return feature_sets[name]
