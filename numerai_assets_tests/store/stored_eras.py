"""Eras made of plain arrays, written to a store."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.store.era_store import EraStore


def write_era(
    store: EraStore,
    era: int,
    features: NDArray[np.int8],
    feature_names: Sequence[str],
    targets: Mapping[str, NDArray[np.floating]],
) -> None:
    """Stores features (n, d) and targets (n,) of an era, all that will ever resolve, under ids of its own."""
    store.write_era(
        era_label(era),
        era=era,
        ids=[f"n{era:04d}{row:011x}" for row in range(len(features))],
        features=features,
        feature_names=feature_names,
        targets=pd.DataFrame(targets, dtype=np.float32),
        targets_as_of=1000,
    )
