"""The recipe of a world on disk."""

from pathlib import Path

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.published.sizes import SIZES
from numerai_assets.sandbox.world.history import World
from numerai_assets.sandbox.world.recipe import WorldRecipe, read_recipe


def test_a_recipe_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = WorldRecipe("synthetic", SIZES["tiny"], 7, None, ("feature_a", "feature_b"), (1, 0), Dials(drift=0.05))
    recipe.write(tmp_path, 641)
    assert read_recipe(tmp_path) == (recipe, 641)


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(SandboxError, match=r"world\.json: cannot be read .*create the world again"):
        read_recipe(tmp_path)


def test_there_is_no_world_where_none_was_made(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no sandbox world here"):
        World.open(tmp_path)


def test_a_world_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text('{"format": 0}')
    with pytest.raises(SandboxError, match="format 0"):
        World.open(tmp_path)
