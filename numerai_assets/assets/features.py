"""The era store and the cleaned features: each era once, the live round one more era through the same code."""

from collections.abc import Sequence

import dagster as dg

from numerai_assets.assets.partitions import era_of_partition, eras, rounds
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import measured, progress, result
from numerai_assets.eras import era_label, live_key
from numerai_assets.errors import ReleaseError
from numerai_assets.features.cleaning.fill import clean, leaves_as_released
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.era_records import EraRecord
from numerai_assets.tournament.release import (
    LIVE,
    LIVE_ERA,
    TRAIN,
    VALIDATION,
    ReleasedEra,
    alias_of,
    check_calendar,
    read_eras,
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
        written, alias = _store_eras(context, workspace, wanted)
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
        cleaned = [clean_era(workspace, era_label(era)) for era in progress(context, wanted, "cleaning eras")]
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


def store_live_round(workspace: Workspace, number: int) -> EraRecord:
    """Stores and cleans the fetched live rows of a round; its era is the newest one at the date of its data."""
    release, store, key = workspace.round_release(number), workspace.store, live_key(number)
    era = workspace.round(number).era
    names = store.feature_names
    (live,) = read_eras(
        release.path(LIVE), features=names, targets=store.target_names, wanted=lambda label: label == LIVE_ERA
    )
    if live.targets.notna().any().any():
        raise ReleaseError(f"{LIVE} of round {number}: holds targets; live targets are all NaN")
    _write(workspace, key, era, live, names, as_of=era)
    return clean_era(workspace, key)


def clean_era(workspace: Workspace, key: str) -> EraRecord:
    """Cleans one stored era unless that was done with the same strategy before."""
    store, strategy = workspace.store, workspace.settings.cleaning.missing
    record = store.record(key)
    if record.cleaned_by == strategy:
        return record
    if leaves_as_released(strategy, record.missing_cells):
        return store.clean_as_released(key, strategy=strategy)
    panel = store.panel([key], stage="released")
    return store.write_cleaned(key, clean(panel.features, strategy), strategy=strategy)


def _store_eras(
    context: dg.AssetExecutionContext, workspace: Workspace, wanted: Sequence[int]
) -> tuple[list[EraRecord], str | None]:
    release = workspace.release
    validation = release.manifest(VALIDATION)
    if validation is None:
        raise ReleaseError(f"{VALIDATION} is not there; fetch the release first (`numerai weekly`)")
    # The first release decides what the store holds; what later ones lose or add is told by a check.
    held = workspace.store.feature_names if workspace.store.eras() else tuple(release.features()["all"])
    targets = list(workspace.store.target_names) if workspace.store.eras() else release.targets()
    # The check on the release says this too, but only in the run that fetched it.
    if (current := workspace.tournament.current_round()) is not None:
        check_calendar(validation.newest_era, current.era, current.number)
    labels = {era_label(era) for era in wanted}
    beyond = sorted(label for label in labels if int(label) > validation.newest_era)
    if beyond:
        raise ReleaseError(f"era {beyond[0]}: not in the release, which ends with {era_label(validation.newest_era)}")
    written: list[EraRecord] = []
    alias: str | None = None
    for file in (TRAIN, VALIDATION):
        manifest = release.manifest(file)
        if manifest is None:
            continue
        digest, newest = manifest.sha256, validation.newest_era
        labels_here = [label for label in manifest.eras if label in labels]
        # What a killed run has read from this very file stays; the next one goes on behind it.
        done = {label for label in labels_here if _is_stored(workspace, label, digest, newest)}
        written += [workspace.store.record(label) for label in sorted(done)]
        left = [label for label in labels_here if label not in done]
        if not left:
            continue
        found = read_eras(release.path(file), features=held, targets=targets, wanted=set(left).__contains__)
        for _ in progress(context, left, f"eras from {file}"):
            item = next(found)
            alias = alias_of(item.targets) or alias
            written.append(_write(workspace, item.label, int(item.label), item, held, as_of=newest, read_from=digest))
    absent = labels - {record.key for record in written}
    due = [era_label(era) for era in workspace.store.to_read(map(int, absent), validation.newest_era)]
    if due and due[0] in validation.released_eras:
        raise ReleaseError(f"era {due[0]}: not in the part of {VALIDATION} on disk; `numerai weekly` fetches the whole")
    if due:
        raise ReleaseError(f"era {due[0]}: not in the release, which ends with {validation.newest_era:04d}")
    if absent:
        context.log.info(
            f"{len(absent)} eras stay as they are stored: they are not in the part of {VALIDATION} on disk"
        )
    return written, alias


def _is_stored(workspace: Workspace, key: str, digest: str, newest_era: int) -> bool:
    store = workspace.store
    if not store.holds(key):
        return False
    record = store.record(key)
    return (record.read_from, record.targets_as_of) == (digest, newest_era)


def _write(
    workspace: Workspace,
    key: str,
    era: int,
    item: ReleasedEra,
    feature_names: Sequence[str],
    *,
    as_of: int,
    read_from: str | None = None,
) -> EraRecord:
    return workspace.store.write_era(
        key,
        era=era,
        ids=item.ids,
        features=item.features,
        feature_names=feature_names,
        targets=item.targets,
        targets_as_of=as_of,
        read_from=read_from,
    )
