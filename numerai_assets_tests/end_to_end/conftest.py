"""A rehearsal: a tiny world of its own, its server, and the pipeline pointed at it."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from numerai_assets.sandbox.server import process
from numerai_assets.settings import load_settings
from numerai_assets_tests.conftest import MakeOnce
from numerai_assets_tests.end_to_end.forked_servers import forked_servers
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


@pytest.fixture(scope="session", autouse=True)
def quick_servers() -> Iterator[None]:
    """Sandboxes that a test starts in its own process are forked."""
    with forked_servers():
        yield


def open_rehearsal(folder: Path, port: int, home: str, tournament: str, environment: pytest.MonkeyPatch) -> Rehearsal:
    """A workspace under `folder`/`home` on the world `folder`/world, with settings of its own."""
    network = f'api_url = "http://127.0.0.1:{port}"' if tournament == "numerai" else ""
    file = folder / f"{home}.toml"
    file.write_text(SETTINGS.format(home=folder / home, port=port, tournament=tournament, network=network))
    environment.setenv("NUMERAI_SETTINGS", str(file))
    return Rehearsal.over(load_settings(), folder / "world")


@contextlib.contextmanager
def rehearsal_on(folder: Path, environment: pytest.MonkeyPatch, home: str = "home") -> Iterator[Rehearsal]:
    """The workspace `folder`/`home` on the world `folder`/world, whose server runs meanwhile."""
    port = free_port()
    process.start(folder / "world", port=port)
    try:
        yield open_rehearsal(folder, port, home, "sandbox", environment)
    finally:
        process.stop(folder / "world")


@pytest.fixture(scope="session")
def first_weekend(tiny_world: Path, made_once: MakeOnce) -> Path:
    """A folder with the tiny world and the workspace after its first weekly run, to be copied."""

    def fill(folder: Path) -> None:
        shutil.copytree(tiny_world, folder / "world")
        with pytest.MonkeyPatch.context() as environment, rehearsal_on(folder, environment) as rehearsal:
            rehearsal.weekly()

    return made_once("first-weekend", fill)


@pytest.fixture
def new_rehearsal(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewRehearsal]:
    """Starts a rehearsal from nothing; `beside` makes another workspace on the server of one that runs already."""

    def start(*, beside: Rehearsal | None = None, tournament: str = "sandbox", home: str = "home") -> Rehearsal:
        port = free_port() if beside is None else beside.settings.sandbox.port
        if beside is None:
            shutil.copytree(tiny_world, tmp_path / "world")
            process.start(tmp_path / "world", port=port)
        return open_rehearsal(tmp_path, port, home, tournament, monkeypatch)

    yield start
    process.stop(tmp_path / "world")


@pytest.fixture
def rehearsal(first_weekend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    """A rehearsal whose first weekly run is done."""
    shutil.copytree(first_weekend, tmp_path, dirs_exist_ok=True)
    with rehearsal_on(tmp_path, monkeypatch) as opened:
        yield opened
