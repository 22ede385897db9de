"""Rows of release files for tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Save = Callable[..., Path]

NAMES = ("feature_a", "feature_b", "feature_c")
TARGETS = ("target", "target_ender_20", "target_ender_60")


def rows_of(label: str, rows: int = 5, *, data_type: str = "validation", seed: int = 0) -> pd.DataFrame:
    """Rows of one era as Numerai releases them: id, era, data_type, int8 features, float32 targets."""
    rng = np.random.default_rng([seed, *label.encode()])
    frame = pd.DataFrame({"id": [f"n{label}{row}" for row in range(rows)], "era": label, "data_type": data_type})
    for name in NAMES:
        frame[name] = rng.integers(0, 5, rows, dtype=np.int8)
    for name in TARGETS:
        frame[name] = rng.integers(0, 5, rows).astype(np.float32) / 4
    frame["target"] = frame["target_ender_60"]
    return frame


def eras_of(labels: Sequence[str], **options: Any) -> pd.DataFrame:
    return pd.concat([rows_of(label, 4 + i % 3, **options) for i, label in enumerate(labels)], ignore_index=True)
