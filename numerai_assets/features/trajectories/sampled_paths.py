"""Paths of rows through the past, sampled at the lags of their look-alikes and laid on a grid of eras.

The lags are dense near the current era and sparse further back. On the grid an era without a sample has the value of the
newest sample before it, which is all that was known at that era: nothing is interpolated towards later samples.
"""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import History
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets.panel.panel import EraPanel

LOOK_ALIKES = "look_alikes"


def check_lags(lags: tuple[int, ...]) -> None:
    """Raises FeatureError unless there are lags, from 1 up, ascending without repeats."""
    if not lags or lags[0] < 1 or list(lags) != sorted(set(lags)):
        raise FeatureError(f"lags {lags}: expected eras back from 1 up, ascending without repeats")


def look_alikes_of(panel: EraPanel, history: History, lags: tuple[int, ...]) -> Trajectories:
    """The look-alikes of the rows of the era at hand. Raises FeatureError for columns that are not of its rows and lags."""
    columns = history.columns(LOOK_ALIKES)
    if columns.shape[1] != panel.rows:
        raise FeatureError(
            f"era {era_label(history.era)}: {LOOK_ALIKES} has columns of {columns.shape[1]} rows, the era has {panel.rows}"
        )
    return Trajectories.of_columns(lags, columns)


def check_positions(trajectories: Trajectories, position: int, era: int, rows: int) -> None:
    """Raises FeatureError when a look-alike at lags[position] is beyond the `rows` rows of the lagged era."""
    last = int(trajectories.rows[position].max(initial=-1))
    if last >= rows:
        raise FeatureError(
            f"{LOOK_ALIKES}: row {last} of era {era_label(era)}, {trajectories.lags[position]} eras back, but that era "
            f"has {rows} rows; the columns are of other eras or other lags"
        )


def held(samples: NDArray[np.floating], lags: tuple[int, ...], through: int) -> NDArray[np.floating]:
    """(eras, ...) one value for each era from `through` eras back to lags[0] eras back, oldest first.

    samples: (lags, ...) values at the lags, NaN where there is none. through: at least lags[0]. Each era has the
    newest sample at or before it; NaN where there is none.
    """
    known = np.array(samples)
    for position in range(len(lags) - 2, -1, -1):
        gaps = np.isnan(known[position])
        known[position][gaps] = known[position + 1][gaps]
    # For each era back: the newest sample that is as old or older.
    place = np.searchsorted(lags, np.arange(through, lags[0] - 1, -1))
    none = np.full((1, *known.shape[1:]), np.nan, known.dtype)
    return np.asarray(np.concatenate([known, none])[place])
