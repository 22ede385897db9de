"""A linear model around one row: a linear prediction gives its weights back, a step far from the row is not seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.local_model import local_model


def era(seed: int, features: int, rows: int = 200) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(0, 5, (features, rows), dtype=np.int8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), features=st.integers(1, 30))
def test_a_linear_prediction_gives_its_weights_back(seed: int, features: int) -> None:
    levels = era(seed, features)
    weights = np.random.default_rng([seed, 1]).normal(size=features)

    model = local_model(lambda rows: 3 + rows @ weights, levels[:, 0], levels, seed=seed)

    np.testing.assert_allclose(model.weights, weights, atol=2e-3)
    np.testing.assert_allclose(model.intercept, 3, atol=2e-2)
    np.testing.assert_allclose(model.effects, model.weights * (levels[:, 0] - levels.mean(axis=1)))
    assert model.r2 == pytest.approx(1, abs=1e-5)


def test_the_seed_alone_decides() -> None:
    levels = era(0, 6)

    first, again, other = (
        local_model(lambda rows: (rows[:, 0] > 2).astype(float), levels[:, 0], levels, seed=seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.weights != other.weights).any()


def test_what_happens_near_the_row_counts_more_than_what_happens_far_away() -> None:
    """A prediction that rises with feature 0 only in rows that have the row's own levels elsewhere."""
    levels = era(3, 6)
    row = levels[:, 0]

    def rises_here(rows: NDArray[np.int8]) -> NDArray[np.float64]:
        is_near = (rows[:, 1:] == row[1:]).mean(axis=1) > 0.7
        return np.asarray(rows[:, 0] * is_near, np.float64)

    near, far = (local_model(rises_here, row, levels, seed=0, width=width) for width in (0.3, 100))

    assert near.weights[0] > 1.5 * far.weights[0] > 0


def test_a_prediction_that_is_not_linear_says_so() -> None:
    levels = era(4, 8)
    row = np.full(8, 2, np.int8)

    model = local_model(lambda rows: (rows[:, 0] - 2.0) * (rows[:, 1] - 2.0), row, levels, seed=0)

    assert model.r2 < 0.2


def test_a_feature_of_one_level_has_no_weight() -> None:
    levels = era(5, 4)
    levels[2] = 3

    model = local_model(lambda rows: rows.sum(axis=1).astype(float), levels[:, 0], levels, seed=0)

    assert model.weights[2] == 0
    assert model.effects[2] == 0
    np.testing.assert_allclose(model.weights[[0, 1, 3]], 1, atol=2e-3)


def test_a_row_of_other_features_is_refused() -> None:
    with pytest.raises(ScoringError, match=r"the row has \(3,\) bins, its era has features \(4,\)"):
        local_model(lambda rows: rows[:, 0].astype(float), np.zeros(3, np.int8), era(0, 4), seed=0)
