"""The filters behind the oracle are the textbook's."""

import numpy as np

from numerai_assets.sandbox.market.beliefs import WEEK, update_path, update_regime
from numerai_assets.sandbox.market.economy import PATH_PHI, REGIME_STAYS, REGIMES

NOISE = 0.02


def test_the_path_filter_is_calibrated() -> None:
    rng, vol, n = np.random.default_rng(0), 0.05 * NOISE, 4000
    path, mean, variance = vol * rng.standard_normal(n), np.zeros(n), np.full(n, vol**2)
    for _ in range(150):
        surprise = WEEK * path + NOISE * np.sqrt(WEEK) * rng.standard_normal(n)
        mean, variance = update_path(mean, variance, surprise, vol, NOISE)
        path = PATH_PHI * path + np.sqrt(1 - PATH_PHI**2) * vol * rng.standard_normal(n)
    error = path - mean
    np.testing.assert_allclose(np.mean(error**2), variance.mean(), rtol=0.08)
    # A filter's error has nothing to do with its estimate, and it knows something.
    assert abs(np.corrcoef(error, mean)[0, 1]) < 0.05 and variance.mean() < 0.9 * vol**2


def test_without_a_path_nothing_is_believed() -> None:
    mean, variance = update_path(np.zeros(3), np.zeros(3), np.array([1.0, -1.0, 2.0]), 0.0, NOISE)
    assert not mean.any() and not variance.any()


def test_the_regime_filter_finds_the_regime_and_stays_open_to_a_change() -> None:
    rng, chances = np.random.default_rng(1), np.full(REGIMES, 1 / REGIMES)
    expected = 0.03 * NOISE * rng.standard_normal((600, REGIMES))
    for _ in range(20):
        surprise = WEEK * expected[:, 1] + NOISE * np.sqrt(WEEK) * rng.standard_normal(600)
        chances = update_regime(chances, surprise, expected, NOISE)
    assert chances.argmax() == 1
    np.testing.assert_allclose(chances.sum(), 1)
    assert chances.max() < REGIME_STAYS + 1 / REGIMES and chances.min() >= (1 - REGIME_STAYS) / REGIMES


def test_returns_that_tell_nothing_leave_the_chances_to_fade() -> None:
    chances = update_regime(np.array([1.0, 0.0, 0.0]), np.zeros(5), np.zeros((5, 3)), NOISE)
    other = (1 - REGIME_STAYS) / 3
    np.testing.assert_allclose(chances, [REGIME_STAYS + other, other, other])
