"""A wide release file written era by era: train.parquet or validation.parquet of full size.

Row groups of 100,000 rows make 70 of them: the footer describes each of 3,599 columns in every group, and a reader loads
all of it. They do not align with eras, as in the real files. Columns are dictionary-encoded (a bin takes 3 bits) and
compressed by zstd: 2.75 bits a value, real files have 2.70.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_assets.sandbox.published.encoder import TARGETS
from numerai_assets.sandbox.published.release_writer import Rows, rows_schema

ROWS_PER_GROUP = 100_000


class RowGroups:
    """Gathers eras into row groups of equal length; one of them is in memory, 0.4 GB at 3,555 features.

    features: (f,) names in the order of the file.  columns: (f,) column of `Rows.features` behind each name.
    Use as a context manager; a file that was not closed has no footer.
    """

    def __init__(
        self, path: Path, features: Sequence[str], columns: Sequence[int], rows_per_group: int = ROWS_PER_GROUP
    ) -> None:
        self._columns = columns
        self._schema = rows_schema(features)
        self._rows = rows_per_group
        self._held = 0
        self._features = np.empty((max(columns) + 1, rows_per_group), dtype=np.int8)
        self._targets = np.empty((len(TARGETS), rows_per_group), dtype=np.float32)
        self._ids = np.empty(rows_per_group, dtype="S16")
        self._eras = np.empty(rows_per_group, dtype="U4")
        self._data_types = np.empty(rows_per_group, dtype="U10")
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="zstd", write_statistics=["era", "data_type"], store_schema=True
        )

    def __enter__(self) -> "RowGroups":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._held:
            self._write()
        self._writer.close()

    def add(self, block: Rows) -> None:
        """Append an era and write the row groups that it fills. Fastest where `block` is a view of arrays by column."""
        n, done = len(block.ids), 0
        while done < n:
            step = min(n - done, self._rows - self._held)
            to, of = slice(self._held, self._held + step), slice(done, done + step)
            self._features[:, to] = block.features.T[:, of]
            self._targets[:, to] = block.targets.T[:, of]
            self._ids[to] = block.ids[of]
            self._eras[to] = block.era
            self._data_types[to] = block.data_type
            self._held += step
            done += step
            if self._held == self._rows:
                self._write()

    def _write(self) -> None:
        rows = slice(self._held)
        arrays = [
            pa.array(self._eras[rows]),
            pa.array(self._data_types[rows]),
            *(pa.array(self._features[column, rows]) for column in self._columns),
            *(pa.array(target[rows], from_pandas=True) for target in self._targets),
            pa.array(self._ids[rows].astype("U16")),
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=self._rows)
        self._held = 0
