"""Evaluating only the trees that ask for a feature gives what LightGBM predicts of the permuted data."""

import lightgbm as lgb
import numpy as np
import pytest

from numerai_assets.trees import permuted_trees
from numerai_assets.trees.permuted_trees import permuted_predictions, trees_of


def model_of(levels: np.ndarray, target: np.ndarray, trees: int = 12, leaves: int = 6) -> lgb.Booster:
    size = {"num_leaves": leaves, "min_data_in_leaf": 30 // leaves}
    parameters = {"objective": "regression", "verbosity": -1, "num_threads": 1} | size
    return lgb.train(parameters, lgb.Dataset(levels.T.astype(np.float32), target), trees)


@pytest.mark.parametrize(("lowest", "leaves"), [(0, 6), (-1, 6), (-1, 200)])
def test_predictions_are_lightgbm_s_for_the_data_as_they_are_and_permuted(lowest: int, leaves: int) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(lowest, 5, (6, 300), dtype=np.int8)
    booster = model_of(levels, levels[0] * levels[1] + levels[2] + rng.normal(size=300), leaves=leaves)
    clusters = [np.array([0]), np.array([1, 2]), np.array([3, 4, 5])]

    found = permuted_predictions(trees_of(booster), levels, clusters, np.random.default_rng(7))

    np.testing.assert_allclose(next(found)[0], booster.predict(levels.T))
    order = np.random.default_rng(7).permutation(300)
    for cluster, (predictions, concerned) in zip(clusters, found, strict=True):
        permuted = levels.copy()
        permuted[cluster] = permuted[cluster][:, order]
        assert concerned == bool(booster.feature_importance()[cluster].any())
        np.testing.assert_allclose(predictions, booster.predict(permuted.T))


def test_rows_taken_some_at_a_time_are_predicted_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(0).integers(-1, 5, (5, 100), dtype=np.int8)
    trees, clusters = trees_of(model_of(levels, levels.sum(axis=0).astype(float))), [np.array([3]), np.array([1, 4])]

    at_once = list(permuted_predictions(trees, levels, clusters, np.random.default_rng(0)))
    monkeypatch.setattr(permuted_trees, "_HELD_BYTES", 1000)
    in_parts = list(permuted_predictions(trees, levels, clusters, np.random.default_rng(0)))

    for (ours, _), (theirs, _) in zip(in_parts, at_once, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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
