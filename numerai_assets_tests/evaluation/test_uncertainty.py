"""Standard errors: of white noise the textbook's, of overlapping targets larger, as theory has it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import HORIZONS, resolve_lag
from numerai_assets.evaluation.uncertainty import standard_error

LAWFUL = settings(deadline=None, max_examples=50)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_of_white_noise_it_is_near_the_textbook_value(horizon: int) -> None:
    scores = np.random.default_rng(0).normal(0.02, 0.03, 20_000)

    assert standard_error(scores, horizon=horizon) == pytest.approx(scores.std() / math.sqrt(20_000), rel=0.08)


def test_of_overlapping_scores_it_is_larger_and_near_theory() -> None:
    overlap, n = 13, 50_000
    shocks = np.random.default_rng(1).normal(size=n + overlap - 1)
    scores = np.convolve(shocks, np.ones(overlap), mode="valid")
    # Var(mean) -> (sum of weights)^2 / n; Bartlett weights w_l = 1 - l/13 see the share 1/13 + 2/13 sum_l w_l^2 of it.
    theory = overlap / math.sqrt(n)
    seen = math.sqrt(sum((1 - abs(lag) / overlap) ** 2 for lag in range(-12, 13)) / overlap)

    error = standard_error(scores, horizon=60)

    assert error > 2.5 * scores.std() / math.sqrt(n)
    assert error == pytest.approx(seen * theory, rel=0.08)
    assert 0.75 * theory < error < 1.05 * theory


def test_of_a_known_short_series_it_is_the_sum_by_hand() -> None:
    scores = np.array([0.03, 0.01, -0.02, 0.04, 0.00, 0.02, 0.05])
    centred, n, reach = scores - scores.mean(), 7, 5

    error = standard_error(scores, horizon=20)

    total = sum(max(0, 1 - abs(i - j) / reach) * centred[i] * centred[j] for i in range(n) for j in range(n))
    assert error == pytest.approx(math.sqrt(total) / n)


@given(scores=st.lists(st.floats(-1, 1), min_size=2, max_size=40), horizon=st.sampled_from(HORIZONS))
@LAWFUL
def test_it_is_never_negative_and_scales_with_the_scores(scores: list[float], horizon: int) -> None:
    values = np.array(scores)

    error = standard_error(values, horizon=horizon)

    assert error >= 0
    assert standard_error(3 * values, horizon=horizon) == pytest.approx(3 * error, abs=1e-7)
    assert standard_error(values[::-1], horizon=horizon) == pytest.approx(error, abs=1e-7)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_eras_that_share_no_return_do_not_count_together(horizon: int) -> None:
    # One era in every `resolve_lag` moves: no two of them lie within the reach of the kernel.
    lag = resolve_lag(horizon)
    scores = np.zeros(lag * 40)
    scores[::lag] = np.tile([1.0, -1.0], 20)

    assert standard_error(scores, horizon=horizon) == pytest.approx(scores.std() / math.sqrt(len(scores)))


@pytest.mark.parametrize("scores", [[], [0.02]])
def test_fewer_than_two_eras_have_no_error(scores: list[float]) -> None:
    assert math.isnan(standard_error(np.array(scores), horizon=60))
