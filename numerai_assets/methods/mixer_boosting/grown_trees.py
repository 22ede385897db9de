"""Trees that can be grown further, of LightGBM and of XGBoost, for ensembles of both.

LightGBM continues a model only if it still has the raw features. Here it has bins only, so the raw predictions so far become
its initial score, and the new trees are a separate part: the predictions of the parts add up.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.execution import LOCAL
from numerai_assets.methods.boosted_trees import BoostedTrees, lightgbm_parameters, xgboost_parameters
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress
from numerai_assets.trees import lightgbm_trees, xgboost_trees
from numerai_assets.trees.era_objectives import EraObjective
from numerai_assets.trees.lightgbm_bins import binned
from numerai_assets.trees.xgboost_bins import TreesTold, binned_on_disk, contributions, importances, predicted

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """Trees to grow. settings: of the method. parameters: further ones of the library. target: name of the label.

    objective: None for the library's squared error. trees: number of new trees; `told` is called with the number so far.
    """

    settings: BoostedTrees
    parameters: dict[str, Any]
    target: str
    objective: EraObjective | None
    trees: int
    seed: int
    told: Callable[[int], object]

    @property
    def on_cluster(self) -> dict[str, Any]:
        """Arguments of the libraries' `train` besides data and parameters."""
        return {
            "trees": self.trees,
            "compute": self.settings.execution.compute,
            "progress": lambda stage, done, total: self.told(done) if stage == "trees" else None,
        }

    def check_for_cluster(self, *, is_begun: bool) -> None:
        """Raises MethodError for fits that a cluster cannot run: custom objectives, and trees that continue others."""
        what = "continues existing trees" if is_begun else "has an objective of its own" if self.objective else ""
        if what:
            raise MethodError(
                f'{self.settings.execution.compute}: a member that {what} is grown on one machine; set compute = "local", or '
                'leave objective "mse", boosting_rounds 1 and batches 1, and do not roll'
            )


class GrownTrees(Protocol):
    """Trees of one member of an ensemble; growing returns a new object and leaves this one unchanged."""

    @staticmethod
    def bins(
        panel: EraPanel, label: NDArray[np.float32], num_threads: int, progress: Progress
    ) -> AbstractContextManager[Any]:
        """The library's data of the panel's rows whose label (n,) is known; usable for any label known for the same rows.

        The caller deletes its reference to the data before the context ends.
        """

    def grown(self, data: Any, panel: EraPanel, label: NDArray[np.float32], growth: Growth) -> Self:
        """These trees and more, grown on the panel's rows whose label (n,) is known. data: their bins; None on a cluster.

        Raises MethodError for a fit that a cluster cannot run.
        """

    def predict(self, block: NDArray[np.int8], num_threads: int) -> Array:
        """(n,) raw predictions of a (d, n) block."""

    def contributions(self, block: NDArray[np.int8], num_threads: int) -> NDArray[np.float32]:
        """(n, d) SHAP values of the raw predictions of a (d, n) block."""

    def importances(self, features: int) -> tuple[Array, Array]:
        """Gain and number of splits of each feature, (d,) each."""

    def save(self, folder: Path, stem: str) -> None:
        """Writes files whose names begin with the stem."""

    @classmethod
    def load(cls, folder: Path, stem: str) -> Self:
        """The trees that `save` wrote."""


