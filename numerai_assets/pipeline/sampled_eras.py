"""What the predictions of all methods look like beside each other and beside the features, on some of the scored eras."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import PAYOUT_TARGET, era_label, live_key
from numerai_assets.evaluation.breakdowns import calibration, group_exposures, leaf_sets, rank_correlations
from numerai_assets.evaluation.exposures import feature_exposures
from numerai_assets.evaluation.gate import drifted_share
from numerai_assets.features.fitting.levels import level_counts
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.prediction_store import PredictionStore
from numerai_assets.tournament.release import Release

Array = NDArray[np.float64]

# One era of all features is read and held at a time; so many make the figures steady and take seconds.
_SAMPLED_ERAS = 24
_DRIFT_ROUNDS = 12
_USUAL_ERAS = 8


@dataclass(frozen=True)
class SampledEras:
    """correlations: methods x methods, mean rank correlation. exposures: by method, eras x feature groups, root mean
    square. calibration: slices (from 1) x methods, mean target of each slice of the prediction."""

    eras: tuple[int, ...]
    correlations: pd.DataFrame
    exposures: dict[str, pd.DataFrame]
    calibration: pd.DataFrame


def sampled_eras(workspace: Workspace, scores: Mapping[str, pd.DataFrame]) -> SampledEras | None:
    """Evenly spaced eras of those scored, each method by the predictions that were scored; None when there are none."""
    methods = list(scores)
    scored = sorted({int(era) for frame in scores.values() for era in frame.index[frame["corr60"].notna()]})
    held = sorted(set(scored) & set(workspace.store.eras()))
    if not held:
        return None
    eras = [
        held[int(place)] for place in np.unique(np.linspace(0, len(held) - 1, min(_SAMPLED_ERAS, len(held))).round())
    ]
    groups = _places_of_groups(workspace.release, workspace.store)
    correlations, slices = [], []
    exposures: dict[str, dict[int, dict[str, float]]] = {method: {} for method in methods}
    for era in eras:
        panel = workspace.store.panel([era_label(era)], targets=[PAYOUT_TARGET])
        predictions = _predictions(workspace.predictions, scores, panel)
        correlations.append(rank_correlations(predictions))
        slices.append(np.stack([calibration(column, panel.target(PAYOUT_TARGET)) for column in predictions.T]))
        whole = np.flatnonzero(~np.isnan(predictions).any(axis=0))
        found = feature_exposures(predictions[:, whole], panel.blocks[0])
        for place, column in zip(whole, found.T, strict=True):
            exposures[methods[place]][era] = group_exposures(column, groups)
    mean_slices = _mean(slices)
    return SampledEras(
        eras=tuple(eras),
        correlations=pd.DataFrame(_mean(correlations), index=methods, columns=methods),
        exposures={method: pd.DataFrame(rows).T for method, rows in exposures.items() if rows},
        calibration=pd.DataFrame(mean_slices.T, index=range(1, mean_slices.shape[1] + 1), columns=methods),
    )


def drifted_shares(workspace: Workspace) -> dict[str, float]:
    """Share of features that drifted in each of the newest rounds held, against the eras before it; oldest first."""
    rounds = [number for number in workspace.known_rounds() if workspace.store.holds(live_key(number))]
    known: dict[str, Array] = {}

    def shares(key: str) -> Array:
        if key not in known:
            block = workspace.store.panel([key]).blocks[0]
            known[key] = level_counts(block) / block.shape[1]
        return known[key]

    found = {}
    for number in rounds[-_DRIFT_ROUNDS:]:
        before = [era for era in workspace.store.eras() if era < workspace.round(number).era][-_USUAL_ERAS:]
        if before:
            usual = np.mean([shares(era_label(era)) for era in before], axis=0)
            found[f"round {number}"] = drifted_share(shares(live_key(number)), usual)
    return found


def _predictions(predictions: PredictionStore, scores: Mapping[str, pd.DataFrame], panel: EraPanel) -> Array:
    """(n, m) of the rows of one era; NaN where a method did not predict it."""
    (era,) = panel.eras
    columns = np.full((panel.rows, len(scores)), np.nan)
    for place, (method, frame) in enumerate(scores.items()):
        vintage = int(frame["vintage"].get(era, 0))
        if vintage and predictions.holds(method, vintage, era_label(era)):
            found = predictions.read(method, vintage, era_label(era)).set_index("id")["prediction"]
            columns[:, place] = found.reindex(panel.ids).to_numpy(np.float64)
    return columns


def _places_of_groups(release: Release, store: EraStore) -> dict[str, list[int]]:
    place = {name: position for position, name in enumerate(store.feature_names)}
    groups = leaf_sets(release.features())
    return {name: [place[feature] for feature in features if feature in place] for name, features in groups.items()}


def _mean(tables: list[Array]) -> Array:
    stacked = np.stack(tables)
    known = ~np.isnan(stacked)
    total, count = np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
