"""Quality of look-alikes, measured without knowing the stocks: their distance, and the share that is mutual."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.features.plots import COLOURS, empty_axes, png
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import Points, nearest
from numerai_assets.features.trajectories.neighbours import Trajectories

Array = NDArray[np.float64]

_BINS = 60


@dataclass(frozen=True)
class Quality:
    """Quality of the look-alikes of one era, by lag; NaN for a lag before the first era.

    lags: eras back. nearness: (lags,) root mean square distance of all look-alikes over that of all pairs of rows:
    0 for copies, 1 for random rows. nearness_of_nearest: (lags,) the same for the nearest look-alike only. mutual: (lags,)
    share of the rows that are the nearest row of their nearest look-alike. random: (lags,) root mean square distance of
    all pairs. nearest: (lags, n) float32 distance of the nearest. Distances as in `Trajectories`.
    """

    lags: tuple[int, ...]
    nearness: Array
    nearness_of_nearest: Array
    mutual: Array
    random: NDArray[np.float32]
    nearest: NDArray[np.float32]


def quality_of(
    trajectories: Trajectories, space: ComponentSpace, here: Points, there: Callable[[int], Points]
) -> Quality:
    """Quality of the trajectories of rows `here` (dims, n), points of a space; `there` returns the points of a lag."""
    lags = trajectories.lags
    near, nearer, mutual, squares = (np.full(len(lags), np.nan) for _ in range(4))
    for position, lag in enumerate(lags):
        rows = trajectories.rows[position]
        if (rows < 0).all():
            continue
        points = there(lag)
        squares[position] = _mean_square(here, points)
        found = np.square(trajectories.distances[position], dtype=np.float64)
        near[position], nearer[position] = np.sqrt(np.nanmean(found)), np.sqrt(np.nanmean(found[0]))
        mutual[position] = mutual_rows(rows[0], here, points).mean()
    random = space.distances(squares)
    return Quality(lags, near / random, nearer / random, mutual, random, trajectories.distances[:, 0])


def mutual_rows(nearest_rows: NDArray[np.int16], here: Points, there: Points) -> NDArray[np.bool_]:
    """(n,) True for the rows of `here` (dims, n) that are nearest to their own nearest in `there`; False where that is -1."""
    chosen, which = np.unique(nearest_rows, return_inverse=True)
    back, _ = nearest(there[:, chosen], here, 1)
    return np.asarray((back[0][which] == np.arange(len(nearest_rows))) & (nearest_rows >= 0))


def picture(quality: Quality, title: str) -> bytes:
    """A PNG: nearness and mutual share by lag, and distributions of the distance of the nearest look-alike at some lags."""
    figure, (by_lag, spread) = empty_axes(1, 2, height=3.4)
    for values, colour, label in (
        (quality.nearness, COLOURS[1], "distance over that of random rows"),
        (quality.nearness_of_nearest, COLOURS[4], "the same, of the nearest"),
        (quality.mutual, COLOURS[0], "share that is mutual"),
    ):
        by_lag.plot(quality.lags, values, color=colour, marker="o", markersize=3, label=label)
    by_lag.set(xlabel="eras back", xscale="log", ylim=(0, 1.05))
    by_lag.set_xticks(quality.lags, [str(lag) for lag in quality.lags], fontsize=7)
    by_lag.minorticks_off()
    known = np.flatnonzero(np.isfinite(quality.random))
    top = 1.1 * float(np.max(quality.random[known], initial=1.0))
    # The first, a middle and the last lag: more lines would hide each other.
    for position, colour in zip(
        np.unique(known[[0, len(known) // 2, -1]]) if len(known) else [], COLOURS, strict=False
    ):
        distances = quality.nearest[position]
        spread.hist(
            distances[np.isfinite(distances)],
            bins=_BINS,
            range=(0, top),
            histtype="step",
            color=colour,
            label=f"nearest, {quality.lags[position]} back",
        )
        spread.axvline(quality.random[position], color=colour, linewidth=0.8, linestyle=":")
    spread.set(xlabel="standard deviations (dotted: random rows)", ylabel="rows")
    by_lag.set_title(title, loc="left", fontsize=11)
    for axes in (by_lag, spread):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return png(figure)


def _mean_square(here: Points, there: Points) -> float:
    """Mean squared distance of all pairs of (dims, n) and (dims, m), computed from the moments of each."""
    a, b = here.astype(np.float64), there.astype(np.float64)
    apart = a.mean(axis=1) - b.mean(axis=1)
    return float(a.var(axis=1).sum() + b.var(axis=1).sum() + apart @ apart)
