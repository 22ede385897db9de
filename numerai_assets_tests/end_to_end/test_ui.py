"""`numerai ui` in a real browser: the asset graph is on the screen, schedule and sensor can be seen."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from numerai_assets.sandbox.server import process
from numerai_assets_tests.browser import CHROMIUM, new_page
from numerai_assets_tests.end_to_end.conftest import SETTINGS, free_port

PROJECT = Path(__file__).resolve().parents[2]
STARTS_WITHIN_SECONDS = 600
# The daemon looks at its code locations once a minute.
STARTS_ANEW_WITHIN_SECONDS = 600
GROUPS = (
    "release",
    "store",
    "features",
    "models",
    "predictions",
    "diagnostics",
    "explanations",
    "submissions",
    "performance",
)


@pytest.fixture(scope="module")
def ui(first_weekend: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of Dagster's UI as `numerai ui` starts it, over a workspace after its first weekend."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copytree(first_weekend, folder, dirs_exist_ok=True)
    sandbox_port, port = free_port(), free_port()
    settings = folder / "ui.toml"
    settings.write_text(SETTINGS.format(home=folder / "home", port=sandbox_port, tournament="sandbox", network=""))
    (folder / "world").rename(folder / "home" / "sandbox-synthetic-tiny" / "world")
    log = folder / "ui.log"
    command = [sys.executable, "-m", "numerai_assets.cli.main", "ui", "--port", str(port)]
    environment = os.environ | {"NUMERAI_SETTINGS": str(settings)}
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_answering(url, server, log)
        yield url, psutil.Process(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        process.stop(folder / "home" / "sandbox-synthetic-tiny" / "world")


@pytest.fixture
def ui_url(ui: tuple[str, psutil.Process]) -> str:
    return ui[0]


def wait_until_answering(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if requests.get(f"{url}/server_info", timeout=60).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    pytest.fail(f"the UI did not answer:\n{log.read_text()}")


def text_of_page(url: str, *, expects: str, picture: Path) -> str:
    """Visible text of a page once `expects` is on it; a screenshot is kept."""
    with new_page(1800, 1000) as page:
        page.goto(url)
        page.get_by_text(expects).first.wait_for()
        page.screenshot(path=picture)
        text: str = page.inner_text("body")
    return text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
@pytest.mark.slow(reason="starts webserver, daemon and code server")
def test_the_asset_graph_is_on_the_screen(ui_url: str, tmp_path: Path) -> None:
    picture = tmp_path / "graph.png"
    text = text_of_page(f"{ui_url}/asset-groups", expects="submissions", picture=picture)
    assert [group for group in GROUPS if group not in text] == []
    assert picture.stat().st_size > 20_000


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
@pytest.mark.slow(reason="starts webserver, daemon and code server")
def test_schedule_and_sensor_are_listed(ui_url: str, tmp_path: Path) -> None:
    text = text_of_page(f"{ui_url}/automation", expects="only on Saturday", picture=tmp_path / "automation.png")
    assert "weekly" in text
    assert "round" in text


@pytest.mark.slow(reason="starts webserver, daemon and code server")
def test_every_asset_is_known_to_the_server(ui_url: str) -> None:
    query = "query { assetNodes { assetKey { path } groupName hasMaterializePermission } }"
    nodes = requests.post(f"{ui_url}/graphql", json={"query": query}, timeout=300).json()["data"]["assetNodes"]
    assert {node["groupName"] for node in nodes} == set(GROUPS)
    assert ["submissions", "sandbox_one"] in [node["assetKey"]["path"] for node in nodes]


def code_servers_of_daemon(ui: psutil.Process) -> set[psutil.Process]:
    daemons = [child for child in ui.children(recursive=True) if "dagster._daemon" in command_of(child)]
    return {child for daemon in daemons for child in daemon.children() if "grpc" in command_of(child)}


def command_of(process: psutil.Process) -> list[str]:
    """Words of the process's command; none of one that has died."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.mark.slow(reason="the daemon looks at its code locations once a minute")
def test_the_daemon_starts_a_code_server_anew_that_has_died(ui: tuple[str, psutil.Process]) -> None:
    deadline = time.monotonic() + STARTS_ANEW_WITHIN_SECONDS
    while not (first := code_servers_of_daemon(ui[1])) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(first) == 1
    first.copy().pop().kill()

    deadline = time.monotonic() + STARTS_ANEW_WITHIN_SECONDS
    while not (another := code_servers_of_daemon(ui[1]) - first) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(another) == 1
