"""Panels: rows of eras over the memory of their blocks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.panel.panel import EraPanel

MakePanel = Callable[..., EraPanel]


def two_eras() -> EraPanel:
    return EraPanel(
        blocks=(np.array([[0, 1], [2, 3], [4, 0]], np.int8), np.array([[4], [3], [-1]], np.int8)),
        feature_names=("a", "b", "c"),
        eras=(5, 9),
        ids_of_block=(np.array(["n1", "n2"], object), np.array(["n3"], object)),
        targets_of_block={"target_ender_20": (np.array([0.25, np.nan], np.float32), np.array([1.0], np.float32))},
    )


def test_rows_come_in_the_order_of_eras_and_of_their_rows() -> None:
    panel = two_eras()

    assert (panel.rows, panel.rows_of_era) == (3, [2, 1])
    assert panel.features.tolist() == [[0, 2, 4], [1, 3, 0], [4, 3, -1]]
    assert panel.features.dtype == np.int8
    assert panel.era.tolist() == [5, 5, 9]
    assert panel.era.dtype == np.int16
    assert panel.ids.tolist() == ["n1", "n2", "n3"]
    np.testing.assert_array_equal(panel.target("target_ender_20"), np.array([0.25, np.nan, 1], np.float32))
    assert panel.target("target_ender_20").dtype == np.float32


def test_features_of_one_era_are_a_view_of_its_block(make_panel: MakePanel) -> None:
    panel = make_panel([3])

    assert np.shares_memory(panel.features, panel.blocks[0])
    assert panel.features.shape == (50, 8)


def test_panel_without_eras_has_no_rows_and_keeps_its_features() -> None:
    panel = EraPanel((), ("a", "b"), (), ())

    assert panel.rows == 0
    assert panel.features.shape == (0, 2)
    assert panel.ids.shape == panel.era.shape == (0,)
    assert list(panel.each_era()) == []


def test_eras_with_a_target_are_those_in_which_it_is_known_or_varies() -> None:
    unknown = np.array([np.nan], np.float32)
    panel = replace(
        two_eras(),
        targets_of_block={
            "target_ender_20": (np.array([0.25, np.nan], np.float32), unknown),
            "target_ender_60": (np.array([0.25, 0.5], np.float32), np.array([1.0], np.float32)),
            "target_agnes_20": (np.array([np.nan, np.nan], np.float32), unknown),
        },
    )

    assert panel.eras_with("target_ender_20") == [5]
    assert panel.eras_with("target_ender_20", varying=True) == []
    assert panel.eras_with("target_ender_60") == [5, 9]
    assert panel.eras_with("target_ender_60", varying=True) == [5]
    assert panel.eras_with("target_agnes_20") == panel.eras_with("target_agnes_20", varying=True) == []


@pytest.mark.parametrize("varying", [False, True])
def test_eras_with_a_target_that_the_panel_does_not_carry_are_refused(varying: bool) -> None:
    with pytest.raises(StoreError, match="no target 'target_ender_60'; it carries"):
        two_eras().eras_with("target_ender_60", varying=varying)


@pytest.mark.parametrize("eras", [(9, 5), (5, 5)])
def test_eras_that_do_not_ascend_are_refused(eras: tuple[int, ...]) -> None:
    with pytest.raises(StoreError, match="eras must ascend without repeats"):
        replace(two_eras(), eras=eras)


def test_a_block_of_another_shape_is_refused_with_its_era() -> None:
    panel = two_eras()

    with pytest.raises(StoreError, match=r"era 0009 has block \(3, 2\), expected \(3, 1\)"):
        replace(panel, blocks=(panel.blocks[0], np.zeros((3, 2), np.int8)))
    with pytest.raises(StoreError, match=r"era 0005 has block \(3, 2\), expected \(2, 2\)"):
        replace(panel, feature_names=("a", "b"))


def test_a_target_not_carried_is_named_with_those_that_are() -> None:
    with pytest.raises(StoreError, match=r"no target 'target_ender_60'; it carries \['target_ender_20'\]"):
        two_eras().target("target_ender_60")


def test_each_era_is_a_panel_over_the_same_memory() -> None:
    panel = two_eras()

    parts = list(panel.each_era())

    assert [part.eras for part in parts] == [(5,), (9,)]
    assert [part.ids.tolist() for part in parts] == [["n1", "n2"], ["n3"]]
    assert parts[1].target("target_ender_20").tolist() == [1.0]
    assert all(np.shares_memory(part.features, block) for part, block in zip(parts, panel.blocks, strict=True))


def test_chosen_eras_ascend_whatever_their_order_was(make_panel: MakePanel) -> None:
    panel = make_panel([2, 4, 6], rows=3)

    chosen = panel.with_eras([6, 2])

    assert chosen.eras == (2, 6)
    assert chosen.ids.tolist() == [*panel.ids[:3], *panel.ids[6:]]
    np.testing.assert_array_equal(chosen.features, panel.features[[0, 1, 2, 6, 7, 8]])


def test_an_era_that_is_not_in_the_panel_is_named(make_panel: MakePanel) -> None:
    with pytest.raises(StoreError, match="era 0005 is not in it"):
        make_panel([2, 4]).with_eras([2, 5])


def test_chosen_features_come_in_the_order_asked_for() -> None:
    panel = two_eras().with_features(["c", "a"])

    assert panel.feature_names == ("c", "a")
    assert panel.features.tolist() == [[4, 0], [0, 1], [-1, 4]]
    assert [block.tolist() for block in panel.blocks] == [[[4, 0], [0, 1]], [[-1], [4]]]


def test_neighbouring_features_are_views_and_others_are_taken_an_era_at_a_time() -> None:
    panel = two_eras()
    neighbours, others = panel.with_features(["b", "c"]), panel.with_features(["a", "c"])

    assert np.shares_memory(neighbours.blocks[1], panel.blocks[1])
    assert not np.shares_memory(others.blocks[1], panel.blocks[1])
    assert np.shares_memory(others.blocks.parts[0].whole[1], panel.blocks[1])


@pytest.mark.parametrize("first", [["b", "c"], ["c", "a", "b"], ["a", "c"]])
def test_features_chosen_from_chosen_ones_are_those_of_the_whole(first: list[str]) -> None:
    panel = two_eras()

    for names in ([first[0]], first[::-1]):
        chosen = panel.with_features(first).with_features(names).with_eras([9])
        np.testing.assert_array_equal(chosen.features, panel.with_eras([9]).with_features(names).features)
        assert chosen.eras == (9,)


def test_all_features_in_their_order_copy_nothing() -> None:
    panel = two_eras()

    assert panel.with_features(["a", "b", "c"]) is panel


def test_a_feature_that_is_not_in_the_panel_is_named() -> None:
    with pytest.raises(StoreError, match="feature 'z' is not in it"):
        two_eras().with_features(["a", "z"])


def widened() -> EraPanel:
    more = (np.array([[3, 3], [1, 0]], np.int8), np.array([[2], [4]], np.int8))
    panel = replace(two_eras(), digests=("one", "two"))
    return panel.with_columns(["x", "y"], more, ["more of one", "more of two"])


def test_columns_stand_behind_the_features_of_the_panel() -> None:
    panel = widened()

    assert panel.feature_names == ("a", "b", "c", "x", "y")
    assert panel.features.tolist() == [[0, 2, 4, 3, 1], [1, 3, 0, 3, 0], [4, 3, -1, 2, 4]]
    assert panel.with_eras([9]).features.tolist() == [[4, 3, -1, 2, 4]]


@pytest.mark.parametrize("names", [["y", "a"], ["x", "y"], ["c", "x", "b", "y"], ["b", "c", "x"], []])
def test_features_chosen_across_files_are_those_of_the_whole(names: list[str]) -> None:
    panel = widened()

    chosen = panel.with_features(names)

    np.testing.assert_array_equal(chosen.features, panel.features[:, panel.places_of(names)])
    np.testing.assert_array_equal(chosen.blocks[:1][0], chosen.blocks[0])


def test_other_columns_make_another_digest() -> None:
    panel = replace(two_eras(), digests=("one", "two"))
    more = (np.zeros((1, 2), np.int8), np.zeros((1, 1), np.int8))

    first, second = (panel.with_columns(["x"], more, digests).digests for digests in (["p", "q"], ["p", "r"]))

    assert len(first) == 2
    assert first[0] == second[0] != "one"
    assert first[1] != second[1]


def test_columns_of_other_rows_or_of_a_name_that_is_there_are_refused() -> None:
    more = (np.zeros((1, 2), np.int8), np.zeros((1, 1), np.int8))

    with pytest.raises(StoreError, match="columns of era 0009 are"):
        two_eras().with_columns(["x"], (more[0], more[0]), [])
    with pytest.raises(StoreError, match="feature 'b' is in it already"):
        two_eras().with_columns(["b"], more, [])
