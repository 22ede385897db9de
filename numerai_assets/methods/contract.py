"""The contract of a method: a scikit-learn style estimator over era panels, on a small base class that has the defaults."""

import itertools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, cast, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.eras import HORIZONS
from numerai_assets.errors import MethodError
from numerai_assets.execution import ONCE_PARAMETERS
from numerai_assets.panel.estimator import PanelEstimator
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

if TYPE_CHECKING:
    from numerai_assets.trees.permuted_trees import Tree

Profile = Literal["smoke", "quick", "full"]


class Suggests(Protocol):
    """A source of values for a search space: Optuna's trial."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Method(PanelEstimator):
    """A method of prediction.

    A subclass names itself and defines `fit`, `predict`, `save`, `load` and `explain`; every other attribute has a default.
    """

    horizons: ClassVar[tuple[int, ...]] = HORIZONS
    """Horizons, in weekdays, of the targets it can be trained on."""
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"smoke": {}, "quick": {}, "full": {}})
    """Hyperparameters of each profile: seconds at size tiny, two cores, a GPU or a big machine."""

    every_eras: int = 1
    """Train on every n-th era before the wall, counted back from the newest."""
    eras_used_: Mapping[str, Sequence[int]] = MappingProxyType({})
    """Eras whose targets each use saw, by the names of `store.eras_used.USES`; set by `fit` where it is more than the fit."""

    @property
    def auxiliary_targets(self) -> tuple[str, ...]:
        """Targets that it is trained on beside the main one. The panel carries them, NaN behind their own wall."""
        return ()

    @classmethod
    def of_profile(cls, profile: Profile, **parameters: Any) -> Self:
        """An unfitted estimator with the profile's hyperparameters; `parameters` replace some of them.

        Raises MethodError for a parameter that does not exist.
        """
        return cls(**known_parameters(cls, {**cls.profiles[profile], **parameters}))

    @classmethod
    def search_space(cls, trial: Suggests) -> dict[str, Any]:
        """Hyperparameters worth searching, with values that `trial` suggests. Raises MethodError where there are none."""
        raise MethodError(f"{cls.name}: declares no search_space(trial), so there is nothing to search")

    @classmethod
    def declares_space(cls) -> bool:
        """True when the method, or a class between it and this one, has a search space of its own."""
        return cast(MethodType, cls.search_space).__func__ is not cast(MethodType, Method.search_space).__func__

    @abstractmethod
    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era."""

    @abstractmethod
    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """One row per feature: `feature` and at least one importance column, most important first."""


@runtime_checkable
class Extensible(Protocol):
    """Optional: a method that supports warm starts, so that its vintages can roll."""

    def extend(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Learns further from the panel's rows whose `target` is known, old and new. Raises MethodError as `fit` does."""


@runtime_checkable
class Additive(Protocol):
    """Optional: a method whose raw scores, before they are ranked, are sums of contributions, one per feature."""

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) float32 contributions to the raw scores of some rows of a panel of one era; rows: (r,) their indices.

        The sum of a row's contributions differs from its raw score by the expected score, which is the same for all rows.
        The panel has all rows of its era, because a method may look at them together. A sum of members has the sum of
        their contributions, a mean their mean. Raises MethodError when the features are not those of the fit.
        """


@runtime_checkable
class OfTrees(Protocol):
    """Optional: a method whose raw scores are sums over trees, which makes permuting features cheap."""

    def trees(self) -> "list[Tree]":
        """The trees, over the features it was fitted on."""


def known_parameters(method: type[Method], parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` themselves. Raises MethodError, listing the hyperparameters of `method`, for an unknown one."""
    known = method._get_param_names()
    unknown = sorted(set(parameters) - set(known))
    if unknown and unknown[0] in ONCE_PARAMETERS:
        raise MethodError(
            f"{method.name}: {unknown[0]} is no hyperparameter any more; set methods.{method.name}.threads instead "
            "(0, the default: every core the process may use)"
        )
    if unknown:
        raise MethodError(f"{method.name}: no hyperparameter {unknown[0]!r}; it has {', '.join(known)}")
    return parameters


def check_features(method: Method, panel: EraPanel) -> None:
    """Raises MethodError, naming what is lacking, unless the panel has the features that the method was fitted on, in order."""
    if panel.feature_names == method.feature_names_:
        return
    lacking = [name for name in method.feature_names_ if name not in set(panel.feature_names)]
    what = (
        f"{len(lacking)} of them lacking, first {lacking[0]!r}"
        if lacking
        else "some of them others or in another order"
    )
    raise MethodError(
        f"{method.name}: fitted on {len(method.feature_names_)} features, given {len(panel.feature_names)}, {what}"
    )


def rank_within_eras(raw: NDArray[np.floating], rows_of_era: list[int]) -> NDArray[np.float32]:
    """(n,) float32 of raw scores (n,) as (rank - 0.5) / rows of the era; ties share their average rank."""
    edges = np.cumsum([0, *rows_of_era])
    ranked = [(rankdata(raw[start:stop]) - 0.5) / (stop - start) for start, stop in itertools.pairwise(edges)]
    return np.concatenate(ranked).astype(np.float32)
