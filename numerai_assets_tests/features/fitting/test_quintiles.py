"""Columns of any kind as five levels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from numerai_assets.features.fitting.quintiles import quintiles

COLUMNS = arrays.arrays(
    np.float16,
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    elements=st.one_of(st.floats(-8, 8, width=16), st.just(float("nan"))),
)


def test_distinct_values_fall_into_five_equal_bins() -> None:
    column = np.random.default_rng(0).permutation(500).astype(np.float16)[None]

    assert np.bincount(quintiles(column)[0]).tolist() == [100] * 5


def test_missing_values_take_the_middle_and_do_not_count() -> None:
    column = np.array([[np.nan, 0.0, 1.0, 2.0, 3.0, 4.0, np.nan]], np.float16)

    assert quintiles(column).tolist() == [[2, 0, 1, 2, 3, 4, 2]]


def test_a_column_that_says_something_of_the_era_alone_is_cut_as_a_standard_score() -> None:
    columns = np.array([[-2.0] * 3, [-0.5] * 3, [0.0] * 3, [0.5] * 3, [2.0] * 3, [np.nan] * 3], np.float16)

    assert quintiles(columns)[:, 0].tolist() == [0, 1, 2, 3, 4, 2]


@given(COLUMNS)
def test_levels_are_five_and_keep_the_order(columns: np.ndarray) -> None:
    levels = quintiles(columns)

    assert levels.dtype == np.int8
    assert levels.shape == columns.shape
    assert set(levels.ravel().tolist()) <= {0, 1, 2, 3, 4}
    for column, level in zip(columns, levels, strict=True):
        known = ~np.isnan(column)
        order = np.argsort(column[known], kind="stable")
        assert (np.diff(level[known][order].astype(int)) >= 0).all()


@given(COLUMNS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_but_theirs(columns: np.ndarray, random: object) -> None:
    order = np.array(sorted(range(columns.shape[1]), key=lambda _: random.random()))  # type: ignore[attr-defined]

    np.testing.assert_array_equal(quintiles(columns)[:, order], quintiles(columns[:, order]))
