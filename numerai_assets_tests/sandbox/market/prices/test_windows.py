"""Statistics over look-backs equal pandas' and numpy's."""

import numpy as np
import pandas as pd
import pytest

from numerai_assets.sandbox.market.prices import windows
from numerai_assets.sandbox.market.prices.windows import Array

SPANS = (5, 21, 63)
RNG = np.random.default_rng(0)
X = (RNG.standard_normal((80, 7)) / 50).astype(np.float32)
Y = (X / 2 + RNG.standard_normal((80, 7)) / 50).astype(np.float32)


def by_span(measure: str, x: Array, **options: object) -> Array:
    return np.stack([getattr(pd.DataFrame(x[-span:]), measure)(**options) for span in SPANS])


def test_sums_means_and_deviations_are_those_of_each_look_back() -> None:
    np.testing.assert_allclose(windows.sums(X, SPANS), by_span("sum", X), atol=1e-5)
    np.testing.assert_allclose(windows.means(X, SPANS), by_span("mean", X), atol=1e-6)
    np.testing.assert_allclose(windows.deviations(X, SPANS), by_span("std", X), rtol=1e-3)


def test_a_mean_ignores_missing_values_until_they_are_half_of_the_look_back() -> None:
    holed = X.copy()
    holed[-3:, 0] = np.nan
    holed[-2:, 1] = np.nan
    found = windows.means(holed, SPANS)
    assert np.isnan(found[0, 0]) and np.isfinite(found[:, 1]).all()
    np.testing.assert_allclose(found[1:, 0], by_span("mean", holed)[1:, 0], atol=1e-6)


def test_correlations_and_covariances_are_those_of_each_look_back() -> None:
    expected = np.array([[np.corrcoef(X[-s:, i], Y[-s:, i])[0, 1] for i in range(7)] for s in SPANS])
    np.testing.assert_allclose(windows.correlations(X, Y, SPANS), expected, atol=1e-3)
    expected = np.array([[np.cov(X[-s:, i], Y[-s:, i])[0, 1] for i in range(7)] for s in SPANS])
    np.testing.assert_allclose(windows.covariances(X, Y, SPANS), expected, atol=1e-6)
    assert np.isnan(windows.correlations(np.ones_like(X), Y, SPANS)).all()


def test_a_trend_is_the_least_squares_line() -> None:
    slopes, fits, errors = windows.trends(X, SPANS)
    for row, span in enumerate(SPANS):
        time = np.arange(span)
        slope, intercept = np.polyfit(time, X[-span:, 0], 1)
        residual = X[-span:, 0] - slope * time - intercept
        assert slopes[row, 0] == pytest.approx(slope, rel=1e-3)
        assert fits[row, 0] == pytest.approx(np.corrcoef(time, X[-span:, 0])[0, 1] ** 2, abs=1e-4)
        assert errors[row, 0] == pytest.approx(residual[-1] / np.sqrt((residual**2).sum() / (span - 2)), rel=1e-3)


def test_exponential_means_are_those_of_pandas() -> None:
    found = windows.exponential_means(X, [0.1, 0.5])
    expected = np.stack([pd.DataFrame(X).ewm(alpha=alpha).mean().iloc[-1] for alpha in (0.1, 0.5)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_look_back_that_is_too_long_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="a look-back of 81 days does not fit into 80"):
        windows.sums(X, (5, 81))
