"""What counting levels gives is what sorting and grouping give: pandas and scipy are the oracles."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, zscore

from numerai_assets.errors import MethodError
from numerai_assets.features.fitting.levels import (
    KINDS,
    Kind,
    level_counts,
    looked_up,
    mean_table,
    scaled,
    scaled_eras,
)
from numerai_assets_tests.features.level_arrays import level_arrays

Block = NDArray[np.int8]
LAWFUL = settings(deadline=None, max_examples=60)

BLOCKS = level_arrays((1, 5), (1, 19))


def known(block: Block) -> pd.DataFrame:
    """(n, d) the block's values as a frame, NaN where missing."""
    return pd.DataFrame(np.where(block < 0, np.nan, block).T)


@given(block=BLOCKS)
@LAWFUL
def test_counts_are_the_rows_of_each_level(block: Block) -> None:
    counts = level_counts(block)

    assert counts.tolist() == [[int((row == level).sum()) for level in range(5)] for row in block]


@given(block=BLOCKS)
@LAWFUL
def test_ranks_are_the_average_ranks_of_the_known_rows_mapped_around_zero(block: Block) -> None:
    ranks = scaled(block, "rank")

    frame = known(block)
    expected = (2 * (frame.rank() - 0.5) / frame.count() - 1).fillna(0)
    assert ranks.dtype == np.float32
    np.testing.assert_allclose(ranks.T, expected, atol=1e-6)
    assert (np.abs(ranks) < 1).all()


@given(block=BLOCKS)
@LAWFUL
def test_z_scores_are_those_of_the_known_rows(block: Block) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nan_to_num(zscore(known(block).to_numpy(), axis=0, nan_policy="omit"), nan=0)

    np.testing.assert_allclose(scaled(block, "z").T, expected, atol=1e-5)


@given(block=BLOCKS)
@LAWFUL
@pytest.mark.filterwarnings("error")
def test_gaussianised_ranks_are_the_quantiles_of_the_average_ranks(block: Block) -> None:
    frame = known(block)

    gauss = scaled(block, "gauss", dtype=np.float64)

    np.testing.assert_allclose(gauss.T, np.nan_to_num(norm.ppf((frame.rank() - 0.5) / frame.count())), atol=1e-12)


@given(block=BLOCKS, seed=st.integers(0, 99))
@LAWFUL
def test_group_means_are_those_of_pandas(block: Block, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=block.shape[1])

    means = looked_up(block, mean_table(block, values), missing=np.nan, dtype=np.float64)

    expected = [pd.Series(values).groupby(known(block)[feature]).transform("mean") for feature in range(len(block))]
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-12)


def test_a_level_that_no_row_has_has_no_mean() -> None:
    means = mean_table(np.array([[0, 0, 4, -1]], np.int8), np.array([1.0, 2.0, 5.0, 9.0]))

    np.testing.assert_array_equal(means, [[1.5, np.nan, np.nan, np.nan, 5.0]])


def test_each_cell_takes_the_value_of_its_level_and_gaps_the_one_for_missing() -> None:
    block = np.array([[0, 4, -1], [2, -1, 1]], np.int8)

    found = looked_up(block, np.arange(10.0).reshape(2, 5), missing=-7, dtype=np.float16)

    assert found.tolist() == [[0, 4, -7], [7, -7, 6]]
    assert found.dtype == np.float16


@pytest.mark.parametrize("kind", KINDS)
def test_constants_and_missing_cells_stand_at_the_centre(kind: Kind) -> None:
    block = np.array([[3, 3, 3], [-1, -1, -1], [-1, 0, 4]], np.int8)

    values = scaled(block, kind)

    assert values[0].tolist() == values[1].tolist() == [0, 0, 0]
    assert values[2, 0] == 0
    assert values[2, 1] == -values[2, 2] < 0


@pytest.mark.parametrize("kind", KINDS)
@given(block=BLOCKS, data=st.data())
@LAWFUL
def test_the_order_of_rows_does_not_matter(kind: Kind, block: Block, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(block.shape[1])))

    np.testing.assert_array_equal(scaled(block[:, order], kind), scaled(block, kind)[:, order])


def test_the_number_of_cells_worked_on_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    block = np.random.default_rng(0).integers(-1, 5, (23, 37), dtype=np.int8)
    whole = scaled(block, "z"), mean_table(block, np.arange(37.0))

    monkeypatch.setattr("numerai_assets.features.fitting.levels._CELLS", 100)

    np.testing.assert_array_equal(scaled(block, "z"), whole[0])
    np.testing.assert_array_equal(mean_table(block, np.arange(37.0)), whole[1])


def test_eras_are_scaled_one_at_a_time_and_each_by_itself() -> None:
    blocks = [np.array([[0, 4]], np.int8), np.array([[2, 2, 3]], np.int8)]
    asked = iter(blocks)

    eras = scaled_eras(asked, "rank")

    np.testing.assert_array_equal(next(eras), scaled(blocks[0], "rank"))
    assert next(asked) is blocks[1]


def test_a_read_only_block_can_be_scaled() -> None:
    block = np.array([[0, 4]], np.int8)
    block.flags.writeable = False

    assert scaled(block, "z").tolist() == [[-1, 1]]


def test_an_unknown_scale_is_refused_with_those_there_are() -> None:
    with pytest.raises(MethodError, match=r"'minmax': expected one of .*'rank', 'z', 'gauss'"):
        scaled(np.zeros((1, 2), np.int8), "minmax")  # type: ignore[arg-type]
