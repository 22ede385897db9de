"""Explanation of the prediction of one row of an era or live round: SHAP and LIME."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import MethodError, StoreError
from numerai_assets.evaluation.importance import gain_shares, groups_of
from numerai_assets.evaluation.local_model import local_model
from numerai_assets.methods.contract import Additive, Method
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.predictions import vintage_panel
from numerai_assets.pipeline.vintages import load_vintage
from numerai_assets.pipeline.workspace import Workspace

_PERTURBED = 64


@dataclass(frozen=True)
class RowExplanation:
    """Explanation of the rank (`place`, 0 to 1) that `vintage` gave the row among the rows of its era.

    parts: feature, group, level and part, the contribution to the raw score (SHAP), largest first; None for a method whose
    scores are not additive. local: feature, group, level, weight (change of the rank per bin) and effect (weight times the
    distance of the bin from the era's mean), largest effect first. r2: of the local model. Both are None for a method that
    reads columns of blocks, which exist for stored rows only.
    """

    vintage: int
    place: float
    parts: pd.DataFrame | None
    local: pd.DataFrame | None
    r2: float | None


def explain_row(workspace: Workspace, method: str, key: str, row_id: str) -> RowExplanation:
    """Explains one row of a stored era or live round with the newest vintage older than it.

    LIME perturbs the 64 features with the largest contributions (without SHAP, those of most gain); the others stay fixed.
    Raises StoreError for an unknown vintage, era or row, MethodError for a method that neither can explain.
    """
    record = workspace.store.record(key)
    older = workspace.vintages.before(method, record.era)
    if not older:
        raise StoreError(
            f"{method}: no vintage older than era {era_label(record.era)}; train one with `numerai backfill`"
        )
    estimator = load_vintage(workspace, method, older[0])
    panel = vintage_panel(workspace, method, older[0], estimator, key)
    found = np.flatnonzero(panel.ids == row_id)
    if not len(found):
        raise StoreError(f"era {key}: no row {row_id!r} among its {panel.rows:,}; ids look like {panel.ids[0]!r}")
    row = int(found[0])
    levels = panel.blocks[0]
    metadata = pd.DataFrame(
        {
            "feature": panel.feature_names,
            "group": list(groups_of(panel.feature_names, workspace.release.features()).values()),
            "level": levels[:, row],
        }
    )
    place = float(estimator.predict(panel)[row])
    parts = None
    if isinstance(estimator, Additive):
        (own,) = estimator.contributions(panel, np.array([row]))
        parts, weight = _by_size(metadata.assign(part=own), "part"), np.abs(own)
        if estimator.reads.columns:
            return RowExplanation(older[0], place, parts, None, None)
    else:
        gains = gain_shares(estimator.explain(panel)).set_index("feature")["gain"]
        weight = gains.reindex(panel.feature_names).to_numpy()
    chosen = np.argsort(-weight, kind="stable")[:_PERTURBED]
    model = local_model(
        lambda rows: places_among(estimator, panel, row, chosen, rows),
        levels[chosen, row],
        levels[chosen],
        seed=workspace.settings.methods[method].seed,
    )
    local = metadata.iloc[chosen].assign(weight=model.weights, effect=model.effects)
    return RowExplanation(older[0], place, parts, _by_size(local, "effect"), model.r2)


def places_among(
    estimator: Method, panel: EraPanel, row: int, features: NDArray[np.intp], levels: NDArray[np.int8]
) -> NDArray[np.float64]:
    """(s,) share of the rows of a panel of one era whose prediction is below that of each of s altered copies of one row.

    levels: (s, k) bins of the k features at the indices `features`; all others are the row's own. The copies are predicted
    together with the era; their ranks are taken among its rows alone.
    Raises MethodError for a method that reads columns of blocks, which exist for stored rows only.
    """
    columns = estimator.reads.columns
    if columns:
        raise MethodError(
            f"{estimator.name}: reads {', '.join(columns)} of each row, which do not exist for an altered row"
        )
    copies = np.repeat(panel.blocks[0][:, [row]], len(levels), axis=1)
    copies[features] = levels.T
    names = np.array([f"altered{place}" for place in range(len(levels))], object)
    together = replace(
        panel,
        blocks=(np.concatenate([panel.blocks[0], copies], axis=1),),
        ids_of_block=(np.concatenate([panel.ids, names]),),
        targets_of_block={},
        digests=(),
        cache=None,
    )
    ranks = estimator.predict(together)
    own, altered = np.sort(ranks[: panel.rows]), ranks[panel.rows :]
    below, not_above = (np.searchsorted(own, altered, side=side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * panel.rows), np.float64)


def _by_size(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame.reindex(frame[column].abs().sort_values(ascending=False, kind="stable").index).reset_index(drop=True)
