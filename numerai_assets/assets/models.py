"""Vintages: each method fitted on what was known at one past moment, the live model being simply the newest."""

from collections.abc import Sequence
from dataclasses import asdict

import dagster as dg

from numerai_assets.assets.blocks import block_key
from numerai_assets.assets.features import cleaned_features
from numerai_assets.assets.partitions import vintage_of_partition, vintages
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import StageProgress, measured, progress, result, table
from numerai_assets.features.registry import kind_of
from numerai_assets.pipeline.vintages import fit_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.release import FEATURES


def model_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["models", f"{method}_model"])


def model_asset(method: str, blocks: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset of a method's fitted vintages. blocks: feature blocks whose columns it is given."""

    @dg.asset(
        key=model_key(method),
        partitions_def=vintages,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="models",
        description=f"`{method}`, fitted only on eras whose target had resolved at the vintage, less the purge.",
        pool="training",
        deps=[
            dg.AssetDep(cleaned_features, partition_mapping=dg.AllPartitionMapping()),
            dg.AssetDep(asset_key(FEATURES)),
            *(block_dep(name) for name in blocks),
        ],
    )
    def _model(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        with measured() as whole:
            for key in progress(context, context.partition_keys, f"fitting {method}"):
                with measured() as cost:
                    facts, importance = fit_vintage(
                        workspace,
                        method,
                        vintage_of_partition(key),
                        context.log.info,
                        StageProgress(context, f"{method} {key}"),
                    )
                shown = {k: v for k, v in asdict(facts).items() if k != "files"}
                context.add_asset_metadata(
                    shown | {"most_important": table(importance.head(20))} | cost.metadata(), partition_key=key
                )
        return result({"vintages": len(context.partition_keys)}, whole)

    return _model


def block_dep(name: str) -> dg.AssetDep:
    """All eras of a per-era block, or the same vintage of a learned one."""
    mapping = dg.IdentityPartitionMapping() if kind_of(name).is_learned else dg.AllPartitionMapping()
    return dg.AssetDep(block_key(name), partition_mapping=mapping)
