"""Correlations of five-level features, leaders among them, runs of those that are alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.features.fitting.correlations import alike, correlations, leaders, mean_correlations, spread_evenly
from numerai_assets_tests.conftest import MakePanel
from numerai_assets_tests.features.level_arrays import level_arrays

LAWFUL = settings(deadline=None, max_examples=60)
BLOCKS = level_arrays((1, 6), (2, 20))


@given(block=BLOCKS)
@LAWFUL
def test_correlations_are_those_of_numpy_with_gaps_in_the_middle(block: NDArray[np.int8]) -> None:
    filled = np.where(block < 0, 2, block)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.atleast_2d(np.corrcoef(filled)))
    np.fill_diagonal(expected, 1)

    np.testing.assert_allclose(correlations(block), expected, atol=1e-6)


def test_the_mean_is_over_correlations_within_eras(make_panel: MakePanel) -> None:
    panel = make_panel([1, 2, 3])

    found = mean_correlations(panel, 10)

    np.testing.assert_allclose(found, np.mean([np.corrcoef(block) for block in panel.blocks], axis=0), atol=1e-6)


@given(block=BLOCKS, threshold=st.floats(0.1, 0.99), seed=st.integers(0, 99))
@LAWFUL
def test_no_two_leaders_go_together_and_all_others_go_with_theirs(
    block: NDArray[np.int8], threshold: float, seed: int
) -> None:
    matrix = correlations(block)
    order = np.random.default_rng(seed).permutation(len(matrix))

    leader = leaders(matrix, order.tolist(), threshold)

    leading = np.flatnonzero(leader == np.arange(len(matrix)))
    assert leader[order[0]] == order[0]
    assert set(leader) == set(leading)
    for one in leading:
        assert all(abs(matrix[one, other]) < threshold for other in leading if other != one)
    assert all(abs(matrix[f, leader[f]]) >= threshold for f in range(len(matrix)) if leader[f] != f)


def test_features_of_a_common_cause_come_to_stand_in_one_run() -> None:
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(3, 400))
    cause_of = rng.permutation(np.repeat([0, 1, 2], 5))
    values = causes[cause_of] + rng.normal(size=(15, 400))
    block = np.clip(np.round(values) + 2, 0, 4).astype(np.int8)

    runs = alike(correlations(block), 3)

    assert [len(set(cause_of[run])) for run in runs] == [1, 1, 1]


@given(features=st.integers(1, 12), groups=st.integers(1, 12))
@LAWFUL
def test_every_feature_is_in_one_run_and_runs_are_even(features: int, groups: int) -> None:
    block = np.random.default_rng(0).integers(0, 5, (features, 9), dtype=np.int8)

    runs = alike(correlations(block), groups)

    assert sorted(np.concatenate(runs)) == list(range(features))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


@pytest.mark.parametrize(
    ("available", "wanted", "expected"), [(1, 5, [0]), (3, 5, [0, 1, 2]), (10, 2, [0, 9]), (9, 3, [0, 4, 8])]
)
def test_positions_are_spread_from_first_to_last(available: int, wanted: int, expected: list[int]) -> None:
    assert spread_evenly(available, wanted) == expected
