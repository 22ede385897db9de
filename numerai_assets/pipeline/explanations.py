"""Feature importance of a method, on out-of-sample eras."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import PAYOUT_TARGET, era_label, horizon_of
from numerai_assets.errors import StoreError
from numerai_assets.evaluation.importance import (
    every_power_of_two,
    gain_shares,
    groups_of,
    importances,
)
from numerai_assets.evaluation.permutation_importance import corr_lost
from numerai_assets.methods.contract import Additive, Method, OfTrees
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.predictions import vintage_panel
from numerai_assets.pipeline.vintages import load_vintage, model_digest
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import replacing_file

if TYPE_CHECKING:
    from numerai_assets.methods.permuted_predictions import Permuting


_COLUMNS = ("era", "vintage", "model", "feature", "gain", "permutation", "shap")


_KINDS = {"era": np.int16, "vintage": np.int16, "gain": float, "permutation": float, "shap": float}


def eras_to_explain(workspace: Workspace, method: str) -> dict[int, int]:
    """A sample of the predicted eras and the last one, ascending, each with the newest vintage that predicted it.

    Raises StoreError without predictions.
    """
    vintage_of = {
        era: vintage
        for vintage in workspace.vintages.vintages(method)
        for era in workspace.predictions.eras(method, vintage)
    }
    if not vintage_of:
        raise StoreError(f"{method}: no out-of-sample predictions; train a vintage and predict with it first")
    chosen = every_power_of_two(vintage_of, workspace.settings.explanations.eras)
    return {era: vintage_of[era] for era in sorted({*chosen, max(vintage_of)})}


def explanations_are_stale(workspace: Workspace, method: str) -> bool:
    """True when a vintage of `eras_to_explain` was missing, or was another model, when the method was last explained."""
    if not any(workspace.predictions.eras(method, vintage) for vintage in workspace.vintages.vintages(method)):
        return False
    asked = {
        (vintage, model_digest(workspace.vintages, method, vintage))
        for vintage in eras_to_explain(workspace, method).values()
    }
    known = read_by_era(workspace, method, ["vintage", "model"])
    return not asked <= set(zip(known["vintage"], known["model"], strict=True))


def read_by_era(workspace: Workspace, method: str, columns: Sequence[str] = _COLUMNS) -> pd.DataFrame:
    """Importances by era as last computed, one row per era and feature; empty before the first time."""
    path = workspace.importances_by_era_path(method)
    return pd.read_parquet(path, columns=list(columns)) if path.is_file() else pd.DataFrame(columns=list(columns))


def read_importances(workspace: Workspace, method: str) -> pd.DataFrame:
    """Importances as last computed, one row per feature; empty before the first time."""
    path = workspace.importances_path(method)
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


def write_explanations(workspace: Workspace, method: str, by_era: pd.DataFrame) -> pd.DataFrame:
    """Stores the importances by era and their summary, which is returned."""
    features = by_era["feature"].unique().tolist()
    groups = groups_of(features, workspace.release.features())
    whole = importances(by_era, groups, horizon=horizon_of(PAYOUT_TARGET))
    # By era last: it decides what counts as explained, so a run that was killed between the two is repeated.
    for path, frame in (
        (workspace.importances_path(method), whole),
        (workspace.importances_by_era_path(method), by_era),
    ):
        with replacing_file(path) as aside:
            frame.to_parquet(aside, index=False)
    return whole


@dataclass(frozen=True)
class Swarm:
    """Contributions to the raw scores of rows of one era. parts: (r, d) contributions. levels: (r, d) bins."""

    era: int
    features: tuple[str, ...]
    parts: NDArray[np.float32]
    levels: NDArray[np.int8]


@dataclass(frozen=True)
class _Loaded:
    """A loaded vintage, with its permutation prepared once."""

    vintage: int
    estimator: Method

    @cached_property
    def permute(self) -> "Permuting":
        # Imported here, because it imports LightGBM.
        from numerai_assets.methods.permuted_predictions import permuting

        return permuting(self.estimator)


class Explainer:
    """Explains eras of one method, one vintage loaded at a time; importances of an era and model that are stored are reused."""

    def __init__(self, workspace: Workspace, method: str) -> None:
        self._workspace, self._method = workspace, method
        self._known = read_by_era(workspace, method)
        self._loaded: _Loaded | None = None
        self._swarm: Swarm | None = None

    def explained(self, era: int, vintage: int) -> pd.DataFrame:
        """Importances of one era, in the columns of `read_by_era`."""
        is_resolved = horizon_of(PAYOUT_TARGET) in self._workspace.store.record(era_label(era)).resolved
        model = model_digest(self._workspace.vintages, self._method, vintage)
        stored = self._known[(self._known["era"] == era) & (self._known["model"] == model)]
        if len(stored) and stored["permutation"].notna().any() == is_resolved:
            return stored
        estimator, panel = self._load(vintage).estimator, self._panel(era, vintage)
        frame = gain_shares(estimator.explain(panel)).set_index("feature")
        frame = frame.reindex(frame.index.union(list(panel.feature_names), sort=False))
        if is_resolved:
            asked = self._workspace.settings.explanations
            most = asked.features if isinstance(estimator, OfTrees) else asked.features_without_trees
            # Where a method's own importances are not of features, the first `most` features.
            permuted = frame["gain"].reindex(list(panel.feature_names)).fillna(0.0).nlargest(most)
            rng = np.random.default_rng([self._seed, era])
            found = self._load(vintage).permute(panel, panel.places_of(permuted.index.tolist()), rng)
            frame["permutation"] = pd.Series(corr_lost(found, panel.target(PAYOUT_TARGET)), permuted.index)
        swarm = self.swarm(era, vintage)
        if swarm is not None:
            frame["shap"] = pd.Series(np.abs(swarm.parts).mean(axis=0), list(swarm.features))
        frame = frame.rename_axis("feature").reset_index().assign(era=era, vintage=vintage, model=model)
        return frame.reindex(columns=list(_COLUMNS)).astype(_KINDS)

    def swarm(self, era: int, vintage: int) -> Swarm | None:
        """Contributions to the raw scores of some rows of an era; None for a method whose scores are not additive."""
        estimator = self._load(vintage).estimator
        if not isinstance(estimator, Additive):
            return None
        if self._swarm is None or self._swarm.era != era:
            panel, rows = self._panel(era, vintage), self._workspace.settings.explanations.rows
            some = np.sort(np.random.default_rng([self._seed, era]).permutation(panel.rows)[:rows])
            self._swarm = Swarm(era, panel.feature_names, estimator.contributions(panel, some), panel.features[some])
        return self._swarm

    @property
    def _seed(self) -> int:
        return self._workspace.settings.methods[self._method].seed

    def _panel(self, era: int, vintage: int) -> EraPanel:
        estimator = self._load(vintage).estimator
        return vintage_panel(self._workspace, self._method, vintage, estimator, era_label(era), [PAYOUT_TARGET])

    def _load(self, vintage: int) -> _Loaded:
        if self._loaded is None or self._loaded.vintage != vintage:
            self._loaded = _Loaded(vintage, load_vintage(self._workspace, self._method, vintage))
            self._swarm = None
        return self._loaded
