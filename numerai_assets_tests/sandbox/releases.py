"""Properties of every release of the sandbox, whatever its size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def read(release: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(release / "v5.3" / name)


def check_bins(rows: pd.DataFrame, features: Sequence[str]) -> None:
    """In each era a feature has five bins of equal size, or is missing: constant 2. Some feature is missing somewhere."""
    missing_features = 0
    for _, of_era in rows.groupby("era"):
        bins = of_era[list(features)].to_numpy()
        counts = np.stack([(bins == value).sum(axis=0) for value in range(5)])
        missing = counts[2] == len(of_era)
        missing_features += missing.sum()
        assert (np.ptp(counts[:, ~missing], axis=0) <= 1).all()
    assert missing_features > 0


def check_targets(validation: pd.DataFrame, newest: int) -> None:
    """Shares of the main targets are exact; targets come 5 and 13 eras late; the last 13 eras are `test`."""
    for _, rows in validation[validation.data_type == "validation"].groupby("era"):
        cuts = np.rint(len(rows) * np.array([0, 0.05, 0.25, 0.75, 0.95, 1])).astype(int)
        for target in ("target_ender_20", "target_ender_60"):
            counts = [int((rows[target] == value).sum()) for value in (0, 0.25, 0.5, 0.75, 1)]
            assert counts == np.diff(cuts).tolist()
    era = validation.era.astype(int)
    assert (validation.target_ender_20.notna() == (era <= newest - 5)).all()
    assert (validation.target_ender_60.notna() == (era <= newest - 13)).all()
    assert ((validation.data_type == "test") == (era > newest - 13)).all()
    assert 0 < validation.loc[era <= newest - 13, "target_agnes_60"].isna().mean() < 0.05
    pd.testing.assert_series_equal(validation["target"], validation["target_ender_60"], check_names=False)


def check_nothing_secret(release: Path) -> None:
    """No column of a release tells of the oracle, of stocks or of their risk exposures."""
    names = {name for path in (release / "v5.3").glob("*.parquet") for name in pd.read_parquet(path).columns}
    assert not {name for name in names if "oracle" in name or "stock" in name or "exposure" in name}
