"""Ranks among look-alikes: where a row stands among the rows like it of the era before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import History
from numerai_assets.features.per_era.look_alike_ranks import LookAlikeRanks, rank_among
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets.panel.panel import EraPanel

SETS = {"faith": ("feature_0", "feature_1"), "rain": ("feature_1", "feature_2")}
LAGS = (1, 3)
BLOCK = LookAlikeRanks(lags=LAGS)


def era_panel(block: NDArray[np.int8], era: int) -> EraPanel:
    names = tuple(f"feature_{place}" for place in range(len(block)))
    return EraPanel((np.ascontiguousarray(block),), names, (era,), (np.arange(block.shape[1]).astype(object),))


def some_levels(seed: int, rows: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-1, 5, (3, rows), dtype=np.int8)


def some_look_alikes(rows: int, rows_before: int, k: int = 4, seed: int = 0) -> Trajectories:
    draw = np.random.default_rng(seed)
    positions = np.stack([[draw.permutation(rows_before)[:k] for _ in range(rows)] for _ in LAGS])
    distances = np.sort(draw.uniform(0.5, 2, (len(LAGS), k, rows)), axis=1)
    return Trajectories(LAGS, positions.transpose(0, 2, 1).astype(np.int16), distances.astype(np.float32))


def history_of(before: NDArray[np.int8], found: Trajectories, era: int = 9) -> History:
    return History(era, 1, 1, (), SETS, lambda earlier: era_panel(before, earlier), lambda block: found.as_columns())


def test_a_row_above_all_its_look_alikes_ranks_highest_and_one_like_them_in_the_middle() -> None:
    now, before = np.full((3, 2), 4, np.int8), np.zeros((3, 5), np.int8)
    now[:, 1] = 0

    columns = BLOCK.compute(era_panel(now, 9), history_of(before, some_look_alikes(2, 5)))

    np.testing.assert_array_equal(columns, [[1, 0], [1, 0]])
    assert BLOCK.names(SETS) == ("rain_rank_among_look_alikes", "faith_rank_among_look_alikes")


def test_nearer_look_alikes_count_more() -> None:
    weights = np.array([[0.7], [0.3]])

    rank = rank_among(np.array([[2.0]]), np.array([[[1.0], [3.0]]]), weights)

    assert rank == pytest.approx(0.4)


@given(order=st.permutations(range(6)), order_before=st.permutations(range(7)))
@settings(deadline=None, max_examples=25)
def test_the_order_of_rows_of_either_era_changes_nothing_but_theirs(order: list[int], order_before: list[int]) -> None:
    now, before, found = some_levels(1, 6), some_levels(2, 7), some_look_alikes(6, 7)
    expected = BLOCK.compute(era_panel(now, 9), history_of(before, found))
    new_place = np.argsort(order_before).astype(np.int16)
    moved = Trajectories(LAGS, new_place[found.rows[:, :, order]], found.distances[:, :, order])

    columns = BLOCK.compute(era_panel(now[:, order], 9), history_of(before[:, order_before], moved))

    np.testing.assert_array_equal(columns, expected[:, order])


def test_before_the_first_era_nothing_is_known() -> None:
    columns = BLOCK.compute(era_panel(some_levels(1, 6), 1), history_of(some_levels(2, 7), some_look_alikes(6, 7), 1))

    assert np.isnan(columns).all()


def test_look_alikes_of_other_lags_are_refused() -> None:
    columns = np.zeros((6, 6), np.int16)
    history = History(9, 1, 1, (), SETS, lambda era: era_panel(some_levels(2, 7), era), lambda block: columns)

    with pytest.raises(FeatureError, match="are not those of 2 lags"):
        BLOCK.compute(era_panel(some_levels(1, 6), 9), history)


def test_look_alikes_beyond_the_rows_of_the_era_before_are_refused() -> None:
    with pytest.raises(FeatureError, match="look-alikes point to row"):
        BLOCK.compute(era_panel(some_levels(1, 6), 9), history_of(some_levels(2, 4), some_look_alikes(6, 30)))


def test_the_picture_is_a_png() -> None:
    history = history_of(some_levels(2, 7), some_look_alikes(6, 7))
    columns = BLOCK.compute(era_panel(some_levels(1, 6), 9), history)

    assert BLOCK.picture(era_panel(some_levels(1, 6), 9), columns, history).startswith(b"\x89PNG")
