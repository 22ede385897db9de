"""Checks of the release and the store: the calendar agrees, changes are reported, every era is complete."""

from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from numerai_assets.assets.features import cleaned_features, era_store
from numerai_assets.assets.release import asset_key
from numerai_assets.eras import PAYOUT_TARGET, era_label, friday_of, live_key
from numerai_assets.errors import ReleaseError
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.release import FEATURES, LIVE, VALIDATION, check_calendar


@dg.asset_check(asset=asset_key(FEATURES))
def features_are_those_of_the_store(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """Features and targets of the release are those of the store. A warning and an alert: the store keeps its own names,
    without values for lost ones; new names require a new store."""
    store, release = workspace.store, workspace.release
    if not store.eras():
        return dg.AssetCheckResult(passed=True, metadata={"note": "the store is empty"})
    changes = {
        "features_lost": set(store.feature_names) - set(release.features()["all"]),
        "features_new": set(release.features()["all"]) - set(store.feature_names),
        "targets_lost": set(store.target_names) - set(release.targets()),
        "targets_new": set(release.targets()) - set(store.target_names),
    }
    told = "; ".join(f"{name} {len(names)} ({sorted(names)[0]} ...)" for name, names in changes.items() if names)
    manifest = release.manifest(FEATURES)
    if told and manifest is not None:
        workspace.alert(f"{FEATURES} {manifest.sha256[:12]} changed", f"{FEATURES} differs from the store: {told}")
    return dg.AssetCheckResult(
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={name: sorted(names)[:20] for name, names in changes.items()},
    )


@dg.asset_check(asset=asset_key(VALIDATION), blocking=True)
def calendar_agrees(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """The newest era of the release is the Friday of the open round's data, or the one before."""
    manifest = workspace.release.manifest(VALIDATION)
    assert manifest is not None  # the check runs on the materialized file
    current = workspace.tournament.current_round()
    metadata = {"newest_era": era_label(manifest.newest_era), "its_friday": friday_of(manifest.newest_era).isoformat()}
    if current is None:
        return dg.AssetCheckResult(passed=True, metadata=metadata | {"note": "no round is open to compare with"})
    metadata |= {"round": str(current.number), "data_of": current.data_day.isoformat()}
    try:
        check_calendar(manifest.newest_era, current.era, current.number)
    except ReleaseError as error:
        return dg.AssetCheckResult(passed=False, metadata=metadata | {"why": str(error)})
    return dg.AssetCheckResult(passed=True, metadata=metadata)


@dg.asset_check(asset=asset_key(VALIDATION), blocking=True)
def payout_target_is_there(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """The targets of all methods are in the release under their full names."""
    wanted = {PAYOUT_TARGET} | {method.target for method in workspace.settings.methods.values()}
    absent = sorted(wanted - set(workspace.release.targets()))
    return dg.AssetCheckResult(passed=not absent, metadata={"absent": absent})


@dg.asset_check(asset=era_store)
def eras_are_contiguous(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """No era between the first and the last one stored is absent; a warning, since no model is fitted over a gap."""
    eras = workspace.store.eras()
    gaps = sorted(set(range(eras[0], eras[-1] + 1)) - set(eras)) if eras else []
    return dg.AssetCheckResult(
        passed=not gaps, severity=dg.AssetCheckSeverity.WARN, metadata={"eras": len(eras), "absent": gaps[:20]}
    )


@dg.asset_check(asset=era_store)
def targets_were_not_revised(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """No release changed known values of a target; a warning, since the newest release is authoritative."""
    revised = {record.key: list(record.revised_targets) for record in workspace.store.records().values()}
    revised = {key: names for key, names in revised.items() if names}
    return dg.AssetCheckResult(
        passed=not revised,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"eras": len(revised), "revised": dict(list(revised.items())[:20])},
    )


@dg.asset_check(asset=cleaned_features)
def every_era_is_cleaned(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """Every stored era was cleaned with the strategy of the settings; a warning, since no era is read uncleaned."""
    strategy = workspace.settings.cleaning.missing
    records = [record for record in workspace.store.records().values() if record.key.isdigit()]
    other = [record.key for record in records if record.cleaned_by != strategy]
    return dg.AssetCheckResult(
        passed=not other,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"strategy": strategy, "not_cleaned_so": other[:20], "eras": len(records)},
    )


@dg.asset_check(asset=asset_key(LIVE))
def live_features_are_those_of_the_store(
    context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
) -> dg.AssetCheckResult:
    """The live file has the features and about as many rows as the newest era. A warning and an alert: the quality gate
    decides whether the file is good enough to submit."""
    number = int(context.op_execution_context.partition_key)
    release, store = workspace.round_release(number), workspace.store
    manifest = release.manifest(LIVE)
    assert manifest is not None  # the check runs on the materialized file
    lost = sorted(set(store.feature_names) - set(pq.read_schema(release.path(LIVE)).names))
    usual = store.record(era_label(store.newest_era())).rows
    is_well = manifest.rows >= 0.8 * usual and not lost
    if not is_well:
        workspace.alert(
            f"round {number} {LIVE} is unusual",
            f"round {number}: {LIVE} has {manifest.rows:,} rows (era {store.newest_era():04d}: {usual:,}) and lacks "
            f"{len(lost)} features{f', e.g. {lost[0]}' if lost else ''}",
        )
    metadata: dict[str, Any] = {
        "key": live_key(number),
        "rows": manifest.rows,
        "rows_of_newest_era": usual,
        "features_lost": lost[:20],
    }
    return dg.AssetCheckResult(passed=is_well, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


CHECKS = [
    features_are_those_of_the_store,
    calendar_agrees,
    payout_target_is_there,
    eras_are_contiguous,
    targets_were_not_revised,
    every_era_is_cleaned,
    live_features_are_those_of_the_store,
]
