"""The quality gate: what is plainly wrong is found, what is plainly right is not."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import spearmanr

from numerai_assets.evaluation.gate import (
    BINS,
    Finding,
    bin_shares,
    drifted_share,
    judge,
    largest_exposure,
    largest_tie,
    rank_correlation,
)
from numerai_assets.settings import GateLimits

LAWFUL = settings(deadline=None, max_examples=100)
SEEDS = st.integers(0, 2**32 - 1)
ROWS = 400
LIMITS = GateLimits()

Floats = NDArray[np.float64]


def ranks(seed: int, rows: int = ROWS) -> Floats:
    """What a model submits: the ranks of rows, none of them tied."""
    return (np.random.default_rng(seed).permutation(rows) + 0.5) / rows


def bins(seed: int, features: int = 10, rows: int = ROWS) -> NDArray[np.int8]:
    """Features (rows, features) in five equal bins."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(rows) * BINS // rows for _ in range(features)], axis=1).astype(np.int8)


def names_of_bad(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings if not finding.is_well]


numbers = hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1, width=32))


@pytest.mark.parametrize(
    ("value", "is_well"), [(0.0, True), (0.5, True), (1.0, True), (-1e-9, False), (1.01, False), (np.inf, False)]
)
def test_a_finding_is_well_within_its_range_ends_included(value: float, is_well: bool) -> None:
    assert Finding("x", value, 0.0, 1.0).is_well is is_well


def test_a_finding_that_is_not_a_number_is_never_well() -> None:
    assert not Finding("x", float("nan"), -np.inf, np.inf).is_well
    assert str(Finding("x", float("nan"), 0, 1)) == "x is nan, expected 0 to 1"


@given(first=numbers, seed=SEEDS)
@LAWFUL
def test_rank_correlation_is_that_of_scipy(first: Floats, seed: int) -> None:
    second = np.random.default_rng(seed).permutation(first)
    assume(np.unique(first).size > 1)

    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


@given(values=numbers)
@LAWFUL
def test_a_copy_correlates_by_exactly_one_and_its_reverse_by_minus_one(values: Floats) -> None:
    assume(np.unique(values).size > 1)

    assert rank_correlation(values, values.copy()) == 1.0
    assert rank_correlation(values, -values) == -1.0


@given(first=numbers, seed=SEEDS)
@LAWFUL
def test_rank_correlation_knows_no_order_of_its_sides_or_of_the_rows_and_no_scale(first: Floats, seed: int) -> None:
    assume(np.unique(first).size > 1)
    rng = np.random.default_rng(seed)
    second, order = rng.random(len(first)), rng.permutation(len(first))
    found = rank_correlation(first, second)

    assert rank_correlation(second, first) == found
    assert rank_correlation(first[order], second[order]) == pytest.approx(found, abs=1e-11)
    # A power of two keeps every order and every tie.
    assert rank_correlation(4 * first, second) == found


def test_with_a_constant_there_is_no_correlation() -> None:
    assert np.isnan(rank_correlation(np.full(9, 0.5), ranks(0, 9)))
    assert np.isnan(rank_correlation(ranks(0, 9), np.full(9, 0.5)))


def test_where_a_value_is_missing_there_is_no_correlation() -> None:
    other = ranks(1, 9)
    other[3] = np.nan

    assert np.isnan(rank_correlation(ranks(0, 9), other))
    assert np.isnan(rank_correlation(other, ranks(0, 9)))


@pytest.mark.parametrize(
    ("values", "share"),
    [([0.1, 0.2, 0.3, 0.4], 0.25), ([0.1, 0.1, 0.3, 0.4], 0.5), ([0.5] * 4, 1.0), ([0.5], 1.0)],
)
def test_the_largest_tie_is_the_share_of_the_most_common_value(values: list[float], share: float) -> None:
    assert largest_tie(np.array(values)) == share


@given(values=numbers, seed=SEEDS)
@LAWFUL
def test_ties_are_counted_whatever_the_order_of_the_rows(values: Floats, seed: int) -> None:
    found = largest_tie(values)

    assert 1 / len(values) <= found <= 1
    assert largest_tie(np.random.default_rng(seed).permutation(values)) == found


