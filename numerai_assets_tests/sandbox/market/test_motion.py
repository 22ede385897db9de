"""Characteristics stay stationary from Friday to Friday and between."""

import numpy as np

from numerai_assets.sandbox.market import motion
from numerai_assets.sandbox.market.economy import draw_economy

ECONOMY = draw_economy(60, 531, 0)
N = 20_000


def test_a_week_keeps_the_stationary_distribution_and_the_persistence() -> None:
    rng = np.random.default_rng(0)
    x, _ = motion.newcomers(ECONOMY, N, rng)
    factors = motion.factor_innovations(ECONOMY, N, rng)
    after = np.empty_like(x)
    motion.live_on(ECONOMY, x, np.arange(N), factors, rng, out=after)
    np.testing.assert_allclose(after.std(axis=0), 1, atol=0.03)
    correlation = (x * after).mean(axis=0) / (x.std(axis=0) * after.std(axis=0))
    np.testing.assert_allclose(correlation, ECONOMY.rho, atol=0.03)


def test_only_the_living_rows_are_written() -> None:
    rng = np.random.default_rng(1)
    x, _ = motion.newcomers(ECONOMY, 5, rng)
    after = np.full_like(x, np.nan)
    motion.live_on(ECONOMY, x, np.array([1, 3]), motion.factor_innovations(ECONOMY, 2, rng), rng, out=after)
    assert np.isfinite(after[:2]).all() and np.isnan(after[2:]).all()


def test_a_bridge_meets_both_fridays_and_has_unit_variance_between() -> None:
    rng = np.random.default_rng(2)
    rho = np.array([0.3, 0.9, 0.99], np.float32)
    left, noise = rng.standard_normal((2, N, 3)).astype(np.float32)
    right = (rho * left + np.sqrt(1 - rho**2) * rng.standard_normal((N, 3))).astype(np.float32)
    for fraction, expected in ((0.0, left), (1.0, right)):
        np.testing.assert_allclose(motion.between(left, right, noise, rho, fraction), expected, atol=1e-3)
    midweek = motion.between(left, right, noise, rho, 0.4)
    np.testing.assert_allclose(midweek.std(axis=0), 1, atol=0.03)
