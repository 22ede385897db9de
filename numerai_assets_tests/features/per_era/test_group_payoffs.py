"""Payoffs of groups: correlations, taken apart as statsmodels does, in phase with the era at hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.tsa.seasonal import STL

from numerai_assets.errors import FeatureError
from numerai_assets.features.groups.exposures import group_exposures
from numerai_assets.features.per_era.group_payoffs import GroupPayoffs, decomposed, payoffs, unbroken
from numerai_assets_tests.features.past_eras import GROUPS, SETS, made_past

Array = NDArray[np.float64]


@given(seed=st.integers(0, 999), unknown=st.integers(0, 10), bins=st.sampled_from([4, 6]))
@settings(deadline=None, max_examples=30)
def test_a_payoff_is_the_correlation_over_the_known_rows_in_any_order(seed: int, unknown: int, bins: int) -> None:
    past = made_past(seed=seed, rows=40)
    rng = np.random.default_rng(seed)
    exposures = group_exposures(past.panel, SETS, GROUPS)
    target = (rng.integers(0, bins + 1, 40) / bins).astype(np.float32)
    target[:unknown] = np.nan

    found = payoffs(exposures, target)

    known = slice(unknown, None)
    expected = [np.corrcoef(sums[known], target[known])[0, 1] for sums in exposures.sums]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    order = rng.permutation(40)
    moved = type(exposures)(exposures.sums[:, order], exposures.features)
    assert payoffs(moved, target[order]).tobytes() == found.tobytes()


def test_a_group_without_features_pays_nothing_that_can_be_known() -> None:
    past = made_past()
    past.panel.blocks[0][[3, 5, 7]] = 2

    found = payoffs(group_exposures(past.panel, SETS, GROUPS), past.panel.target("target_ender_60"))

    assert np.isnan(found).tolist() == [False, True, False]


def test_payoffs_of_a_trend_and_a_cycle_are_taken_apart_into_them() -> None:
    eras = np.arange(104)
    trend, cycle = 0.01 + 0.0002 * eras, 0.02 * np.sin(2 * np.pi * eras / 13)

    for lag in (5, 13):
        found = decomposed(trend + cycle, 13, lag)

        # A local level lags behind what rises, by a few eras.
        np.testing.assert_allclose(found[0], trend[-1] - 0.0002 * 5, atol=1e-3)
        # The cycle at the era at hand, `lag` eras after the last payoff.
        np.testing.assert_allclose(found[1], 0.02 * np.sin(2 * np.pi * (103 + lag) / 13), atol=1e-3)
        assert abs(found[2]) < 2e-3


def test_one_wild_era_does_not_move_the_trend() -> None:
    paid = np.random.default_rng(0).normal(0.02, 0.002, 104)
    wild = paid.copy()
    wild[-5] = 0.5

    moved = abs(decomposed(wild, 13, 13)[0] - decomposed(paid, 13, 13)[0])

    plain = [STL(series, period=13, trend_deg=0).fit().trend[-1] for series in (wild, paid)]
    assert moved < 0.1 * abs(plain[0] - plain[1])


@pytest.mark.parametrize("lag", [5, 13])
def test_the_parts_are_those_of_statsmodels(lag: int) -> None:
    paid = np.random.default_rng(1).normal(size=60)

    whole = STL(paid, period=13, seasonal=601, seasonal_deg=0, trend_deg=0, robust=True).fit()

    at_phase = 59 - (13 - lag % 13) % 13
    np.testing.assert_array_equal(
        decomposed(paid, 13, lag), [whole.trend[-1], whole.seasonal[at_phase], whole.resid[-1]]
    )


def test_noise_makes_less_of_a_cycle_and_of_a_trend_than_stl_as_it_comes() -> None:
    noise = np.random.default_rng(0).normal(size=(30, 92))

    ours = np.array([decomposed(paid, 13, 13) for paid in noise]).std(axis=0)

    plain = [STL(paid, period=13, robust=True).fit() for paid in noise]
    assert ours[0] < 0.7 * np.std([whole.trend[-1] for whole in plain])
    assert ours[1] < 0.7 * np.std([whole.seasonal[-1] for whole in plain])


def test_only_the_unbroken_end_of_the_payoffs_is_used() -> None:
    paid = np.random.default_rng(0).normal(size=60)
    broken = paid.copy()
    broken[20] = np.nan

    np.testing.assert_array_equal(decomposed(broken, 13, 13), decomposed(paid[21:], 13, 13))
    assert np.isnan(decomposed(paid[-25:], 13, 13)).all() and np.isfinite(decomposed(paid[-26:], 13, 13)).all()
    assert len(unbroken(np.array([1.0, np.nan]))) == 0


@pytest.mark.filterwarnings("error")
def test_payoffs_that_do_not_vary_are_all_trend() -> None:
    np.testing.assert_allclose(decomposed(np.full(60, 0.25), 13, 13), [0.25, 0, 0], atol=1e-9)


def test_a_row_gets_its_standard_score_times_each_part() -> None:
    past = made_past()
    block = GroupPayoffs(groups=GROUPS, target="target_ender_20", look_back=50, period=7)

    found = dict(zip(block.names(SETS), past.columns_of(block), strict=True))

    eras = range(20, 66)
    paid = [payoffs(group_exposures(past.eras[e], SETS, GROUPS), past.eras[e].target("target_ender_20")) for e in eras]
    trend = decomposed(np.array(paid)[:, 2], 7, 5)[0]
    agility = past.panel.blocks[0][8:].sum(axis=0)
    expected = trend * (agility - agility.mean()) / agility.std()
    np.testing.assert_allclose(found["agility_trend"], expected, rtol=2e-3, atol=1e-4)


def test_payoffs_that_were_kept_are_those_that_would_be_made_and_new_targets_are_paid_anew() -> None:
    past = made_past()
    block = GroupPayoffs(groups=GROUPS, look_back=60, period=6)
    kept = replace(past, eras={era: replace(panel, digests=(f"kept {era}",)) for era, panel in past.eras.items()})
    revised = kept.with_targets(50, {"target_ender_60": 1 - past.eras[50].target("target_ender_60")})

    first = kept.columns_of(block)

    assert first.tobytes() == kept.columns_of(block).tobytes() == past.columns_of(block).tobytes()
    assert (revised.columns_of(block) != first).any()


def test_before_two_cycles_have_resolved_there_are_no_values() -> None:
    block = GroupPayoffs(groups=GROUPS, look_back=60)

    # Eras 1 to 25 had resolved at era 38, eras 1 to 26 at era 39.
    assert np.isnan(made_past(era=38).columns_of(block)).all()
    assert np.isfinite(made_past(era=39).columns_of(block)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"look_back": 12}, "target_ender_60 has no resolved era in 12 eras back"),
        ({"look_back": 37}, "25 resolved eras in 37 eras back; cycles of 13 eras need at least 26"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_asked_for(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        GroupPayoffs(**parameters)
