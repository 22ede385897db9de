"""The twelve files of a v5.3 release, as Parquet and CSV, in Numerai's names, columns and types.

Streaming: blocks of rows (eras) come in, row groups of 20,000 rows (fewer in the tiny world) go out. Row groups do not
align with eras, as in the real files: a reader may not rely on it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.sandbox.published.encoder import TARGETS
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES, EXAMPLE, META_MODEL, PREDICTIONS
from numerai_assets.sandbox.published.sizes import ROWS_PER_GROUP

VERSION = "v5.3"
FEATURES_JSON = "features.json"
TRAIN, VALIDATION, LIVE = "train.parquet", "validation.parquet", "live.parquet"
META = "meta_model.parquet"
TRAIN_BENCHMARK = "train_benchmark_models.parquet"
VALIDATION_BENCHMARK = "validation_benchmark_models.parquet"
LIVE_BENCHMARK = "live_benchmark_models.parquet"
VALIDATION_EXAMPLE, LIVE_EXAMPLE = "validation_example_preds", "live_example_preds"
FILES = (
    FEATURES_JSON,
    TRAIN,
    VALIDATION,
    LIVE,
    META,
    TRAIN_BENCHMARK,
    VALIDATION_BENCHMARK,
    LIVE_BENCHMARK,
    f"{LIVE_EXAMPLE}.csv",
    f"{LIVE_EXAMPLE}.parquet",
    f"{VALIDATION_EXAMPLE}.csv",
    f"{VALIDATION_EXAMPLE}.parquet",
)
LIVE_ERA, LIVE_TYPE = "X", "live"


@dataclass(frozen=True)
class _EraBlock:
    """The rows of one era, by their ids (n,) S16."""

    era: str
    data_type: str
    ids: NDArray[np.bytes_]


@dataclass(frozen=True)
class Rows(_EraBlock):
    """Features (n, d) int8 and targets (n, 41) float32, in the order of TARGETS."""

    features: NDArray[np.int8]
    targets: NDArray[np.float32]


@dataclass(frozen=True)
class Scores(_EraBlock):
    """Predictions by column, (n,) float64 each."""

    values: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, era: str, data_type: str, ids: NDArray[np.bytes_], predictions: NDArray[np.float64]) -> "Scores":
        """predictions: (n, 3) as in PREDICTIONS."""
        return cls(era, data_type, ids, dict(zip(PREDICTIONS, predictions.T, strict=True)))

    def example(self) -> "Scores":
        """The example model's predictions alone, as column `prediction`."""
        return Scores(self.era, self.data_type, self.ids, {"prediction": self.values[EXAMPLE].copy()})


def write_rows(
    path: Path, blocks: Iterable[Rows], features: Sequence[str], rows_per_group: int = ROWS_PER_GROUP
) -> None:
    """train, validation or live: era, data_type, features, targets, and id as the pandas index."""
    schema = rows_schema(features)
    _write(path, schema, (_rows_table(block, schema) for block in blocks), rows_per_group)


def write_benchmarks(path: Path, blocks: Iterable[Scores]) -> None:
    """The benchmark models' predictions: era and one column a model, and id as the pandas index."""
    schema = schema_of([("era", pa.string())] + [(name, pa.float64()) for name in BENCHMARK_NAMES])
    _write(path, schema, (_scores_table(block, schema) for block in blocks))


def write_meta_model(path: Path, blocks: Iterable[Scores]) -> None:
    """The meta model's predictions: era, data_type, numerai_meta_model, and id as the pandas index."""
    schema = schema_of([("era", pa.string()), ("data_type", pa.string()), (META_MODEL, pa.float64())])
    _write(path, schema, (_scores_table(block, schema) for block in blocks))


