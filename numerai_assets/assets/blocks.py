"""Engineered features: each feature block's columns for every era and live round, and learned blocks for every vintage."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from numerai_assets.assets.features import cleaned_features, era_store, live_features
from numerai_assets.assets.partitions import era_of_partition, eras, rounds, vintage_of_partition, vintages
from numerai_assets.assets.reporting import StageProgress, measured, picture, progress, result
from numerai_assets.eras import era_label, live_key
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FeatureBlock, FittedBlock
from numerai_assets.features.registry import create_block, create_fitted_block, fitted_block_class, kind_of
from numerai_assets.pipeline.vintages import fit_block
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings


def block_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["features", name])


def live_block_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["features", f"live_{name}"])


def block_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets of all blocks that are on: of eras and live rounds, or, of learned ones, of vintages.

    Raises FeatureError for an unknown block and for one that needs another which is off.
    """
    found: list[dg.AssetsDefinition] = []
    for name in settings.active_blocks:
        if kind_of(name).is_learned:
            learned = create_fitted_block(name, settings.features[name].parameters, settings.features[name].execution)
            read = learned.reads.columns
            _check_are_on(name, read, settings)
            _check_lags(name, learned, read, settings)
            found.append(fitted_block_asset(name, read))
            continue
        block = create_block(name, settings.features[name].parameters)
        _check_are_on(name, block.needs, settings)
        _check_lags(name, block, block.needs, settings)
        found += [block_asset(name, block), live_block_asset(name, block)]
    return found


def _check_are_on(name: str, needs: Sequence[str], settings: Settings) -> None:
    off = [needed for needed in needs if needed not in settings.active_blocks]
    if off:
        raise FeatureError(f"features.{name}: needs {off[0]}; set [features.{off[0]}] on = true")


def _check_lags(name: str, block: FeatureBlock | FittedBlock, needs: Sequence[str], settings: Settings) -> None:
    """Raises FeatureError for a block that would read look-alikes as those of other lags than they were searched at."""
    ours = tuple(getattr(block, "lags", ()))
    for needed in needs:
        theirs = tuple(getattr(create_block(needed, settings.features[needed].parameters), "lags", ()))
        if ours and theirs and ours != theirs:
            raise FeatureError(f"features.{name}.parameters.lags: {ours}, but those of {needed} are {theirs}")


def block_asset(name: str, block: FeatureBlock) -> dg.AssetsDefinition:
    """The asset of a block's columns for every era."""
    looks_back = dg.TimeWindowPartitionMapping(start_offset=-block.look_back)
    history = [dg.AssetDep(cleaned_features, partition_mapping=looks_back)]
    history += [dg.AssetDep(era_store, partition_mapping=looks_back)] if block.targets else []

    @dg.asset(
        key=block_key(name),
        partitions_def=eras,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="features",
        description=_first_line(block),
        kinds={"numpy"},
        pool="store",
        deps=[*history, *(block_key(needed) for needed in block.needs)],
    )
    def _columns(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        wanted = [era_of_partition(key) for key in context.partition_keys]
        writer = workspace.block_columns()
        with measured() as cost:
            records = [writer.ensure(name, era_label(era)) for era in progress(context, wanted, f"{name} of eras")]
        last = records[-1]
        return result(
            {
                "eras": f"{era_label(wanted[0])}-{era_label(wanted[-1])}",
                "columns": len(last.names),
                "bytes_an_era": sum(size for size, _ in last.files.values()),
                "what_it_does": picture(writer.picture(name, last.key), f"{name}, era {last.key}"),
            },
            cost,
        )

    return _columns


def live_block_asset(name: str, block: FeatureBlock) -> dg.AssetsDefinition:
    """The asset of a block's columns for each round's live rows: one more era through the same code."""
    key = live_block_key(name)

    @dg.asset(
        key=key,
        partitions_def=rounds,
        group_name="features",
        description=_first_line(block),
        kinds={"numpy"},
        pool="store",
        deps=[live_features, *(live_block_key(needed) for needed in block.needs)],
        check_specs=[
            dg.AssetCheckSpec(
                "computed", asset=key, description="Methods that are given these columns can predict the round."
            )
        ],
    )
    def _columns(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        try:
            record = workspace.block_columns().ensure(name, live_key(number))
        except Exception as error:
            # Methods without these columns submit all the same: a warning, and the next rung for the others.
            context.log.exception(f"{name}: not computed for round {number}")
            return _live_result(False, {"rows": 0, "why": f"{type(error).__name__}: {error}"})
        return _live_result(True, {"rows": record.rows, "columns": len(record.names)})

    return _columns


def _live_result(passed: bool, shown: dict[str, Any]) -> dg.MaterializeResult:
    check = dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=shown)
    return dg.MaterializeResult(metadata=shown, check_results=[check])


def fitted_block_asset(name: str, read: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset of a learned block's vintages. read: blocks whose columns it reads."""

    @dg.asset(
        key=block_key(name),
        partitions_def=vintages,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="features",
        description=_first_line(fitted_block_class(name)),
        pool="training",
        deps=[
            dg.AssetDep(cleaned_features, partition_mapping=dg.AllPartitionMapping()),
            *(dg.AssetDep(block_key(needed), partition_mapping=dg.AllPartitionMapping()) for needed in read),
        ],
    )
    def _block(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        with measured() as cost:
            for key in progress(context, context.partition_keys, f"fitting {name}"):
                facts, block = fit_block(
                    workspace, name, vintage_of_partition(key), StageProgress(context, f"{name} {key}")
                )
                shown = {k: v for k, v in asdict(facts).items() if k != "files"}
                learned = {"columns": len(block.names_), "what_it_learned": picture(block.picture(), f"{name} {key}")}
                context.add_asset_metadata(shown | learned, partition_key=key)
        return result({"vintages": len(context.partition_keys)}, cost)

    return _block


def _first_line(block: object) -> str:
    owner = block if isinstance(block, type) else type(block)
    return (owner.__doc__ or owner.__name__).strip().splitlines()[0]
