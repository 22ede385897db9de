"""What every method is: a scikit-learn style estimator over era panels."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.base import BaseEstimator

from numerai_assets.errors import MethodError
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

if TYPE_CHECKING:
    from numerai_assets.trees.permuted_trees import Tree

Profile = Literal["quick", "full"]


class Suggests(Protocol):
    """What a search space asks for values: Optuna's trial."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Method(Protocol):
    """A method of prediction. Constructor keyword arguments are its hyperparameters; nothing is computed there.

    One that keeps eras of the panel apart, to stop early on or to select by, says so after `fit` in
    `eras_used_: dict[str, Sequence[int]]`, by the names of `store.uses.USES`: the vintage records it, the checks read it.

    One that is fitted on other targets too names them in a property `auxiliary_targets: tuple[str, ...]`; its panel carries
    them, NaN behind their own wall. One whose hyperparameters are worth searching has a class method `search_space(trial:
    Suggests) -> dict` of them. One that reads earlier eras, their resolved targets or columns of feature blocks as they
    are says so in a property `reads: store.history.Reads`; the panels it is given then answer `history(era)`.
    """

    name: ClassVar[str]
    horizons: ClassVar[tuple[int, ...]]
    """Horizons, in weekdays, of the targets it can be fitted on."""
    every_eras: int
    """Fit on each so many-th era before the wall, counted back from the newest."""
    feature_names_: tuple[str, ...]
    """Features it was fitted on, which it wants, in this order, to predict; set by `fit` and `load`."""

    @classmethod
    def of_profile(cls, profile: Profile, **parameters: Any) -> Self:
        """An unfitted estimator with the profile's hyperparameters, `parameters` replacing some of them."""

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the panel's rows whose `target` is known. Raises MethodError when there are none."""

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 in (0, 1), ranked within each era."""

    def save(self, folder: Path) -> None:
        """Writes the fitted estimator into an empty folder; nothing in it is a pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The estimator that `save` wrote."""

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        """One row a feature: `feature` and at least one importance column, most important first."""


@runtime_checkable
class Extensible(Protocol):
    """What a Method may be beside: one that goes on from what it was fitted on, so that its vintages can roll."""

    def extend(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Learns further from the panel's rows whose `target` is known, old and new. Raises MethodError as `fit` does."""


@runtime_checkable
class Additive(Protocol):
    """What a Method may be beside: one whose raw scores, before they are ranked, are sums of parts, one a feature."""

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(r, d) float32 parts of the raw scores of some rows of a panel of one era; rows: (r,) their places.

        What the parts of a row lack of its raw score is the same for all rows: the expected score. The panel has all rows
        of its era, so that a method that looks at them together sees what it saw when it predicted. A sum of members has
        the sum of their parts, a mean the mean. Raises MethodError when the features are not those fitted.
        """


@runtime_checkable
class OfTrees(Protocol):
    """What a Method may be beside: one whose raw scores are sums over trees, which makes permuting features cheap."""

    def trees(self) -> "list[Tree]":
        """The trees, over the features it was fitted on."""


def known_parameters(method: type[BaseEstimator], parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` themselves. Raises MethodError, listing what there is, for one that is no hyperparameter of `method`."""
    known = method._get_param_names()
    unknown = sorted(set(parameters) - set(known))
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
