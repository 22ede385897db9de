"""Group exposures: sums of levels, kept by content."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.fitting.memo import Kept
from numerai_assets.features.groups import exposures as module
from numerai_assets.features.groups.exposures import group_exposures, level_sums
from numerai_assets_tests.features.past_eras import GROUPS, SETS, era_panel


@given(
    block=st.tuples(st.integers(1, 70), st.integers(1, 5)).flatmap(
        lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 4))
    )
)
@settings(deadline=None, max_examples=60)
def test_sums_are_those_of_the_levels_around_the_middle(block: NDArray[np.int8]) -> None:
    total, existing = level_sums(block)

    wide = block.astype(int)
    np.testing.assert_array_equal(total, np.where(wide < 0, 0, wide - 2).sum(axis=0))
    assert existing == sum(1 for feature in wide.tolist() if set(feature) not in ({2}, {-1}))


def test_means_are_those_of_the_features_that_exist() -> None:
    block = np.full((20, 3), 2, np.int8)
    block[0], block[1], block[5] = [0, 2, 4], [4, 4, 4], -1

    found = group_exposures(era_panel(1, block, {}), SETS, ("charisma", "wisdom"))

    assert found.features.tolist() == [2, 0]
    np.testing.assert_array_equal(found.means, [[0, 1, 2], [np.nan] * 3])


def test_standard_scores_have_mean_nought_and_deviation_one() -> None:
    block = np.random.default_rng(0).integers(0, 5, (20, 50), dtype=np.int8)
    block[3] = block[5] = block[7] = 1  # wisdom is the same for all rows

    scores = group_exposures(era_panel(1, block, {}), SETS, GROUPS).standard_scores

    charisma = block[:4].sum(axis=0)
    np.testing.assert_allclose(scores[0], (charisma - charisma.mean()) / charisma.std(), atol=1e-6)
    assert np.isnan(scores[1]).all()


def test_a_group_of_which_the_store_holds_no_feature_has_no_exposure() -> None:
    found = group_exposures(era_panel(1, np.ones((20, 6), np.int8), {}), {"luck": ()}, ("luck",))

    assert np.isnan(found.means).all() and np.isnan(found.standard_scores).all()


def test_an_era_is_summed_once_for_all_that_look_back_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", Kept(2))
    blocks = np.random.default_rng(0).integers(0, 5, (3, 20, 6), dtype=np.int8)
    panels = [era_panel(number, block, {}, digest=f"d{number}") for number, block in enumerate(blocks, 1)]
    first = group_exposures(panels[0], SETS, GROUPS)

    assert group_exposures(panels[0], SETS, GROUPS) is first
    assert group_exposures(panels[0], SETS, GROUPS[:2]) is not first
    group_exposures(panels[1], SETS, GROUPS)
    group_exposures(panels[2], SETS, GROUPS)

    again = group_exposures(panels[0], SETS, GROUPS)
    assert again is not first
    np.testing.assert_array_equal(again.sums, first.sums)


def test_other_content_or_other_names_are_summed_anew() -> None:
    block = np.random.default_rng(0).integers(0, 5, (20, 6), dtype=np.int8)
    panel = era_panel(1, block, {}, digest="one")
    renamed = replace(panel, feature_names=tuple(reversed(panel.feature_names)))
    other = era_panel(1, block[::-1].copy(), {}, digest="other")

    first = group_exposures(panel, SETS, GROUPS)

    np.testing.assert_array_equal(
        group_exposures(renamed, SETS, GROUPS).sums, group_exposures(other, SETS, GROUPS).sums
    )
    assert (group_exposures(renamed, SETS, GROUPS).sums != first.sums).any()


def test_what_is_kept_cannot_be_changed_by_who_gets_it() -> None:
    panel = era_panel(1, np.ones((20, 6), np.int8), {}, digest="kept")

    with pytest.raises(ValueError, match="read-only"):
        group_exposures(panel, SETS, GROUPS).sums[0] = 1


def test_a_panel_without_a_feature_of_a_group_is_refused() -> None:
    with pytest.raises(FeatureError, match="era 0001: feature 'f08' of a group is not among its features"):
        group_exposures(era_panel(1, np.ones((8, 6), np.int8), {}), SETS, GROUPS)