@given(seed=SEEDS, features=st.integers(1, 12), rows=st.integers(3, 200))
@LAWFUL
def test_exposure_is_the_largest_correlation_of_numpy(seed: int, features: int, rows: int) -> None:
    prediction, matrix = ranks(seed, rows), bins(seed, features, rows)
    expected = max(abs(np.corrcoef(prediction, column)[0, 1]) for column in matrix.T)

    assert largest_exposure(prediction, matrix) == pytest.approx(expected, abs=1e-5)


def test_a_prediction_that_is_a_feature_is_exposed_by_one_whatever_its_sign() -> None:
    matrix = bins(0)

    assert largest_exposure(matrix[:, 3].astype(np.float64), matrix) == pytest.approx(1, abs=1e-6)
    assert largest_exposure(-matrix[:, 3].astype(np.float64), matrix) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [-1, 0, 2, 4])
def test_features_without_variance_expose_nothing(value: int) -> None:
    assert largest_exposure(ranks(0), np.full((ROWS, 5), value, np.int8)) == 0


def test_features_without_variance_beside_others_do_not_count() -> None:
    matrix = bins(0)
    flat = np.hstack([matrix, np.full((ROWS, 3), -1, np.int8)])

    assert largest_exposure(ranks(0), flat) == largest_exposure(ranks(0), matrix)


def test_a_constant_prediction_and_no_features_at_all_expose_nothing() -> None:
    assert largest_exposure(np.full(ROWS, 0.5), bins(0)) == 0
    assert largest_exposure(ranks(0), np.empty((ROWS, 0), np.int8)) == 0


@pytest.mark.parametrize("width", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7])
def test_a_constant_prediction_is_exposed_by_no_more_than_rounding(value: float, width: type[np.floating]) -> None:
    """Its mean is not quite its value."""
    assert largest_exposure(np.full(333, value, width), bins(0, rows=333)) < 1e-5


@given(matrix=hnp.arrays(np.int8, st.tuples(st.integers(1, 40), st.integers(1, 6)), elements=st.integers(-1, 4)))
@LAWFUL
def test_shares_and_missing_values_add_up_to_one(matrix: NDArray[np.int8]) -> None:
    shares = bin_shares(matrix)

    assert shares.shape == (matrix.shape[1], BINS)
    np.testing.assert_allclose(shares.sum(axis=1) + (matrix == -1).mean(axis=0), 1)


@given(matrix=hnp.arrays(np.int8, st.tuples(st.integers(1, 40), st.integers(1, 6)), elements=st.integers(-1, 4)))
@LAWFUL
def test_nothing_drifts_from_itself(matrix: NDArray[np.int8]) -> None:
    assert drifted_share(bin_shares(matrix), bin_shares(matrix[::-1])) == 0


def test_the_usual_spread_of_equal_bins_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    live, usual = (bin_shares(rng.integers(0, BINS, (ROWS, 500), np.int8)) for _ in range(2))

    assert drifted_share(live, usual) == 0


@pytest.mark.parametrize("value", [0, 2, 4])
def test_features_that_became_constant_have_drifted(value: int) -> None:
    live = bins(0)
    usual = bin_shares(live)
    live[:, :3] = value

    assert drifted_share(bin_shares(live), usual) == pytest.approx(0.3)


def test_features_whose_values_are_all_missing_have_drifted() -> None:
    live = bins(0)
    usual = bin_shares(live)
    live[:, :3] = -1

    assert drifted_share(bin_shares(live), usual) == pytest.approx(0.3)


def test_features_that_have_always_been_missing_have_not_drifted() -> None:
    missing = np.full((ROWS, 4), -1, np.int8)

    assert drifted_share(bin_shares(missing), bin_shares(missing)) == 0


