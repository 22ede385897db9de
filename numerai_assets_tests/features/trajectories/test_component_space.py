"""The space rows are compared in: principal components of one era, the same whatever the order of its rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from numerai_assets.errors import FeatureError
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import LARGEST

LAWFUL = settings(deadline=None, max_examples=25)


def some_block(seed: int = 0, features: int = 12, rows: int = 300) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(features, 4)) @ rng.normal(size=(4, rows)) + rng.normal(size=(features, rows))
    return np.clip(np.floor(scores + 2.5), 0, 4).astype(np.int8)


def test_whitened_coordinates_are_the_whitened_principal_components() -> None:
    block = some_block()

    space = ComponentSpace.of(block, 5, 1.0)
    placed = space.place(block) * space.step

    expected = PCA(5, whiten=True).fit_transform(block.T.astype(float)).T * np.sqrt(300 / 299)
    signs = np.sign((placed * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(placed, expected * signs, atol=space.step / 2 + 1e-6)


@given(seed=st.integers(0, 99), whitening=st.floats(0, 1))
@LAWFUL
def test_variances_keep_their_order_and_are_one_in_the_mean(seed: int, whitening: float) -> None:
    block = some_block(seed)

    space = ComponentSpace.of(block, 6, whitening)
    variances = (space.place(block) * space.step).var(axis=1)

    assert variances.mean() == pytest.approx(1, abs=0.01)
    assert (np.diff(variances) < 0.02).all()


@given(seed=st.integers(0, 99))
@LAWFUL
def test_the_order_of_rows_changes_neither_the_space_nor_where_a_row_stands(seed: int) -> None:
    block = some_block(seed, rows=301)
    order = np.random.default_rng(seed).permutation(301)

    space, shuffled = ComponentSpace.of(block, 7, 0.75), ComponentSpace.of(block[:, order], 7, 0.75)

    np.testing.assert_array_equal(space.loadings, shuffled.loadings)
    np.testing.assert_array_equal(space.place(block)[:, order], space.place(block[:, order]))


def test_a_missing_cell_counts_as_the_middle_level() -> None:
    block = some_block()
    gaps = np.random.default_rng(1).random(block.shape) < 0.2
    with_gaps, filled = np.where(gaps, np.int8(-1), block), np.where(gaps, np.int8(2), block)

    space, of_filled = ComponentSpace.of(with_gaps, 5, 0.75), ComponentSpace.of(filled, 5, 0.75)

    np.testing.assert_array_equal(space.place(with_gaps), of_filled.place(filled))


def test_constants_copies_and_opposites_add_no_dimension() -> None:
    block = some_block(features=6)
    more = np.concatenate([block, block[:2], np.full((2, 300), 3, np.int8), 4 - block[:1]])

    space = ComponentSpace.of(more, 12, 1.0)

    assert space.dims == 6
    assert set(space.varying) == {*range(8), 10}


def test_an_era_is_centred_on_itself() -> None:
    space, other = ComponentSpace.of(some_block(), 5, 0.75), np.minimum(some_block(9) + np.int8(1), np.int8(4))

    np.testing.assert_allclose(space.place(other).mean(axis=1), 0, atol=0.5)


def test_rows_far_out_stand_at_the_edge_of_the_lattice() -> None:
    block = np.zeros((1, 30_000), np.int8)
    block[0, 0] = 4

    assert ComponentSpace.of(block, 1, 1.0).place(block).max() == LARGEST


def test_the_lattice_is_wide_enough_for_a_component_far_above_the_others() -> None:
    shared = np.random.default_rng(0).integers(0, 5, (1, 300), dtype=np.int8)
    block = np.concatenate([np.repeat(shared, 60, axis=0), some_block(features=60)])

    placed = ComponentSpace.of(block, 30, 0.0).place(block)

    assert LARGEST / 6 < np.abs(placed[0]).max() < LARGEST


@pytest.mark.parametrize("block", [np.full((3, 9), 2, np.int8), np.empty((0, 9), np.int8), np.full((2, 1), 4, np.int8)])
def test_where_no_feature_varies_there_is_no_space(block: NDArray[np.int8]) -> None:
    with pytest.raises(FeatureError, match="features are constant"):
        ComponentSpace.of(block, 5, 1.0)
