"""Probabilistic and deflated Sharpe ratios: the papers' own numbers, simulation, and laws."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.selection_bias import (
    deflated_sharpe,
    expected_max_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)

# The example of "The Deflated Sharpe Ratio" (2014): five years of 250 days, annualised Sharpe ratio 2.5, and 100
# trials whose annualised ratios have the variance 1/2.
DAYS, YEARS = 250, 5
SHARPE, SPREAD = 2.5 / math.sqrt(DAYS), math.sqrt(0.5 / DAYS)


def test_the_papers_example_of_deflating() -> None:
    assert expected_max_sharpe(100, spread=SPREAD) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(
        SHARPE, trials=100, observations=DAYS * YEARS, skew=-3, kurtosis=10, spread=SPREAD
    ) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("trials", "skew", "kurtosis"), [(46, -3, 10), (88, 0, 3)])
def test_the_papers_numbers_of_trials_at_95_per_cent(trials: int, skew: float, kurtosis: float) -> None:
    found = deflated_sharpe(
        SHARPE, trials=trials, observations=DAYS * YEARS, skew=skew, kurtosis=kurtosis, spread=SPREAD
    )

    assert found == pytest.approx(0.9505, abs=2e-4)


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "years"),
    [(250, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_papers_track_records_of_a_ratio_of_2_against_1(
    a_year: int, skew: float, kurtosis: float, years: float
) -> None:
    found = minimum_track_record(2 / math.sqrt(a_year), benchmark=1 / math.sqrt(a_year), skew=skew, kurtosis=kurtosis)

    assert found / a_year == pytest.approx(years, abs=0.006)


@pytest.mark.parametrize("trials", [5, 50, 500])
def test_the_expected_best_of_trials_without_skill_is_that_of_a_simulation(trials: int) -> None:
    best = np.random.default_rng(trials).normal(0, 0.1, (4_000, trials)).max(axis=1).mean()

    assert expected_max_sharpe(trials, spread=0.1) == pytest.approx(best, rel=0.05)


def test_of_a_best_of_trials_without_skill_no_more_are_called_skill_than_by_chance() -> None:
    rng, eras, trials = np.random.default_rng(0), 200, 20
    best = []
    for _ in range(500):
        scores = rng.normal(size=(trials, eras))
        best.append(float((scores.mean(axis=1) / scores.std(axis=1)).max()))

    naive = np.mean([probabilistic_sharpe(ratio, benchmark=0, observations=eras) > 0.95 for ratio in best])
    deflated = np.mean([deflated_sharpe(ratio, trials=trials, observations=eras) > 0.95 for ratio in best])

    assert naive > 0.5
    assert deflated < 0.05


moments = st.tuples(st.floats(-2, 2), st.floats(0.01, 8)).map(lambda pair: (pair[0], 1 + pair[0] ** 2 + pair[1]))
ratios = st.floats(-1, 1)
counts = st.floats(2, 2_000)


@given(sharpe=ratios, shape=moments, observations=counts, benchmark=ratios)
def test_it_is_a_probability_that_falls_as_the_benchmark_rises(
    sharpe: float, shape: tuple[float, float], observations: float, benchmark: float
) -> None:
    found, higher = (
        probabilistic_sharpe(sharpe, benchmark=b, observations=observations, skew=shape[0], kurtosis=shape[1])
        for b in (benchmark, benchmark + 0.1)
    )

    assert 0 <= higher <= found <= 1
    assert (found >= 0.5) == (sharpe >= benchmark) or found == pytest.approx(0.5)


@given(sharpe=ratios, shape=moments, observations=counts, trials=st.integers(1, 10_000))
def test_more_trials_never_make_a_ratio_more_believable(
    sharpe: float, shape: tuple[float, float], observations: float, trials: int
) -> None:
    known = {"observations": observations, "skew": shape[0], "kurtosis": shape[1]}

    one, some, more = (deflated_sharpe(sharpe, trials=n, **known) for n in (1, trials, trials + 1))

    assert one == probabilistic_sharpe(sharpe, benchmark=0, **known)
    assert more <= some <= one


@given(sharpe=st.floats(0.02, 1), shape=moments, benchmark=ratios, confidence=st.floats(0.51, 0.99))
def test_after_the_minimum_track_record_the_confidence_is_reached(
    sharpe: float, shape: tuple[float, float], benchmark: float, confidence: float
) -> None:
    assume(sharpe > benchmark + 0.01)
    known = {"benchmark": benchmark, "skew": shape[0], "kurtosis": shape[1]}

    eras = minimum_track_record(sharpe, confidence=confidence, **known)

    assume(eras > 1.0001)
    assert probabilistic_sharpe(sharpe, observations=eras, **known) == pytest.approx(confidence, abs=1e-6)


def test_what_no_number_of_eras_shows_takes_for_ever() -> None:
    assert minimum_track_record(0.1, benchmark=0.1) == math.inf
    assert minimum_track_record(-0.1) == math.inf


def test_without_a_ratio_or_observations_nothing_is_known() -> None:
    assert math.isnan(probabilistic_sharpe(math.nan, benchmark=0, observations=50))
    assert math.isnan(probabilistic_sharpe(0.2, benchmark=0, observations=1))
    assert math.isnan(deflated_sharpe(0.2, trials=5, observations=math.nan))
    assert math.isnan(minimum_track_record(math.nan))


def test_a_ratio_without_error_is_certain() -> None:
    # Two values, +-1 but for a shift: the least kurtosis there is, at the one ratio whose error vanishes.
    assert probabilistic_sharpe(2.0, benchmark=0.5, observations=10, skew=1, kurtosis=2) == 1
    assert probabilistic_sharpe(2.0, benchmark=2.0, observations=10, skew=1, kurtosis=2) == 0.5


@pytest.mark.parametrize("trials", [0, -3])
def test_less_than_one_trial_is_refused(trials: int) -> None:
    with pytest.raises(ScoringError, match="expected one or more"):
        expected_max_sharpe(trials, spread=0.1)


def test_moments_that_no_distribution_has_are_refused() -> None:
    with pytest.raises(ScoringError, match="no distribution"):
        probabilistic_sharpe(0.1, benchmark=0, observations=50, skew=2, kurtosis=3)
    with pytest.raises(ScoringError, match="confidence 1"):
        minimum_track_record(0.1, confidence=1.0)
