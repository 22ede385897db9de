"""The era store: per era one features file, one targets file and a record of both.

Layout under its folder:
    features.json            version of this layout; names of the features, in the order of the files' rows, and targets
    released/<key>.npy       (d, n) int8 as released, feature-major; -1 where the release held no value
    cleaned/<key>.npy        the same after cleaning; a hard link to the released file where nothing changed
    targets/<key>.parquet    id, era, row and the targets, float32
    records/<key>.json       rows, sizes, checksums, resolved horizons; written last: an era exists when its record does
A key is an era ("0575") or a live round ("X@1369").

Why feature-major blocks of raw int8: CPU seconds of `benchmarks/era_store.py` at 15 eras x 6,000 x 2,400, warm, one thread,
ours with reading of record, ids and seal:
    layout           one era   42 features   all streamed   random rows     MB   one era cold, ms
    this              0.0033         0.044           0.16        0.021     216                 24
    row-major map     0.0027         0.050           0.11        0.003     216                 20
    base-5 packed     0.028          0.029           0.46        0.037      72                 50
    Arrow IPC         0.016          0.064           0.29        0.028     222                 39
    Parquet, pyarrow  0.21           0.53            3.1         0.28       83                544
    Parquet, pandas   0.25           0.75            3.7         0.23       83                493
Most of the 0.044 s for 42 features are records and ids. A row-major map is better for random rows only; most of the work
here bins or ranks feature by feature. Packing saves two bytes of three and costs eight times as much on a whole era: worth
it only where the page cache is far too small.

Features never change under a record: to change them, the record is removed first, and with it the era, until everything is
written again. Targets are replaced in one step under the record, and certify themselves. So a process that is killed at
any point leaves eras that are correct and eras that are absent, and a reader beside a writer sees one or the other.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from numerai_assets.eras import Wall, era_label, horizon_of
from numerai_assets.errors import StoreError
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel
from numerai_assets.store import feature_files, target_files
from numerai_assets.store.atomic import replacing_file, write_json
from numerai_assets.store.cache import ContentCache
from numerai_assets.store.era_records import EraRecord, Stage, read_record, resolved_horizons, write_record

FORMAT = 2
"""Version of the layout; a store of another version is refused."""


class EraStore:
    """Reads and writes eras under `folder`: one process writes at a time, any number may read meanwhile.

    Every read compares the seals of the files with the era's record; `verify` checks every byte.
    Every method raises StoreError for a store of another version of the layout.
    """

    def __init__(self, folder: Path, *, cache: ContentCache | None = None) -> None:
        """cache: for data that methods derive from eras before fitting."""
        self.folder = folder
        self.cache = cache
        self._known_schema: tuple[tuple[int, int], dict[str, Any]] | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of every block. Raises StoreError while the store is empty."""
        return tuple(self._schema()["features"])

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(self._schema()["targets"])

    def records(self) -> dict[str, EraRecord]:
        """All records by key, historical eras first and ascending."""
        names = self._feature_names()
        found = {}
        for path in self._record_paths("*"):
            # A record that is being replaced meanwhile counts as absent.
            with suppress(FileNotFoundError):
                found[path.stem] = read_record(path, names)
        return found

    def record(self, key: str) -> EraRecord:
        """Record of one era or live round. Raises StoreError when it is not stored."""
        return self._record(key, self._feature_names())

    def holds(self, key: str) -> bool:
        return bool(self._record_paths(key))

    def eras(self) -> list[int]:
        """Numbers of the stored historical eras, ascending."""
        return [int(path.stem) for path in self._record_paths("[0-9]*")]

    def newest_era(self) -> int:
        """Newest historical era. Raises StoreError while there is none."""
        eras = self.eras()
        if not eras:
            raise StoreError(f"the era store {self.folder} is empty; run `numerai weekly` first")
        return eras[-1]

    def to_read(self, released: Iterable[int], newest_era: int) -> list[int]:
        """The `released` eras, ascending, that are not stored, or stored without targets that are due.

        newest_era: that of the release.
        """
        records = self.records()
        return [
            era
            for era in sorted(released)
            if (record := records.get(era_label(era))) is None or record.awaits_targets(newest_era)
        ]

    def disagreement(
        self, key: str, *, ids: Sequence[str], features: NDArray[np.int8], targets: pd.DataFrame
    ) -> str | None:
        """Names of the columns in which a release contradicts a stored era; None when it only adds values.

        features: (n, d) int8 in the order of the store. Raises StoreError when the store's own files are damaged.
        """
        record = self.record(key)
        known = self._targets(record, self.target_names)
        if known["id"].to_pylist() != list(ids):
            return "ids"
        held = self._map(record, "released")
        if held.shape != features.T.shape or not feature_files.only_adds(
            held, feature_files.without_lost(held, features.T)
        ):
            return "features"
        return ", ".join(target_files.revised(known, targets)) or None

    def write_era(
        self,
        key: str,
        *,
        era: int,
        ids: Sequence[str],
        features: NDArray[np.int8],
        feature_names: Sequence[str],
        targets: pd.DataFrame,
        targets_as_of: int,
        read_from: str | None = None,
    ) -> EraRecord:
        """Writes one era, features (n, d) int8 and targets (n rows, a float32 column each), replacing what was there.

        Features already stored with the same content are not written; neither are those of a stored historical era that
        have no value now, as when a release has lost them. Raises StoreError when the feature or target names differ from
        those of the store, when values of a stored historical era would change, or when the disk refuses.
        """
        with self._writing(key):
            self._agree_on_schema(feature_names, list(targets.columns))
            old = self.record(key) if self.holds(key) else None
            block, is_new = self._beside_held(old, np.ascontiguousarray(features.T))
            held_ids, revised = self._held_targets(old, targets)
            if old is not None and key.isdigit() and held_ids != list(ids):
                raise StoreError(
                    f"era {key}: the release now holds other ids than the store; eras are immutable. Nothing was touched"
                )
            record = EraRecord(
                key=key,
                era=era,
                rows=len(ids),
                features_bytes=old.features_bytes if old else 0,
                features_sha256=old.features_sha256 if old else "",
                ids_sha256=target_files.ids_digest(ids),
                resolved=resolved_horizons(targets),
                targets_as_of=targets_as_of,
                missing_features=tuple(feature_names[i] for i in np.flatnonzero((block == 2).all(axis=1)).tolist()),
                missing_cells=int(np.count_nonzero(block == MISSING)),
                revised_targets=tuple(sorted({*revised, *(old.revised_targets if old else ())})),
                read_from=read_from,
            )
            if old is not None and not is_new:
                record = replace(
                    record,
                    cleaned_bytes=old.cleaned_bytes,
                    cleaned_sha256=old.cleaned_sha256,
                    cleaned_by=old.cleaned_by,
                )
            else:
                with replacing_file(self._path("released", key, "npy")) as aside:
                    digest = feature_files.write_block(aside, key, block)
                    record = replace(record, features_bytes=aside.stat().st_size, features_sha256=digest)
                    self._withdraw(key)
            with replacing_file(self._path("targets", key, "parquet")) as aside:
                target_files.write_targets(aside, key, era, ids, targets)
            self._write_record(record)
        return record

    def write_cleaned(self, key: str, cleaned: NDArray[np.int8], *, strategy: str) -> EraRecord:
        """Stores the cleaned features (n, d) int8 of a stored era; linked to the released file where they are equal."""
        record = self.record(key)
        block = np.ascontiguousarray(cleaned.T)
        if np.array_equal(block, self._map(record, "released")):
            return self.clean_as_released(key, strategy=strategy)
        with self._writing(key):
            with replacing_file(self._path("cleaned", key, "npy")) as aside:
                digest, size = feature_files.write_block(aside, key, block), aside.stat().st_size
                if record.cleaned_by is not None:
                    self._write_record(replace(record, cleaned_bytes=None, cleaned_sha256=None, cleaned_by=None))
            record = replace(record, cleaned_bytes=size, cleaned_sha256=digest, cleaned_by=strategy)
            self._write_record(record)
        return record

    def clean_as_released(self, key: str, *, strategy: str) -> EraRecord:
        """Stores the released features of an era as its cleaned ones, without reading them: both are one file."""
        record = self.record(key)
        self._map(record, "released")
        with self._writing(key):
            with replacing_file(self._path("cleaned", key, "npy")) as aside:
                aside.unlink()
                os.link(self._path("released", key, "npy"), aside)
                if record.cleaned_sha256 not in (None, record.features_sha256):
                    self._write_record(replace(record, cleaned_bytes=None, cleaned_sha256=None, cleaned_by=None))
            record = replace(
                record,
                cleaned_bytes=record.features_bytes,
                cleaned_sha256=record.features_sha256,
                cleaned_by=strategy,
            )
            self._write_record(record)
        return record

    def panel(
        self,
        keys: Iterable[str],
        *,
        stage: Stage = "cleaned",
        targets: Sequence[str] = (),
        features: Sequence[str] | None = None,
    ) -> EraPanel:
        """Rows of the given eras or live rounds, ascending, features memory-mapped.

        Raises StoreError naming the era whose file is absent, truncated, another era's, or differs from its record.
        """
        names = self.feature_names
        found = sorted((self._read(key, stage, targets, names) for key in keys), key=lambda item: item[0].era)
        panel = EraPanel(
            blocks=tuple(block for _, block, _ in found),
            feature_names=names,
            eras=tuple(record.era for record, _, _ in found),
            ids_of_block=tuple(table["id"].combine_chunks() for _, _, table in found),
            targets_of_block={name: tuple(table[name].to_numpy() for _, _, table in found) for name in targets},
            digests=tuple(record.digest(stage) for record, _, _ in found),
            cache=self.cache,
        )
        return panel if features is None else panel.with_features(features)

    def fit_panel(
        self,
        wall: Wall,
        *,
        target: str,
        auxiliary: Sequence[str] = (),
        every: int = 1,
        features: Sequence[str] | None = None,
    ) -> EraPanel:
        """The training eras of the wall's vintage: eras up to the wall whose target is known.

        auxiliary: further targets, NaN after the wall of their own horizon.
        every: keep each `every`-th era, counted back from the newest allowed; the purge stays in calendar eras.
        Raises WallError when nothing is left, StoreError when an era before the wall is absent or its target, which
        should be known, is not.
        """
        if horizon_of(target) != wall.horizon:
            raise StoreError(f"{target}: the wall is built for a {wall.horizon}-day target")
        held = wall.fit_eras(self.eras())
        absent = set(range(held[0], wall.last_fit_era + 1)) - set(held)
        if absent:
            raise StoreError(
                f"era {era_label(min(absent))}: not in the store, though vintage {era_label(wall.vintage)} is fitted on eras "
                f"{era_label(held[0])} to {era_label(wall.last_fit_era)}; run `numerai weekly` or backfill it"
            )
        eras = [era for era in held if (wall.last_fit_era - era) % every == 0]
        auxiliary = [name for name in auxiliary if name != target]
        panel = self.panel(map(era_label, eras), targets=[target, *auxiliary], features=features)
        unknown = sorted(set(panel.eras) - set(panel.eras_with(target)))
        if unknown:
            raise StoreError(
                f"era {era_label(unknown[0])}: {target} is not in the store though it resolved; update the store"
            )
        walled = {name: _walled(panel, name, Wall(wall.vintage, horizon_of(name))) for name in auxiliary}
        return replace(panel, targets_of_block=panel.targets_of_block | walled)

    def verify(self) -> list[str]:
        """Keys of eras any of whose files differ from their record, in content or length. Reads every byte."""
        names = self._feature_names()
        return [path.stem for path in self._record_paths("*") if not self._is_whole(path, names)]

    def forget(self, key: str) -> None:
        """Drops one era so that the next update writes it again from the release."""
        self._path("records", key, "json").unlink(missing_ok=True)
        for kind, suffix in (("released", "npy"), ("cleaned", "npy"), ("targets", "parquet")):
            self._path(kind, key, suffix).unlink(missing_ok=True)

    def targets_glob(self) -> str:
        """Pattern of the target files of historical eras, for DuckDB."""
        return str(self.folder / "targets" / "[0-9]*.parquet")

    def _schema(self) -> dict[str, Any]:
        path = self.folder / "features.json"
        if not path.is_file():
            raise StoreError(f"the era store {self.folder} is empty; run `numerai weekly` first")
        stat = path.stat()
        # Thousands of names, read at every step; parsed again only when the file has changed.
        if self._known_schema is not None and self._known_schema[0] == (stat.st_ino, stat.st_mtime_ns):
            return self._known_schema[1]
        try:
            schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(
                f"{path} cannot be read ({error}); remove {self.folder} and run `numerai weekly`: it is written again "
                "from the release on disk"
            ) from None
        if schema.get("format") != FORMAT:
            raise StoreError(
                f"the era store {self.folder} has format {schema.get('format', 1)}, this version reads {FORMAT}; remove "
                "the folder and run `numerai weekly`: it is written again from the release on disk"
            )
        self._known_schema = ((stat.st_ino, stat.st_mtime_ns), schema)
        return schema

    def _feature_names(self) -> tuple[str, ...]:
        """Like `feature_names`, but empty while the store is empty."""
        return self.feature_names if (self.folder / "features.json").is_file() else ()

    def _agree_on_schema(self, features: Sequence[str], targets: Sequence[str]) -> None:
        path = self.folder / "features.json"
        content = {"format": FORMAT, "features": list(features), "targets": list(targets)}
        schema = self._schema() if path.is_file() else {}
        if schema == content:
            return
        # A conversion that was killed before its first era leaves names alone; these may be replaced.
        if not self._record_paths("*"):
            write_json(path, content)
            return
        for kind, now in (("features", features), ("targets", targets)):
            if schema[kind] != list(now):
                lost, new = set(schema[kind]) - set(now), set(now) - set(schema[kind])
                raise StoreError(
                    f"{kind} differ from those of the store {self.folder}: {len(lost)} lost (e.g. {sorted(lost)[:2]}), "
                    f"{len(new)} new (e.g. {sorted(new)[:2]}){'' if lost or new else ', other order'}. Nothing was touched"
                )

    def _beside_held(self, old: EraRecord | None, block: NDArray[np.int8]) -> tuple[NDArray[np.int8], bool]:
        """The (d, n) block to store, and whether it differs from the stored one. StoreError where it may not differ."""
        if old is None or not self._path("released", old.key, "npy").is_file():
            return block, True
        held, is_history = self._map(old, "released"), old.key.isdigit()
        if np.array_equal(held, block):
            return block, False
        if is_history and held.shape == block.shape:
            block = feature_files.without_lost(held, block)
        if is_history and not feature_files.only_adds(held, block):
            raise StoreError(
                f"era {old.key}: the release now holds other features than the store; eras are immutable. "
                f"Nothing was touched. If the release is right, remove {self.folder} and run again"
            )
        return block, not np.array_equal(held, block)

    def _held_targets(self, old: EraRecord | None, targets: pd.DataFrame) -> tuple[list[str] | None, tuple[str, ...]]:
        """Stored ids, if any, and the targets whose known values have changed."""
        if old is None or not self._path("targets", old.key, "parquet").is_file():
            return None, ()
        held = self._targets(old, list(targets.columns))
        revised = target_files.revised(held, targets) if old.rows == len(targets) else ()
        return held["id"].to_pylist(), revised

    def _read(
        self, key: str, stage: Stage, targets: Sequence[str], names: tuple[str, ...]
    ) -> tuple[EraRecord, NDArray[np.int8], pa.Table]:
        record = self._record(key, names)
        try:
            return record, self._map(record, stage), self._targets(record, targets)
        except StoreError:
            # The era may have been replaced after its record was read; else its record is still the same.
            if (now := self._record(key, names)) == record:
                raise
            return now, self._map(now, stage), self._targets(now, targets)

    def _map(self, record: EraRecord, stage: Stage) -> NDArray[np.int8]:
        size = record.features_bytes if stage == "released" else record.cleaned_bytes
        digest = record.features_sha256 if stage == "released" else record.cleaned_sha256
        if size is None or digest is None:
            raise StoreError(f"era {record.key}: not cleaned yet; materialize cleaned_features for it")
        path = self._path(stage, record.key, "npy")
        try:
            return feature_files.map_block(path, record.key, size=size, sha256=digest)
        except StoreError as error:
            raise _damaged(record.key, f"{stage} features file {path}", error) from None

    def _targets(self, record: EraRecord, names: Sequence[str]) -> pa.Table:
        path = self._path("targets", record.key, "parquet")
        try:
            return target_files.read_targets(path, record.key, ids_sha256=record.ids_sha256, names=names)
        except StoreError as error:
            raise _damaged(record.key, f"targets file {path}", error) from None

    def _is_whole(self, path: Path, names: tuple[str, ...]) -> bool:
        key = path.stem
        try:
            record = read_record(path, names)
        except FileNotFoundError:
            return True
        except StoreError:
            return False
        released, cleaned = self._path("released", key, "npy"), self._path("cleaned", key, "npy")
        blocks = [(released, record.features_bytes, record.features_sha256)]
        if record.cleaned_bytes is not None and record.cleaned_sha256 is not None:
            is_link = cleaned.is_file() and released.is_file() and cleaned.samefile(released)
            if not is_link or record.cleaned_sha256 != record.features_sha256:
                blocks.append((cleaned, record.cleaned_bytes, record.cleaned_sha256))
        return (
            record.key == key
            and all(feature_files.holds_what_it_says(file, key, size=n, sha256=digest) for file, n, digest in blocks)
            and target_files.holds_what_it_says(
                self._path("targets", key, "parquet"), key, ids_sha256=record.ids_sha256
            )
        )

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        """Turns a refusal of the disk into one error that names the era and the remedy."""
        try:
            yield
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "free some disk" if is_full else "let this user write there"
            raise StoreError(
                f"era {key}: cannot be written to {self.folder} ({error.strerror or error}); {remedy} and run again, "
                "which continues with this era. All other eras are unchanged"
            ) from None

    def _withdraw(self, key: str) -> None:
        self._path("records", key, "json").unlink(missing_ok=True)

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        return self.folder / kind / f"{key}.{suffix}"

    def _record_paths(self, keys: str) -> list[Path]:
        """Paths of the records whose keys match a pattern, sorted. StoreError for a store of another version."""
        if (self.folder / "features.json").is_file():
            self._schema()
        return sorted((self.folder / "records").glob(f"{keys}.json"))

    def _record(self, key: str, names: tuple[str, ...]) -> EraRecord:
        try:
            return read_record(self._path("records", key, "json"), names)
        except FileNotFoundError:
            raise StoreError(
                f"era {key}: not in the store {self.folder}; run `numerai weekly` or backfill it"
            ) from None

    def _write_record(self, record: EraRecord) -> None:
        write_record(self._path("records", record.key, "json"), record, self.feature_names)


def _damaged(key: str, what: str, error: StoreError) -> StoreError:
    return StoreError(
        f"era {key}: {what} {error}; run `numerai store verify --repair`, then `numerai weekly`, to write this era again. "
        "Nothing else was touched"
    )


def _walled(panel: EraPanel, target: str, wall: Wall) -> tuple[NDArray[np.float32], ...]:
    """Values of a target in each era of the panel, NaN in eras after its wall."""
    return tuple(
        values if era <= wall.last_fit_era else np.full_like(values, np.nan)
        for era, values in zip(panel.eras, panel.targets_of_block[target], strict=True)
    )
