"""Per-era scores out of a seed, as `era_scores` would have them."""

import numpy as np
import pandas as pd

from numerai_assets.evaluation.diagnostics import SCORES
from numerai_assets.evaluation.payout import SINCE_1343


def synthetic_scores(eras: int = 160, *, first: int = 900, mean: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """Scores of consecutive eras; those on the 60-day target overlap, the last 13 have not resolved."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.02, (eras + 12, len(SCORES)))
    overlapping = np.stack([np.convolve(column, np.ones(13) / np.sqrt(13), "valid") for column in noise.T], axis=1)
    frame = pd.DataFrame(mean + overlapping, columns=list(SCORES))
    frame["mmc60"] -= mean / 2
    frame["payout"] = SINCE_1343.payouts({name: frame[name].to_numpy() for name in SINCE_1343.names})
    frame.iloc[-13:] = np.nan
    frame.insert(0, "vintage", first - 8 + 52 * (np.arange(eras) // 52))
    return frame.set_index(pd.Index(range(first, first + eras), name="era"))
