"""The climate is a function of seed and era alone, with the laws it states."""

import numpy as np
import pytest

from numerai_assets.sandbox.market.climate import Climate
from numerai_assets.sandbox.market.economy import REGIME_STAYS, REGIMES, TILT_COMMON, TILT_PHI


def test_it_does_not_depend_on_what_was_asked_before() -> None:
    one, other = Climate(4, 100, seed=1), Climate(4, 100, seed=1)
    other.at(103)
    np.testing.assert_array_equal(one.at(160).tilt, other.at(160).tilt)
    assert [one.at(era).regime for era in range(100, 160)] == [other.at(era).regime for era in range(100, 160)]


def test_tilts_wander_as_stated_and_partly_together() -> None:
    climate = Climate(50, 0, seed=2)
    tilts = np.array([climate.at(era).tilt for era in range(3000)])
    assert tilts.std() == pytest.approx(1.0, abs=0.08)
    assert np.mean([np.corrcoef(t[1:], t[:-1])[0, 1] for t in tilts.T]) == pytest.approx(TILT_PHI, abs=0.03)
    assert tilts.mean(axis=1).var() == pytest.approx(TILT_COMMON, abs=0.08)


def test_regimes_last_and_all_come() -> None:
    climate = Climate(1, 0, seed=3)
    regimes = np.array([climate.at(era).regime for era in range(4000)])
    stays = REGIME_STAYS + (1 - REGIME_STAYS) / REGIMES
    assert (regimes[1:] == regimes[:-1]).mean() == pytest.approx(stays, abs=0.01)
    assert (np.bincount(regimes, minlength=REGIMES) / 4000).min() > 0.15
