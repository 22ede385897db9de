"""XGBoost's own form of an EraPanel: a file, from which it trains in about half a gigabyte of memory.

XGBoost reads the eras through an iterator, writes their bins to a file, once by rows and once by columns, and maps that file
at every level of every tree (ExtMemQuantileDMatrix; XGBoost docs, "Using XGBoost External Memory Version"). The bins are
declared, not searched for.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from numerai_assets.errors import ComputeError
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

BINS = 5
"""Values 0..4; a missing value follows the default direction of each split and needs no bin."""

# Size of XGBoost's file, measured without missing values; with some it is up to 5.2.
_BYTES_A_CELL = 2.18


@contextmanager
def binned_on_disk(
    panel: EraPanel, label: NDArray[np.float32], *, num_threads: int, progress: Progress = silent
) -> Iterator[xgb.ExtMemQuantileDMatrix]:
    """XGBoost's data of the panel's rows whose `label` (n,) is known, not NaN, in their order.

    A file of 2.2 bytes per cell is written beside the panel's cache, or to the folder of temporary files, and removed at the
    end of the context. The caller deletes its reference to the data before that: XGBoost removes its file at that moment and
    warns when the file is gone already. Raises ComputeError when the disk has no room.
    """
    beside = panel.cache.folder if panel.cache is not None else Path(tempfile.gettempdir())
    beside.mkdir(parents=True, exist_ok=True)
    _check_room(beside, int((~np.isnan(label)).sum()), len(panel.feature_names))
    with tempfile.TemporaryDirectory(prefix=".xgboost.", suffix=".part", dir=beside) as place:
        rows = _Eras(panel, label, str(Path(place) / "bins"), progress)
        data = xgb.ExtMemQuantileDMatrix(
            rows,
            max_bin=BINS,
            missing=int(MISSING),
            nthread=num_threads,
            ref=_declared_bins(len(panel.feature_names)),
        )
        yield data
        del data, rows


def predicted(booster: xgb.Booster, block: NDArray[np.int8]) -> NDArray[np.float32]:
    """(n,) raw predictions of a (d, n) block."""
    found: NDArray[np.float32] = booster.inplace_predict(_rows(block), missing=int(MISSING))
    return found


def contributions(booster: xgb.Booster, block: NDArray[np.int8]) -> NDArray[np.float32]:
    """(n, d) SHAP values of the raw predictions of a (d, n) block."""
    cells = xgb.DMatrix(_rows(block), missing=int(MISSING))
    return np.asarray(booster.predict(cells, pred_contribs=True), np.float32)[:, :-1]


def importances(booster: xgb.Booster, features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain and number of splits of each of the features, (d,) each."""
    return _scores(booster, features, "total_gain"), _scores(booster, features, "weight")


def _scores(booster: xgb.Booster, features: int, kind: str) -> NDArray[np.float64]:
    found = booster.get_score(importance_type=kind)
    # XGBoost omits the features that no tree uses.
    return np.array([found.get(f"f{position}", 0.0) for position in range(features)], np.float64)


def _check_room(place: Path, rows: int, features: int) -> None:
    """Raises ComputeError when the disk has no room: XGBoost would end the whole process when it is full."""
    needed, free = rows * features * _BYTES_A_CELL, shutil.disk_usage(place).free
    if needed > free:
        raise ComputeError(
            f"XGBoost: {rows:,} rows x {features:,} features take {needed / 1e9:.1f} GB of disk during the fit, "
            f"{place} has {free / 1e9:.1f} GB left; free some space, or fit on fewer features or eras (every_eras)"
        )


def _declared_bins(features: int) -> xgb.QuantileDMatrix:
    """One row per value: with this reference XGBoost does not search for bins, which would read all eras once more."""
    levels = np.repeat(np.arange(BINS, dtype=np.int8)[:, None], features, axis=1)
    return xgb.QuantileDMatrix(levels, label=np.zeros(BINS, np.float32), max_bin=BINS)


class TreesTold(xgb.callback.TrainingCallback):
    """Calls `told` with the number of trees grown so far, after each."""

    def __init__(self, told: Callable[[int], object]) -> None:
        self._told = told

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._told(epoch + 1)
        return False


class _Eras(xgb.DataIter):
    """Gives XGBoost the rows with a known label, one era after another."""

    def __init__(self, panel: EraPanel, label: NDArray[np.float32], cache_prefix: str, progress: Progress) -> None:
        super().__init__(cache_prefix=cache_prefix)
        self._panel = panel
        self._labels = np.split(label, panel.edges[1:-1])
        self._progress = progress
        self._readings = 0
        self._next = 0

    def next(self, input_data: Callable[..., object]) -> bool:
        while self._next < len(self._labels):
            label, block = self._labels[self._next], self._panel.blocks[self._next]
            self._next += 1
            self._progress(f"reading {self._readings} of the eras", self._next, len(self._labels))
            known = ~np.isnan(label)
            if known.any():
                rows = _rows(block)
                input_data(data=rows if known.all() else rows[known], label=label[known])
                return True
        return False

    def reset(self) -> None:
        self._readings += 1
        self._next = 0


def _rows(block: NDArray[np.int8]) -> NDArray[np.int8]:
    """(n, d) of a (d, n) block, C-contiguous: XGBoost misreads other strides."""
    return np.ascontiguousarray(block.T)
