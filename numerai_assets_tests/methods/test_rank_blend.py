"""Ranks and weights of a blend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from numerai_assets.methods.rank_blend import Ranks, centred_ranks, learned_weights

LAWFUL = settings(deadline=None, max_examples=30)


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
def test_ranks_have_mean_zero_and_the_order_of_the_scores(kind: Ranks) -> None:
    raw = np.random.default_rng(0).normal(size=(3, 40))

    ranks = centred_ranks(raw, kind)

    np.testing.assert_allclose(ranks.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(np.argsort(ranks), np.argsort(raw))


def test_gaussian_ranks_are_quantiles_of_the_normal_distribution() -> None:
    raw = np.array([[3.0, 1.0, 1.0, 7.0]])

    np.testing.assert_allclose(centred_ranks(raw, "gaussian")[0], norm.ppf((rankdata(raw[0]) - 0.5) / 4))


def signals(seed: int, strengths: list[float], eras: int = 4, rows: int = 200) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ranks of members that know so much of the target, era by era."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(eras):
        target = rng.normal(size=rows)
        raw = np.array([strength * target + rng.normal(size=rows) for strength in strengths])
        made.append((centred_ranks(raw, "gaussian"), target))
    return made


@given(seed=st.integers(0, 1000), strengths=st.lists(st.floats(-1, 1), min_size=1, max_size=5))
@LAWFUL
def test_weights_are_never_negative_and_sum_to_one(seed: int, strengths: list[float]) -> None:
    weights = learned_weights(signals(seed, strengths))

    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


def test_who_knows_more_weighs_more_and_who_is_worse_than_nothing_half_of_an_equal_share() -> None:
    weights = learned_weights(signals(0, [1.0, 0.3, -0.5]))

    assert weights[0] > weights[1] > weights[2]
    assert weights[2] == pytest.approx(1 / 6)


def test_members_that_are_all_worse_than_nothing_weigh_the_same() -> None:
    np.testing.assert_allclose(learned_weights(signals(0, [-1.0, -0.5])), [0.5, 0.5])


def test_copies_of_a_member_share_its_weight() -> None:
    eras = [(np.vstack([ranks, ranks[:1]]), target) for ranks, target in signals(0, [0.5, 0.5])]

    weights = learned_weights(eras)

    assert weights[0] == pytest.approx(weights[2], rel=0.01)
    assert weights[1] > weights[0]


def test_rows_without_a_target_do_not_count() -> None:
    eras = signals(1, [0.5, 0.2])
    longer = [(np.hstack([ranks, np.ones((2, 3))]), np.r_[target, [np.nan] * 3]) for ranks, target in eras]

    np.testing.assert_allclose(learned_weights(longer), learned_weights(eras))
