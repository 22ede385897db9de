"""Aggregates of groups: the statistics of pandas and scipy, whatever the order of rows and features."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import skew

from numerai_assets.errors import FeatureError
from numerai_assets.features.cleaning.fill import coverage
from numerai_assets.features.contract import Columns, FeatureSets, History
from numerai_assets.features.fitting.levels import row_level_counts
from numerai_assets.features.per_era.aggregates import NAMED_GROUPS, STATISTICS, Aggregates, group_statistics
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.features.level_arrays import level_arrays

LAWFUL = settings(deadline=None, max_examples=30)
BLOCKS = level_arrays((1, 9), (1, 12))
SETS = {"faith": ("feature_0", "feature_1", "feature_2", "feature_3"), "rain": ("feature_2", "feature_4"), "odd": ()}


def panel_of(block: NDArray[np.int8]) -> EraPanel:
    names = tuple(f"feature_{place}" for place in range(len(block)))
    ids = np.array([f"n{row}" for row in range(block.shape[1])], object)
    return EraPanel((np.ascontiguousarray(block),), names, (7,), (ids,))


def history_of(feature_sets: FeatureSets) -> History:
    def never(what: object) -> Any:
        raise AssertionError(f"{what} was read")

    return History(7, 1, 0, (), feature_sets, never, never)


def statistics(block: NDArray[np.int8]) -> NDArray[np.float64]:
    return group_statistics(row_level_counts(block, [np.arange(len(block))]))[0]


def computed(block: NDArray[np.int8], feature_sets: FeatureSets = SETS) -> Columns:
    return Aggregates().compute(panel_of(block), history_of(feature_sets))


@given(block=BLOCKS, data=st.data())
@LAWFUL
def test_counts_of_rows_are_those_of_comparing(block: NDArray[np.int8], data: st.DataObject) -> None:
    places = st.lists(st.integers(0, len(block) - 1), max_size=300).map(lambda some: np.array(some, np.intp))
    groups = data.draw(st.lists(places, max_size=3))

    counts = row_level_counts(block, groups)

    assert counts.shape == (len(groups), 5, block.shape[1])
    for of_group, group in zip(counts, groups, strict=True):
        for level in range(5):
            np.testing.assert_array_equal(of_group[level], (block[group] == level).sum(axis=0))


@given(BLOCKS)
@LAWFUL
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_statistics_are_those_of_pandas_and_scipy(block: NDArray[np.int8]) -> None:
    frame = pd.DataFrame(np.where(block < 0, np.nan, block)).T

    mean, deviation, skewness, extremes, rank = statistics(block)

    np.testing.assert_allclose(mean, frame.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(deviation, frame.std(axis=1, ddof=0), rtol=1e-9, atol=1e-12)
    varied = frame.nunique(axis=1) > 1
    expected = np.array(skew(frame[varied], axis=1, nan_policy="omit"), float)
    np.testing.assert_allclose(skewness[varied], expected, rtol=1e-9, atol=1e-9)
    assert np.isnan(skewness[~varied]).all()
    np.testing.assert_allclose(extremes, frame.isin([0, 4]).sum(axis=1) / frame.notna().sum(axis=1), rtol=1e-12)
    # Equal means tie exactly here; sums of floats may not, so pandas is given the means rounded.
    ranks = pd.Series(mean.round(9)).rank()
    np.testing.assert_allclose(rank, 2 * (ranks - 0.5) / ranks.notna().sum() - 1, rtol=1e-12)


@given(block=BLOCKS, data=st.data())
@LAWFUL
def test_the_order_of_features_within_a_group_does_not_matter(block: NDArray[np.int8], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(block))))

    np.testing.assert_array_equal(statistics(block[order]), statistics(block))


@given(block=BLOCKS, gaps=st.integers(1, 5))
@LAWFUL
def test_missing_cells_do_not_count(block: NDArray[np.int8], gaps: int) -> None:
    with_gaps = np.vstack([block, np.full((gaps, block.shape[1]), -1, np.int8)])

    np.testing.assert_array_equal(statistics(with_gaps), statistics(block))


@given(block=arrays(np.int8, (5, 11), elements=st.integers(-1, 4)), data=st.data())
@LAWFUL
def test_the_order_of_rows_changes_nothing_but_theirs(block: NDArray[np.int8], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(11)))

    sets = {name: features for name, features in SETS.items() if features}
    np.testing.assert_array_equal(computed(block[:, order], sets), computed(block, sets)[:, order])


def test_a_small_example_by_hand() -> None:
    block = np.array([[0, 4], [4, 4], [2, 3], [-1, 4], [1, 1]], np.int8)

    columns = computed(block, {"faith": SETS["faith"]})

    expected = [[2, 3.75], [np.sqrt(8 / 3), np.sqrt(3) / 4], [0, -2 / np.sqrt(3)], [2 / 3, 3 / 4], [-0.5, 0.5]]
    np.testing.assert_allclose(columns[:5].astype(float), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(columns[5], coverage(block.T).astype(np.float16))


def test_names_are_of_the_named_groups_there_are_and_fit_the_columns() -> None:
    block = np.random.default_rng(0).integers(-1, 5, (5, 20), dtype=np.int8)
    sets = {"small": ("feature_0",), "rain": SETS["rain"], "faith": SETS["faith"]}

    names = Aggregates().names(sets)

    assert names == (*(f"{group}_{of}" for group in ("rain", "faith") for of in STATISTICS), "coverage")
    assert computed(block, sets).shape == (len(names), 20)
    assert computed(block, sets).dtype == np.float16


def test_a_group_without_any_value_in_a_row_is_nan_there() -> None:
    block = np.array([[-1, 1], [-1, 3]], np.int8)

    columns = computed(block, {"faith": ("feature_0", "feature_1")})

    assert np.isnan(columns[:5, 0]).all()
    assert not np.isnan(columns[:, 1]).any()


def test_an_unknown_group_is_refused_with_those_there_are() -> None:
    with pytest.raises(FeatureError, match=r"'luck' is not in features.json; it has faith, odd, rain"):
        Aggregates(groups=("faith", "luck")).names(SETS)


def test_features_without_a_named_group_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"none of charisma, .*; it has small\. Name the groups"):
        Aggregates().names({"small": ("feature_0",)})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError):
        Aggregates(group=("faith",))  # type: ignore[call-arg]


def test_power_sums_hold_groups_of_the_size_of_all_features() -> None:
    counts = np.array([[[9000], [0], [0], [0], [1]], [[0], [0], [0], [1], [9999]]], np.int32)

    found = group_statistics(counts)[:, :3, 0]

    for of_group, levels in zip(found, (np.array([0] * 9000 + [4]), np.array([3] + [4] * 9999)), strict=True):
        np.testing.assert_allclose(of_group, [levels.mean(), levels.std(), skew(levels)], rtol=1e-9)


def test_the_picture_is_a_png() -> None:
    block = np.random.default_rng(0).integers(0, 5, (5, 50), dtype=np.int8)
    sets = {"faith": SETS["faith"], "rain": SETS["rain"]}

    assert Aggregates().picture(panel_of(block), computed(block, sets), history_of(sets)).startswith(b"\x89PNG")


def test_named_groups_are_numerais_thirteen() -> None:
    assert len(set(NAMED_GROUPS)) == 13
