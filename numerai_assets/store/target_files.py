"""Target files: id, era, row within the era and all targets of one era, as Parquet that DuckDB queries directly.

Targets resolve for weeks after their era is stored, so these files are replaced while others read. Hence each certifies
itself: its footer names the era, and has a digest of the ids, which links it to the era's features, and one of all its
values. A file under its final name is complete and correct, even where the record beside it is older.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_assets.errors import StoreError

_KEY, _IDS, _VALUES = b"numerai_assets.key", b"numerai_assets.ids_sha256", b"numerai_assets.values_sha256"


def ids_digest(ids: Sequence[str]) -> str:
    """Hex SHA-256 of ids in their order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def write_targets(path: Path, key: str, era: int, ids: Sequence[str], targets: pd.DataFrame) -> None:
    """Writes one era's file directly to `path`. targets: n rows, a float32 column each, NaN where unresolved."""
    columns = {
        "id": pa.array(list(ids), pa.string()),
        "era": pa.array(np.full(len(ids), era, np.int16)),
        "row": pa.array(np.arange(len(ids), dtype=np.int32)),
    }
    columns |= {name: pa.array(targets[name].to_numpy(np.float32), pa.float32()) for name in targets.columns}
    table = pa.table(columns)
    facts = {_KEY: key, _IDS: ids_digest(ids), _VALUES: _values_digest(table)}
    pq.write_table(table.replace_schema_metadata(facts), path, compression="zstd")


def read_targets(path: Path, key: str, *, ids_sha256: str, names: Sequence[str]) -> pa.Table:
    """Columns id and `names` of an era's file.

    Raises StoreError, whose message continues the name of the file, where it cannot be read, lacks a target, or belongs
    to another era or to other ids than `ids_sha256`, those of the era's features.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            _check_facts(file.schema_arrow, key, ids_sha256)
            absent = [name for name in names if name not in file.schema_arrow.names]
            if absent:
                raise StoreError(f"holds no {absent[0]}")
            return file.read(["id", *names], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"cannot be read ({error})") from None


def holds_what_it_says(path: Path, key: str, *, ids_sha256: str) -> bool:
    """True when the file belongs to the era and the ids of its features, and no value has changed since it was written."""
    try:
        with pq.ParquetFile(path) as file:
            _check_facts(file.schema_arrow, key, ids_sha256)
            table = file.read(use_threads=False)
    except (StoreError, OSError, pa.ArrowException):
        return False
    facts = table.schema.metadata
    return bool(
        ids_digest(table["id"].to_pylist()) == ids_sha256 and _values_digest(table) == facts[_VALUES].decode("ascii")
    )


def _check_facts(schema: pa.Schema, key: str, ids_sha256: str) -> None:
    facts = {name: value.decode("ascii", errors="replace") for name, value in (schema.metadata or {}).items()}
    if facts.get(_KEY) != key:
        raise StoreError(f"is that of era {facts.get(_KEY, 'unknown')}")
    if facts.get(_IDS) != ids_sha256:
        raise StoreError("holds other ids than its record says")


def _values_digest(table: pa.Table) -> str:
    digest = hashlib.sha256()
    for name in table.column_names:
        if name != "id":
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(table[name].to_numpy()).data)
    return digest.hexdigest()


def revised(known: pa.Table, targets: pd.DataFrame) -> tuple[str, ...]:
    """Targets whose values, where the stored table has them, have changed."""
    held = {name: known[name].to_numpy() for name in known.column_names if name != "id"}
    return tuple(
        name
        for name, before in held.items()
        if not np.array_equal(before[~np.isnan(before)], targets[name].to_numpy(np.float32)[~np.isnan(before)])
    )
