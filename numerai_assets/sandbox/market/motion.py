"""Motion of characteristics and factors from Friday to Friday, and their state between two Fridays."""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.sandbox.market.economy import Economy

# Rows processed together: temporaries of 1 MB stay in the cache.
_ROWS_AT_ONCE = 64


def factor_innovations(economy: Economy, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, k) standard normal innovations of the factors that characteristics share."""
    k = len(economy.factor_vol)
    common = rng.standard_normal((n, 1), dtype=np.float32)
    return economy.factor_own * rng.standard_normal((n, k), dtype=np.float32) + economy.factor_common * common


def innovations(economy: Economy, factors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, d) standard normal innovations of characteristics, given those of the (n, k) factors."""
    own = rng.standard_normal((len(factors), len(economy.rho)), dtype=np.float32)
    own *= economy.own
    own += factors @ economy.loadings
    return own


def live_on(
    economy: Economy,
    x: NDArray[np.float32],
    alive: NDArray[np.intp],
    factors: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    out: NDArray[np.float32],
) -> None:
    """Write rows `alive` (n,) of the characteristics x, one week on, into the first n rows of `out`.

    factors (n, k): the week's innovations of the factors.
    """
    for start in range(0, len(alive), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(alive)))
        np.take(x, alive[rows], axis=0, out=out[rows], mode="clip")
        onward(out[rows], innovations(economy, factors[rows], rng), economy.rho)


def newcomers(economy: Economy, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Characteristics (n, d) and factors (n, k) from the stationary distribution."""
    both = rng.standard_normal((n, len(economy.stationary)), dtype=np.float32) @ economy.stationary.T
    return both[:, : len(economy.rho)], both[:, len(economy.rho) :]


def onward(
    state: NDArray[np.float32], innovation: NDArray[np.float32], rho: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The AR(1) one week on. Overwrites both arrays."""
    state *= rho
    innovation *= np.sqrt(1 - rho**2)
    state += innovation
    return state


def between(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    noise: NDArray[np.float32],
    rho: NDArray[np.float32],
    f: float,
) -> NDArray[np.float32]:
    """State at fraction f of the week of an Ornstein-Uhlenbeck process pinned at both Fridays."""
    r = rho.astype(np.float64)
    a = (r**f - r ** (2 - f)) / (1 - r**2)
    b = (r ** (1 - f) - r ** (1 + f)) / (1 - r**2)
    std = np.sqrt(np.maximum(1 - a * r**f - b * r ** (1 - f), 0))
    return np.asarray(a * left + b * right + std * noise, dtype=np.float32)
