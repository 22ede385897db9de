"""What is fitted on panels, once per vintage: the common base of methods and of learned feature blocks."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from numerai_assets.execution import DEFAULT_EXECUTION, Execution, without_execution
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.progress import Progress, silent

_ABOUT = "about.json"


class PanelEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """A scikit-learn estimator over era panels. Constructor keywords are its hyperparameters; nothing is computed there."""

    name: ClassVar[str]
    honours: ClassVar[frozenset[str]] = frozenset({"threads"})
    """Fields of `Execution` that it can use."""
    execution: Execution = DEFAULT_EXECUTION
    """Where and how fast it is trained. No hyperparameter."""
    feature_names_: tuple[str, ...]
    """Features it was fitted on and wants, in this order; set by `fit` and `load`."""

    @property
    def reads(self) -> Reads:
        """What it reads beside the rows of an era; the panels it is given then answer `history(era)`."""
        return Reads()

    @property
    def least_eras(self) -> int:
        """Fewest training eras that it can be fitted on."""
        return 1

    @abstractmethod
    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the rows whose `target` is known of a panel that has nothing behind the wall.

        Raises MethodError, or FeatureError for a block, when there are none.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what was fitted into an empty folder; nothing in it is a pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""

    def run_on(self, **execution: Any) -> Self:
        """Itself, trained as the given fields of `Execution` say: `Benchmark().run_on(threads=1)`."""
        self.execution = Execution(**execution)
        return self

    @classmethod
    def of_stored(cls, parameters: Mapping[str, Any]) -> Self:
        """An unfitted estimator with hyperparameters read from disk, less what older versions counted as such."""
        return cls(**without_execution(parameters))


def write_about(folder: Path, about: Mapping[str, Any], *, name: str = _ABOUT) -> None:
    """Writes what an estimator stores beside its arrays and models, such as its parameters, as indented JSON."""
    (folder / name).write_text(json.dumps(about, indent=1), encoding="utf-8")


def read_about(folder: Path, *, name: str = _ABOUT) -> dict[str, Any]:
    """What `write_about` wrote; tuples come back as lists."""
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found
