"""What the out-of-sample predictions of all vintages of a method would have scored."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator

import dagster as dg
import pandas as pd

from numerai_assets.assets.models import made_with
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import measured, picture, result, table
from numerai_assets.assets.workspace import Workspace
from numerai_assets.evaluation.diagnostics import ScoredRows, era_scores, validation_table
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.holdout_ledger import Look
from numerai_assets.tournament.release import META_MODEL, TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS


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
        from numerai_assets.evaluation.plots import cumulative_scores

        with measured() as cost:
            note_look(workspace, method)
            scores = era_scores(scored_rows(workspace, method))
            path = workspace.diagnostics_path(method)
            with replacing_file(path) as aside:
                scores.to_parquet(aside)
        trials = workspace.holdout_ledger.trials(scores.index)
        shown = validation_table(scores, trials=trials)
        plot = cumulative_scores(scores, f"{method}: out of sample, {len(scores)} eras")
        numbers = {f"{score}_mean": float(mean) for score, mean in zip(shown["score"], shown["mean"], strict=True)}
        vintages = scores["vintage"].nunique()
        return result(
            {
                "validation": table(shown),
                "cumulative_scores": picture(plot, "cumulative scores"),
                "dagster/uri": dg.MetadataValue.path(str(path)),
                "eras": len(scores),
                "vintages": int(vintages),
                "variants_tried_on_these_eras": trials,
            }
            | numbers,
            cost,
        )

    return _diagnostics


def note_look(workspace: Workspace, method: str) -> None:
    """Puts into the ledger that the method, as the settings have it now, is judged on the eras it has predicted."""
    vintages = workspace.vintages.vintages(method)
    eras = [era for vintage in vintages for era in workspace.predictions.eras(method, vintage)]
    if eras:
        made = json.dumps([method, made_with(workspace, method)], sort_keys=True)
        variant = hashlib.sha256(made.encode()).hexdigest()[:16]
        workspace.holdout_ledger.record(
            Look(dt.datetime.now(dt.UTC), method, "diagnostics", min(eras), max(eras), (variant,))
        )


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
    return pd.read_parquet(path) if path.is_file() else era_scores([])
