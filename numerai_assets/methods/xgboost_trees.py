"""XGBoost's trees for an EraPanel, from disk, grown on this machine or, the same, by the workers of a cluster.

On a cluster each worker has the bins of its own eras in a file of its own and XGBoost adds up the histograms (XGBoost
docs, "Distributed training with external memory"): the trees are those of one machine but for the order in which floats
are added.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from xgboost.collective import CommunicatorContext
from xgboost.tracker import RabitTracker

from numerai_assets.errors import MethodError
from numerai_assets.methods.cluster import LOCAL, Peers, on_cluster
from numerai_assets.progress import Progress, silent
from numerai_assets.store.panel import MISSING, EraPanel

BINS = 5
"""Values 0..4; a missing value goes its own way at each split and needs no bin."""

# Of XGBoost's file, measured where no value is missing; where some are it takes up to 5.2.
_BYTES_A_CELL = 2.18
# A worker may be that much slower than another over what comes before the first tree.
_APART_SECONDS = 3600


def train(
    panel: EraPanel,
    target: str,
    parameters: dict[str, Any],
    *,
    trees: int,
    compute: str = LOCAL,
    progress: Progress = silent,
) -> xgb.Booster:
    """XGBoost's model of `trees` trees on the rows whose `target` is known; features (n, d) int8, target (n,) float32.

    parameters: XGBoost's own, with nthread. compute: "local", or a cluster's address; its workers' threads are then those
    that they were started with. 2.2 bytes a cell are written beside the panel's cache, or among temporary files, until the
    fit is over. Raises MethodError when the disk has no room for that, and when the cluster is not there to the end.
    """
    if compute == LOCAL:
        return _grow(panel, target, parameters, trees, progress)
    work = partial(_grow_with_peers, target=target, parameters=parameters, trees=trees)
    return xgb.Booster(parameters, model_file=on_cluster(compute, panel, target, work, progress=progress))


def _grow(panel: EraPanel, target: str, parameters: dict[str, Any], trees: int, progress: Progress) -> xgb.Booster:
    beside = panel.cache.folder if panel.cache is not None else Path(tempfile.gettempdir())
    beside.mkdir(parents=True, exist_ok=True)
    _check_room(beside, int((~np.isnan(panel.target(target))).sum()), len(panel.feature_names))
    with tempfile.TemporaryDirectory(prefix=".xgboost.", suffix=".part", dir=beside) as place:
        rows = _Eras(panel, target, str(Path(place) / "bins"), progress)
        data = xgb.ExtMemQuantileDMatrix(
            rows,
            max_bin=BINS,
            missing=int(MISSING),
            nthread=parameters["nthread"],
            ref=_declared_bins(len(panel.feature_names)),
        )
        booster = xgb.train(parameters, data, num_boost_round=trees, callbacks=[_Trees(progress, trees)])
        # XGBoost removes its file when it lets go of the data, and complains when the file has gone before.
        del data, rows
    return booster


def _grow_with_peers(
    share: EraPanel, peers: Peers, progress: Progress, *, target: str, parameters: dict[str, Any], trees: int
) -> bytearray:
    """Runs on each worker; XGBoost's binary JSON model."""
    host, _, port = peers.addresses[0].rpartition(":")
    if peers.rank == 0:
        tracker = RabitTracker(len(peers.addresses), host, peers.port, sortby="task")
        tracker.start()
    network: dict[str, int | str | None] = {
        "dmlc_communicator": "rabit",
        "dmlc_tracker_uri": host,
        "dmlc_tracker_port": int(port),
        "dmlc_task_id": f"{peers.rank:05d}",
        "dmlc_retry": 30,
        "dmlc_timeout": _APART_SECONDS,
    }
    with CommunicatorContext(**network):
        booster = _grow(share, target, parameters | {"nthread": peers.threads}, trees, progress)
        model: bytearray = booster.save_raw("ubj")
    if peers.rank == 0:
        tracker.wait_for(_APART_SECONDS)
    return model


def _check_room(place: Path, rows: int, features: int) -> None:
    """XGBoost ends the whole process when the disk is full. Raises MethodError before it comes to that."""
    needed, free = rows * features * _BYTES_A_CELL, shutil.disk_usage(place).free
    if needed > free:
        raise MethodError(
            f"XGBoost from disk: {rows:,} rows x {features:,} features take {needed / 1e9:.1f} GB of disk until they "
            f"are fitted on, {place} has {free / 1e9:.1f} GB left; make room, or fit on fewer features or, by every_eras, eras"
        )


def _declared_bins(features: int) -> xgb.QuantileDMatrix:
    """One row a level: with it as a reference nothing is searched, which would take another reading of all eras."""
    levels = np.repeat(np.arange(BINS, dtype=np.int8)[:, None], features, axis=1)
    return xgb.QuantileDMatrix(levels, label=np.zeros(BINS, np.float32), max_bin=BINS)


class _Eras(xgb.DataIter):
    """Hands XGBoost the known rows of one era after another."""

    def __init__(self, panel: EraPanel, target: str, cache_prefix: str, progress: Progress) -> None:
        super().__init__(cache_prefix=cache_prefix)
        self._panel = panel
        self._target = target
        self._progress = progress
        self._readings = 0
        self._done = 0
        self._eras: Iterator[EraPanel] = iter(())

    def next(self, input_data: Callable[..., object]) -> bool:
        for era in self._eras:
            self._done += 1
            self._progress(f"reading {self._readings} of the eras", self._done, len(self._panel.eras))
            label = era.target(self._target)
            known = ~np.isnan(label)
            if known.any():
                rows = levels_of_rows(era.blocks[0])
                input_data(data=rows if known.all() else rows[known], label=label[known])
                return True
        return False

    def reset(self) -> None:
        self._eras = self._panel.each_era()
        self._readings += 1
        self._done = 0


class _Trees(xgb.callback.TrainingCallback):
    """Tells of each tree."""

    def __init__(self, progress: Progress, trees: int) -> None:
        self._progress, self._trees = progress, trees

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._progress("trees", epoch + 1, self._trees)
        return False


def levels_of_rows(block: NDArray[np.int8]) -> NDArray[np.int8]:
    """(n, d) of a (d, n) block, a row in one run of bytes: XGBoost takes other strides for something else."""
    return np.ascontiguousarray(block.T)
