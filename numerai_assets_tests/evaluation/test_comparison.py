"""Paired comparisons: what both share cancels, and too little in common is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.comparison import compare, compare_each, holm
from numerai_assets.evaluation.uncertainty import estimate


def scores_of(seed: int, mean: float, *, first: int = 1, n: int = 300, noise: float = 1.0) -> pd.Series:
    """The luck of an era is that of its number; the rest is the seed's."""
    eras = np.arange(first, first + n)
    luck = np.random.default_rng(0).normal(size=2_000)[eras]
    return pd.Series(mean + luck + noise * np.random.default_rng(seed + 1).normal(size=n), index=eras)


def test_luck_that_both_share_is_no_part_of_the_error() -> None:
    ours, theirs = scores_of(1, 0.1, noise=0.05), scores_of(2, 0.0, noise=0.05)

    found = compare(ours, theirs, horizon=60, seed=0)

    assert found.difference.mean == pytest.approx((ours - theirs).mean())
    assert found.difference.error < 0.01 < estimate(ours.to_numpy(), horizon=60).error
    assert found.difference.p < 1e-6
    assert found.low > 0.05
    assert found.adjusted_p == found.difference.p


def test_only_eras_that_both_have_are_compared_whatever_their_order() -> None:
    ours, theirs = scores_of(1, 0.1, first=1), scores_of(2, 0.0, first=101)
    theirs.loc[[150, 151, 400]] = np.nan

    found = compare(ours.sample(frac=1, random_state=0), theirs, horizon=20, seed=0)

    common = [era for era in range(101, 301) if era not in (150, 151)]
    values = (ours.loc[common] - theirs.loc[common]).to_numpy()
    assert (found.first_era, found.last_era, found.difference.eras) == (101, 300, 198)
    assert found.difference == estimate(values, horizon=20, eras=np.array(common))


def test_swapping_them_turns_the_sign_and_nothing_else() -> None:
    ours, theirs = scores_of(1, 0.1), scores_of(2, 0.0)

    found, turned = compare(ours, theirs, horizon=60, seed=4), compare(theirs, ours, horizon=60, seed=4)

    assert turned.difference.mean == pytest.approx(-found.difference.mean)
    assert turned.difference.p == pytest.approx(found.difference.p)
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_a_prediction_does_not_differ_from_itself() -> None:
    ours = scores_of(1, 0.1)

    found = compare(ours, ours, horizon=60, seed=0)

    assert (found.difference.mean, found.difference.t, found.difference.p) == (0, 0, 1)
    assert (found.low, found.high) == (0, 0)


def test_too_few_eras_in_common_are_refused_with_their_number() -> None:
    ours, theirs = scores_of(1, 0.1, first=1, n=100), scores_of(2, 0.0, first=71, n=100)

    with pytest.raises(ScoringError, match="share 30 scored eras, expected 52 or more"):
        compare(ours, theirs, horizon=60, seed=0)

    assert compare(ours, theirs, horizon=60, seed=0, least_eras=30).difference.eras == 30


@pytest.mark.parametrize("index", [["0001", "0002"], [1, 1], [1.0, 2.0]])
def test_scores_without_the_numbers_of_their_eras_are_refused(index: list[object]) -> None:
    with pytest.raises(ScoringError, match="theirs: expected per-era scores indexed by the number"):
        compare(scores_of(1, 0), pd.Series([0.1, 0.2], index=index), horizon=60, seed=0)


def test_several_against_one_are_each_judged_for_all() -> None:
    baseline = scores_of(0, 0.0)
    candidates = {f"m{i}": scores_of(i, 0.03 * i) for i in range(1, 6)}

    found = compare_each(candidates, baseline, horizon=60, seed=0)

    p = [item.difference.p for item in found.values()]
    assert list(found) == list(candidates)
    np.testing.assert_allclose([item.adjusted_p for item in found.values()], multipletests(p, method="holm")[1])
    for name, item in found.items():
        assert item.difference == compare(candidates[name], baseline, horizon=60, seed=0).difference


def test_the_candidate_that_cannot_be_compared_is_named() -> None:
    with pytest.raises(ScoringError, match="late: two predictions share 0 scored eras"):
        compare_each({"late": scores_of(1, 0, first=900)}, scores_of(2, 0), horizon=60, seed=0)


def test_no_candidates_make_no_comparisons() -> None:
    assert compare_each({}, scores_of(1, 0), horizon=60, seed=0) == {}


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=8)  # the oracle takes its time
def test_holms_adjustment_is_that_of_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-15)


@pytest.mark.parametrize("p", [[0.1, 1.2], [float("nan")], [-0.1]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    with pytest.raises(ScoringError, match=r"each in 0\.\.1"):
        holm(p)