def write_example(folder: Path, stem: str, blocks: Sequence[Scores]) -> None:
    """Example predictions, in the column `prediction` of the blocks, as <stem>.parquet and <stem>.csv."""
    schema = schema_of([("prediction", pa.float64())])
    _write(folder / f"{stem}.parquet", schema, (_scores_table(block, schema) for block in blocks))
    with (folder / f"{stem}.csv").open("w", newline="") as file:
        file.write("id,prediction\n")
        for block in blocks:
            pairs = zip(block.ids.astype(str).tolist(), block.values["prediction"].tolist(), strict=True)
            file.writelines(f"{row},{value!r}\n" for row, value in pairs)


def write_live(
    folder: Path,
    feature_names: Sequence[str],
    ids: NDArray[np.bytes_],
    features: NDArray[np.int8],
    predictions: NDArray[np.float64],
) -> None:
    """The live files of a round: features (n, d) int8, targets all empty, predictions (n, 3) as in PREDICTIONS."""
    unresolved = np.full((len(ids), len(TARGETS)), np.nan, dtype=np.float32)
    write_rows(folder / LIVE, [Rows(LIVE_ERA, LIVE_TYPE, ids, features, unresolved)], feature_names)
    scores = Scores.of(LIVE_ERA, LIVE_TYPE, ids, predictions)
    write_benchmarks(folder / LIVE_BENCHMARK, [scores])
    write_example(folder, LIVE_EXAMPLE, [scores.example()])


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], rows_per_group: int = ROWS_PER_GROUP) -> None:
    """Gather tables into row groups of equal length."""
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=["era", "data_type"]) as writer:
        waiting: list[pa.Table] = []
        rows = 0
        for table in tables:
            waiting.append(table)
            rows += table.num_rows
            while rows >= rows_per_group:
                gathered = pa.concat_tables(waiting)
                writer.write_table(gathered.slice(0, rows_per_group).combine_chunks(), row_group_size=rows_per_group)
                waiting, rows = [gathered.slice(rows_per_group)], rows - rows_per_group
        if rows:
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), row_group_size=rows_per_group)


def _rows_table(block: Rows, schema: pa.Schema) -> pa.Table:
    columns = [
        _repeat(block.era, len(block.ids)),
        _repeat(block.data_type, len(block.ids)),
        # One contiguous copy a block; the columns are views of it.
        *(pa.array(column) for column in np.ascontiguousarray(block.features.T)),
        *(_nullable(column) for column in np.ascontiguousarray(block.targets.T)),
        _ids(block.ids),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _scores_table(block: Scores, schema: pa.Schema) -> pa.Table:
    fixed = {"era": block.era, "data_type": block.data_type}
    columns = [
        _ids(block.ids)
        if name == "id"
        else _repeat(fixed[name], len(block.ids))
        if name in fixed
        else _nullable(block.values[name])
        for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _nullable(values: NDArray[np.floating]) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _ids(ids: NDArray[np.bytes_]) -> pa.Array:
    return pa.array(ids.astype(str).tolist(), type=pa.string())


def _repeat(value: str, n: int) -> pa.Array:
    return pa.array([value] * n, type=pa.string())


def rows_schema(features: Sequence[str]) -> pa.Schema:
    """The schema of train, validation and live with (d,) `features`."""
    return schema_of(
        [("era", pa.string()), ("data_type", pa.string())]
        + [(name, pa.int8()) for name in features]
        + [(name, pa.float32()) for name in TARGETS]
    )


def schema_of(columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """The schema of a release file: columns and `id`, with the metadata by which pandas makes `id` the index."""
    fields = [pa.field(name, kind) for name, kind in columns] + [pa.field("id", pa.string())]
    metadata = {
        "index_columns": ["id"],
        "column_indexes": [],
        "columns": [
            {
                "name": field.name,
                "field_name": field.name,
                "pandas_type": "unicode" if pa.types.is_string(field.type) else _numpy_name(field.type),
                "numpy_type": "object" if pa.types.is_string(field.type) else _numpy_name(field.type),
                "metadata": None,
            }
            for field in fields
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return pa.schema(fields, metadata={"pandas": json.dumps(metadata)})


def _numpy_name(kind: pa.DataType) -> str:
    return str(np.dtype(kind.to_pandas_dtype()))
