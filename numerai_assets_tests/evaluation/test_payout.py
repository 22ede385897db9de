"""A round pays by its own rule, and what the rule cannot say is an error and not a guess."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.payout import (
    OF_2024_AND_2025,
    OF_2026,
    SINCE_1343,
    PayoutRule,
    rule_of_round,
)
from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.scoring.daily import SCORES
from numerai_assets.sandbox.server.shapes import score_config_json


def config(name: str, multiplier: Any, *, pays: bool = True, **fields: Any) -> dict[str, Any]:
    standard = {"clipThreshold": 0.05, "payoutFactor": 0.8}
    return {"displayName": name, "isPayout": pays, "defaultMultiplier": multiplier} | standard | fields


def test_a_round_since_1343_pays_three_corr_and_fifteen_mmc_clipped_at_the_whole_stake() -> None:
    corr60 = np.array([0.02, -0.02, 0.1, -0.1, np.nan])
    mmc60 = np.array([0.01, 0.0, 0.06, -0.06, 0.01])

    returns = rule_of_round(1343).payouts({"corr60": corr60, "mmc60": mmc60, "bmc60": np.zeros(5)})

    np.testing.assert_allclose(returns, [0.21, -0.06, 1, -1, np.nan])


def test_a_round_of_2026_pays_with_its_factor_clipped_at_a_twentieth() -> None:
    rule = rule_of_round(1342).with_factor(0.5)

    returns = rule.payouts({"v2_corr20": np.array([0.02, 0.1]), "mmc": np.array([0.01, 0.1])})

    np.testing.assert_allclose(returns, [0.5 * (0.015 + 0.0225), 0.05])


@pytest.mark.parametrize(
    ("number", "rule"),
    [(650, OF_2024_AND_2025), (1171, OF_2024_AND_2025), (1172, OF_2026), (1342, OF_2026), (1400, SINCE_1343)],
)
def test_each_round_has_the_rule_of_its_time(number: int, rule: PayoutRule) -> None:
    assert rule_of_round(number) is rule


def test_rounds_before_any_known_rule_are_refused() -> None:
    with pytest.raises(ScoringError, match="round 649: no payout rule is known for rounds before 650"):
        rule_of_round(649)


def test_the_configs_of_a_round_spell_its_rule() -> None:
    configs = [config("v2_corr20", 0.75), config("mmc", "2.25", payoutFactor="0.8"), config("bmc", 0.0, pays=False)]

    rule = PayoutRule.of_configs(configs)

    assert rule == OF_2026.with_factor(0.8)


def test_the_configs_that_the_tournament_serves_spell_the_rule_since_1343() -> None:
    configs = [score_config_json(score, round_by_number(1)) for score in SCORES]

    assert PayoutRule.of_configs(configs) == SINCE_1343


def test_a_rule_reads_as_its_formula() -> None:
    assert str(SINCE_1343) == "3 corr60 + 15 mmc60, clipped at 1"


def test_a_factor_that_the_configs_do_not_know_yet_must_be_given_before_anything_is_paid() -> None:
    rule = PayoutRule.of_configs([config("mmc", 2.0, payoutFactor=None)])
    scores = {"mmc": np.array([0.01])}

    with pytest.raises(ScoringError, match="factor of the round is not known"):
        rule.payouts(scores)
    np.testing.assert_allclose(rule.with_factor(1.0).payouts(scores), [0.02])


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ([], "none of 0 pays"),
        ([config("bmc", 1.0, pays=False)], "none of 1 pays"),
        ([config("mmc", 1.0), config("mmc", 2.0)], "pays more than once among mmc, mmc"),
        ([config("mmc", None)], "defaultMultiplier of mmc is None, expected a number"),
        ([config("mmc", "much")], "defaultMultiplier of mmc is 'much'"),
        ([config("mmc", 1.0, clipThreshold=None)], "clipThreshold of mmc is None"),
        ([config("mmc", 1.0, clipThreshold=0)], "clip 0.0, expected above 0"),
        ([config("mmc", 1.0, payoutFactor=1.5)], "payout factor 1.5, expected 0 to 1"),
        ([config("a", 1.0), config("b", 1.0, clipThreshold=1)], "clipThreshold differs"),
        ([config("a", 1.0), config("b", 1.0, payoutFactor=1)], "payoutFactor differs"),
        ([config("a", 1.0), config("b", 1.0, payoutFactor=None)], "payoutFactor is set for some"),
        ([{"displayName": "mmc", "isPayout": True}], "defaultMultiplier of mmc is None"),
    ],
)
def test_configs_that_make_no_rule_are_named(configs: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        PayoutRule.of_configs(configs)


def test_a_score_that_pays_and_is_absent_is_named() -> None:
    with pytest.raises(ScoringError, match="no score named mmc60; found corr60, mmc"):
        SINCE_1343.payouts({"corr60": np.zeros(2), "mmc": np.zeros(2)})
    with pytest.raises(ScoringError, match="one shape expected"):
        SINCE_1343.payouts({"corr60": np.zeros(2), "mmc60": np.zeros(3)})


@given(values=st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1), factor=st.floats(0, 1))
def test_a_stake_never_moves_by_more_than_the_clip_and_opposite_scores_pay_the_opposite(
    values: list[tuple[float, float]], factor: float
) -> None:
    corr20, mmc = np.array(values).T
    rule = OF_2026.with_factor(factor)

    returns = rule.payouts({"v2_corr20": corr20, "mmc": mmc})

    assert (np.abs(returns) <= rule.clip).all()
    np.testing.assert_array_equal(rule.payouts({"v2_corr20": -corr20, "mmc": -mmc}), -returns)
