"""Why one row of an era or live round is predicted as it is: SHAP and LIME beside each other."""

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
    """Why `vintage` gave the row its place among the rows of its era, 0 to 1.

    parts: feature, group, level and the part of the raw score (SHAP), the largest first; None of a method whose scores are
    no sums. local: feature, group, level, weight (change of the place a level) and effect (weight times the distance of
    the level from the era's mean), the largest effect first. r2: of the local model. Both are None of a method that reads
    columns of blocks as they are, which belong to the rows there are.
    """

    vintage: int
    place: float
    parts: pd.DataFrame | None
    local: pd.DataFrame | None
    r2: float | None


def explain_row(workspace: Workspace, method: str, key: str, row_id: str) -> RowExplanation:
    """Explains one row of a stored era or live round by the newest vintage older than it.

    LIME perturbs the 64 features that move the row most (without SHAP, those of most gain), the others stay as they are.
    Raises StoreError when there is no such vintage, era or row, MethodError for a method that neither can explain.
    """
    record = workspace.store.record(key)
    held = workspace.vintages.before(method, record.era)
    if not held:
        raise StoreError(
            f"{method}: no vintage older than era {era_label(record.era)}; train one with `numerai backfill`"
        )
    estimator = load_vintage(workspace, method, held[0])
    panel = vintage_panel(workspace, method, held[0], estimator, key)
    found = np.flatnonzero(panel.ids == row_id)
    if not len(found):
        raise StoreError(f"era {key}: no row {row_id!r} among its {panel.rows:,}; ids look like {panel.ids[0]!r}")
    row = int(found[0])
    levels = panel.blocks[0]
    facts = pd.DataFrame(
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
        parts, weight = _by_size(facts.assign(part=own), "part"), np.abs(own)
        if estimator.reads.columns:
            return RowExplanation(held[0], place, parts, None, None)
    else:
        gains = gain_shares(estimator.explain(panel)).set_index("feature")["gain"]
        weight = gains.reindex(panel.feature_names).to_numpy()
    places = np.argsort(-weight, kind="stable")[:_PERTURBED]
    model = local_model(
        lambda rows: places_among(estimator, panel, row, places, rows),
        levels[places, row],
        levels[places],
        seed=workspace.settings.methods[method].seed,
    )
    local = facts.iloc[places].assign(weight=model.weights, effect=model.effects)
    return RowExplanation(held[0], place, parts, _by_size(local, "effect"), model.r2)


def places_among(
    estimator: Method, panel: EraPanel, row: int, features: NDArray[np.intp], levels: NDArray[np.int8]
) -> NDArray[np.float64]:
    """(s,) share of the rows of a panel of one era that are predicted below each of s altered copies of one of its rows.

    levels: (s, k) of the features at the k places; all others are the row's own. The copies are predicted together with
    the era, so that ranks tell where among its rows they stand; what the copies do to each other's ranks is of no account.
    Raises MethodError for a method that reads columns of blocks as they are, which belong to the rows there are.
    """
    columns = estimator.reads.columns
    if columns:
        raise MethodError(
            f"{estimator.name}: reads {', '.join(columns)} of each row, which an altered row does not have"
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
