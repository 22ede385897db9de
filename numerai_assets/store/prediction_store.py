"""Predictions on disk, one Parquet file per method, vintage and era: scored as they would have been submitted.

Layout: <folder>/<method>/<vintage>/<key>.parquet with columns id, era, prediction, method, vintage.
DuckDB reads all of them as one table.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import StoreError
from numerai_assets.store.atomic import replacing_file


class PredictionStore:
    """Predictions of all methods and vintages under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self, method: str, vintage: int, key: str, *, era: int, ids: Sequence[str], prediction: NDArray[np.float32]
    ) -> None:
        """Stores predictions (n,) float32 of one era or live round. Raises StoreError for a value outside (0, 1)."""
        if not (np.isfinite(prediction).all() and ((prediction > 0) & (prediction < 1)).all()):
            raise StoreError(
                f"{method} vintage {vintage:04d}, era {key}: predictions must lie strictly between 0 and 1"
            )
        n = len(ids)
        table = pa.table(
            {
                "id": pa.array(list(ids), pa.string()),
                "era": pa.array(np.full(n, era, np.int16)),
                "prediction": pa.array(np.asarray(prediction, np.float32)),
                "method": pa.array([method] * n, pa.string()).dictionary_encode(),
                "vintage": pa.array(np.full(n, vintage, np.int16)),
            }
        )
        with replacing_file(self._path(method, vintage, key)) as aside:
            pq.write_table(table, aside, compression="zstd")

    def read(self, method: str, vintage: int, key: str) -> pd.DataFrame:
        """Columns id, era, prediction, method, vintage. Raises StoreError when there are none."""
        path = self._path(method, vintage, key)
        if not path.is_file():
            raise StoreError(f"{method} vintage {vintage:04d}: no predictions of {key}; materialize them first")
        frame: pd.DataFrame = pq.read_table(path, partitioning=None).to_pandas()
        return frame

    def holds(self, method: str, vintage: int, key: str) -> bool:
        return self._path(method, vintage, key).is_file()

    def vintages(self, method: str) -> list[int]:
        """Vintages that have predicted a historical era, ascending."""
        return sorted({int(path.parent.name) for path in (self.folder / method).glob("*/[0-9]*.parquet")})

    def eras(self, method: str, vintage: int) -> list[int]:
        """Historical eras predicted by a vintage, ascending."""
        return sorted(int(path.stem) for path in (self.folder / method / era_label(vintage)).glob("[0-9]*.parquet"))

    def forget(self, method: str, vintage: int) -> None:
        """Drops all predictions of a vintage, as when it is about to be fitted again."""
        for path in (self.folder / method / era_label(vintage)).glob("[!.]*.parquet"):
            path.unlink()

    def glob(self, method: str) -> str:
        """Pattern of all predictions of a method for historical eras, for DuckDB."""
        return str(self.folder / method / "*" / "[0-9]*.parquet")

    def _path(self, method: str, vintage: int, key: str) -> Path:
        return self.folder / method / era_label(vintage) / f"{key}.parquet"
