"""Eras of the store as one Parquet file for other programs: the columns of Numerai's own files, one row group per era."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_assets.errors import StoreError
from numerai_assets.panel.blocks import MISSING
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.era_store import EraStore


def export(
    store: EraStore, keys: Iterable[str], path: Path, *, features: Sequence[str], targets: Sequence[str] = ()
) -> int:
    """Writes eras, in the order given, to `path`, atomically; returns the number of rows.

    Columns: id, era (string, "0575"), features (int8 as cleaned, null where left missing), targets (float32, NaN where
    unresolved). One era is in memory at a time. Raises StoreError for an era, feature or target that is not stored,
    and when the disk refuses; an existing file of that name is then unchanged.
    """
    schema = pa.schema(
        [("id", pa.string()), ("era", pa.string())]
        + [(name, pa.int8()) for name in features]
        + [(name, pa.float32()) for name in targets]
    )
    rows = 0
    try:
        with (
            replacing_file(path) as aside,
            # Statistics of ids and of a thousand features would not help to skip a row group.
            pq.ParquetWriter(aside, schema, compression="zstd", write_statistics=["era"]) as file,
        ):
            for key in keys:
                panel = store.panel([key], targets=targets, features=features)
                file.write_table(
                    pa.Table.from_arrays(
                        [
                            pa.array(panel.ids, pa.string()),
                            pa.array([key] * panel.rows),
                            *(_column(np.ascontiguousarray(row)) for row in panel.blocks[0]),
                            *(pa.array(panel.target(name)) for name in targets),
                        ],
                        schema=schema,
                    )
                )
                rows += panel.rows
    except OSError as error:
        raise StoreError(
            f"export: {path} cannot be written ({error.strerror or error}); free some disk or choose another place. "
            "The store is unchanged"
        ) from None
    return rows


def _column(values: np.ndarray) -> pa.Array:
    missing = values == MISSING
    return pa.array(values, mask=missing if missing.any() else None)
