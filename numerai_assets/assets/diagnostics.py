"""What the out-of-sample predictions of all vintages of a method would have scored."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator

import dagster as dg
import numpy as np
import pandas as pd

from numerai_assets.assets.models import feature_set, made_with
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import measured, picture, result, table
from numerai_assets.assets.workspace import Workspace
from numerai_assets.eras import PAYOUT_TARGET, era_label
from numerai_assets.evaluation.diagnostics import ScoredRows, era_scores, validation_table
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.holdout_ledger import Look
from numerai_assets.tournament.release import META_MODEL, TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS

NEUTRAL_SET = "fncv3_features"
NEUTRAL_SCORES = ("fnc60", "largest_exposure", "mean_exposure")


def diagnostics_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["diagnostics", f"{method}_diagnostics"])


def diagnostics_asset(method: str) -> dg.AssetsDefinition:
    """The asset of a method's validation scores."""

    @dg.asset(
        key=diagnostics_key(method),
        group_name="diagnostics",
        description=f"CORR, MMC and BMC of `{method}` per era, each era scored with the newest vintage older than it.",
        kinds={"duckdb", "parquet"},
        deps=[
            dg.AssetDep(out_of_sample_key(method), partition_mapping=dg.AllPartitionMapping()),
            asset_key(META_MODEL),
            asset_key(VALIDATION_BENCHMARKS),
            asset_key(TRAIN_BENCHMARKS),
        ],
    )
    def _diagnostics(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        from numerai_assets.evaluation.breakdowns import regimes
        from numerai_assets.evaluation.plots import cumulative_scores

        with measured() as cost:
            note_look(workspace, method, "diagnostics")
            scores = era_scores(scored_rows(workspace, method))
            neutral = neutral_scores(workspace, method, scores, known=read_scores(workspace, method))
            scores = scores.join(neutral).rename_axis("era")
            path = workspace.diagnostics_path(method)
            with replacing_file(path) as aside:
                # Consecutive eras are written as a column too, for other programs.
                scores.to_parquet(aside, index=True)
        trials = workspace.holdout_ledger.trials(scores.index)
        shown = validation_table(scores, trials=trials)
        plot = cumulative_scores(scores, f"{method}: out of sample, {len(scores)} eras")
        numbers = {f"{score}_mean": float(mean) for score, mean in zip(shown["score"], shown["mean"], strict=True)}
        vintages = scores["vintage"].nunique()
        return result(
            {
                "validation": table(shown),
                "cumulative_scores": picture(plot, "cumulative scores"),
                "regimes": table(regimes(scores)),
                "dagster/uri": dg.MetadataValue.path(str(path)),
                "eras": len(scores),
                "vintages": int(vintages),
                "variants_tried_on_these_eras": trials,
                "largest_exposure_mean": float(scores["largest_exposure"].mean()),
                "mean_exposure_mean": float(scores["mean_exposure"].mean()),
            }
            | numbers,
            cost,
        )

    return _diagnostics


def note_look(workspace: Workspace, method: str, purpose: str) -> None:
    """Puts into the ledger that the method, as the settings have it now, is judged on the eras it has predicted."""
    vintages = workspace.vintages.vintages(method)
    eras = [era for vintage in vintages for era in workspace.predictions.eras(method, vintage)]
    if eras:
        made = json.dumps([method, made_with(workspace, method)], sort_keys=True)
        variant = hashlib.sha256(made.encode()).hexdigest()[:16]
        workspace.holdout_ledger.record(
            Look(dt.datetime.now(dt.UTC), method, purpose, min(eras), max(eras), (variant,))
        )


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
        feature_set(workspace, NEUTRAL_SET)
    )
    same = known.reindex(scores.index)
    found = same.reindex(columns=list(NEUTRAL_SCORES)).astype(float)
    is_known = (same["vintage"] == scores["vintage"]) & found["largest_exposure"].notna()
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


def scored_rows(workspace: Workspace, method: str) -> Iterator[ScoredRows]:
    """Rows of each era that the method predicted out of sample, with targets and references beside them."""
    from numerai_assets.store.tables import out_of_sample

    release = workspace.release
    benchmarks = [release.path(TRAIN_BENCHMARKS), release.path(VALIDATION_BENCHMARKS)]
    found = out_of_sample(
        workspace.predictions, method, workspace.store, benchmarks=benchmarks, meta_model=release.path(META_MODEL)
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


def read_scores(workspace: Workspace, method: str) -> pd.DataFrame:
    """Per-era scores as last diagnosed; empty before the first time."""
    path = workspace.diagnostics_path(method)
    if path.is_file():
        return pd.read_parquet(path)
    empty = era_scores([])
    return empty.reindex(columns=[*empty.columns, *NEUTRAL_SCORES])
