"""Peak memory and time of fitting the example model: from the era store, compared with Numerai's pandas code.

    python -m benchmarks.fit_memory --eras 60 --rows 2000 --features 600 --trees 50

Each fit runs in a process of its own over the same synthetic eras. The peer reads one Parquet file into a frame and calls
LGBMRegressor.fit, as Numerai's example notebooks do. Ours is `Benchmark` on the era files (half a byte per cell), and
`ExternalBoosting`, XGBoost from disk. The predictions of `Benchmark` and the peer must be the same.
"""

import argparse
import tempfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.table import Row, in_process, package, print_rows
from numerai_assets.eras import Wall, era_label
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.store.era_store import EraStore

TARGET = "target_ender_60"


def make_eras(folder: Path, eras: int, rows: int, features: int) -> None:
    """Writes the same synthetic rows as an era store and as one Parquet file."""
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
    frame = pd.read_parquet(folder / "train.parquet")
    names = [name for name in frame.columns if name.startswith("feature_")]
    model = lgb.LGBMRegressor(
        n_estimators=trees,
        learning_rate=0.01,
        max_depth=5,
        num_leaves=31,
        colsample_bytree=0.1,
        random_state=0,
        n_jobs=1,
        verbosity=-1,
        deterministic=True,
        force_col_wise=True,
    )
    model.fit(frame[names], frame[TARGET])
    first = frame[frame["era"] == era_label(1)]
    np.save(folder / "pandas.npy", rank_within_eras(np.asarray(model.predict(first[names])), [len(first)]))


def fit_era_store(folder: Path, trees: int) -> None:
    """This project: mapped int8 blocks, four bits per cell in LightGBM."""
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    model = Benchmark(n_estimators=trees, every_eras=1).run_on(threads=1).fit(panel, target=TARGET, seed=0)
    np.save(folder / "ours.npy", model.predict(panel.with_eras([1])))


def fit_from_disk(folder: Path, trees: int) -> None:
    """This project's last resort: XGBoost's external memory."""
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    ExternalBoosting(n_estimators=trees, every_eras=1).run_on(threads=1).fit(panel, target=TARGET, seed=0)


def measure(
    quick: bool, *, eras: int | None = None, rows: int | None = None, features: int | None = None, trees: int = 20
) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the predictions of ours and the peer's differ."""
    eras, rows, features = eras or (40 if quick else 100), rows or (2000 if quick else 3000), features or 600
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_eras(folder, eras, rows, features)
        ways = (fit_era_store, fit_from_disk, fit_pandas)
        ours, from_disk, theirs = (in_process(way, folder, trees) for way in ways)
        apart = np.abs(np.load(folder / "ours.npy") - np.load(folder / "pandas.npy")).max()
    if apart > 1e-6:
        raise RuntimeError(f"predictions differ by {apart:.2g}")
    size, peer = f"{eras * rows:,} rows x {features}, {trees} trees", f"pandas frame, {package('lightgbm')}"
    return [
        Row(f"fit LightGBM, {size}", ours, peer, theirs),
        Row(f"fit XGBoost from disk, {size}", from_disk, peer, theirs),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 60), ("rows", 2000), ("features", 600), ("trees", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))


if __name__ == "__main__":
    main()
