"""The era store: one features file and one targets file an era, and a record of both.

Layout under its folder:
    features.json            names of the features, in the order of the files' rows, and of the targets
    released/<key>.npy       (d, n) int8 as released, feature-major; -1 where the release held no value
    cleaned/<key>.npy        the same after cleaning; a hard link to the released file where nothing changed
    targets/<key>.parquet    id and the targets, float32
    records/<key>.json       rows, sizes, checksums, resolved horizons; written last: an era exists when its record does
A key is an era ("0575") or a live round ("X@1369"). Feature-major blocks of raw int8 were the best of the layouts
measured for both whole eras and feature subsets.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.eras import HORIZONS, Wall, era_label, horizon_of, resolved_through
from numerai_assets.errors import StoreError
from numerai_assets.store.atomic import replacing_file, sha256_of, write_json
from numerai_assets.store.panel import MISSING, EraPanel

Stage = Literal["released", "cleaned"]


@dataclass(frozen=True)
class EraRecord:
    """What the store holds of one era.

    era: its number; for a live round that of the newest era at its data's date. resolved: horizons whose targets are
    known. targets_as_of: newest era of the release they were read from. missing_features: features constant 2 in this
    era, Numerai's mark of "did not exist yet". missing_cells: cells without any value in the release. revised_targets:
    targets of which the newest release gave other values than were known before.
    """

    key: str
    era: int
    rows: int
    features_bytes: int
    features_sha256: str
    targets_sha256: str
    resolved: tuple[int, ...]
    targets_as_of: int
    missing_features: tuple[str, ...]
    missing_cells: int
    revised_targets: tuple[str, ...] = ()
    cleaned_bytes: int | None = None
    cleaned_sha256: str | None = None
    cleaned_by: str | None = None

    def awaits_targets(self, newest_era: int) -> bool:
        """True when a release whose newest era is `newest_era` should hold targets that this record lacks."""
        if self.targets_as_of >= newest_era:
            return False
        due = {horizon for horizon in HORIZONS if self.era <= resolved_through(newest_era, horizon)}
        return not due <= set(self.resolved)


class EraStore:
    """Reads and writes eras under `folder`. Every read checks the size the record states; `verify` checks contents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of every block. Raises StoreError while the store is empty."""
        return tuple(self._schema()["features"])

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(self._schema()["targets"])

    def records(self) -> dict[str, EraRecord]:
        """All records by key, historical eras first and ascending."""
        found = [self._read_record(path) for path in sorted((self.folder / "records").glob("*.json"))]
        return {record.key: record for record in found}

    def record(self, key: str) -> EraRecord:
        """Record of one era or live round. Raises StoreError when the store does not hold it."""
        path = self._path("records", key, "json")
        if not path.is_file():
            raise StoreError(f"era {key}: not in the store {self.folder}; run `numerai weekly` or backfill it")
        return self._read_record(path)

    def holds(self, key: str) -> bool:
        return self._path("records", key, "json").is_file()

    def eras(self) -> list[int]:
        """Numbers of the historical eras held, ascending."""
        return sorted(int(path.stem) for path in (self.folder / "records").glob("[0-9]*.json"))

    def newest_era(self) -> int:
        """Newest historical era. Raises StoreError while there is none."""
        eras = self.eras()
        if not eras:
            raise StoreError(f"the era store {self.folder} is empty; run `numerai weekly` first")
        return eras[-1]

    def to_read(self, released: Iterable[int], newest_era: int) -> list[int]:
        """Those of the `released` eras, ascending, that are not held, or held without targets that are due.

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
        """What a release holds otherwise than this store in a held era; None when it adds at most.

        features: (n, d) int8 in the order of the store. Raises StoreError when the store's own files are damaged.
        """
        known = self._targets(self.record(key), self.target_names)
        if known["id"].to_pylist() != list(ids):
            return "ids"
        held = self._map(key, "released")
        if held.shape != features.T.shape or not _only_adds(held, _without_lost(held, features.T)):
            return "features"
        return ", ".join(_revised(known, targets)) or None

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
    ) -> EraRecord:
        """Writes one era, features (n, d) int8 and targets (n rows, a float32 column each), replacing what was there.

        Features that are already held with the same content are left alone; so are those of a held historical era that
        are without any value now, as when a release has lost them. Raises StoreError when the feature or target names
        differ from those of the store, or when values of a held historical era would change.
        """
        self._agree_on_schema(feature_names, list(targets.columns))
        block = np.ascontiguousarray(features.T)
        released = self._path("released", key, "npy")
        old = self.record(key) if self.holds(key) else None
        held = self._map(key, "released") if old is not None and released.is_file() else None
        if held is not None and key.isdigit() and held.shape == block.shape:
            block = _without_lost(held, block)
        aside_changed = held is None or not np.array_equal(held, block)
        if held is not None and aside_changed and key.isdigit() and not _only_adds(held, block):
            raise StoreError(
                f"era {key}: the release now holds other features than the store; eras are immutable. "
                f"Nothing was touched. If the release is right, remove {self.folder} and run again"
            )
        targets_path = self._path("targets", key, "parquet")
        known = self._targets(old, self.target_names) if old is not None and targets_path.is_file() else None
        if known is not None and key.isdigit() and known["id"].to_pylist() != list(ids):
            raise StoreError(
                f"era {key}: the release now holds other ids than the store; eras are immutable. Nothing was touched"
            )
        if aside_changed:
            with replacing_file(released) as aside, aside.open("wb") as file:
                np.save(file, block)
        revised = _revised(known, targets) if known is not None else ()
        columns = {"id": pa.array(list(ids), pa.string())}
        columns |= {name: pa.array(targets[name].to_numpy(np.float32), pa.float32()) for name in targets.columns}
        with replacing_file(targets_path) as aside:
            pq.write_table(pa.table(columns), aside, compression="zstd")
        record = EraRecord(
            key=key,
            era=era,
            rows=len(ids),
            features_bytes=released.stat().st_size,
            features_sha256=sha256_of(released),
            targets_sha256=sha256_of(targets_path),
            resolved=resolved_horizons(targets),
            targets_as_of=targets_as_of,
            missing_features=tuple(name for name, row in zip(feature_names, block, strict=True) if (row == 2).all()),
            missing_cells=int((block == MISSING).sum()),
            revised_targets=tuple(sorted({*revised, *(old.revised_targets if old else ())})),
        )
        if old is not None and not aside_changed:
            record = EraRecord(
                **asdict(record)
                | {
                    "cleaned_bytes": old.cleaned_bytes,
                    "cleaned_sha256": old.cleaned_sha256,
                    "cleaned_by": old.cleaned_by,
                }
            )
        self._write_record(record)
        return record

    def write_cleaned(self, key: str, cleaned: NDArray[np.int8], *, strategy: str) -> EraRecord:
        """Keeps the cleaned features (n, d) int8 of a held era; linked to the released file where they are equal."""
        record, path = self.record(key), self._path("cleaned", key, "npy")
        block = np.ascontiguousarray(cleaned.T)
        if np.array_equal(block, self._map(key, "released")):
            with replacing_file(path) as aside:
                aside.unlink()
                os.link(self._path("released", key, "npy"), aside)
        else:
            with replacing_file(path) as aside, aside.open("wb") as file:
                np.save(file, block)
        record = EraRecord(
            **asdict(record)
            | {"cleaned_bytes": path.stat().st_size, "cleaned_sha256": sha256_of(path), "cleaned_by": strategy}
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

        Raises StoreError naming the era whose file is absent or not as long as its record says.
        """
        records = sorted((self.record(key) for key in keys), key=lambda record: record.era)
        tables = [self._targets(record, targets) for record in records]
        panel = EraPanel(
            blocks=tuple(self._map(record.key, stage) for record in records),
            feature_names=self.feature_names,
            eras=tuple(record.era for record in records),
            ids_of_block=tuple(table["id"].to_numpy(zero_copy_only=False).astype(object) for table in tables),
            targets_of_block={name: tuple(table[name].to_numpy() for table in tables) for name in targets},
        )
        return panel if features is None else panel.with_features(features)

    def fit_panel(self, wall: Wall, *, target: str, every: int = 1, features: Sequence[str] | None = None) -> EraPanel:
        """All that a model of the wall's vintage may be fitted on: eras before the wall whose target is known.

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
        panel = self.panel(map(era_label, eras), targets=[target], features=features)
        for era, values in zip(panel.eras, panel.targets_of_block[target], strict=True):
            if np.isnan(values).all():
                raise StoreError(
                    f"era {era_label(era)}: {target} is not in the store though it resolved; update the store"
                )
        return panel

    def verify(self) -> list[str]:
        """Keys of eras any of whose files differ from their record, in content or length."""
        bad = []
        for path in sorted((self.folder / "records").glob("*.json")):
            key = path.stem
            try:
                record = self._read_record(path)
            except StoreError:
                bad.append(key)
                continue
            expected = [("released", "npy", record.features_sha256), ("targets", "parquet", record.targets_sha256)]
            if record.cleaned_sha256 is not None:
                expected.append(("cleaned", "npy", record.cleaned_sha256))
            paths = [(self._path(kind, key, suffix), digest) for kind, suffix, digest in expected]
            if any(not path.is_file() or sha256_of(path) != digest for path, digest in paths):
                bad.append(key)
        return bad

    def forget(self, key: str) -> None:
        """Drops one era so that the next update writes it anew from the release."""
        self._path("records", key, "json").unlink(missing_ok=True)
        for kind, suffix in (("released", "npy"), ("cleaned", "npy"), ("targets", "parquet")):
            self._path(kind, key, suffix).unlink(missing_ok=True)

    def targets_glob(self) -> str:
        """Pattern of the target files of historical eras, for DuckDB."""
        return str(self.folder / "targets" / "[0-9]*.parquet")

    def _schema(self) -> dict[str, list[str]]:
        path = self.folder / "features.json"
        if not path.is_file():
            raise StoreError(f"the era store {self.folder} is empty; run `numerai weekly` first")
        schema: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        return schema

    def _agree_on_schema(self, features: Sequence[str], targets: Sequence[str]) -> None:
        path = self.folder / "features.json"
        if not path.is_file():
            write_json(path, {"features": list(features), "targets": list(targets)})
            return
        schema = self._schema()
        for kind, now in (("features", features), ("targets", targets)):
            if schema[kind] != list(now):
                lost, new = set(schema[kind]) - set(now), set(now) - set(schema[kind])
                raise StoreError(
                    f"{kind} differ from those of the store {self.folder}: {len(lost)} lost (e.g. {sorted(lost)[:2]}), "
                    f"{len(new)} new (e.g. {sorted(new)[:2]}){'' if lost or new else ', other order'}. Nothing was touched"
                )

    def _map(self, key: str, stage: Stage) -> NDArray[np.int8]:
        record = self.record(key)
        path = self._path(stage, key, "npy")
        expected = record.features_bytes if stage == "released" else record.cleaned_bytes
        if expected is None:
            raise StoreError(f"era {key}: not cleaned yet; materialize cleaned_features for it")
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            raise StoreError(
                f"era {key}: {stage} features file is {'absent' if found is None else f'{found:,} bytes'}, its record says "
                f"{expected:,}. The file was cut short or replaced; run `numerai store verify --repair`. "
                "Nothing else was touched"
            )
        try:
            block: NDArray[np.int8] = np.load(path, mmap_mode="r")
        except (ValueError, OSError) as error:
            raise StoreError(
                f"era {key}: {stage} features file {path} cannot be read ({error}); run `numerai store verify --repair`"
            ) from None
        return block

    def _targets(self, record: EraRecord, names: Sequence[str]) -> pa.Table:
        path = self._path("targets", record.key, "parquet")
        try:
            return pq.read_table(path, columns=["id", *names], memory_map=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"era {record.key}: targets file {path} cannot be read ({error}); run `numerai store verify --repair`"
            ) from None

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        return self.folder / kind / f"{key}.{suffix}"

    def _write_record(self, record: EraRecord) -> None:
        write_json(self._path("records", record.key, "json"), asdict(record))

    def _read_record(self, path: Path) -> EraRecord:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return EraRecord(
                **content | {name: tuple(content[name]) for name in ("resolved", "missing_features", "revised_targets")}
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"era {path.stem}: record {path} cannot be read ({error}); run `numerai store verify --repair`"
            ) from None


def _revised(known: pa.Table, targets: pd.DataFrame) -> tuple[str, ...]:
    """Targets whose values, where the stored table knows them, are others now."""
    held = {name: known[name].to_numpy() for name in known.column_names if name != "id"}
    return tuple(
        name
        for name, before in held.items()
        if not np.array_equal(before[~np.isnan(before)], targets[name].to_numpy(np.float32)[~np.isnan(before)])
    )


def _without_lost(held: NDArray[np.int8], block: NDArray[np.int8]) -> NDArray[np.int8]:
    """(d, n) `block` with the features of `held` where it has no value in any row, as when a release has lost them."""
    return np.where((block == MISSING).all(axis=1, keepdims=True), held, block)


def _only_adds(held: NDArray[np.int8], block: NDArray[np.int8]) -> bool:
    """True when (d, n) `block` differs from `held` only in features that had no value in any row."""
    if held.shape != block.shape:
        return False
    differs = (held != block).any(axis=1)
    return bool((held[differs] == MISSING).all())


def resolved_horizons(targets: pd.DataFrame) -> tuple[int, ...]:
    """Horizons of which the targets in the frame are known: some value is there for every one named in full."""
    known = targets.notna().any()
    return tuple(
        horizon
        for horizon in HORIZONS
        if (columns := [name for name in targets.columns if name.endswith(f"_{horizon}")]) and known[columns].any()
    )
