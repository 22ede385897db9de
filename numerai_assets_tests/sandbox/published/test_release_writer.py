"""The files have the names, columns, types and index of Numerai's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from numerai_assets.sandbox.published import release_writer
from numerai_assets.sandbox.published.encoder import TARGETS, encode_ids
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES, META_MODEL
from numerai_assets.sandbox.published.release_writer import Rows, Scores

NAMES = ("feature_b_b_b", "feature_a_a_a")


def rows(era: int, n: int) -> Rows:
    rng = np.random.default_rng(era)
    targets = rng.random((n, len(TARGETS)), dtype=np.float32)
    targets[0, 0] = np.nan
    return Rows(
        f"{era:04d}", "train", encode_ids(0, str(era), np.arange(n)), rng.integers(0, 5, (n, 2), np.int8), targets
    )


def scores(era: int, n: int) -> Scores:
    values = np.random.default_rng(era).random(n)
    names = (*BENCHMARK_NAMES, META_MODEL, "prediction")
    return Scores(f"{era:04d}", "validation", encode_ids(0, str(era), np.arange(n)), dict.fromkeys(names, values))


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    blocks = [rows(5, 30), rows(6, 41)]
    release_writer.write_rows(tmp_path / "train.parquet", blocks, NAMES)
    frame = pd.read_parquet(tmp_path / "train.parquet")
    assert list(frame.columns) == ["era", "data_type", *NAMES, *TARGETS]
    assert frame.index.name == "id" and frame.index[30] == blocks[1].ids[0].decode()
    assert (frame.dtypes[list(NAMES)] == np.int8).all() and (frame.dtypes[list(TARGETS)] == np.float32).all()
    assert frame.era.tolist() == ["0005"] * 30 + ["0006"] * 41
    np.testing.assert_array_equal(frame[list(NAMES)], np.concatenate([b.features for b in blocks]))
    np.testing.assert_array_equal(frame[list(TARGETS)], np.concatenate([b.targets for b in blocks]))


def test_id_is_a_physical_column(tmp_path: Path) -> None:
    release_writer.write_rows(tmp_path / "train.parquet", [rows(5, 30)], NAMES)
    assert "id" in pq.read_schema(tmp_path / "train.parquet").names


def test_row_groups_do_not_align_with_eras(tmp_path: Path) -> None:
    release_writer.write_rows(tmp_path / "train.parquet", (rows(era, 7_000) for era in range(1, 8)), NAMES)
    metadata = pq.read_metadata(tmp_path / "train.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [20_000, 20_000, 9_000]


def test_predictions_have_the_columns_of_their_file(tmp_path: Path) -> None:
    blocks = [scores(5, 30), scores(6, 20)]
    release_writer.write_benchmarks(tmp_path / "b.parquet", blocks)
    release_writer.write_meta_model(tmp_path / "m.parquet", blocks)
    release_writer.write_example(tmp_path, "e", blocks)
    benchmarks, meta = pd.read_parquet(tmp_path / "b.parquet"), pd.read_parquet(tmp_path / "m.parquet")
    assert list(benchmarks.columns) == ["era", "v53_lgbm_ender20", "v53_lgbm_ender60"]
    assert list(meta.columns) == ["era", "data_type", "numerai_meta_model"]
    example = pd.read_parquet(tmp_path / "e.parquet")
    assert list(example.columns) == ["prediction"] and example.index.name == "id"
    pd.testing.assert_frame_equal(example, pd.read_csv(tmp_path / "e.csv", index_col="id"), check_index_type=False)
