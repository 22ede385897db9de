"""State of the whole market: the random walk of the premia and the hidden regime. Independent of the number of stocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.sandbox.market.economy import REGIME_STAYS, REGIMES, TILT_COMMON, TILT_PHI

_STREAM = 14


@dataclass(frozen=True)
class Weather:
    """A week's climate. tilt (e,): standard normal AR(1) that moves the premia. regime: 0..REGIMES-1."""

    tilt: NDArray[np.float64]
    regime: int


class Climate:
    """The path of the climate from `first_era` on, for `effects` premia."""

    def __init__(self, effects: int, first_era: int, seed: int) -> None:
        self._seed = seed
        self._first_era = first_era
        rng = self._rng(first_era)
        self._path = [Weather(_shock(effects, rng), int(rng.integers(REGIMES)))]

    def at(self, era: int) -> Weather:
        """The climate of the week after era `era`, which is not before the first."""
        while len(self._path) <= era - self._first_era:
            self._path.append(self._step(self._path[-1], self._rng(self._first_era + len(self._path))))
        return self._path[era - self._first_era]

    def _step(self, before: Weather, rng: np.random.Generator) -> Weather:
        tilt = TILT_PHI * before.tilt + np.sqrt(1 - TILT_PHI**2) * _shock(len(before.tilt), rng)
        # A new draw may give the same regime: premia with mean zero over regimes then simply decay in expectation.
        regime = before.regime if rng.random() < REGIME_STAYS else int(rng.integers(REGIMES))
        return Weather(tilt, regime)

    def _rng(self, era: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self._seed, _STREAM, era]))


def _shock(effects: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(effects,) standard normal, with a common component."""
    own = rng.standard_normal(effects)
    return np.asarray(np.sqrt(TILT_COMMON) * rng.standard_normal() + np.sqrt(1 - TILT_COMMON) * own)
