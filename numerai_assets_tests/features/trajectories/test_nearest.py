"""Nearest rows are exactly those of whole-number arithmetic, equal ones by position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from numerai_assets.features.trajectories import nearest as module
from numerai_assets.features.trajectories.nearest import LARGEST, Points, assigned, nearest, squared_distances

LAWFUL = settings(deadline=None, max_examples=60)


def points(seed: int, dims: int, rows: int, reach: int) -> Points:
    return np.random.default_rng(seed).integers(-reach, reach + 1, (dims, rows), dtype=np.int8)


def exact(here: Points, there: Points) -> np.ndarray:
    a, b = here.T.astype(np.int64), there.T.astype(np.int64)
    return ((a[:, None] - b[None]) ** 2).sum(axis=2)


@given(
    seed=st.integers(0, 999), dims=st.integers(1, 6), rows=st.integers(1, 30), reach=st.sampled_from([1, 3, LARGEST])
)
@LAWFUL
def test_they_are_those_of_a_stable_sort_of_exact_distances(seed: int, dims: int, rows: int, reach: int) -> None:
    here, there = points(seed, dims, 9, reach), points(seed + 1, dims, rows, reach)
    k = 1 + seed % rows

    found, squares = nearest(here, there, k)

    all_squares = exact(here, there)
    order = np.argsort(all_squares, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.T, order)
    np.testing.assert_array_equal(squares.T, np.take_along_axis(all_squares, order, axis=1))


def test_how_many_rows_go_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = points(0, 5, 50, 2), points(1, 5, 40, 2)
    at_once = nearest(here, there, 8)

    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)

    for whole, part in zip(at_once, nearest(here, there, 8), strict=True):
        np.testing.assert_array_equal(whole, part)


@pytest.mark.parametrize("dims", [1, 64, 96, 256])
def test_distances_are_exact_at_the_largest_coordinates(dims: int) -> None:
    here, there = points(0, dims, 20, LARGEST), np.full((dims, 3), LARGEST, np.int8)
    here[:, 0] = -LARGEST

    np.testing.assert_array_equal(squared_distances(here, there), exact(here, there))
    np.testing.assert_array_equal(nearest(here, there, 1)[1][0], exact(here, there)[:, 0])


@given(seed=st.integers(0, 999), rows=st.integers(1, 12))
@LAWFUL
def test_partners_differ_and_no_exchange_of_two_would_bring_them_nearer(seed: int, rows: int) -> None:
    here, there = points(seed, 3, 10, 50), points(seed + 1, 3, rows, 50)

    (found,), (squares,) = assigned(here, there)

    paired = found >= 0
    assert paired.sum() == min(10, rows)
    assert len(set(found[paired].tolist())) == paired.sum()
    assert np.isnan(squares[~paired]).all()
    apart = cdist(here.T, there.T, "sqeuclidean")
    np.testing.assert_allclose(squares[paired], apart[paired][np.arange(paired.sum()), found[paired]])
    crossed = apart[np.ix_(paired, found[paired])]
    own = crossed.diagonal()
    assert (own[:, None] + own[None] <= crossed + crossed.T + 1e-9).all()
