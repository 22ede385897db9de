"""Evaluating only the trees that ask for a feature gives what LightGBM predicts of the permuted data."""

import lightgbm as lgb
import numpy as np
import pytest

from numerai_assets.methods.permuted_trees import permuted_predictions, trees_of


def model_of(levels: np.ndarray, target: np.ndarray, trees: int = 12) -> lgb.Booster:
    parameters = {"objective": "regression", "num_leaves": 6, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lgb.train(parameters, lgb.Dataset(levels.T.astype(np.float32), target), trees)


@pytest.mark.parametrize("lowest", [0, -1])
def test_predictions_are_lightgbm_s_for_the_data_as_they_are_and_permuted(lowest: int) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(lowest, 5, (6, 300), dtype=np.int8)
    booster = model_of(levels, levels[0] * levels[1] + levels[2] + rng.normal(size=300))
    clusters = [np.array([0]), np.array([1, 2]), np.array([3, 4, 5])]

    found = permuted_predictions(trees_of(booster), levels, clusters, np.random.default_rng(7))

    np.testing.assert_allclose(next(found)[0], booster.predict(levels.T))
    again = np.random.default_rng(7)
    for cluster, (predictions, concerned) in zip(clusters, found, strict=True):
        permuted = levels.copy()
        permuted[cluster] = permuted[cluster][:, again.permutation(300)]
        assert concerned == bool(booster.feature_importance()[cluster].any())
        np.testing.assert_allclose(predictions, booster.predict(permuted.T))


def test_features_that_no_tree_asks_for_change_nothing() -> None:
    levels = np.random.default_rng(0).integers(0, 5, (3, 200), dtype=np.int8)
    levels[2] = 1
    booster = model_of(levels, levels[0].astype(float))

    whole, other = permuted_predictions(trees_of(booster), levels, [np.array([2])], np.random.default_rng(0))

    assert not other[1]
    np.testing.assert_array_equal(other[0], whole[0])


def test_a_model_without_splits_predicts_its_constant() -> None:
    levels = np.ones((2, 50), np.int8)

    ((predictions, _),) = permuted_predictions(
        trees_of(model_of(levels, np.full(50, 3.0))), levels, [], np.random.default_rng(0)
    )

    np.testing.assert_allclose(predictions, 3)
