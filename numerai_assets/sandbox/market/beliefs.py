"""Two exact filters of the hidden state, given every weekly specific return.

Both know the stocks' identities and all other components of the expected return. A participant knows neither, so
predictions from these filters are an upper bound of attainable ones.
"""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.sandbox.market.economy import PATH_PHI, REGIME_STAYS, REGIMES

WEEK = 5


def update_path(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    surprise: NDArray[np.float64],
    path_vol: float,
    noise_vol: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kalman filter of stocks' own expected returns, one week on: (n,) mean and variance given the week's surprise.

    surprise (n,): specific return of the week's five days less the expectation from all components but the own path.
    The noise is not Gaussian (daily Student's t), so this is the best linear filter.
    """
    gain = variance / (variance + noise_vol**2 / WEEK)
    updated = mean + gain * (surprise / WEEK - mean)
    left = (1 - gain) * variance
    return PATH_PHI * updated, PATH_PHI**2 * left + (1 - PATH_PHI**2) * path_vol**2


def update_regime(
    chances: NDArray[np.float64],
    surprise: NDArray[np.float64],
    expected: NDArray[np.float64],
    noise_vol: float,
) -> NDArray[np.float64]:
    """Hamilton (1989) filter of the regime, one week on: (REGIMES,) chances given the week's surprise.

    surprise (n,): specific return of the week's five days less the expectation from all components but the regime.
    expected (n, REGIMES): a weekday's return under each regime.
    """
    misfit = ((surprise[:, None] - WEEK * expected) ** 2).sum(axis=0) / (2 * WEEK * noise_vol**2)
    weight = chances * np.exp(misfit.min() - misfit)
    return np.asarray(REGIME_STAYS * weight / weight.sum() + (1 - REGIME_STAYS) / REGIMES)
