"""The other participants: real models, fitted walk-forward on the same published data.

A chunk of eras is predicted by models that were fitted when the chunk began, on eras at least the purge before it
(8 eras for 20-day targets, 16 for 60-day ones), every n-th of them: like Numerai's own benchmark models.
The meta model is the stake-weighted mean of the benchmarks and some cheap, diverse rivals.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from numerai_assets.eras import horizon_of, last_era_before
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.files import load_arrays, save_arrays, write_text
from numerai_assets.sandbox.published.prediction_names import BENCHMARKS, Rival
from numerai_assets.sandbox.published.sizes import Size


class PublishedHistory(Protocol):
    """The published data by era."""

    def features(self, era: int) -> NDArray[np.int8]:
        """(n, d) int8 bins."""

    def target(self, era: int, name: str) -> NDArray[np.float32]:
        """(n,) target, NaN where there is none (yet)."""


OTHERS = (
    Rival("ridge_ender60", "target_ender_60", stake=1.0),
    Rival("ridge_jasper60", "target_jasper_60", stake=0.8),
    Rival("ridge_teager20", "target_teager2b_20", stake=0.8, groups=("constitution", "charisma", "wisdom", "sunshine")),
    Rival("ridge_alpha60", "target_alpha_60", stake=0.5, groups=("quantum", "faith", "rain", "midnight")),
    Rival(
        "lgbm_cyrusd60",
        "target_cyrusd_60",
        stake=1.5,
        groups=("constitution", "charisma", "agility", "rain", "strength", "intelligence"),
        trees_share=0.4,
        seed=7,
    ),
)

# The example model's shape; the number of trees and the learning rate come with the size of the world. One thread:
# these fits are small, and on a busy machine LightGBM's threads wait for each other longer than they work.
_LIGHTGBM = {
    "objective": "regression",
    "max_depth": 5,
    "num_leaves": 31,
    "feature_fraction": 0.1,
    "min_data_in_leaf": 20,
    "min_data_in_bin": 1,
    "max_bin": 8,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_RIDGE = 0.02


class Rivals:
    """Fits and stores the models in `directory`, one folder per chunk.

    groups: (d,) the group of each feature column.
    """

    def __init__(self, directory: Path, size: Size, groups: Sequence[str]) -> None:
        self._directory = directory
        self._size = size
        self._groups = np.array(groups)
        self._loaded: dict[Path, lgb.Booster | NDArray[np.float32]] = {}

    def chunk_of(self, era: int) -> int | None:
        """First era of the chunk that `era` is in, for which its models are fitted; None before the first chunk."""
        first, chunk = self._size.first_benchmark_era, self._size.chunk
        return None if era < first else first + (era - first) // chunk * chunk

    def rivals_of(self, start: int) -> tuple[Rival, ...]:
        """Participants of the chunk from `start`: others than benchmarks are fitted only for a meta model."""
        return BENCHMARKS + OTHERS if start + self._size.chunk > self._size.meta_model_from else BENCHMARKS

    def fit(self, rival: Rival, start: int, history: PublishedHistory) -> None:
        """Fit `rival` for the chunk that begins at era `start`, unless it is stored. SandboxError without data."""
        path = self._path(rival, start)
        if path.exists():
            return
        x, y = self._training_rows(rival, start, history)
        path.parent.mkdir(parents=True, exist_ok=True)
        if rival.trees_share:
            rounds = max(1, round(self._size.trees * rival.trees_share))
            write_text(path, _fit_lightgbm(x, y, rounds, self._size.learning_rate, rival.seed).model_to_string())
        else:
            save_arrays(path, weights=_fit_ridge(x, y))

    def predict(
        self, rivals: Iterable[Rival], start: int, features: NDArray[np.int8]
    ) -> dict[str, NDArray[np.float64]]:
        """By rival: (n,) float64 ranks in (0, 1) for the (n, d) rows of one era of the chunk from `start`."""
        return {rival.name: rank(self._raw(rival, start, features)) for rival in rivals}

    def _raw(self, rival: Rival, start: int, features: NDArray[np.int8]) -> NDArray[np.float64]:
        model = self._load(rival, start)
        x = features[:, self._columns(rival)]
        if isinstance(model, lgb.Booster):
            return np.asarray(model.predict(x.astype(np.float32), num_threads=1), dtype=np.float64)
        return np.asarray(_centred(x) @ model, dtype=np.float64)

    def _load(self, rival: Rival, start: int) -> lgb.Booster | NDArray[np.float32]:
        path = self._path(rival, start)
        if path not in self._loaded:
            if not path.exists():
                raise SandboxError(
                    f"{path}: rival {rival.name} has no model for eras from {start}; create the world again"
                )
            self._loaded[path] = (
                lgb.Booster(model_str=path.read_text()) if rival.trees_share else load_arrays(path)["weights"]
            )
        return self._loaded[path]

    def _training_rows(
        self, rival: Rival, start: int, history: PublishedHistory
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        eras = fit_eras(rival, start, self._size)
        if not eras:
            raise SandboxError(
                f"rival {rival.name}: no era before {start} less the purge to fit on; the market begins at era "
                f"{self._size.first_era}"
            )
        columns = self._columns(rival)
        rows, targets = [], []
        for era in eras:
            y = history.target(era, rival.target)
            known = np.isfinite(y)
            rows.append(history.features(era)[known][:, columns])
            targets.append(y[known])
        return np.concatenate(rows), np.concatenate(targets)

    def _columns(self, rival: Rival) -> NDArray[np.intp]:
        chosen = np.isin(self._groups, rival.groups) if rival.groups else np.ones(len(self._groups), dtype=bool)
        # A market may lack a group.
        return np.flatnonzero(chosen if chosen.any() else ~chosen)

    def _path(self, rival: Rival, start: int) -> Path:
        return self._directory / f"{start:04d}" / f"{rival.name}.{'txt' if rival.trees_share else 'npz'}"


def fit_eras(rival: Rival, start: int, size: Size) -> list[int]:
    """Eras that `rival` is fitted on when era `start` begins: calendar purge, then every n-th, the newest included."""
    last = last_era_before(start, horizon_of(rival.target))
    return list(range(last, size.first_era - 1, -size.every))[::-1]


def rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) average ranks in (0, 1)."""
    return np.asarray((rankdata(values) - 0.5) / len(values))


def meta_model(predictions: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(n,) rank in (0, 1) of the stake-weighted mean of the rivals' gaussianised ranks."""
    stakes = {rival.name: rival.stake for rival in BENCHMARKS + OTHERS}
    total = sum(stakes[name] * ndtri(ranks) for name, ranks in predictions.items())
    return rank(np.asarray(total))


def _fit_lightgbm(
    x: NDArray[np.int8], y: NDArray[np.float32], trees: int, learning_rate: float, seed: int
) -> lgb.Booster:
    settings = _LIGHTGBM | {"learning_rate": learning_rate, "seed": seed}
    return lgb.train(settings, lgb.Dataset(x.astype(np.float32), y, params=settings), num_boost_round=trees)


def _fit_ridge(x: NDArray[np.int8], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """(d,) weights of the centred bins; the penalty grows with the rows."""
    design = _centred(x)
    gram = (design.T @ design).astype(np.float64)
    gram[np.diag_indices_from(gram)] += _RIDGE * len(x) + 1.0
    moment = design.T @ (y - y.mean())
    return np.asarray(np.linalg.solve(gram, moment.astype(np.float64)), dtype=np.float32)


def _centred(x: NDArray[np.int8]) -> NDArray[np.float32]:
    return x.astype(np.float32) - 2.0
