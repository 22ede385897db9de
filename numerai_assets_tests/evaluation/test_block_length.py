"""Block lengths: of series of known dependence what theory has, and never less than the overlap of targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.eras import HORIZONS, resolve_lag
from numerai_assets.evaluation.block_length import autocovariances, block_lengths

LAWFUL = settings(deadline=None, max_examples=50)


def persistent(seed: int, n: int, carried: float) -> NDArray[np.float64]:
    values = np.random.default_rng(seed).normal(size=(n + 100, 1))
    for era in range(1, n + 100):
        values[era] += carried * values[era - 1]
    return np.asarray(values[100:])


@pytest.mark.parametrize("carried", [0.6, 0.8, -0.8])
def test_of_an_autoregression_it_is_near_the_closed_form(carried: float) -> None:
    n = 40_000
    # G = 2 r / (1 - r)^2 and g(0) = (1 + r) / (1 - r) times the variance of the series.
    theory = abs(2 * carried / (1 - carried**2)) ** (2 / 3) * n ** (1 / 3)

    found = [block_lengths(persistent(seed, n, carried), horizon=20)[0] for seed in range(3)]

    assert np.mean(found) == pytest.approx(theory, rel=0.2)


@given(
    scores=st.lists(st.floats(-1, 1), min_size=0, max_size=60),
    horizon=st.sampled_from(HORIZONS),
    scale=st.floats(0.1, 10),
)
@LAWFUL
def test_it_is_at_least_the_resolve_lag_and_bounded_whatever_the_scores(
    scores: list[float], horizon: int, scale: float
) -> None:
    values = np.array(scores)[:, None]

    found = block_lengths(values, horizon=horizon)[0]

    assert resolve_lag(horizon) <= found <= max(resolve_lag(horizon), 3 * np.sqrt(len(scores)))
    assert block_lengths(3 + scale * values, horizon=horizon)[0] == pytest.approx(found, rel=0.2, abs=8)


def test_each_column_has_its_own_and_a_gap_lets_no_strangers_meet() -> None:
    slow = persistent(1, 600, 0.95)
    fast = np.random.default_rng(2).normal(size=(600, 1))

    found = block_lengths(np.hstack([slow, fast, np.full_like(fast, np.nan)]), horizon=20)

    assert found[0] > 3 * found[1]
    assert found[1] < 12
    assert found[2] == resolve_lag(20)
    assert autocovariances(np.array([[1.0], [np.nan], [-1.0]]), 2)[:, 0].tolist() == [1, 0, -0.5]
