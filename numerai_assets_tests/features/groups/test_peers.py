"""Peer groups persist from era to era, whatever the order of rows, and rows belong to a few of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.groups.peers import PeerGroups, group_returns
from numerai_assets.panel.panel import EraPanel

NAMES = tuple(f"f{place}" for place in range(8))


def made_panel(rows: int = 120, eras: int = 6, seed: int = 0) -> EraPanel:
    """Rows of three kinds, which differ in the first four features, in the last of these not always."""
    rng = np.random.default_rng(seed)
    kinds = [rng.integers(0, 3, rows) for _ in range(eras)]
    blocks = [
        np.vstack(
            [
                np.tile(2 * kind, (3, 1)),
                np.where(rng.random(rows) < 0.1, 2, 2 * kind),
                rng.integers(0, 5, (4, rows)),
            ]
        ).astype(np.int8)
        for kind in kinds
    ]
    ids = tuple(np.array([f"n{rng.integers(2**60):015x}" for _ in range(rows)], object) for _ in range(eras))
    targets = {"kind": tuple(kind.astype(np.float32) for kind in kinds)}
    return EraPanel(tuple(blocks), NAMES, tuple(range(1, eras + 1)), ids, targets)


def found(panel: EraPanel, **options: int) -> PeerGroups:
    return PeerGroups.of(panel, NAMES[:4], **{"groups": 3, "nearest": 2, "seed": 0, **options})


def reordered(panel: EraPanel, order: NDArray[np.intp]) -> EraPanel:
    return replace(
        panel,
        blocks=tuple(np.ascontiguousarray(block[:, order]) for block in panel.blocks),
        ids_of_block=tuple(np.asarray(ids, object)[order] for ids in panel.ids_of_block),
    )


def test_rows_of_a_kind_have_the_same_group_in_every_era() -> None:
    panel = made_panel()
    groups = found(panel)

    usual = [
        [int(np.median(groups.loadings(era).argmax(axis=1)[era.target("kind") == kind])) for kind in range(3)]
        for era in panel.each_era()
    ]

    assert set(usual[0]) == {0, 1, 2}
    assert all(of_kinds == usual[0] for of_kinds in usual)


def test_a_row_belongs_to_the_nearest_few_in_shares_of_sum_one() -> None:
    panel = made_panel()
    loadings = found(panel, groups=6, nearest=3).loadings(panel.with_eras([2]))

    assert (loadings >= 0).all()
    assert (loadings.sum(axis=1) == 1).all()
    assert ((loadings > 0).sum(axis=1) <= 3).all()
    assert ((loadings > 0).sum(axis=1) > 1).any()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_bit(seed: int) -> None:
    panel = made_panel()
    order = np.random.default_rng(seed).permutation(120)
    groups, era = found(panel), panel.with_eras([4])
    centred = np.random.default_rng(0).normal(size=120).astype(np.float32)

    moved = found(reordered(panel, order))

    assert moved.digest == groups.digest
    loadings, of_moved = groups.loadings(era), groups.loadings(reordered(era, order))
    assert of_moved.tolist() == loadings[order].tolist()
    assert group_returns(of_moved, centred[order]).tolist() == group_returns(loadings, centred).tolist()


def test_a_small_market_has_fewer_groups() -> None:
    assert len(found(made_panel(rows=40), groups=64)) == 10


def test_groups_are_not_found_where_nothing_varies() -> None:
    panel = made_panel()
    flat = replace(panel, blocks=tuple(np.full_like(block, 2) for block in panel.blocks))

    with pytest.raises(FeatureError, match="constant"):
        found(flat)


def test_what_was_saved_gives_the_same_loadings(tmp_path: Path) -> None:
    panel = made_panel()
    groups = found(panel)
    groups.save(tmp_path)
    back = PeerGroups.load(tmp_path)

    assert back.digest == groups.digest
    assert back.loadings(panel.with_eras([3])).tobytes() == groups.loadings(panel.with_eras([3])).tobytes()


def test_the_return_of_a_group_is_the_weighted_mean_of_its_rows_with_a_target() -> None:
    loadings = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.25, 0.75, 0], [0, 1, 0]])
    centred = np.array([0.5, -0.5, np.nan, 0.25], np.float32)

    assert group_returns(loadings, centred).tolist() == pytest.approx([0.25 / 1.5, 0, 0])
