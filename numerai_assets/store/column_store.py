"""Engineered features on disk, beside the era store: the columns of each feature block, one file an era or live round.

Layout: <folder>/<block>/columns/<key>.npy    (k, n) int8, int16 or float16 as the block computed them, feature-major
        <folder>/<block>/levels/<key>.npy     (k, n) int8 bins 0..4 of float16 columns, for methods that take bins
        <folder>/<block>/records/<key>.json   names, sizes, checksums and the inputs of the columns; written last
Files are sealed like those of the era store (`feature_files`). Columns made with other inputs than requested now (other
parameters, other cleaning, other rows) count as absent and are computed again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import StoreError
from numerai_assets.panel.panel import EraPanel
from numerai_assets.store import feature_files
from numerai_assets.store.atomic import replacing_file, write_json


@dataclass(frozen=True)
class ColumnsRecord:
    """The stored columns of one block and era. files: length and hex SHA-256 of each file by its kind, columns or levels."""

    block: str
    key: str
    era: int
    rows: int
    names: tuple[str, ...]
    made_with: dict[str, Any]
    files: dict[str, tuple[int, str]]


class EngineeredStore:
    """Reads and writes the columns of feature blocks under `folder`: one process writes a block, any number read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        block: str,
        key: str,
        *,
        era: int,
        names: Iterable[str],
        columns: NDArray[Any],
        levels: NDArray[np.int8] | None,
        made_with: Mapping[str, Any],
    ) -> ColumnsRecord:
        """Stores the columns (k, n) of a block for one era, and their bins (k, n) where they are not bins themselves.

        made_with: all inputs that determine the columns, as JSON values.
        """
        self._path(block, "records", key).unlink(missing_ok=True)
        files = {}
        for kind, values in (("columns", columns), ("levels", levels)):
            if values is not None:
                with replacing_file(self._path(block, kind, key)) as aside:
                    digest = feature_files.write_block(aside, _sealed_as(block, key), np.ascontiguousarray(values))
                    files[kind] = (aside.stat().st_size, digest)
        record = ColumnsRecord(block, key, era, columns.shape[1], tuple(names), dict(made_with), files)
        write_json(self._path(block, "records", key), asdict(record))
        return record

    def holds(self, block: str, key: str, made_with: Mapping[str, Any]) -> bool:
        """True when the columns of that era are stored and were made with exactly these inputs."""
        return self._path(block, "records", key).is_file() and self.record(block, key).made_with == _as_json(made_with)

    def keys(self, block: str) -> list[str]:
        """Stored eras and live rounds of a block, historical eras first and ascending."""
        return sorted(path.stem for path in (self.folder / block / "records").glob("*.json"))

    def record(self, block: str, key: str) -> ColumnsRecord:
        """Raises StoreError when the era is not stored, or its record cannot be read."""
        path = self._path(block, "records", key)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {kind: (int(size), str(digest)) for kind, (size, digest) in found["files"].items()}
            return ColumnsRecord(**found | {"names": tuple(found["names"]), "files": files})
        except FileNotFoundError:
            raise StoreError(f"{block}: no columns of era {key}; materialize {block} for it") from None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{block}: record {path} cannot be read ({error}); materialize {block} for era {key}"
            ) from None

    def columns(self, block: str, key: str) -> NDArray[Any]:
        """(k, n) columns as computed, memory-mapped. Raises StoreError where the file differs from its record."""
        return self._map(self.record(block, key), "columns")

    def with_blocks(self, panel: EraPanel, keys: Iterable[str], blocks: Iterable[str]) -> EraPanel:
        """The panel with the bins of all columns of the blocks as more features, named `<block>.<column>`.

        keys: of the panel's eras, in their order. Raises StoreError for an era that is not stored, for one whose rows
        differ from the panel's, and for columns without bins, such as an index of rows.
        """
        held = list(keys)
        for block in blocks:
            records = [self.record(block, key) for key in held]
            for record in records:
                if record.names != records[0].names:
                    raise StoreError(
                        f"{block}: era {record.key} has other columns than era {records[0].key}; materialize {block} for both"
                    )
            levels = [self._levels(record) for record in records]
            digests = [record.files["columns"][1] for record in records]
            panel = panel.with_columns([f"{block}.{name}" for name in records[0].names], levels, digests)
        return panel

    def verify(self, block: str) -> list[str]:
        """Keys of which a file differs from its record, in content or length. Reads every byte."""
        broken = []
        for key in self.keys(block):
            record = self.record(block, key)
            whole = (
                feature_files.holds_what_it_says(
                    self._path(block, kind, key), _sealed_as(block, key), size=size, sha256=digest
                )
                for kind, (size, digest) in record.files.items()
            )
            if not all(whole):
                broken.append(key)
        return broken

    def _levels(self, record: ColumnsRecord) -> NDArray[np.int8]:
        levels = self._map(record, "levels" if "levels" in record.files else "columns")
        if levels.dtype != np.int8:
            raise StoreError(
                f"{record.block}: columns of {levels.dtype} are not features; methods cannot be fitted on them"
            )
        return levels

    def _map(self, record: ColumnsRecord, kind: str) -> NDArray[Any]:
        size, digest = record.files[kind]
        path = self._path(record.block, kind, record.key)
        try:
            return feature_files.map_block(path, _sealed_as(record.block, record.key), size=size, sha256=digest)
        except StoreError as error:
            raise StoreError(
                f"{record.block}, era {record.key}: {kind} file {path} {error}; materialize {record.block} for it again. "
                "Nothing else was touched"
            ) from None

    def _path(self, block: str, kind: str, key: str) -> Path:
        return self.folder / block / kind / f"{key}.{'json' if kind == 'records' else 'npy'}"


def _sealed_as(block: str, key: str) -> str:
    return f"{key}/{block}"[:50]


def _as_json(made_with: Mapping[str, Any]) -> Any:
    """As read back from a file: tuples become lists."""
    return json.loads(json.dumps(dict(made_with)))
