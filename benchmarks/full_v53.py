"""All of v5.3 on one machine: time, memory and disk of every step, and of common alternatives.

    python -m benchmarks.full_v53 --folder DIR            # hours; 90 GB of disk
    python -m benchmarks.full_v53 --folder DIR --eras 0561-0640 --rows-share 0.1 --features 400   # minutes

The sandbox writes a release of the true shape (574 training eras, 660 later eras, 3,555 features, 6.87 M rows). It is
converted to an era store, trained on, predicted and scored. Each step runs in a process of its own. Memory is what the step
uses beyond its imports: anonymous (its own) and resident (with pages of files, which the system reclaims when it needs
them). A step whose result is in the folder already is not run again; remove the result to measure the step again.
LightGBM and XGBoost grow `--trees` and `--xgboost-trees` trees of Numerai's example model; its 2,000 are extrapolated.

Then ours is compared, at sizes that just fit into memory (`--peer-rows`), with Numerai's example code
(pandas.read_parquet, LGBMRegressor.fit) and with a memory map (rows of float32 in one file, LGBMRegressor.fit over the map,
as in numereng's folds).
"""

import argparse
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import lightgbm as lgb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

from benchmarks.table import Cost, Killed, Row, in_process, package, print_rows
from numerai_assets.eras import Wall, era_label, live_key
from numerai_assets.evaluation.metrics import corr
from numerai_assets.features.cleaning.fill import clean, leaves_as_released
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.contract import Method
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.sandbox.full_release.shape import FullShape
from numerai_assets.sandbox.full_release.write import write_full_release
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import LIVE, TRAIN, VALIDATION, Release
from numerai_assets.tournament.released_eras import read_eras

TARGET = "target_ender_60"
EXAMPLE_TREES = 2000
LIVE_ROUND = 1
UNTIL_TREES = "seconds_until_trees"


def write_release(folder: Path, shape: FullShape) -> None:
    write_full_release(folder / "release", shape=shape)


def convert(folder: Path) -> None:
    """Converts every era of train, validation and live from Parquet to the era store, and cleans it."""
    release = Release(folder / "release" / "v5.3")
    for file in (TRAIN, VALIDATION, LIVE):
        convert_file(EraStore(folder / "store"), release.path(file), release.features()["all"], release.targets())


def convert_file(store: EraStore, path: Path, features: Sequence[str], targets: Sequence[str]) -> None:
    """Stores and cleans every era of one release file, as the assets do."""
    for item in read_eras(path, features=features, targets=targets, wanted=lambda label: True):
        newest = int(item.label) if item.label.isdigit() else store.newest_era()
        key = item.label if item.label.isdigit() else live_key(LIVE_ROUND)
        record = item.store_in(store, features, key=key, era=newest, as_of=newest)
        if leaves_as_released("median", record.missing_cells):
            store.clean_as_released(record.key, strategy="median")
        else:
            store.write_cleaned(record.key, clean(item.features, "median"), strategy="median")


def fit(folder: Path, name: str, method: Method) -> None:
    """Fits one vintage on every era with a known target; records the time until the first tree."""
    began = time.perf_counter()
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era(), 60), target=TARGET)
    place = folder / name
    place.mkdir()
    library = xgb if isinstance(method, ExternalBoosting) else lgb

    def train(*arguments: Any, **named: Any) -> Any:
        (place / UNTIL_TREES).write_text(str(time.perf_counter() - began), encoding="utf-8")
        return grow(*arguments, **named)

    grow = library.train
    with mock.patch.object(library, "train", train):
        method.fit(panel, target=TARGET, seed=0).save(place)


def predict_live(folder: Path) -> None:
    """Predicts the live round with the LightGBM vintage, which is loaded from disk as in production."""
    store, model = EraStore(folder / "store"), Benchmark.load(folder / "lightgbm")
    prediction = model.predict(store.panel([live_key(LIVE_ROUND)]))
    np.save(folder / "live.npy", prediction)


def predict_and_score(folder: Path) -> None:
    """Predicts and scores every era after the training file, one at a time. Most are training eras here, so only the cost
    is meaningful, not the score."""
    store, model = EraStore(folder / "store"), Benchmark.load(folder / "lightgbm")
    scores = {}
    for era in store.eras():
        panel = store.panel([era_label(era)], targets=[TARGET])
        target = panel.target(TARGET).astype(np.float64)
        if era > 574 and not np.isnan(target).all():
            scores[era] = corr(model.predict(panel)[:, None].astype(np.float64), target)[0]
    pd.Series(scores, name="corr60", dtype=float).to_csv(folder / "scores.csv", index_label="era")


