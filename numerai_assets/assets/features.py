"""The era store and the cleaned features: each era once, the live round one more era through the same code."""

import dagster as dg

from numerai_assets.assets.partitions import era_of_partition, eras, rounds
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import StageProgress, measured, progress, result
from numerai_assets.eras import era_label
from numerai_assets.pipeline.eras import clean_era, store_eras, store_live_round
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.release import (
    LIVE,
    TRAIN,
    VALIDATION,
)


@dg.asset(
    key=["store", "era_store"],
    partitions_def=eras,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="store",
    kinds={"numpy", "parquet"},
    pool="store",
    deps=[asset_key(TRAIN), asset_key(VALIDATION)],
)
def era_store(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
    """Int8 features and float32 targets of each era, as released; written once, but for targets that resolve later."""
    wanted = [era_of_partition(key) for key in context.partition_keys]
    with measured() as cost:
        written, alias = store_eras(workspace, wanted, context.log.info, StageProgress(context, "storing"))
    rows = sum(record.rows for record in written)
    for record in written:
        facts = {"era": record.era, "dagster/partition_row_count": record.rows, "resolved": str(record.resolved)}
        context.add_asset_metadata(facts, partition_key=context.partition_keys[wanted.index(record.era)])
    return result(
        {
            "eras": f"{era_label(wanted[0])}-{era_label(wanted[-1])}",
            "eras_written": len(written),
            "rows": rows,
            "alias_target_is": alias or "unresolved here",
        },
        cost,
    )


@dg.asset(
    key=["features", "cleaned_features"],
    partitions_def=eras,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="features",
    kinds={"numpy"},
    pool="store",
    deps=[era_store],
)
def cleaned_features(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
    """Int8 features of each era with missing values marked and filled as the settings say."""
    wanted = [era_of_partition(key) for key in context.partition_keys]
    with measured() as cost:
        cleaned = [
            clean_era(workspace.store, workspace.settings.cleaning.missing, era_label(era))
            for era in progress(context, wanted, "cleaning eras")
        ]
    for record, key in zip(cleaned, context.partition_keys, strict=True):
        facts = {
            "era": record.era,
            "absent_features": len(record.missing_features),
            "missing_cells": record.missing_cells,
        }
        context.add_asset_metadata(facts, partition_key=key)
    return result(
        {
            "strategy": workspace.settings.cleaning.missing,
            "eras": len(cleaned),
            "features": len(workspace.store.feature_names),
            "bytes_an_era": max(record.cleaned_bytes or 0 for record in cleaned),
        },
        cost,
    )


@dg.asset(
    key=["features", "live_features"],
    partitions_def=rounds,
    group_name="features",
    kinds={"numpy"},
    pool="store",
    deps=[asset_key(LIVE)],
)
def live_features(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
    """The live rows of a round: one more era of the store, key X@<round>, stored and cleaned like any other."""
    number = int(context.partition_key)
    record = store_live_round(workspace, number)
    return dg.MaterializeResult(
        metadata={
            "rows": record.rows,
            "era": record.era,
            "absent_features": len(record.missing_features),
            "missing_cells": record.missing_cells,
        }
    )
