"""Cleaning: the same values as scikit-learn's imputers rounded to a level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.impute import KNNImputer, SimpleImputer

from numerai_assets.errors import MethodError
from numerai_assets.features.cleaning.fill import (
    STRATEGIES,
    Strategy,
    absent_features,
    clean,
    coverage,
    leaves_as_released,
)
from numerai_assets_tests.features.level_arrays import level_arrays

Matrix = NDArray[np.int8]
LAWFUL = settings(deadline=None, max_examples=60)
FILLING = [strategy for strategy in STRATEGIES if strategy != "keep"]
# Of these strategies nothing depends on how equally near rows are told apart.
BY_COLUMN: list[Strategy] = ["median", "mean", "mode", "keep"]

MATRICES = level_arrays((1, 12), (1, 5))


def some_era(rows: int = 60, features: int = 7, share_missing: float = 0.2, seed: int = 0) -> Matrix:
    """(rows, features) levels, the last feature without gaps, the others with."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 5, (rows, features), dtype=np.int8)
    gaps = rng.random(matrix.shape) < share_missing
    gaps[:, -1] = False
    matrix[gaps] = -1
    return matrix


def test_a_feature_is_absent_when_it_is_two_in_every_row() -> None:
    features = np.array([[2, 2, 2, -1], [2, 1, 2, 2], [2, 2, -1, 2]], np.int8)

    assert absent_features(features).tolist() == [True, False, False, False]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cleaning_gives_levels_and_leaves_what_is_there(strategy: Strategy) -> None:
    features = some_era()
    before = features.copy()

    cleaned = clean(features, strategy)

    assert cleaned.dtype == np.int8
    assert cleaned.shape == features.shape
    np.testing.assert_array_equal(cleaned[features >= 0], features[features >= 0])
    np.testing.assert_array_equal(features, before)
    lowest = -1 if strategy == "keep" else 0
    assert (cleaned.min(), cleaned.max()) == (lowest, 4)


@pytest.mark.parametrize(("strategy", "theirs"), [("median", "median"), ("mean", "mean"), ("mode", "most_frequent")])
@given(features=MATRICES)
@LAWFUL
def test_filled_levels_are_those_of_scikit_learn_rounded(strategy: Strategy, theirs: str, features: Matrix) -> None:
    numbers = np.where(features < 0, np.nan, features)
    empty = np.isnan(numbers).all(axis=0)
    numbers[:, empty] = 2

    cleaned = clean(features, strategy)

    expected = SimpleImputer(strategy=theirs).fit_transform(numbers)
    np.testing.assert_array_equal(cleaned, np.rint(expected))


def test_knn_is_the_mean_of_the_five_nearest_rows() -> None:
    features = some_era(rows=80, features=12)

    cleaned = clean(features, "knn")

    numbers = np.where(features < 0, np.nan, features).astype(np.float32)
    np.testing.assert_array_equal(cleaned, np.rint(KNNImputer(n_neighbors=5).fit_transform(numbers)))


def test_a_small_example_by_hand() -> None:
    features = np.array([[0, 4], [0, 4], [4, 3], [3, -1], [-1, 0]], np.int8)

    filled = {strategy: clean(features, strategy)[[4, 3], [0, 1]].tolist() for strategy in BY_COLUMN}

    assert filled == {"median": [2, 4], "mean": [2, 3], "mode": [0, 4], "keep": [-1, -1]}


@pytest.mark.parametrize("strategy", FILLING)
def test_absent_features_stay_at_the_middle_level_when_filling(strategy: Strategy) -> None:
    features = some_era()
    features[:, 1] = 2
    features[:, 2] = -1

    cleaned = clean(features, strategy)

    assert (cleaned[:, 1] == 2).all()
    assert (cleaned[:, 2] == 2).all()
    assert (cleaned >= 0).all()


def test_keep_marks_missing_cells_and_absent_features_alike() -> None:
    features = np.array([[0, 2, -1], [2, 2, 2], [4, 2, 2]], np.int8)

    assert clean(features, "keep").tolist() == [[0, -1, -1], [2, -1, 2], [4, -1, 2]]


@pytest.mark.parametrize("strategy", FILLING)
def test_an_era_without_gaps_is_not_changed(strategy: Strategy) -> None:
    features = some_era(share_missing=0)

    np.testing.assert_array_equal(clean(features, strategy), features)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_read_only_era_can_be_cleaned(strategy: Strategy) -> None:
    features = some_era()
    features.flags.writeable = False

    assert clean(features, strategy).shape == features.shape


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(MethodError, match=r"'zero': expected one of .*'median'"):
        clean(some_era(), "zero")  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", BY_COLUMN)
@given(features=MATRICES, data=st.data())
@LAWFUL
def test_the_order_of_rows_does_not_matter(strategy: Strategy, features: Matrix, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(features))))

    np.testing.assert_array_equal(clean(features[order], strategy), clean(features, strategy)[order])


def test_coverage_is_the_share_of_present_features_off_the_middle() -> None:
    features = np.array([[2, 0, 1, -1], [2, 2, 2, 3], [2, 4, 2, 2]], np.int8)

    covered = coverage(features)

    np.testing.assert_allclose(covered, np.array([2, 1, 1]) / 3, rtol=1e-6)
    assert covered.dtype == np.float32


@LAWFUL
@given(MATRICES, st.sampled_from(BY_COLUMN))
def test_cleaning_leaves_an_era_alone_where_it_says_so(features: Matrix, strategy: Strategy) -> None:
    if leaves_as_released(strategy, int((features == -1).sum())):
        np.testing.assert_array_equal(clean(features, strategy), features)
