"""Weekly increments of validation.parquet: only the row groups with new eras or newly resolved targets.

A week changes three eras of several hundred: the newest is new, and the targets of two resolve. The footer gives the
positions of the row groups; their `era` columns, newest first, give their eras (statistics may be absent or wrong). The row
groups of the wanted eras are fetched, decoded and compared with the era store; the wanted eras are written as an ordinary,
smaller validation.parquet.

Verification. The length and the ETag prove that the ranges are of one file, and TLS that they arrived as they were sent; an
ETag that is a digest is one of the whole file and proves nothing about a part. Instead the checksums of pages where the file
has any, their decoding, features in 0..4, consecutive eras, and above all the eras already stored are checked: those in the
same row groups, and so in the same compressed pages as the new ones, must have the same ids, features and known targets as
before. On any disagreement the whole file is fetched.
"""

import datetime as dt
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_assets.eras import era_label, parse_era
from numerai_assets.errors import DownloadError, ReleaseError, StoreError
from numerai_assets.store.atomic import replacing_file, sha256_of
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament import transport
from numerai_assets.tournament.client import Tournament
from numerai_assets.tournament.download import Progress, drop_partial
from numerai_assets.tournament.ranges import TAIL_BYTES, RangedFile, Replaced
from numerai_assets.tournament.release import (
    FEATURES,
    VALIDATION,
    Manifest,
    Part,
    Release,
    check_columns,
    check_eras,
    inspect,
    runs,
    span,
)
from numerai_assets.tournament.released_eras import COLUMNS_AT_A_TIME, read_eras

# Share of the file from which on the whole is fetched: it resumes, and its digest may be known.
_MOST = 0.5
_FOOTER_END_BYTES = 8


@dataclass(frozen=True)
class Update:
    """The file on disk, whether it is new, and why the whole file was fetched; None where a part was.

    is_disputed: the fetched ranges contradicted a stored era; one of the two is wrong.
    """

    manifest: Manifest
    is_new: bool
    why_whole: str | None
    is_disputed: bool = False


class _Disputed(ReleaseError):
    """A stored era has other values."""


def update(
    release: Release,
    store: EraStore,
    tournament: Tournament,
    *,
    round_number: int,
    now: dt.datetime,
    progress: Progress = lambda done, total: None,
) -> Update:
    """Fetches the part of validation.parquet that `store` lacks or, where a part is not enough, the whole file.

    Raises DownloadError when neither can be had, ReleaseError when the whole does not hold what it should.
    """
    old = release.manifest(VALIDATION)
    is_enough = old is not None and not not_on_disk(old, store)
    why, is_disputed = why_whole(old, store), False
    if old is not None and why is None:
        try:
            manifest = transport.persistently(
                lambda: _fetch_part(release, store, tournament, old, is_enough, round_number, now, progress),
                tournament.network,
                on=Replaced,
            )
        except (DownloadError, ReleaseError, StoreError) as error:
            why, is_disputed = str(error), isinstance(error, _Disputed)
        else:
            kept = manifest or replace(old, round_number=round_number)
            release.write_manifest(kept)
            return Update(kept, manifest is not None, None)
    manifest, is_new = release.fetch(
        tournament, VALIDATION, round_number=round_number, now=now, progress=progress, is_part_enough=is_enough
    )
    return Update(manifest, is_new, why if is_new else None, is_disputed)


def not_on_disk(manifest: Manifest, store: EraStore) -> list[int]:
    """Eras, ascending, that the store must read from the release but that the part on disk lacks."""
    if manifest.part is None:
        return []
    due = store.to_read(map(parse_era, manifest.released_eras), manifest.newest_era)
    return [era for era in due if era_label(era) not in manifest.eras]


def why_whole(old: Manifest | None, store: EraStore) -> str | None:
    """Why an increment is not enough; None when the store has all eras before its newest."""
    if old is None:
        return "none is on disk as its manifest says"
    held = store.eras()
    if not held:
        return "the era store is empty"
    absent = {era for era in map(parse_era, old.released_eras) if era < held[-1]} - set(held)
    return f"the era store lacks era {era_label(min(absent))}" if absent else None


@dataclass(frozen=True)
class _Layout:
    """Row groups of each of the newest eras, eras ascending.

    is_first_whole: False when the first era may have rows in row groups that were not read.
    """

    groups: dict[int, list[int]]
    is_first_whole: bool

    @property
    def newest(self) -> int:
        return max(self.groups)

    def groups_of(self, eras: Iterable[int]) -> list[int]:
        return sorted({group for era in eras for group in self.groups[era]})

    def whole_within(self, groups: Iterable[int]) -> list[int]:
        """Eras with all their rows in the given row groups."""
        eras = list(self.groups)
        return [era for era in eras[not self.is_first_whole :] if set(self.groups[era]) <= set(groups)]


