"""Standard errors: of white noise the textbook's, of overlapping targets larger, as theory has it."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student

from numerai_assets.eras import HORIZONS, resolve_lag
from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.uncertainty import (
    bartlett_sums,
    effective_eras,
    estimate,
    standard_error,
    standard_errors,
)

Gappy = tuple[NDArray[np.int64], NDArray[np.float64]]
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


@given(
    scores=st.lists(st.floats(-1, 1), min_size=14, max_size=60),
    horizon=st.sampled_from(HORIZONS),
    offset=st.integers(1, 1300),
)
@LAWFUL
def test_it_is_that_of_statsmodels(scores: list[float], horizon: int, offset: int) -> None:
    values = np.array(scores)

    fitted = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="HAC", cov_kwds={"maxlags": resolve_lag(horizon) - 1, "use_correction": False}
    )

    eras = np.arange(offset, offset + len(values))
    assert standard_error(values, horizon=horizon, eras=eras) == pytest.approx(fitted.bse[0], abs=1e-8)


@st.composite
def gappy(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    eras = sorted(draw(st.sets(st.integers(1, 80), min_size=2, max_size=40)))
    scores = draw(st.lists(st.floats(-1, 1), min_size=len(eras), max_size=len(eras)))
    return np.array(eras), np.array(scores)


@given(series=gappy(), horizon=st.sampled_from(HORIZONS))
@LAWFUL
def test_eras_count_together_by_their_distance_in_the_calendar(series: Gappy, horizon: int) -> None:
    eras, scores = series
    centred, reach = scores - scores.mean(), min(resolve_lag(horizon), int(np.ptp(eras)) + 1)

    weights = np.maximum(0, 1 - np.abs(np.subtract.outer(eras, eras)) / reach)
    by_hand = math.sqrt(max(centred @ weights @ centred, 0)) / len(eras)

    assert standard_error(scores, horizon=horizon, eras=eras) == pytest.approx(by_hand, abs=1e-8)


@given(series=gappy(), horizon=st.sampled_from(HORIZONS), shift=st.integers(0, 500))
@LAWFUL
def test_only_distances_between_eras_matter_and_a_missing_score_is_a_missing_era(
    series: Gappy, horizon: int, shift: int
) -> None:
    eras, scores = series
    error = standard_error(scores, horizon=horizon, eras=eras)

    whole = np.full(int(np.ptp(eras)) + 5, np.nan)
    whole[eras - eras[0] + 2] = scores

    assert standard_error(scores, horizon=horizon, eras=eras + shift) == error
    assert standard_error(whole, horizon=horizon) == pytest.approx(error, abs=1e-12)
    assert estimate(whole, horizon=horizon).degrees == pytest.approx(
        estimate(scores, horizon=horizon, eras=eras).degrees
    )


def test_eras_a_year_apart_are_as_good_as_independent() -> None:
    scores = np.random.default_rng(3).normal(size=30)

    error = standard_error(scores, horizon=60, eras=np.arange(30) * 52 + 1)

    assert error == pytest.approx(scores.std() / math.sqrt(30))


def test_each_column_has_the_error_it_has_alone() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(60, 5))
    scores[rng.random(scores.shape) < 0.3] = np.nan
    scores[:, 3] = np.nan
    scores[1:, 4] = np.nan
    eras = np.sort(rng.choice(np.arange(1, 200), 60, replace=False))

    errors = standard_errors(scores, horizon=60, eras=eras)

    alone = [standard_error(scores[:, column], horizon=60, eras=eras) for column in range(5)]
    np.testing.assert_allclose(errors, alone)
    assert np.isnan(errors).tolist() == [False, False, False, True, True]


@given(
    values=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    width=st.integers(1, 40),
)
@LAWFUL
def test_squared_sums_of_windows_are_the_weighted_covariances(values: list[float], width: int) -> None:
    centred = np.array(values) - np.mean(values)

    distance = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values))))
    by_hand = centred @ np.maximum(0, 1 - distance / width) @ centred

    assert bartlett_sums(centred[:, None, None], width)[0, 0] == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.parametrize(("eras", "horizon"), [(range(40), 60), (range(0, 60, 3), 20), ([1, 2, 9, 10, 11, 30], 60)])
def test_what_an_error_sees_under_full_overlap_follows_from_the_matrices(eras: list[int], horizon: int) -> None:
    numbers = np.array(eras)
    n, reach = len(numbers), min(resolve_lag(horizon), int(np.ptp(numbers)) + 1)
    weights = np.maximum(0, 1 - np.abs(np.subtract.outer(numbers, numbers)) / reach)
    off = np.eye(n) - 1 / n
    product = off @ weights @ off @ weights

    found = estimate(np.sin(numbers), horizon=horizon, eras=numbers)

    assert found.seen == pytest.approx(np.trace(product) / weights.sum())
    assert found.degrees == pytest.approx(np.trace(product) ** 2 / np.trace(product @ product))


def overlapping(rng: np.random.Generator, series: int, n: int, overlap: int) -> NDArray[np.float64]:
    shocks = rng.normal(size=(series, n + overlap - 1))
    total = np.cumsum(np.pad(shocks, ((0, 0), (1, 0))), axis=1)
    return np.asarray(total[:, overlap:] - total[:, :-overlap]) / math.sqrt(overlap)


def persistent(rng: np.random.Generator, series: int, n: int, carried: float) -> NDArray[np.float64]:
    values = rng.normal(size=(series, n + 100))
    for era in range(1, n + 100):
        values[:, era] += carried * values[:, era - 1]
    return np.asarray(values[:, 100:])


@pytest.mark.parametrize("n", [60, 250])
@pytest.mark.parametrize("kind", ["fully overlapping", "persistent", "independent"])
@pytest.mark.parametrize("horizon", HORIZONS)
def test_an_interval_at_90_per_cent_holds_the_mean_of_about_90_in_100_series(horizon: int, kind: str, n: int) -> None:
    rng = np.random.default_rng(5)
    series = {
        "fully overlapping": lambda: overlapping(rng, 500, n, resolve_lag(horizon)),
        "persistent": lambda: persistent(rng, 500, n, 0.5),
        "independent": lambda: rng.normal(size=(500, n)),
    }[kind]()

    # `seen` and `degrees` are those of the eras alone: one estimate has them for all series.
    found = estimate(series[0], horizon=horizon)
    errors = standard_errors(series.T, horizon=horizon)
    reach = errors / math.sqrt(found.seen) * student.ppf(0.95, found.degrees)
    low, high = found.interval(0.9)

    assert (high - low) / 2 == pytest.approx(reach[0])
    assert 0.86 <= (np.abs(series.mean(axis=1)) <= reach).mean() <= 0.995


@given(series=gappy(), horizon=st.sampled_from(HORIZONS), level=st.floats(0.5, 0.99))
@LAWFUL
def test_an_interval_leaves_out_zero_exactly_where_p_is_small(series: Gappy, horizon: int, level: float) -> None:
    eras, scores = series
    found = estimate(scores, horizon=horizon, eras=eras)
    low, high = found.interval(level)

    assert 0 <= found.p <= 1
    assert 0 < found.seen <= 1
    if abs(found.p - (1 - level)) > 1e-6 and found.error > 1e-9:
        assert (low <= 0 <= high) == (found.p > 1 - level)


def test_scores_that_are_all_the_same_are_certain_unless_they_are_zero() -> None:
    assert estimate(np.full(60, 0.5), horizon=60).p == 0
    assert estimate(np.zeros(60), horizon=60).t == 0
    assert estimate(np.zeros(60), horizon=60).p == 1


def test_overlap_leaves_few_effective_eras_and_independence_most() -> None:
    rng = np.random.default_rng(6)

    assert effective_eras(overlapping(rng, 1, 2600, 13)[0], horizon=60) == pytest.approx(2600 / 13, rel=0.25)
    assert 0.5 * 2600 < effective_eras(rng.normal(size=2600), horizon=60) <= 2600
    assert effective_eras(np.ones(50), horizon=60) == 50
    assert math.isnan(effective_eras(np.array([0.1]), horizon=60))


def test_a_single_era_has_a_mean_and_nothing_else() -> None:
    found = estimate(np.array([np.nan, 0.25]), horizon=20)

    assert (found.eras, found.mean) == (1, 0.25)
    assert math.isnan(found.error) and math.isnan(found.p)


@pytest.mark.parametrize(
    ("scores", "eras", "said"),
    [
        ([0.1, 0.2, 0.3], [1, 3, 2], "found 3 before 2"),
        ([0.1, 0.2], [4, 4], "found 4 before 4"),
        ([0.1, 0.2], [1, 2, 3], r"expected \(2,\)"),
        ([0.1, 0.2], [1.0, 2.0], "whole numbers"),
        ([0.1, np.inf], [1, 2], "infinite"),
        ([np.nan, np.nan], [1, 2], "all are NaN"),
    ],
)
def test_what_is_no_series_of_eras_is_refused(scores: list[float], eras: list[float], said: str) -> None:
    with pytest.raises(ScoringError, match=said):
        estimate(np.array(scores), horizon=60, eras=np.array(eras))


def test_eras_too_far_apart_to_share_returns_have_the_error_of_independent_ones() -> None:
    values = np.random.default_rng(0).normal(size=30)

    found = standard_error(values, horizon=60, eras=np.arange(30) * 13)

    assert found == pytest.approx(values.std() / np.sqrt(30))
    assert np.isnan(standard_error(np.array([np.nan, 1.0]), horizon=20))