@dataclass(frozen=True)
class LightgbmTrees:
    """Boosters whose raw predictions add up, in the order in which they were grown."""

    parts: tuple[lgb.Booster, ...] = ()

    @staticmethod
    def bins(
        panel: EraPanel, label: NDArray[np.float32], num_threads: int, progress: Progress
    ) -> AbstractContextManager[lgb.Dataset]:
        return nullcontext(binned(panel, label, num_threads=num_threads, progress=progress))

    def grown(self, data: lgb.Dataset, panel: EraPanel, label: NDArray[np.float32], growth: Growth) -> Self:
        parameters = (
            lightgbm_parameters(growth.settings, growth.seed)
            | {"objective": growth.objective or "regression"}
            | growth.parameters
        )
        if growth.settings.execution.compute != LOCAL:
            growth.check_for_cluster(is_begun=bool(self.parts))
            return type(self)((lightgbm_trees.train(panel, growth.target, parameters, **growth.on_cluster),))
        known = ~np.isnan(label)
        data.set_label(label[known])
        # The data may still have the initial score of another member.
        data.set_field("init_score", self._raw(panel, growth.settings.execution.cores)[known] if self.parts else None)
        part = lgb.train(
            parameters,
            data,
            num_boost_round=growth.trees,
            callbacks=[lambda state: growth.told(state.iteration + 1)],
        )
        return type(self)((*self.parts, part))

    def predict(self, block: NDArray[np.int8], num_threads: int) -> Array:
        raw = [part.predict(block.T, num_threads=num_threads, validate_features=False) for part in self.parts]
        return np.asarray(np.sum(raw, axis=0), np.float64)

    def contributions(self, block: NDArray[np.int8], num_threads: int) -> NDArray[np.float32]:
        found = [
            part.predict(block.T, pred_contrib=True, num_threads=num_threads, validate_features=False)
            for part in self.parts
        ]
        return np.asarray(np.sum(found, axis=0), np.float32)[:, :-1]

    def importances(self, features: int) -> tuple[Array, Array]:
        return self._importance("gain"), self._importance("split")

    def save(self, folder: Path, stem: str) -> None:
        for place, part in enumerate(self.parts):
            (folder / f"{stem}.{place:04d}.txt").write_text(part.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, stem: str) -> Self:
        return cls(tuple(lgb.Booster(model_file=str(path)) for path in sorted(folder.glob(f"{stem}.*.txt"))))

    def _importance(self, kind: str) -> Array:
        return np.asarray(np.sum([part.feature_importance(kind) for part in self.parts], axis=0), np.float64)

    def _raw(self, panel: EraPanel, num_threads: int) -> Array:
        return np.concatenate([self.predict(block, num_threads) for block in panel.blocks])


@dataclass(frozen=True)
class XgboostTrees:
    """One model, which XGBoost itself continues."""

    booster: xgb.Booster | None = None

    @staticmethod
    def bins(
        panel: EraPanel, label: NDArray[np.float32], num_threads: int, progress: Progress
    ) -> AbstractContextManager[xgb.ExtMemQuantileDMatrix]:
        return binned_on_disk(panel, label, num_threads=num_threads, progress=progress)

    def grown(
        self, data: xgb.ExtMemQuantileDMatrix, panel: EraPanel, label: NDArray[np.float32], growth: Growth
    ) -> Self:
        # A custom objective starts from 0; XGBoost would start from the mean of the target.
        begin = {} if growth.objective is None else {"base_score": 0.0}
        parameters = xgboost_parameters(growth.settings, growth.seed) | begin | growth.parameters
        if growth.settings.execution.compute != LOCAL:
            growth.check_for_cluster(is_begun=self.booster is not None)
            return type(self)(xgboost_trees.train(panel, growth.target, parameters, **growth.on_cluster))
        data.set_label(label[~np.isnan(label)])
        booster = xgb.train(
            parameters,
            data,
            num_boost_round=growth.trees,
            obj=growth.objective,
            xgb_model=self.booster,
            callbacks=[TreesTold(growth.told)],
        )
        return type(self)(booster)

    def predict(self, block: NDArray[np.int8], num_threads: int) -> Array:
        # A loaded model does not know its number of threads.
        self._fitted.set_param({"nthread": num_threads})
        return np.asarray(predicted(self._fitted, block), np.float64)

    def contributions(self, block: NDArray[np.int8], num_threads: int) -> NDArray[np.float32]:
        return contributions(self._fitted, block)

    def importances(self, features: int) -> tuple[Array, Array]:
        return importances(self._fitted, features)

    def save(self, folder: Path, stem: str) -> None:
        self._fitted.save_model(folder / f"{stem}.ubj")

    @classmethod
    def load(cls, folder: Path, stem: str) -> Self:
        return cls(xgb.Booster(model_file=str(folder / f"{stem}.ubj")))

    @property
    def _fitted(self) -> xgb.Booster:
        if self.booster is None:
            raise ValueError("no tree was grown yet")
        return self.booster
