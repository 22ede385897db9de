"""Release files: the once-a-week files of the data version, and the files that are new at every round."""

from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from numerai_assets.assets.partitions import rounds
from numerai_assets.assets.reporting import BarProgress, column_schema, measured, result
from numerai_assets.errors import ReleaseError
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.increment import update
from numerai_assets.tournament.release import (
    FEATURES,
    ROUND_FILES,
    VALIDATION,
    WEEKLY_FILES,
    YARDSTICK_FILES,
    Manifest,
    Release,
)

# A schema of thousands of features says nothing to a reader; the columns around them do.
_COLUMNS_SHOWN = 60


def asset_key(file: str) -> dg.AssetKey:
    """Key of the asset of one release file, e.g. release/validation."""
    return dg.AssetKey(["release", file.rsplit(".", 1)[0]])


def weekly_file(file: str) -> dg.AssetsDefinition:
    """The asset of a file that changes once a week."""

    @dg.asset(
        key=asset_key(file),
        # Only what is checked against the list of features waits for it.
        deps=[asset_key(FEATURES)] if file in WEEKLY_FILES and file != FEATURES else [],
        group_name="release",
        description=f"`{file}` of the data version, verified: length, footer, row groups, columns, eras.",
        kinds={"parquet" if file.endswith(".parquet") else "json"},
        pool="network",
    )
    def _file(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        current = workspace.tournament.current_round()
        return _fetch(context, workspace, workspace.release, file, current.number if current else 0)

    return _file


def round_file(file: str) -> dg.AssetsDefinition:
    """The asset of a file that is new at every round."""

    @dg.asset(
        key=asset_key(file),
        deps=[asset_key(FEATURES)],
        group_name="release",
        description=f"`{file}` of each round, verified and kept with the round.",
        kinds={"parquet"},
        partitions_def=rounds,
        pool="network",
        # Before the submission, which is compared with the benchmark where its file is there.
        op_tags={"dagster/priority": "1"},
    )
    def _file(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        release = workspace.round_release(number)
        if release.manifest(file) is not None:
            return result({"note": "already on disk; a round's files do not change"})
        # The server serves the open round only; an older one must be on disk already.
        _check_is_current(workspace, number, file)
        release.fetch(workspace.tournament, FEATURES, round_number=number, now=workspace.tournament.now())
        shown = _fetch(context, workspace, release, file, number)
        _check_is_new(workspace, number, file)
        return shown

    return _file


def _check_is_current(workspace: Workspace, number: int, file: str) -> None:
    current = workspace.tournament.current_round()
    if current is None or current.number != number:
        state = "no round is open" if current is None else f"round {current.number} is open"
        raise dg.Failure(
            f"round {number}: {file} was never fetched and is no longer served ({state})", allow_retries=False
        )
    workspace.remember_round(current)


def _check_is_new(workspace: Workspace, number: int, file: str) -> None:
    """Refuses, and drops, a file that is still the one of an earlier round: its ids would be refused, or worse, not."""
    release = workspace.round_release(number)
    manifest = release.manifest(file)
    assert manifest is not None  # just fetched
    for earlier in workspace.known_rounds():
        known = workspace.round_release(earlier).manifest(file) if earlier != number else None
        if known is not None and known.sha256 == manifest.sha256:
            release.path(file).unlink()
            raise ReleaseError(
                f"{file}: the server still gives that of round {earlier}, not of round {number}; run again"
            )


def _fetch(
    context: dg.AssetExecutionContext, workspace: Workspace, release: Release, file: str, round_number: int
) -> dg.MaterializeResult:
    tournament, now, progress = workspace.tournament, workspace.tournament.now(), BarProgress(context, file, "B")
    why: str | None = None
    with measured() as cost:
        if file == VALIDATION and workspace.settings.release.increments:
            updated = update(
                release, workspace.store, tournament, round_number=round_number, now=now, progress=progress
            )
            manifest, is_new, why = updated.manifest, updated.is_new, updated.why_whole
            if updated.is_disputed:
                workspace.alert(f"{why} {manifest.sha256[:12]}", f"{why}; the whole file was fetched")
        else:
            manifest, is_new = release.fetch(tournament, file, round_number=round_number, now=now, progress=progress)
    context.log.info(f"{file}: {'fetched' if is_new else 'unchanged'}, {_extent(manifest)}{_because(why)}")
    shown = _describe(manifest, release) | {"was_fetched": is_new} | ({"whole_because": why} if why else {})
    return result(shown, cost, data_version=manifest.sha256)


def _extent(manifest: Manifest) -> str:
    part = manifest.part
    if part is None:
        return f"{manifest.size:,} bytes"
    return f"{part.fetched:,} of its {part.size:,} bytes, eras {', '.join(manifest.eras)}"


def _because(why: str | None) -> str:
    return f"; the whole file, because {why}" if why else ""


def _describe(manifest: Manifest, release: Release) -> dict[str, Any]:
    path = release.path(manifest.name)
    shown: dict[str, Any] = {
        "dagster/uri": dg.MetadataValue.path(str(path)),
        "bytes": manifest.size,
        "sha256": manifest.sha256,
        "columns": manifest.columns,
    }
    if manifest.rows:
        shown |= {"dagster/row_count": manifest.rows, "row_groups": manifest.row_groups, "eras": len(manifest.eras)}
        schema = pq.read_schema(path)
        around = [f for f in schema if not f.name.startswith("feature_")][:_COLUMNS_SHOWN]
        shown["dagster/column_schema"] = column_schema({f.name: str(f.type) for f in around})
    if manifest.eras:
        shown |= {"first_era": manifest.eras[0], "last_era": manifest.eras[-1]}
    if manifest.part is not None:
        shown |= {
            "is_part_with_eras": ", ".join(manifest.eras),
            "of_row_groups": ", ".join(map(str, manifest.part.row_groups)),
            "bytes_fetched": manifest.part.fetched,
            "bytes_of_whole": manifest.part.size,
            "rows_of_whole": manifest.part.rows,
            "eras_of_whole": len(manifest.part.eras),
        }
    return shown


weekly_files = [weekly_file(file) for file in (*WEEKLY_FILES, *YARDSTICK_FILES)]
round_files = [round_file(file) for file in ROUND_FILES]
