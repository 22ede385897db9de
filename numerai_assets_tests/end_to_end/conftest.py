"""A rehearsal: a tiny world of its own, its server, and the pipeline pointed at it."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from numerai_assets.assets.workspace import Workspace
from numerai_assets.definitions import build_definitions
from numerai_assets.sandbox import process
from numerai_assets.sandbox.world import World
from numerai_assets.settings import load_settings
from numerai_assets_tests.end_to_end.rehearsal import NewRehearsal, Rehearsal

SETTINGS = """
tournament = "{tournament}"
home = "{home}"
[slots]
sandbox_one = "benchmark"
[methods.benchmark.parameters]
n_estimators = 40
learning_rate = 0.1
every_eras = 2
[network]
attempts = 1
timeout_seconds = 20.0
{network}
[sandbox]
size = "tiny"
port = {port}
"""


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly made tiny world, to be copied: its server must not be started in place."""
    folder = tmp_path_factory.mktemp("template") / "world"
    World.create(folder, size="tiny", seed=0)
    return folder


@pytest.fixture
def new_rehearsal(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewRehearsal]:
    """Starts rehearsals; `beside` makes another workspace on the server of one that runs already."""
    started: list[Path] = []

    def start(
        *, beside: Rehearsal | None = None, tournament: str = "sandbox", home: str = "home", serve: bool = True
    ) -> Rehearsal:
        if beside is None:
            world, port = tmp_path / f"world-{home}", free_port()
            shutil.copytree(tiny_world, world)
            if serve:
                process.start(world, port=port)
                started.append(world)
        else:
            world, port = beside.world, beside.settings.sandbox.port
        network = f'api_url = "http://127.0.0.1:{port}"' if tournament == "numerai" else ""
        file = tmp_path / f"{home}.toml"
        file.write_text(SETTINGS.format(home=tmp_path / home, port=port, tournament=tournament, network=network))
        monkeypatch.setenv("NUMERAI_SETTINGS", str(file))
        settings = load_settings()
        return Rehearsal(
            settings, Workspace(settings), build_definitions(settings), dg.DagsterInstance.ephemeral(), world
        )

    yield start
    for world in started:
        process.stop(world)
