"""A tiny local tournament, made once and copied for whoever changes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from numerai_assets_tests.conftest import MakeOnce
from numerai_assets_tests.sandbox.serving import Served, free_port, served, started


@pytest.fixture(scope="session")
def tiny_world(tiny_world: Path, made_once: MakeOnce) -> Path:
    """Folder of a tiny World whose sandbox was started once. It is read only: take a copy to change it."""
    return made_once("tiny-sandbox", lambda folder: started(shutil.copytree(tiny_world, folder)))


@pytest.fixture
def world_dir(tiny_world: Path, tmp_path: Path) -> Path:
    """A copy of the tiny World to change."""
    return shutil.copytree(tiny_world, tmp_path / "world")


@pytest.fixture(scope="module")
def sandbox(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A served sandbox that the tests of a module share."""
    folder = shutil.copytree(tiny_world, tmp_path_factory.mktemp("shared") / "world")
    with served(folder) as found:
        yield found


@pytest.fixture
def fresh_sandbox(world_dir: Path) -> Iterator[Served]:
    """A served sandbox of the test's own."""
    with served(world_dir) as found:
        yield found


@pytest.fixture
def unused_port() -> int:
    """A port that nothing listens on."""
    return free_port()
