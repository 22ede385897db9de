"""Nearest rows: the same levels as scikit-learn's KNNImputer, ties and all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.impute import KNNImputer
from sklearn.metrics.pairwise import nan_euclidean_distances

from numerai_assets.features.cleaning.knn import filled_from_nearest_rows, nan_distances
from numerai_assets_tests.features.level_arrays import level_arrays

Block = NDArray[np.int8]

LAWFUL = settings(deadline=None, max_examples=40)
BLOCKS = level_arrays((1, 5), (1, 14))


def era(features: int, rows: int, share_missing: float, seed: int = 0) -> Block:
    draw = np.random.default_rng(seed)
    block = draw.integers(0, 5, (features, rows), dtype=np.int8)
    block[draw.random(block.shape) < share_missing] = -1
    return block


def by_scikit_learn(block: Block, neighbours: int = 5) -> NDArray[np.float32]:
    numbers = np.where(block < 0, np.nan, block).astype(np.float32).T
    numbers[:, np.isnan(numbers).all(axis=0)] = 2
    return np.asarray(np.rint(KNNImputer(n_neighbors=neighbours).fit_transform(numbers)).T)


@given(block=BLOCKS, neighbours=st.integers(1, 6))
@LAWFUL
def test_small_eras_full_of_ties_are_filled_as_scikit_learn_does(block: Block, neighbours: int) -> None:
    np.testing.assert_array_equal(filled_from_nearest_rows(block, neighbours), by_scikit_learn(block, neighbours))


@pytest.mark.parametrize(
    ("features", "rows", "share_missing"),
    [(3, 300, 0.3), (4, 200, 0.7), (2, 150, 0.9), (60, 250, 0.05), (60, 700, 0.01), (200, 90, 0.4)],
)
def test_eras_of_any_shape_are_filled_as_scikit_learn_does(features: int, rows: int, share_missing: float) -> None:
    block = era(features, rows, share_missing)

    np.testing.assert_array_equal(filled_from_nearest_rows(block), by_scikit_learn(block))


@given(BLOCKS)
@LAWFUL
def test_distances_are_those_of_scikit_learn_to_the_bit(block: Block) -> None:
    missing = block == -1
    numbers = np.where(missing, np.nan, block).astype(np.float32).T

    distances = nan_distances(np.where(missing, np.int8(0), block), missing, np.arange(block.shape[1]))

    np.testing.assert_array_equal(distances, nan_euclidean_distances(numbers, numbers.copy()))


def test_without_ties_the_order_of_rows_and_features_does_not_matter() -> None:
    block = era(600, 25, 0.05)
    rows, features = np.random.default_rng(1).permutation(25), np.random.default_rng(2).permutation(600)

    turned = filled_from_nearest_rows(np.ascontiguousarray(block[features][:, rows]))

    np.testing.assert_array_equal(turned, filled_from_nearest_rows(block)[features][:, rows])


def test_what_is_there_stays_and_the_era_given_is_not_changed() -> None:
    block = era(10, 80, 0.2)
    block.flags.writeable = False

    filled = filled_from_nearest_rows(block)

    assert (filled >= 0).all()
    np.testing.assert_array_equal(filled[block >= 0], block[block >= 0])


def test_an_era_without_any_value_takes_the_middle_level() -> None:
    assert (filled_from_nearest_rows(np.full((3, 4), -1, np.int8)) == 2).all()
