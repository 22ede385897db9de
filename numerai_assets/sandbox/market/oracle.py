"""The best possible predictions, by component: expected specific return over a window, given the information of the day.

| component | given |
|---|---|
| linear, quadratic, interactions | the published bins and the premia of the day |
| regimes | the bins and the chances of each regime, filtered from all weekly specific returns so far |
| spillover | the network itself and the leaders' specific returns so far |
| drift | the stock's identity and its specific returns so far, through a Kalman filter |

The first three take characteristics as independent given their bins: exact, except for the information of other features
on the position within a bin. The last three use hidden information that a participant must infer, and so are upper bounds.
Spillover excludes the expected return of the leaders themselves, which is in the other components.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.sandbox.market.economy import (
    MOMENTUM_PHI,
    PATH_PHI,
    REGIME_STAYS,
    TILT_PHI,
    Economy,
    premia,
)
from numerai_assets.sandbox.market.effects import KINDS
from numerai_assets.sandbox.market.network import REWIRED

COMPONENTS = (*KINDS, "regimes", "spillover", "drift")
"""Components of the expected return, in the order in which they are stored."""

_WEEK = 5
_BINS = 5
_FAR = 40.0

Window = list[tuple[int, int]]
"""(weeks after the Friday, weekdays of that week) of a window."""


def bins_of(x: NDArray[np.float32], lacking: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n, d) bins that (n, d) characteristics, NaN where missing, fall into; lacking (d,): share of missing values."""
    above = np.zeros(x.shape, dtype=np.int64)
    for edge in _edges(lacking).T.astype(np.float32):
        above += x >= edge
    above[np.isnan(x)] = 2
    return above


def bin_means(lacking: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(d, 5) means of x and of (x^2 - 1)/sqrt(2) within each bin of standard normal characteristics.

    Missing values, at most a fifth of the rows, are in the middle bin together with known ones; nothing is known of them,
    so they count as the mean of all.
    """
    edge = np.column_stack([np.full(len(lacking), -_FAR), _edges(lacking), np.full(len(lacking), _FAR)])
    density = np.exp(-(edge**2) / 2) / np.sqrt(2 * np.pi)
    # Integrals over the bin, in units of a bin's share of all rows.
    scale = (1 - lacking)[:, None] * _BINS
    mean = scale * (density[:, :-1] - density[:, 1:])
    square = scale * (edge[:, :-1] * density[:, :-1] - edge[:, 1:] * density[:, 1:]) / np.sqrt(2)
    return mean.astype(np.float32), square.astype(np.float32)


@dataclass(frozen=True)
class Known:
    """Information in the bins of a day. effects (n, e), local (n, e'): expected form of every effect."""

    effects: NDArray[np.float32]
    local: NDArray[np.float32]


def known_of(economy: Economy, x: NDArray[np.float32], lacking: NDArray[np.float64]) -> Known:
    """x (n, d): characteristics as published, NaN where missing; lacking (d,): share missing, 1 if it does not exist yet."""
    exists = lacking < 1
    bins = bins_of(x, np.where(exists, lacking, 0.0))
    means, squares = bin_means(np.where(exists, lacking, 0.0))
    bins += _BINS * np.arange(x.shape[1])
    mean, square = means.ravel().take(bins) * exists, squares.ravel().take(bins) * exists
    return Known(economy.effects.forms(mean, square), economy.local.forms(mean, square))


def expected_returns(
    economy: Economy,
    known: Known,
    era: int,
    elapsed: float,
    window: Window,
    tilt: NDArray[np.float64],
    chances: NDArray[np.float64],
    led: NDArray[np.float64],
    path: NDArray[np.float64],
) -> dict[str, NDArray[np.float32]]:
    """By component: (n,) expected specific return over `window`, which starts after Friday `era`.

    known: of the day of the bins; elapsed: weeks from that Friday to the day.  tilt (e,), chances (REGIMES,): premia's
    tilt and the regimes' chances on that Friday.  led (n,): a follower's expected return of that week.  path (n,): the
    stock's own.
    """
    weight, local = np.zeros(len(economy.strength)), np.zeros(economy.regime_strength.shape[1])
    led_weeks = path_weeks = 0.0
    for k, days in window:
        since = abs(k - elapsed)
        weight += days * premia(economy, era + k, tilt * TILT_PHI**k) * economy.effects.rho**since
        local += days * REGIME_STAYS**k * (chances @ economy.regime_strength) * economy.local.rho**since
        led_weeks += days * (MOMENTUM_PHI * (1 - REWIRED)) ** k
        path_weeks += days * PATH_PHI**k
    kinds = economy.effects.kinds()
    found = {kind: known.effects[:, kinds == i] @ weight[kinds == i] for i, kind in enumerate(KINDS)}
    found["regimes"] = known.local @ local
    found["spillover"] = led * led_weeks
    found["drift"] = path * path_weeks
    return {name: np.asarray(found[name], dtype=np.float32) for name in COMPONENTS}


def _edges(lacking: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, 4) cuts between bins. A bin has 20 % of all rows, and so more than 20 % of the rows with a value."""
    low = ndtri(np.array([0.2, 0.4])[None, :] / (1 - lacking)[:, None])
    return np.column_stack([low, -low[:, ::-1]])
