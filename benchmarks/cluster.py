"""One fit on this machine and on a local Dask cluster of two workers: cost of the cluster, and equality of predictions.

    python -m benchmarks.cluster --eras 60 --rows 2000 --features 300 --trees 50

The peer is `lightgbm.dask`, over int8 arrays of the same eras. Every process has one thread. CPU seconds are the sum over
all processes; memory is the largest increase of anonymous memory of any process. On one machine a cluster is faster at
most by the number of cores; its purpose is a fit that does not fit into one machine's memory.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from numerai_assets.eras import Wall, era_label
from numerai_assets.evaluation.metrics import Score, score_eras
from numerai_assets.execution import LOCAL
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.boosted_trees import lightgbm_parameters
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.methods.mixer_boosting.estimator import MixerBoosting
from numerai_assets.panel.panel import EraPanel
from numerai_assets.store.era_store import EraStore

TARGET = "target_ender_60"
JUDGED = 20


@dataclass(frozen=True)
class Fit:
    """Cost of a fit, in seconds and bytes, and its predictions (n,) for unseen eras."""

    seconds: float
    cpu_seconds: float
    anonymous: int
    prediction: NDArray[np.float32]


Work = Callable[[EraPanel], Callable[[EraPanel], NDArray[np.float32]]]
"""Fits on a panel; returns the function that predicts another panel."""


def ours(method: type[Benchmark] | type[ExternalBoosting] | type[MixerBoosting], trees: int, compute: str) -> Work:
    """The method, trained here or on a cluster; each member of an ensemble has that many trees."""

    def work(seen: EraPanel) -> Callable[[EraPanel], NDArray[np.float32]]:
        estimator = method(n_estimators=trees, every_eras=1).run_on(threads=1, compute=compute)
        return estimator.fit(seen, target=TARGET, seed=0).predict

    return work


def lightgbm_dask(trees: int, address: str) -> Work:
    """LightGBM's own Dask support: arrays of one chunk per era, which the workers read from the files too."""

    def work(seen: EraPanel) -> Callable[[EraPanel], NDArray[np.float32]]:
        import dask.array as da
        import lightgbm as lgb
        from dask.delayed import delayed
        from distributed import Client

        like = Benchmark(n_estimators=trees).run_on(threads=1)
        parameters = lightgbm_parameters(like, 0) | {"objective": "regression", "n_estimators": trees}
        with Client(address) as client:
            rows = [
                da.from_delayed(delayed(_rows)(era), (era.rows, len(seen.feature_names)), np.int8)
                for era in seen.each_era()
            ]
            labels = [da.from_array(era.target(TARGET), chunks=-1) for era in seen.each_era()]
            model = lgb.DaskLGBMRegressor(client=client, **parameters).fit(da.concatenate(rows), da.concatenate(labels))
        booster = model.booster_
        return lambda unseen: rank_within_eras(np.asarray(booster.predict(unseen.features)), unseen.rows_of_era)

    return work


def _rows(era: EraPanel) -> NDArray[np.int8]:
    return np.ascontiguousarray(era.features)


def fit(work: Work, seen: EraPanel, unseen: EraPanel) -> Fit:
    """Fits and predicts; measures this process and its children."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    before = [_own(process) for process in processes]
    cpu_before = sum(_cpu(process) for process in processes)
    peaks, over = list(before), threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            peaks[:] = [max(peak, _own(process)) for peak, process in zip(peaks, processes, strict=True)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        predict = work(seen)
        seconds = time.perf_counter() - began
        cpu_seconds = sum(_cpu(process) for process in processes) - cpu_before
    finally:
        over.set()
        watcher.join()
    grown = max(peak - least for peak, least in zip(peaks, before, strict=True))
    return Fit(seconds, cpu_seconds, grown, predict(unseen))


def _own(process: psutil.Process) -> int:
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def make_eras(store: EraStore, eras: int, rows: int, features: int) -> None:
    """Synthetic eras in which every tenth feature has a weak correlation with the target."""
    names = [f"feature_{i}" for i in range(features)]
    for era in range(1, eras + 1):
        rng = np.random.default_rng(era)
        values = rng.integers(0, 5, (rows, features), dtype=np.int8)
        score = values[:, ::10].sum(axis=1) / np.sqrt(features) + 5 * rng.normal(size=rows)
        target = (np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4).astype(np.float32)
        ids = [f"n{era:04d}{row:011x}" for row in range(rows)]
        store.write_era(
            era_label(era),
            era=era,
            ids=ids,
            features=values,
            feature_names=names,
            targets=pd.DataFrame({TARGET: target}),
            targets_as_of=eras,
        )
        store.clean_as_released(era_label(era), strategy="median")


def main() -> None:
    from distributed import LocalCluster

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 60), ("rows", 2000), ("features", 300), ("trees", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as place,
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
    ):
        store = EraStore(Path(place) / "store")
        make_eras(store, options.eras + JUDGED, options.rows, options.features)
        seen = store.fit_panel(Wall(options.eras + 16, 60), target=TARGET)
        unseen = store.panel([era_label(options.eras + later) for later in range(1, JUDGED + 1)], targets=[TARGET])
        compute = cluster.scheduler_address.replace("tcp://", "dask://")
        print("| fit | s | CPU s | MB per process | CORR | correlation with here |")
        print("|---|---:|---:|---:|---:|---:|")
        ways = [
            ("benchmark, here", ours(Benchmark, options.trees, LOCAL)),
            ("benchmark, 2 workers", ours(Benchmark, options.trees, compute)),
            ("lightgbm.dask, 2 workers", lightgbm_dask(options.trees, cluster.scheduler_address)),
            ("external_boosting, here", ours(ExternalBoosting, options.trees, LOCAL)),
            ("external_boosting, 2 workers", ours(ExternalBoosting, options.trees, compute)),
            ("mixer_boosting, here", ours(MixerBoosting, options.trees, LOCAL)),
            ("mixer_boosting, 2 workers", ours(MixerBoosting, options.trees, compute)),
        ]
        for what, work in ways:
            found = fit(work, seen, unseen)
            if what.endswith("here"):
                here = found
            scores = score_eras(found.prediction[:, None], unseen.rows_of_era, {"corr": Score(unseen.target(TARGET))})[
                "corr"
            ]
            same = np.corrcoef(found.prediction, here.prediction)[0, 1]
            print(
                f"| {what} | {found.seconds:.1f} | {found.cpu_seconds:.1f} | {found.anonymous / 1e6:.0f} "
                f"| {scores.mean():.4f} ± {scores.std() / np.sqrt(len(scores)):.4f} | {same:.6f} |"
            )


if __name__ == "__main__":
    main()
