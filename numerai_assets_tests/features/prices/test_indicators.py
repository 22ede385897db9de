"""The inputs of momentum networks are a stock's own past, and the same whatever stocks stand beside it."""

import numpy as np

from numerai_assets.features.prices.indicators import RETURN_DAYS, momentum_features, normalised_returns, trends


def test_momentum_features_are_returns_without_the_week_s_and_trends_of_each_stock() -> None:
    closes = 50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (400, 3)), axis=0))

    found = momentum_features(closes)

    assert found.shape == (400, 3, 8)
    assert np.isnan(found[:313]).any(axis=2).all()
    assert np.isfinite(found[313:]).all()
    for stock, close in enumerate(closes.T):
        returns = dict(zip(RETURN_DAYS, normalised_returns(close), strict=True))
        expected = [*(returns[days] for days in (1, 21, 63, 126, 252)), *trends(close)]
        np.testing.assert_array_equal(found[:, stock], np.stack(expected, axis=1))


def test_momentum_features_of_a_day_know_nothing_of_later_ones() -> None:
    closes = 50 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, (400, 2)), axis=0))
    changed = np.concatenate([closes[:350], 2 * closes[350:]])

    np.testing.assert_array_equal(momentum_features(changed)[:350], momentum_features(closes)[:350])
