"""The rows of one era (or of one live round) in a folder of the world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import HORIZONS, era_label, resolved_through
from numerai_assets.sandbox.published.encoder import ALIAS, ALIAS_OF, TARGET_NAMES, TARGETS
from numerai_assets.sandbox.published.files import load_array, load_arrays, save_array, save_arrays, whole_folder


class EraFiles:
    """The files of one era, in a folder that appears once features and rows are in it.

    features.npy: (n, d) int8.  rows.npz: ids, stocks, exposures, day, and oracle_20, oracle_60 by component.
    targets_<horizon>.npy: (n, 20) float32.  predictions.npy: (n, 3) float64 as in PREDICTIONS.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self) -> bool:
        return self._folder.exists()

    def write(self, fill: Callable[["EraFiles"], None]) -> None:
        """Make the folder by `fill`, whole or not at all."""
        with whole_folder(self._folder) as aside:
            fill(EraFiles(aside))

    def write_rows(self, features: NDArray[np.int8], rows: dict[str, NDArray[Any]]) -> None:
        save_array(self._folder / "features.npy", features)
        save_arrays(self._folder / "rows.npz", **rows)

    def features(self) -> NDArray[np.int8]:
        return load_array(self._folder / "features.npy")

    def rows(self) -> dict[str, NDArray[Any]]:
        return load_arrays(self._folder / "rows.npz")

    def has_targets(self, horizon: int) -> bool:
        return (self._folder / f"targets_{horizon}.npy").exists()

    def write_targets(self, horizon: int, targets: NDArray[np.float32]) -> None:
        save_array(self._folder / f"targets_{horizon}.npy", targets)

    def targets(self, horizon: int) -> NDArray[np.float32]:
        return load_array(self._folder / f"targets_{horizon}.npy")

    def all_targets(self, era: int, newest_era: int) -> NDArray[np.float32]:
        """(n, 41) float32 in the order of TARGETS, as known when `newest_era` is the newest."""
        table = np.full((len(self.rows()["ids"]), len(TARGETS)), np.nan, dtype=np.float32)
        for horizon in HORIZONS:
            if era <= resolved_through(newest_era, horizon):
                columns = [TARGETS.index(f"target_{name}_{horizon}") for name in TARGET_NAMES]
                table[:, columns] = self.targets(horizon)
        table[:, TARGETS.index(ALIAS)] = table[:, TARGETS.index(ALIAS_OF)]
        return table

    def has_predictions(self) -> bool:
        return (self._folder / "predictions.npy").exists()

    def write_predictions(self, predictions: NDArray[np.float64]) -> None:
        save_array(self._folder / "predictions.npy", predictions)

    def predictions(self) -> NDArray[np.float64]:
        return load_array(self._folder / "predictions.npy")


def era_files(directory: Path, era: int) -> EraFiles:
    """A historical era of the world in `directory`."""
    return EraFiles(directory / "eras" / era_label(era))


def round_files(directory: Path, round_number: int) -> EraFiles:
    """The live rows of a round of the world in `directory`."""
    return EraFiles(directory / "rounds" / f"{round_number:05d}")
