"""Tables across eras, by DuckDB over the Parquet files of the stores. No database file is written."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from numerai_assets.errors import StoreError
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.prediction_store import PredictionStore


def out_of_sample(
    predictions: PredictionStore,
    method: str,
    store: EraStore,
    *,
    benchmarks: list[Path],
    benchmark_columns: Mapping[int, str],
    meta_model: Path,
) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Era, vintage and rows of every era that a method predicted out of sample and that has a known target.

    Where several vintages predicted an era, the newest vintage before the era counts: the one that would have been
    submitted. benchmark_columns: by horizon, the column of the files `benchmarks` that becomes benchmark_20 or
    benchmark_60. Rows, by id: prediction, target_20, target_60, benchmark_20, benchmark_60, meta_model, all float64.
    Raises StoreError when there are no predictions.
    """
    pattern = predictions.glob(method)
    first, second = (benchmark_columns[horizon].replace('"', '""') for horizon in (20, 60))
    if not any(predictions.folder.glob(f"{method}/*/[0-9]*.parquet")):
        raise StoreError(f"{method}: no out-of-sample predictions; train a vintage and predict with it first")
    with duckdb.connect() as db:
        db.execute("set preserve_insertion_order = false")
        rows = db.execute(
            f"""
            with ours as (
                select id, era, vintage, prediction from read_parquet($predictions, hive_partitioning = false)
                where vintage < era
                qualify vintage = max(vintage) over (partition by era)
            ),
            targets as (
                select id, target_ender_20, target_ender_60 from read_parquet($targets)
                where target_ender_20 is not null and not isnan(target_ender_20)
                   or target_ender_60 is not null and not isnan(target_ender_60)
            ),
            benchmarks as (
                select id, "{first}"::double as benchmark_20, "{second}"::double as benchmark_60
                from read_parquet($benchmarks)
            ),
            meta as (select id, numerai_meta_model from read_parquet($meta))
            select era, vintage, id,
                prediction::double as prediction,
                target_ender_20::double as target_20, target_ender_60::double as target_60,
                benchmark_20, benchmark_60,
                numerai_meta_model::double as meta_model
            from ours join targets using (id) left join benchmarks using (id) left join meta using (id)
            order by era, id
            """,
            {
                "predictions": pattern,
                "targets": store.targets_glob(),
                "benchmarks": [str(path) for path in benchmarks],
                "meta": str(meta_model),
            },
        ).df()
    if rows.empty:
        return
    edges = np.flatnonzero(np.r_[True, np.diff(rows["era"].to_numpy()) != 0, True])
    for start, stop in itertools.pairwise(edges):
        part = rows.iloc[start:stop]
        yield int(part["era"].iloc[0]), int(part["vintage"].iloc[0]), part
