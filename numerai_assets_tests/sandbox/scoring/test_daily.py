from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerai_tools.scoring import correlation_contribution, numerai_corr

from numerai_assets.sandbox.scoring.daily import (
    BENCHMARK_NAMES,
    META_MODEL,
    SCORES,
    DayScore,
    benchmark_meta_model,
    payouts,
    percentile,
    score_day,
)

ROWS = 200
IDS = pd.Index([f"n{i:015x}" for i in np.random.default_rng(0).permutation(ROWS)], name="id")


def uniform(seed: int) -> pd.Series:
    return pd.Series((np.random.default_rng(seed).permutation(ROWS) + 0.5) / ROWS, index=IDS)


def target_after(name: str, weekdays: int) -> pd.Series:
    noise = uniform(int(name[-2:]) * 100 + weekdays)
    return pd.Series(np.digitize(noise, [0.05, 0.25, 0.75, 0.95]) / 4, index=IDS, name=name)


LIVE = pd.DataFrame({META_MODEL: uniform(1), BENCHMARK_NAMES[0]: uniform(2), BENCHMARK_NAMES[1]: uniform(3)})
PREDICTIONS = pd.DataFrame({"a": uniform(4), "b": uniform(5)})


def by_name(scores: list[DayScore]) -> dict[tuple[str, str], DayScore]:
    return {(score.submission_id, score.display_name): score for score in scores}


@pytest.mark.parametrize("name", list(PREDICTIONS.columns))
def test_scores_equal_numerai_tools_computed_directly(name: str) -> None:
    scores = by_name(score_day(PREDICTIONS, LIVE, target_after, 7))
    alone, t20, t60 = PREDICTIONS[[name]], target_after("target_ender_20", 7), target_after("target_ender_60", 7)
    expected = {
        "v2_corr20": numerai_corr(alone, t20)[name],
        "corr60": numerai_corr(alone, t60)[name],
        "mmc": correlation_contribution(alone, LIVE[META_MODEL], t20)[name],
        "mmc60": correlation_contribution(alone, LIVE[META_MODEL], t60)[name],
        "bmc": correlation_contribution(alone, LIVE[list(BENCHMARK_NAMES)].rank().mean(axis=1), t20)[name],
    }
    for display_name, value in expected.items():
        assert scores[name, display_name].value == pytest.approx(value, abs=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = score_day(PREDICTIONS.sample(frac=1, random_state=1), LIVE, target_after, 3)
    for one, other in zip(score_day(PREDICTIONS, LIVE, target_after, 3), shuffled, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-12)


def test_the_meta_model_correlates_with_itself_and_contributes_nothing() -> None:
    scores = by_name(score_day(LIVE[[META_MODEL]].set_axis(["m"], axis=1), LIVE, target_after, 1))
    assert scores["m", "mmc60"].value == pytest.approx(0, abs=1e-12)
    assert scores["m", "corr_w_meta_model"].value > 0.9
    benchmark = benchmark_meta_model(LIVE).to_frame("m")
    assert by_name(score_day(benchmark, LIVE, target_after, 1))["m", "bmc"].value == pytest.approx(0, abs=1e-12)


def test_twenty_day_scores_end_after_twenty_weekdays_and_sixty_day_ones_after_sixty() -> None:
    final = {
        day: {s.display_name for s in score_day(PREDICTIONS, LIVE, target_after, day) if s.is_final}
        for day in (19, 20, 60)
    }
    assert final[19] == set()
    assert final[20] == {"v2_corr20", "mmc", "bmc", "corr_w_meta_model"}
    assert final[60] == {"corr60", "mmc60"}
    assert {s.display_name for s in score_day(PREDICTIONS, LIVE, target_after, 21)} == {"corr60", "mmc60"}


def test_percentile_is_the_share_of_rivals_below() -> None:
    rivals = pd.Series([0.1, 0.2, 0.2, np.nan, 0.4])
    assert percentile(0.3, rivals) == 0.75
    assert percentile(0.2, rivals) == 0.5
    assert percentile(0.0, rivals) == 0.0
    assert percentile(0.3, pd.Series(dtype=float)) is None
    assert percentile(float("nan"), rivals) is None


def test_a_score_is_not_ranked_against_its_own_reference() -> None:
    scores = by_name(score_day(PREDICTIONS, LIVE, target_after, 1))
    # Two benchmarks remain for mmc, the meta model alone for bmc.
    assert scores["a", "mmc"].percentile in (0.0, 0.5, 1.0)
    assert scores["a", "bmc"].percentile in (0.0, 1.0)


@pytest.mark.parametrize(
    ("corr60", "mmc60", "earned"),
    [(0.02, 0.01, "0.21"), (0.2, 0.1, "1"), (-0.2, -0.1, "-1"), (0.05, -0.01, "0"), (0.02, None, "0.06")],
)
def test_payout_is_three_corr_plus_fifteen_mmc_clipped(corr60: float, mmc60: float | None, earned: str) -> None:
    parts = payouts({"corr60": corr60, "mmc60": mmc60, "v2_corr20": 5.0}, Decimal(1))
    assert float(sum(parts.values())) == pytest.approx(float(earned), abs=1e-12)
    assert set(parts) == {"corr60", "mmc60"}


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1))
def test_payout_never_leaves_what_is_at_risk(corr60: float, mmc60: float, factor: float) -> None:
    total = sum(payouts({"corr60": corr60, "mmc60": mmc60}, Decimal(10), factor).values())
    assert abs(total) <= Decimal("10.000000001")


def test_nothing_at_risk_earns_nothing() -> None:
    assert set(payouts({"corr60": 0.3, "mmc60": 0.1}, Decimal(0)).values()) == {Decimal(0)}


def test_the_paying_scores_are_those_since_round_1343() -> None:
    assert {c.display_name: c.multiplier for c in SCORES if c.is_payout} == {"corr60": 3.0, "mmc60": 15.0}
