"""Validation scores: what the out-of-sample predictions of all vintages of a method would have scored."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from numerai_assets.eras import PAYOUT_TARGET, era_label, horizon_of
from numerai_assets.errors import ReleaseError
from numerai_assets.evaluation.diagnostics import ScoredRows, era_scores, validation_table
from numerai_assets.features.contract import features_of
from numerai_assets.pipeline.predictions import predicted
from numerai_assets.pipeline.vintages import load_vintage, model_digest
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import replacing_file, write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.holdout_ledger import Look
from numerai_assets.store.prediction_store import PredictionStore
from numerai_assets.store.vintage_store import VintageStore
from numerai_assets.tournament.release import (
    META_MODEL,
    TRAIN_BENCHMARKS,
    VALIDATION_BENCHMARKS,
    Release,
    benchmark_column,
)

NEUTRAL_SET = "fncv3_features"


NEUTRAL_SCORES = ("fnc60", "largest_exposure", "mean_exposure")


def diagnose(workspace: Workspace, name: str, methods: Sequence[str]) -> dict[str, Any]:
    """Scores all out-of-sample predictions held under `name`, made of `methods`, and stores the scores.

    Returns what to show: tables as frames, plots as PNG bytes, and numbers."""
    from numerai_assets.evaluation.breakdowns import regimes
    from numerai_assets.evaluation.plots import cumulative_scores, drawdowns

    note_look(workspace, name, methods, "diagnostics")
    scores = era_scores(scored_rows(workspace.predictions, workspace.store, workspace.release, name))
    models = judged_models(workspace.predictions, workspace.vintages, methods)
    scores = scores.assign(model=[models.get(int(era), "") for era in scores.index])
    neutral = neutral_scores(workspace, name, scores, known=read_scores(workspace, name))
    scores = scores.join(neutral).rename_axis("era")
    path = workspace.diagnostics_path(name)
    with replacing_file(path) as aside:
        # Consecutive eras are written as a column too, for other programs.
        scores.to_parquet(aside, index=True)
    trials = workspace.holdout_ledger.trials(scores.index)
    shown = validation_table(scores, trials=trials)
    plot = cumulative_scores(scores, f"{name}: out of sample, {len(scores)} eras")
    return {
        "validation": shown,
        "cumulative_scores": plot,
        "drawdowns": drawdowns(scores, f"{name}: below the peak"),
        "regimes": regimes(scores),
        "eras": len(scores),
        "vintages": int(scores["vintage"].nunique()),
        "variants_tried_on_these_eras": trials,
        "largest_exposure_mean": float(scores["largest_exposure"].mean()),
        "mean_exposure_mean": float(scores["mean_exposure"].mean()),
        **{f"{score}_mean": float(mean) for score, mean in zip(shown["score"], shown["mean"], strict=True)},
    }


def note_look(workspace: Workspace, name: str, methods: Sequence[str], purpose: str) -> None:
    """Puts into the ledger that what `methods`, as the settings have them now, make is judged on the eras predicted."""
    vintages = workspace.predictions.vintages(name)
    eras = [era for vintage in vintages for era in workspace.predictions.eras(name, vintage)]
    if eras:
        made = json.dumps([name, *(workspace.specs.method(method).digest for method in methods)])
        variant = hashlib.sha256(made.encode()).hexdigest()[:16]
        workspace.holdout_ledger.record(Look(dt.datetime.now(dt.UTC), name, purpose, min(eras), max(eras), (variant,)))


def judged_models(predictions: PredictionStore, vintages: VintageStore, methods: Sequence[str]) -> dict[int, str]:
    """By era that all of the methods predicted out of sample: the digests of their newest vintages that did."""
    found: list[dict[int, str]] = []
    for method in methods:
        models: dict[int, str] = {}
        for vintage in vintages.vintages(method):
            models |= dict.fromkeys(predictions.eras(method, vintage), model_digest(vintages, method, vintage))
        found.append(models)
    return {era: " ".join(models[era] for models in found) for era in set.intersection(*map(set, found))}


def churn_of_newest(workspace: Workspace, method: str) -> dict[str, Any]:
    """How differently the two newest vintages rank the rows of the newest era; stored. Empty for a single vintage.

    churn: 1 less the rank correlation. churn_of_ends: share of the highest and lowest twentieth that changes.
    """
    from numerai_assets.evaluation.churn import churn

    newest = workspace.vintages.vintages(method)[-2:]
    if len(newest) < 2:
        return {}
    key = era_label(workspace.store.newest_era())
    first, second = (
        predicted(workspace, method, vintage, load_vintage(workspace, method, vintage), key)[1][:, None].astype(float)
        for vintage in newest
    )
    ends, pair = max(1, len(first) // 20), " and ".join(map(era_label, newest))
    found = {
        "churn": float(churn(first, second)[0]),
        "churn_of_ends": float(churn(first, second, top_bottom=ends)[0]),
    }
    write_json(_churn_path(workspace, method), read_churn(workspace, method) | {pair: found})
    return {"churn_vintages": pair, **found}


def read_churn(workspace: Workspace, method: str) -> dict[str, dict[str, float]]:
    """Churn between each pair of successive vintages, as it was diagnosed; empty before the first time."""
    path = _churn_path(workspace, method)
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _churn_path(workspace: Workspace, method: str) -> Path:
    return workspace.diagnostics_path(method).with_suffix(".churn.json")


def neutral_scores(workspace: Workspace, method: str, scores: pd.DataFrame, *, known: pd.DataFrame) -> pd.DataFrame:
    """FNC on the payout target and exposures by era (index) of what `scores` scored; what is `known` is not computed again.

    fnc60: CORR of what is left when neutralised to the set fncv3_features, NaN until the target is known.
    largest_exposure, mean_exposure: of the absolute correlations with all features. All NaN where a row of the era was
    not predicted.
    """
    from numerai_assets.evaluation.exposures import feature_exposures
    from numerai_assets.evaluation.neutralisation import EraFactor, feature_neutral_corr

    store = workspace.store
    neutralised = store.panel([era_label(int(era)) for era in scores.index[:1]]).places_of(
        features_of(workspace.feature_sets(), NEUTRAL_SET)
    )
    same = known.reindex(scores.index)
    found = same.reindex(columns=list(NEUTRAL_SCORES)).astype(float)
    is_known = (same["model"] == scores["model"]) & found["largest_exposure"].notna()
    is_known &= found["fnc60"].notna() | scores["corr60"].isna()
    asked = scores[~is_known]
    for era, vintage in zip(asked.index, asked["vintage"], strict=True):
        panel = store.panel([era_label(era)], targets=[PAYOUT_TARGET])
        frame = workspace.predictions.read(method, int(vintage), era_label(era))
        prediction = frame.set_index("id")["prediction"].reindex(panel.ids).to_numpy(float)[:, None]
        if np.isnan(prediction).any():
            continue
        exposures = np.abs(feature_exposures(prediction, panel.blocks[0]))
        target = panel.target(PAYOUT_TARGET)
        factor = EraFactor.of(panel.blocks[0], neutralised)
        fnc = float(feature_neutral_corr(prediction, factor, target)[0]) if not np.isnan(target).all() else np.nan
        found.loc[era] = [fnc, float(np.nanmax(exposures)), float(np.nanmean(exposures))]
    return found


def scored_rows(predictions: PredictionStore, store: EraStore, release: Release, method: str) -> Iterator[ScoredRows]:
    """Rows of each era that the method predicted out of sample, with targets and references beside them."""
    from numerai_assets.store.out_of_sample import out_of_sample

    benchmarks = [release.path(TRAIN_BENCHMARKS), release.path(VALIDATION_BENCHMARKS)]
    found = out_of_sample(
        predictions,
        method,
        store,
        benchmarks=benchmarks,
        benchmark_columns=_benchmark_columns(benchmarks[-1]),
        meta_model=release.path(META_MODEL),
    )
    for era, vintage, rows in found:
        yield ScoredRows(
            era=era,
            vintage=vintage,
            prediction=rows["prediction"].to_numpy(float),
            targets={h: rows[f"target_{h}"].to_numpy(float) for h in (20, 60)},
            meta_model=rows["meta_model"].to_numpy(float),
            benchmark={h: rows[f"benchmark_{h}"].to_numpy(float) for h in (20, 60)},
        )


def _benchmark_columns(path: Path) -> dict[int, str]:
    """Columns of Numerai's own benchmarks by their horizon. Raises ReleaseError for a file without one of them."""
    names = pq.read_schema(path).names
    found = {}
    for target in ("target_ender_20", PAYOUT_TARGET):
        column = benchmark_column(names, target)
        if column is None:
            raise ReleaseError(f"{path.name}: has no benchmark of {target}; its columns are {', '.join(names)}")
        found[horizon_of(target)] = column
    return found


def read_scores(workspace: Workspace, method: str) -> pd.DataFrame:
    """Per-era scores as last diagnosed; empty before the first time."""
    path = workspace.diagnostics_path(method)
    found = pd.read_parquet(path) if path.is_file() else era_scores([])
    return found.reindex(columns=list(dict.fromkeys([*found.columns, "model", *NEUTRAL_SCORES])))