def fit_ours(folder: Path, trees: int) -> None:
    store = EraStore(folder / "peers" / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    Benchmark(n_estimators=trees, every_eras=1).run_on(threads=1).fit(panel, target=TARGET, seed=0)


def fit_pandas(folder: Path, trees: int) -> None:
    """Numerai's example: the whole frame, then LGBMRegressor.fit."""
    frame = pd.read_parquet(folder / "peers" / TRAIN)
    names = [name for name in frame.columns if name.startswith("feature_")]
    _regressor(trees).fit(frame[names], frame[TARGET])


def fit_memmap(folder: Path, trees: int) -> None:
    """Rows of float32 in one mapped file; the time includes reading them from Parquet."""
    place = folder / "peers"
    with pq.ParquetFile(place / TRAIN) as file:
        names = [name for name in file.schema_arrow.names if name.startswith("feature_")]
        rows = file.metadata.num_rows
        matrix = np.memmap(place / "matrix.bin", np.float32, mode="w+", shape=(rows, len(names)))
        done = 0
        for batch in file.iter_batches(10_000, columns=names):
            for column, values in enumerate(batch.columns):
                matrix[done : done + len(batch), column] = values.to_numpy()
            done += len(batch)
        target = file.read(columns=[TARGET])[TARGET].to_numpy()
    _regressor(trees).fit(matrix, target)


def _regressor(trees: int) -> lgb.LGBMRegressor:
    return lgb.LGBMRegressor(
        n_estimators=trees, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1, n_jobs=1, verbosity=-1
    )


def write_peer_data(folder: Path, rows: int) -> int:
    """The first training eras, about `rows` rows, as a store and as one Parquet file; returns the number of rows."""
    place, store = folder / "peers", EraStore(folder / "store")
    counts = [record.rows for record in store.records().values() if record.key.isdigit()]
    eras = store.eras()[: int(np.searchsorted(np.cumsum(counts), rows)) + 1]
    ours, writer = EraStore(place / "store"), None
    for era in eras:
        panel = store.panel([era_label(era)], targets=store.target_names)
        targets = pd.DataFrame({name: panel.target(name) for name in store.target_names})
        ours.write_era(
            era_label(era),
            era=era,
            ids=list(panel.ids),
            features=panel.features,
            feature_names=panel.feature_names,
            targets=targets,
            targets_as_of=eras[-1] + 100,
        )
        ours.clean_as_released(era_label(era), strategy="median")
        columns = dict(zip(panel.feature_names, panel.blocks[0], strict=True))
        table = pa.table({"id": panel.ids, "era": [era_label(era)] * panel.rows, **columns, **targets})
        writer = writer or pq.ParquetWriter(place / TRAIN, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return sum(ours.record(era_label(era)).rows for era in eras)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--eras", default="0001-1234")
    parser.add_argument("--features", type=int, default=3555)
    parser.add_argument("--rows-share", type=float, default=1.0)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--xgboost-trees", type=int, default=2)
    parser.add_argument("--peer-rows", type=int, nargs="+", default=[300_000, 150_000])
    parser.add_argument("--peer-trees", type=int, default=20)
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    first, _, newest = options.eras.partition("-")
    shape = FullShape(int(first), int(newest), options.features, options.rows_share)

    def step(name: str, made: str, work: Callable[..., None], *arguments: object) -> None:
        note = folder / f"{name}.json"
        if not note.is_file():
            print(f"{name} ...", flush=True)
            shutil.rmtree(folder / made, ignore_errors=True)
            cost = in_process(work, folder, *arguments)
            note.write_text(json.dumps(dataclasses.asdict(cost) | {"disk": _disk(folder / made)}), encoding="utf-8")

    trees, few = options.trees, options.xgboost_trees
    step("release", "release", write_release, shape)
    step("convert", "store", convert)
    step("fit-lightgbm", "lightgbm", fit, "lightgbm", Benchmark(n_estimators=trees, every_eras=1))
    step("predict-live", "live.npy", predict_live)
    step("predict-score", "scores.csv", predict_and_score)
    step("fit-xgboost", "xgboost", fit, "xgboost", ExternalBoosting(n_estimators=few, every_eras=1))
    _print_steps(folder, trees, few)

    for rows in options.peer_rows:
        compare_with_peers(folder, rows, options.peer_trees)


def compare_with_peers(folder: Path, about: int, trees: int) -> None:
    """Prints ours and the alternatives on about that many rows as a table, and reports those that do not fit into memory."""
    shutil.rmtree(folder / "peers", ignore_errors=True)
    (folder / "peers").mkdir()
    rows = write_peer_data(folder, about)
    features = len(EraStore(folder / "store").feature_names)
    size = f"{rows:,} rows x {features:,}, {trees} trees"
    ours, found = in_process(fit_ours, folder, trees), []
    for way, work in (("float32 memory map, ", fit_memmap), ("pandas frame, ", fit_pandas)):
        try:
            found.append(Row(f"fit {size}", ours, way + package("lightgbm"), in_process(work, folder, trees)))
        except Killed as killed:
            gigabytes = psutil.virtual_memory().total / 1e9
            print(f"fit {size}, {way.rstrip(', ')}: {killed}; this machine has {gigabytes:.0f} GB")
    print_rows(found)


def _print_steps(folder: Path, trees: int, few: int) -> None:
    print(f"{'step':<18}{'s':>9}{'CPU s':>9}{'anonymous GB':>14}{'resident GB':>13}{'disk GB':>9}")
    costs = {}
    for name in ("release", "convert", "fit-lightgbm", "predict-live", "predict-score", "fit-xgboost"):
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        disk = found.pop("disk")
        cost = costs[name] = Cost(**found)
        print(
            f"{name:<18}{cost.seconds:>9.0f}{cost.cpu_seconds:>9.0f}{cost.anonymous / 1e9:>14.2f}"
            f"{cost.resident / 1e9:>13.2f}{disk / 1e9:>9.2f}"
        )
    for name, grown in (("lightgbm", trees), ("xgboost", few)):
        until = float((folder / name / UNTIL_TREES).read_text(encoding="utf-8"))
        a_tree = (costs[f"fit-{name}"].seconds - until) / grown
        print(
            f"{name}: {until:.0f} s until the first tree, {a_tree:.1f} s per tree ({grown} grown); {EXAMPLE_TREES:,} trees "
            f"would take {(until + a_tree * EXAMPLE_TREES) / 3600:.1f} h (extrapolated)"
        )


def _disk(place: Path) -> int:
    files = place.rglob("*") if place.is_dir() else iter([place])
    # Hard links are counted once.
    seen = {(s.st_dev, s.st_ino): s.st_size for s in (path.stat() for path in files if path.is_file())}
    return sum(seen.values())


if __name__ == "__main__":
    main()
