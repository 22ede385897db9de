"""A file written era by era holds what the eras hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from numerai_assets.sandbox.published import release_writer
from numerai_assets.sandbox.published.encoder import TARGETS, encode_ids
from numerai_assets.sandbox.published.release_writer import Rows
from numerai_assets.sandbox.published.row_groups import RowGroups

NAMES = ("feature_c_c_c", "feature_a_a_a", "feature_b_b_b")


def rows(era: int, n: int) -> Rows:
    rng = np.random.default_rng(era)
    targets = rng.random((len(TARGETS), n), dtype=np.float32)
    targets[0, 0] = np.nan
    ids = encode_ids(0, str(era), np.arange(n))
    return Rows(f"{era:04d}", "validation", ids, rng.integers(0, 5, (3, n), np.int8).T, targets.T)


def write(path: Path, eras: list[Rows]) -> None:
    with RowGroups(path, NAMES, (2, 0, 1), rows_per_group=50) as file:
        for era in eras:
            file.add(era)


def test_eras_come_back_as_they_went_in_with_their_columns_in_the_order_asked_for(tmp_path: Path) -> None:
    eras = [rows(5, 30), rows(6, 41), rows(7, 120)]
    write(tmp_path / "v.parquet", eras)
    frame = pd.read_parquet(tmp_path / "v.parquet")
    assert frame.index.tolist() == [row.decode() for era in eras for row in era.ids]
    assert frame.era.tolist() == ["0005"] * 30 + ["0006"] * 41 + ["0007"] * 120
    expected = np.concatenate([era.features[:, [2, 0, 1]] for era in eras])
    np.testing.assert_array_equal(frame[list(NAMES)], expected)
    np.testing.assert_array_equal(frame[list(TARGETS)], np.concatenate([era.targets for era in eras]))


def test_row_groups_have_the_length_asked_for_and_do_not_align_with_eras(tmp_path: Path) -> None:
    write(tmp_path / "v.parquet", [rows(5, 30), rows(6, 41), rows(7, 120)])
    metadata = pq.read_metadata(tmp_path / "v.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [50, 50, 50, 41]


def test_the_schema_is_that_of_the_small_release(tmp_path: Path) -> None:
    era = rows(5, 30)
    write(tmp_path / "v.parquet", [era])
    release_writer.write_rows(tmp_path / "small.parquet", [era], NAMES)
    ours, small = (pq.read_schema(tmp_path / name) for name in ("v.parquet", "small.parquet"))
    assert ours.equals(small, check_metadata=True)


def test_bins_are_integers_of_three_bits_by_dictionary(tmp_path: Path) -> None:
    write(tmp_path / "v.parquet", [rows(5, 400)])
    column = pq.read_metadata(tmp_path / "v.parquet").row_group(0).column(3)
    assert (column.physical_type, column.compression) == ("INT32", "ZSTD")
    assert "RLE_DICTIONARY" in column.encodings
