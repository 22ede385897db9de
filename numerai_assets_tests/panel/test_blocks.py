"""Selections of features: what is read from them is what indexing the whole blocks gives, and it is read late."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.panel.blocks import Part, SelectedBlocks, _pick, _select, opened_blocks, portable_blocks

ROWS = (3, 5)
FIRST = tuple(np.arange(6 * n, dtype=np.int8).reshape(6, n) for n in ROWS)
SECOND = tuple(np.arange(4 * n, dtype=np.int8).reshape(4, n) + 40 for n in ROWS)
PARTS = (Part(FIRST, slice(0, 6)), Part(SECOND, slice(0, 4)))
WHOLE = tuple(np.concatenate(pair) for pair in zip(FIRST, SECOND, strict=True))


@given(taken=st.lists(st.integers(0, 9), min_size=1, max_size=12), data=st.data())
@settings(deadline=None)
def test_a_selection_of_a_selection_reads_the_features_it_names(taken: list[int], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.integers(0, len(taken) - 1), min_size=1, max_size=12))

    once = _select(PARTS, taken)
    twice = _select(once.parts, again)

    for era, whole in enumerate(WHOLE):
        np.testing.assert_array_equal(once[era], whole[taken])
        np.testing.assert_array_equal(twice[era], whole[taken][again])


def test_a_run_of_one_part_is_a_view() -> None:
    assert np.shares_memory(_select(PARTS, [1, 2, 3])[0], FIRST[0])
    assert not np.shares_memory(_select(PARTS, [1, 3])[0], FIRST[0])


def test_no_feature_at_all_is_a_block_without_features() -> None:
    empty = _select(PARTS, [])

    assert [block.shape for block in empty] == [(0, rows) for rows in ROWS]


@pytest.mark.parametrize("blocks", [WHOLE, _select(PARTS, [0, 9])])
def test_eras_are_picked_in_the_order_asked_for(blocks: tuple[np.ndarray, ...] | SelectedBlocks) -> None:
    picked = _pick(blocks, [1, 0, 1])

    assert [block.shape[1] for block in picked] == [5, 3, 5]
    for block, place in zip(picked, [1, 0, 1], strict=True):
        np.testing.assert_array_equal(block, blocks[place])


def test_a_slice_of_eras_is_a_selection_too() -> None:
    later = _select(PARTS, [0, 9])[1:]

    assert isinstance(later, SelectedBlocks)
    np.testing.assert_array_equal(later[0], WHOLE[1][[0, 9]])


@pytest.mark.parametrize("is_selected", [False, True])
def test_mapped_blocks_are_pickled_as_the_place_of_their_bytes(tmp_path: Path, is_selected: bool) -> None:
    np.save(tmp_path / "block.npy", np.arange(40_000, dtype=np.int8).reshape(4, -1))
    block = np.load(tmp_path / "block.npy", mmap_mode="r")
    blocks = _select((Part((block,), slice(0, 4)),), [3, 1]) if is_selected else (block,)

    pickled = pickle.dumps(portable_blocks(blocks))

    assert len(pickled) < 2_000
    np.testing.assert_array_equal(opened_blocks(pickle.loads(pickled))[0], blocks[0])
