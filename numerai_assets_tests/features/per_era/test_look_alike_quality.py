"""How good look-alikes are: chance scores one, copies score nothing, and the picture is drawn from the numbers."""

from dataclasses import replace

import numpy as np
import pytest

from numerai_assets.features.per_era.look_alike_quality import Quality, mutual_rows, picture, quality_of
from numerai_assets.features.per_era.look_alikes import LookAlikes
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import Points, nearest
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets_tests.features.per_era.test_look_alikes import drifting, history_of

PNG = b"\x89PNG\r\n\x1a\n"
ROWS = 200


def some_block(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (20, ROWS), dtype=np.int8)


def found_between(space: ComponentSpace, here: Points, there: Points, k: int = 8) -> Trajectories:
    rows, squares = nearest(here, there, k)
    return Trajectories((1,), rows.astype(np.int16)[None], space.distances(squares)[None])


def quality_between(seed_here: int, seed_there: int, k: int = 8) -> Quality:
    space = ComponentSpace.of(some_block(seed_here), 10, 1.0)
    here, there = space.place(some_block(seed_here)), space.place(some_block(seed_there))
    return quality_of(found_between(space, here, there, k), space, here, lambda lag: there)


def test_of_all_rows_as_look_alikes_the_distance_is_that_of_chance() -> None:
    assert quality_between(0, 1, k=ROWS).nearness[0] == pytest.approx(1, abs=1e-6)


def test_a_copy_is_mutual_throughout_and_its_nearest_lie_at_nothing() -> None:
    quality = quality_between(0, 0)

    assert quality.mutual[0] == 1
    assert (quality.nearest[0] == 0).all()
    assert quality.nearness_of_nearest[0] == 0
    assert quality.random[0] == pytest.approx(np.sqrt(2), abs=0.01)


def test_unrelated_eras_have_look_alikes_that_are_nearer_than_chance_and_seldom_mutual() -> None:
    quality = quality_between(0, 1)

    assert 0.3 < quality.nearness_of_nearest[0] < quality.nearness[0] < 0.9
    assert 0.05 < quality.mutual[0] < 0.6


def test_mutual_rows_are_those_whose_nearest_would_choose_them() -> None:
    here, there = np.array([[0, 10, 13, 40]], np.int8), np.array([[1, 12, 100]], np.int8)
    rows, _ = nearest(here, there, 1)

    assert mutual_rows(rows[0].astype(np.int16), here, there).tolist() == [True, False, True, False]


def test_a_row_without_a_look_alike_is_not_mutual() -> None:
    here = np.array([[0, 10]], np.int8)

    assert mutual_rows(np.array([0, -1], np.int16), here, here).tolist() == [True, False]


def test_lags_without_look_alikes_are_unknown_and_not_read() -> None:
    space = ComponentSpace.of(some_block(0), 10, 1.0)
    here = space.place(some_block(0))
    nothing = Trajectories((3,), np.full((1, 8, ROWS), -1, np.int16), np.full((1, 8, ROWS), np.nan, np.float32))

    quality = quality_of(nothing, space, here, lambda lag: pytest.fail(f"lag {lag} was read"))

    assert np.isnan([quality.nearness[0], quality.mutual[0], quality.random[0]]).all()
    assert picture(quality, "nothing").startswith(PNG)


def test_the_picture_is_a_small_png_the_numbers() -> None:
    quality = quality_between(0, 1)

    drawn = picture(quality, "Look-alikes")

    assert drawn.startswith(PNG)
    assert len(drawn) < 100_000
    assert picture(quality, "Look-alikes") == drawn
    assert picture(replace(quality, mutual=quality.mutual / 2), "Look-alikes") != drawn
    assert picture(replace(quality, nearest=quality.nearest / 2), "Look-alikes") != drawn


def test_the_block_draws_its_own_quality() -> None:
    block, panels = LookAlikes(lags=(1, 2, 9), dims=12), drifting(range(100, 107))
    history = history_of(panels, 106, block)
    columns = block.compute(panels[106], history)

    quality = block.quality(panels[106], columns, history)

    assert quality.nearness[0] < quality.nearness[1] < 1
    assert quality.mutual[0] > quality.mutual[1]
    assert np.isnan(quality.mutual[2])
    assert block.picture(panels[106], columns, history).startswith(PNG)
