"""Peak memory and time of fitting the example model: int8 from mapped era files against Numerai's pandas way.

    python benchmarks/fit_memory.py --eras 60 --rows 2000 --features 600 --trees 50

Each way runs in a process of its own over the same made-up eras. `pandas` reads one Parquet file into a frame and calls
LGBMRegressor.fit, as Numerai's example notebooks do; `era store` is this project's `Benchmark` on the era files.
Memory is what the process held beyond its imports: anonymous (its own) and resident (with file pages) apart.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from numerai_assets.eras import Wall, era_label
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.store.era_store import EraStore

TARGET = "target_ender_60"


def make_eras(folder: Path, eras: int, rows: int, features: int) -> None:
    """Writes the same made-up rows as an era store and as one Parquet file."""
    store, names = EraStore(folder / "store"), [f"feature_{i}" for i in range(features)]
    tables = []
    for era in range(1, eras + 1):
        rng = np.random.default_rng(era)
        values = rng.integers(0, 5, (rows, features), dtype=np.int8)
        target = (rng.permutation(np.arange(rows)) * 5 // rows / 4).astype(np.float32)
        ids = [f"n{era:04d}{row:011x}" for row in range(rows)]
        frame = pd.DataFrame({TARGET: target})
        key = era_label(era)
        store.write_era(key, era=era, ids=ids, features=values, feature_names=names, targets=frame, targets_as_of=eras)
        store.write_cleaned(key, values, strategy="median")
        columns = {"era": pa.array([key] * rows), TARGET: pa.array(target)}
        columns |= {name: pa.array(values[:, i]) for i, name in enumerate(names)}
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables), folder / "train.parquet")


def fit_pandas(folder: Path, trees: int) -> None:
    """Numerai's example: the whole frame, then LGBMRegressor.fit."""
    import lightgbm as lgb

    frame = pd.read_parquet(folder / "train.parquet")
    names = [name for name in frame.columns if name.startswith("feature_")]
    model = lgb.LGBMRegressor(
        n_estimators=trees, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1, n_jobs=1, verbosity=-1
    )
    model.fit(frame[names], frame[TARGET])


def fit_era_store(folder: Path, trees: int) -> None:
    """The project's way: mapped int8 blocks handed to LightGBM as they are."""
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    Benchmark(n_estimators=trees, every_eras=1, num_threads=1).fit(panel, target=TARGET, seed=0)


WAYS: dict[str, Callable[[Path, int], None]] = {"pandas": fit_pandas, "era store": fit_era_store}


def run(way: str, folder: Path, trees: int, answer: Connection) -> None:
    """Runs one way in this process and sends seconds and peak bytes (anonymous, resident) beyond the imports."""
    import lightgbm  # noqa: F401 - its import is not part of the measurement

    process, peaks, over = psutil.Process(), [0, 0], threading.Event()
    before = process.memory_info()

    def watch() -> None:
        while not over.wait(0.01):
            now = process.memory_info()
            peaks[0] = max(peaks[0], (now.rss - now.shared) - (before.rss - before.shared))
            peaks[1] = max(peaks[1], now.rss - before.rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    WAYS[way](folder, trees)
    seconds = time.process_time() - began
    over.set()
    watcher.join()
    answer.send((seconds, *peaks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 60), ("rows", 2000), ("features", 600), ("trees", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    cells = options.eras * options.rows * options.features
    with tempfile.TemporaryDirectory() as place:
        make_eras(Path(place), options.eras, options.rows, options.features)
        found = {}
        for way in WAYS:
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=run, args=(way, Path(place), options.trees, theirs)
            )
            process.start()
            found[way] = ours.recv()
            process.join()
    print(f"{options.eras} eras x {options.rows:,} rows x {options.features} features: {cells / 1e6:.0f} MB as int8")
    print(f"{'way':<12}{'CPU s':>8}{'anonymous MB':>15}{'resident MB':>14}{'bytes a cell':>15}")
    for way, (seconds, anonymous, resident) in found.items():
        print(f"{way:<12}{seconds:>8.1f}{anonymous / 1e6:>15.0f}{resident / 1e6:>14.0f}{anonymous / cells:>15.2f}")
    ratios = [a / b for a, b in zip(found["pandas"], found["era store"], strict=True)]
    print(
        f"pandas / era store: time {ratios[0]:.2f}, anonymous memory {ratios[1]:.2f}, resident memory {ratios[2]:.2f}"
    )


if __name__ == "__main__":
    main()