@given(seed=SEEDS)
@LAWFUL
def test_a_good_model_is_well_in_every_respect(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = bins(seed, features=60)
    signal = matrix[:, :40].mean(axis=1) + rng.normal(0, 0.3, ROWS)

    def ranked(scores: Floats) -> Floats:
        return (scores.argsort().argsort() + 0.5) / ROWS

    prediction, previous, benchmark, other = (ranked(signal + rng.normal(0, 0.3, ROWS)) for _ in range(4))
    findings = judge(
        prediction,
        LIMITS,
        previous=previous,
        benchmark=benchmark,
        slots={"other": other},
        features=matrix,
        usual_shares=bin_shares(matrix),
    )

    assert len(findings) == 6
    assert names_of_bad(findings) == []


def test_without_yardsticks_ties_alone_are_judged() -> None:
    assert [finding.name for finding in judge(ranks(0), LIMITS)] == ["share of rows with the same prediction"]


def test_shares_without_live_features_give_no_finding() -> None:
    assert len(judge(ranks(0), LIMITS, usual_shares=bin_shares(bins(0)))) == 1


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_a_prediction_that_is_largely_one_value_is_refused(share: float) -> None:
    prediction = ranks(0)
    prediction[: int(share * ROWS)] = 0.5

    assert names_of_bad(judge(prediction, LIMITS)) == ["share of rows with the same prediction"]


def test_a_constant_prediction_is_refused_by_every_yardstick_it_is_ranked_against() -> None:
    flat = np.full(ROWS, 0.5)

    findings = judge(flat, LIMITS, previous=ranks(1), benchmark=ranks(2), slots={"other": ranks(3)})

    assert names_of_bad(findings) == [
        "share of rows with the same prediction",
        "correlation with the vintage before",
        "correlation with the benchmark",
        "correlation with slot other",
    ]


def test_a_copy_of_the_benchmark_and_of_another_slot_is_refused() -> None:
    prediction = ranks(0)

    findings = judge(prediction, LIMITS, benchmark=prediction.copy(), slots={"twin": 2 * prediction, "own": ranks(5)})

    assert names_of_bad(findings) == ["correlation with the benchmark", "correlation with slot twin"]


@given(seed=SEEDS)
@LAWFUL
def test_a_flipped_sign_is_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction = ranks(seed)
    similar = prediction + rng.normal(0, 0.2, ROWS)

    assert names_of_bad(judge(prediction, LIMITS, previous=similar, benchmark=similar)) == []
    assert names_of_bad(judge(-prediction, LIMITS, previous=similar, benchmark=similar)) == [
        "correlation with the vintage before",
        "correlation with the benchmark",
    ]


def test_a_model_that_knows_nothing_of_the_one_before_is_refused() -> None:
    assert names_of_bad(judge(ranks(0), LIMITS, previous=ranks(1))) == ["correlation with the vintage before"]


def test_a_model_that_is_one_feature_is_refused() -> None:
    matrix = bins(0)
    prediction = matrix[:, 0] + np.random.default_rng(0).normal(0, 0.1, ROWS)

    assert names_of_bad(judge(prediction, LIMITS, features=matrix)) == ["largest exposure"]


def test_features_lost_or_drifted_beyond_the_limit_are_refused() -> None:
    matrix = bins(0, features=20)
    usual = bin_shares(matrix)
    matrix[:, :2] = -1
    assert names_of_bad(judge(ranks(0), LIMITS, features=matrix, usual_shares=usual)) == []

    matrix[:, 2] = 4
    assert names_of_bad(judge(ranks(0), LIMITS, features=matrix, usual_shares=usual)) == [
        "share of features that drifted"
    ]


@pytest.mark.parametrize("other", [np.full(ROWS, np.nan), np.full(ROWS, 0.5)])
def test_a_yardstick_that_says_nothing_is_not_taken_for_a_good_sign(other: Floats) -> None:
    findings = judge(ranks(0), LIMITS, previous=other, benchmark=other, slots={"other": other})

    assert len(names_of_bad(findings)) == 3


@given(seed=SEEDS, scale=st.sampled_from([np.float32, np.float64]))
@LAWFUL
def test_what_is_found_depends_on_ranks_not_on_the_width_of_numbers(seed: int, scale: type[np.floating]) -> None:
    prediction, previous, matrix = ranks(seed), ranks(seed + 1), bins(seed)

    narrow = judge(prediction.astype(scale), LIMITS, previous=previous.astype(scale), features=matrix)
    wide = judge(prediction, LIMITS, previous=previous, features=matrix)

    for one, other in zip(narrow, wide, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)


def test_limits_of_the_settings_are_those_that_are_held() -> None:
    strict = GateLimits(greatest_tie=0.001, least_previous_correlation=0.99, greatest_drift=0.0)
    findings = judge(ranks(0), strict, previous=ranks(1))

    assert [(f.least, f.greatest) for f in findings] == [(0.0, 0.001), (0.99, 1.0)]
    assert len(names_of_bad(findings)) == 2
