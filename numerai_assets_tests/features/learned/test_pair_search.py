"""The search finds what moments computed one by one find, and tables beyond additive effects hold none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from numerai_assets.features.learned.pair_search import (
    CELLS,
    EraCells,
    best_pairs,
    beyond_additive,
    cell_sums,
    cells_of,
)
from numerai_assets.panel.targets import standardised


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_the_search_ranks_pairs_as_moments_computed_one_by_one_do(data: st.DataObject) -> None:
    blocks = data.draw(arrays(np.int8, (3, 6, 20), elements=st.integers(-1, 4)))
    target = standardised(np.random.default_rng(0).normal(size=20))
    eras = [EraCells(block, target) for block in blocks]
    steps = np.rint(target * 31 / np.abs(target).max())

    found = best_pairs([[lambda era=era: era] for era in eras], 6, 100, lambda: None)

    linear = np.where(blocks < 0, 0, blocks - 2.0)
    contrasts = [linear, np.where(blocks < 0, 0, linear**2 - 2)]
    moments = np.array([np.einsum("r,ear,ebr->eab", steps, left, right) for left in contrasts for right in contrasts])
    squares = (moments**2).sum(axis=1)
    score = np.abs(moments.sum(axis=1)) / np.sqrt(squares + squares.mean() + 1e-300)
    best = score.max(axis=0)
    assert sorted(map(tuple, found.tolist())) == [(a, b) for a in range(6) for b in range(a + 1, 6)]
    np.testing.assert_allclose(np.diff([best[a, b] for a, b in found]).clip(0), 0, atol=1e-5)


@given(arrays(np.float64, (2, 25), elements=st.floats(-3, 3)), arrays(np.int8, (2, 25), elements=st.integers(0, 9)))
@settings(deadline=None, max_examples=40)
def test_what_is_left_beyond_additive_effects_has_none(tables: NDArray[np.float64], rows: NDArray[np.int8]) -> None:
    weights = rows + np.eye(1, 25)[0]
    additive = np.add.outer(np.arange(5.0), np.array([2.0, -1, 0, 4, 1])).ravel()

    left = beyond_additive(tables, weights)

    np.testing.assert_allclose((left * weights).reshape(2, 5, 5).sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose((left * weights).reshape(2, 5, 5).sum(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(beyond_additive(tables + additive, weights), left, atol=1e-6)


@given(arrays(np.int8, (4, 15), elements=st.integers(-1, 4)))
@settings(deadline=None, max_examples=30)
def test_cells_are_counted_as_one_by_one(block: NDArray[np.int8]) -> None:
    target = np.linspace(-1, 1, 15)
    target[3] = np.nan

    sums, rows = cell_sums(EraCells(block, target), np.array([[0, 2], [3, 1]]))

    for of_pair, counted, (a, b) in zip(sums, rows, ([0, 2], [3, 1]), strict=True):
        for cell in range(25):
            inside = (block[a] == cell // 5) & (block[b] == cell % 5) & ~np.isnan(target)
            assert counted[cell] == inside.sum()
            assert of_pair[cell] == pytest.approx(target[inside].sum())


def test_at_most_so_many_pairs_are_returned_best_first_and_each_era_is_reported() -> None:
    rng = np.random.default_rng(0)
    told: list[int] = []
    eras = []
    for _ in range(6):
        block = rng.integers(0, 5, (8, 400), dtype=np.int8)
        eras.append(EraCells(block, standardised((block[2] - 2.0) * (block[5] - 2.0) + rng.normal(size=400))))

    found = best_pairs([[lambda era=era: era] for era in eras], 8, 3, lambda: told.append(1))

    assert found.shape == (3, 2)
    assert found[0].tolist() == [2, 5]
    assert len(told) == 6


def test_a_cell_is_the_level_of_the_first_times_five_and_that_of_the_second() -> None:
    block = np.array([[0, 1, 4, -1], [3, 2, 4, 0]], np.int8)

    assert cells_of(block, np.array([[0, 1], [1, 0]])).tolist() == [[3, 7, 24, CELLS], [15, 11, 24, CELLS]]