def _fetch_part(
    release: Release,
    store: EraStore,
    tournament: Tournament,
    old: Manifest,
    is_enough: bool,
    round_number: int,
    now: dt.datetime,
    progress: Progress,
) -> Manifest | None:
    """Fetches and writes the wanted eras; None when the server's file is unchanged and its part on disk is enough."""
    first, features_json = parse_era(old.released_eras[0]), release.path(FEATURES)
    with tempfile.TemporaryDirectory(prefix=".increment.", suffix=".part", dir=release.folder) as scratch:
        local = Path(scratch) / VALIDATION
        local.touch()
        remote = RangedFile(lambda: tournament.dataset_url(VALIDATION), local, tournament.network)
        if not remote.open(old.etag if is_enough else None):
            return None
        try:
            _lay_footer(remote)
            with pq.ParquetFile(local, pre_buffer=False, page_checksum_verification=True) as file:
                check_columns(file.schema_arrow, VALIDATION, features_json)
                layout, wanted = _look_back(remote, file, store, first)
                groups = layout.groups_of(wanted)
                _lay_groups(remote, file.metadata, groups, progress)
                _check_against_store(local, groups, layout.whole_within(groups), store)
                with replacing_file(release.path(VALIDATION)) as aside:
                    _write_eras(file, groups, wanted, aside)
                    table = inspect(aside, VALIDATION, features_json=features_json, is_part=True)
                    size, digest = aside.stat().st_size, sha256_of(aside)
                rows = file.metadata.num_rows
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            # Arrow's own errors of damaged pages are OSErrors without a number; those of the disk have one.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ReleaseError(f"{VALIDATION}: the fetched part cannot be read ({error})") from None
    drop_partial(release.path(VALIDATION))
    eras = tuple(map(era_label, range(first, layout.newest + 1)))
    return Manifest(
        name=VALIDATION,
        data_version=tournament.data_version,
        round_number=round_number,
        fetched_at=now.isoformat(timespec="seconds"),
        size=size,
        sha256=digest,
        etag=remote.etag,
        rows=table.rows,
        columns=table.columns,
        row_groups=table.row_groups,
        eras=table.eras,
        part=Part(row_groups=tuple(groups), fetched=remote.fetched, size=remote.size, rows=rows, eras=eras),
    )


def _lay_footer(remote: RangedFile) -> None:
    with remote.local.open("rb") as file:
        file.seek(max(remote.size - _FOOTER_END_BYTES, 0))
        end = file.read()
    start = remote.size - _FOOTER_END_BYTES - int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or start < 0:
        raise ReleaseError(f"{VALIDATION}: does not end as a Parquet file")
    remote.lay(start, max(remote.size - TAIL_BYTES, start))


def _look_back(remote: RangedFile, file: pq.ParquetFile, store: EraStore, first: int) -> tuple[_Layout, list[int]]:
    """Reads the `era` columns of row groups from the last one back until the oldest wanted era has its first row.

    Returns the row groups of the eras and the wanted eras: those from `first` on that are new or whose targets are due, and
    always the newest, as the end of the file. Raises ReleaseError unless the eras ascend by one and reach back far enough.
    """
    wanted: list[int] = []
    seen: list[tuple[str, list[int]]] = []
    group = file.metadata.num_row_groups
    while group and (not seen or parse_era(seen[0][0]) >= wanted[0]):
        group -= 1
        remote.lay(*span(file.metadata, group, "era"))
        found = [(label, [group]) for label, _, _ in runs(file.read_row_group(group, columns=["era"])["era"])]
        if found and seen and found[-1][0] == seen[0][0]:
            _, later = seen.pop(0)
            found[-1][1].extend(later)
        seen = found + seen
        if not seen:
            continue
        check_eras([label for label, _ in seen], VALIDATION)
        if not wanted:
            newest = parse_era(seen[-1][0])
            wanted = sorted({*store.to_read(range(first, newest + 1), newest), newest})
    layout = _Layout({parse_era(label): groups for label, groups in seen}, is_first_whole=not group)
    if not wanted or wanted[0] not in layout.groups:
        raise ReleaseError(
            f"{VALIDATION}: lacks era {era_label(wanted[0])}" if wanted else f"{VALIDATION}: holds no rows"
        )
    return layout, wanted


def _lay_groups(remote: RangedFile, meta: pq.FileMetaData, groups: Sequence[int], progress: Progress) -> None:
    spans = [span(meta, group) for group in groups]
    total, done = sum(stop - start for start, stop in spans), 0
    if total > _MOST * remote.size:
        raise DownloadError(f"{total:,} of its {remote.size:,} bytes are needed")

    def tell(came: int) -> None:
        nonlocal done
        done += came
        progress(done, total)

    for start, stop in spans:
        remote.lay(start, stop, tell)


def _check_against_store(path: Path, groups: Sequence[int], eras: Iterable[int], store: EraStore) -> None:
    """Raises ReleaseError for invalid values, _Disputed for values that contradict a stored era."""
    labels = {era_label(era) for era in eras}
    names, targets = store.feature_names, store.target_names
    for item in read_eras(path, features=names, targets=targets, wanted=labels.__contains__, groups=groups):
        if not store.holds(item.label):
            continue
        found = store.disagreement(item.label, ids=item.ids, features=item.features, targets=item.targets)
        if found is not None:
            raise _Disputed(f"{VALIDATION}: era {item.label}: {found} differ from those of the era store")


def _write_eras(file: pq.ParquetFile, groups: Sequence[int], eras: Sequence[int], path: Path) -> None:
    """Writes only the rows of the given eras of the given row groups."""
    labels, schema = {era_label(era) for era in eras}, file.schema_arrow
    options = {"compression": "zstd", "write_statistics": ["era", "data_type"], "write_page_checksum": True}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in groups:
            table = pa.table(_columns_of(file, group, labels, schema.names), schema=schema)
            writer.write_table(table, row_group_size=table.num_rows)


def _columns_of(file: pq.ParquetFile, group: int, labels: set[str], names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """All columns of a row group's rows of the given eras, copied, so that no whole column stays in memory."""
    found = runs(file.read_row_group(group, columns=["era"])["era"])
    rows = pa.array(np.concatenate([np.arange(start, stop) for era, start, stop in found if era in labels]))
    columns: dict[str, pa.ChunkedArray] = {}
    for start in range(0, len(names), COLUMNS_AT_A_TIME):
        some = names[start : start + COLUMNS_AT_A_TIME]
        table = file.read_row_group(group, columns=some, use_threads=False).take(rows)
        columns |= {name: table[name] for name in some}
    return columns
