"""Products of int8 features are exact, and refuse what they cannot be exact for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import ScoringError
from numerai_assets.panel.gram import checked, integer_gram, moments, without_gaps


def block_of(features: int, rows: int, least: int = 0) -> np.ndarray:
    return np.random.default_rng([features, rows]).integers(least, 5, (features, rows), dtype=np.int8)


@given(features=st.integers(1, 40), rows=st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_the_gram_matrix_is_the_exact_product(features: int, rows: int) -> None:
    block = block_of(features, rows)

    np.testing.assert_array_equal(integer_gram(block), block.astype(np.int64) @ block.astype(np.int64).T)


@pytest.mark.parametrize("features", [1, 256, 257, 600])
def test_moments_are_the_product_whatever_the_number_of_features(features: int) -> None:
    block, values = block_of(features, 30), np.random.default_rng(0).normal(size=(30, 3))

    np.testing.assert_allclose(moments(block, values), block.astype(np.float64) @ values, rtol=1e-13)


def test_a_missing_cell_is_the_middle_level_and_nothing_is_copied_where_none_is() -> None:
    gaps, whole = block_of(6, 20, least=-1), block_of(6, 20)

    np.testing.assert_array_equal(without_gaps(gaps), np.where(gaps == -1, 2, gaps))
    np.testing.assert_array_equal(without_gaps(gaps, [4, 1]), np.where(gaps == -1, 2, gaps)[[4, 1]])
    assert without_gaps(whole) is whole


@pytest.mark.parametrize("block", [np.zeros((2, 0), np.int8), np.zeros((2, 3)), np.zeros(3, np.int8)])
def test_features_of_another_kind_are_refused(block: np.ndarray) -> None:
    with pytest.raises(ScoringError, match=r"expected \(d, n\) int8 with rows"):
        without_gaps(block)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 2)), r"expected \(3, m\)"),
        (np.zeros(3), r"expected \(3, m\)"),
        (np.array([[0.0, np.nan]] * 3), "1 of 2 columns hold NaN, the first is 1"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        checked(values, 3)


def test_predictions_are_counted_in_float64() -> None:
    assert checked(np.zeros((3, 1), np.float32), 3).dtype == np.float64
