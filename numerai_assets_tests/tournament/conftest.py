"""Fixtures of release files."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from numerai_assets_tests.tournament.release_rows import Save


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a frame as Parquet, in row groups of the given size."""

    def write(frame: pd.DataFrame | pa.Table, rows_a_group: int = 1000) -> Path:
        path = tmp_path / "file.part"
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, path, row_group_size=rows_a_group)
        return path

    return write
