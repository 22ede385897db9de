import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numerapi
import numerapi.base_api
import psutil
import pytest
import requests

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.server import process, serve
from numerai_assets.sandbox.server.app import SERVER_FOLDER
from numerai_assets.sandbox.world.history import World
from numerai_assets_tests.sandbox.serving import FIRST_ROUND


@pytest.fixture
def running(world_dir: Path, unused_port: int) -> Iterator[str]:
    """URL of the sandbox of `world_dir` in a process of its own."""
    yield process.start(world_dir, port=unused_port)
    process.stop(world_dir)


def pid_of(world_dir: Path) -> int:
    pid: int = json.loads((world_dir / SERVER_FOLDER / "server.pid").read_text())["pid"]
    return pid


def test_a_sandbox_starts_answers_advances_and_stops(
    world_dir: Path, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerapi.base_api, "API_TOURNAMENT_URL", running)
    assert numerapi.NumerAPI(verbosity="CRITICAL").get_current_round() == FIRST_ROUND
    found = process.status(world_dir)
    assert (found.running, found.url, found.open_round, found.newest_era) == (True, running, FIRST_ROUND, 640)
    assert (found.submissions, found.next_opening) == (0, round_by_number(FIRST_ROUND + 1).opens)
    advanced = process.advance(world_dir, "next-round")
    assert (advanced.open_round, advanced.now) == (
        FIRST_ROUND + 1,
        round_by_number(FIRST_ROUND + 1).opens.replace(minute=5),
    )
    with pytest.raises(SandboxError, match="cannot advance to 'never'"):
        process.advance(world_dir, "never")
    pid = pid_of(world_dir)
    assert process.stop(world_dir) is True
    assert not psutil.pid_exists(pid)
    stopped = process.status(world_dir)
    assert (stopped.running, stopped.url) == (False, None)
    assert (stopped.now, stopped.open_round, stopped.newest_era) == (advanced.now, FIRST_ROUND + 1, 640)
    assert process.stop(world_dir) is False


def test_a_restarted_sandbox_continues_where_it_was(world_dir: Path, running: str) -> None:
    before = process.advance(world_dir, "+1w")
    process.stop(world_dir)
    process.start(world_dir, port=int(running.rsplit(":", 1)[1]))
    assert process.status(world_dir) == before


def test_starting_a_running_sandbox_does_nothing(world_dir: Path, running: str, unused_port: int) -> None:
    pid = pid_of(world_dir)
    assert process.start(world_dir, port=unused_port) == running
    assert pid_of(world_dir) == pid


def test_a_world_and_an_account_are_made_where_there_are_none(tmp_path: Path, unused_port: int) -> None:
    stages: list[str] = []
    folder = tmp_path / "deep" / "world"
    dials, models = Dials(drift=0.05), ("first", "second", "third", "fourth")
    try:
        url = process.start(
            folder,
            port=unused_port,
            models=models,
            progress=lambda stage, done, total: stages.append(stage),
            size="tiny",
            seed=3,
            dials=dials,
        )
        query = {"query": 'query { accountProfile(username: "sandbox") { models { name } } }'}
        profile = requests.post(url, json=query, timeout=10).json()["data"]["accountProfile"]
        assert tuple(model["name"] for model in profile["models"]) == models
        assert World.open(folder).recipe.dials == dials
        assert "eras" in stages
    finally:
        process.stop(folder)


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path, unused_port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", unused_port))
        other.listen()
        with pytest.raises(SandboxError, match=f"port {unused_port} on 127.0.0.1 cannot be used"):
            process.start(tmp_path / "world", port=unused_port, size="tiny")
    assert not (tmp_path / "world").exists()


@pytest.mark.parametrize("born", [1.0, None], ids=["of another process", "damaged"])
def test_a_stale_pid_file_neither_blocks_a_start_nor_ends_another_process(
    world_dir: Path, unused_port: int, born: float | None
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        note: dict[str, Any] = {"pid": stranger.pid, "born": born, "port": unused_port}
        content = json.dumps(note) if born is not None else json.dumps(note)[:10]
        (world_dir / SERVER_FOLDER / "server.pid").write_text(content)
        assert process.status(world_dir).running is False
        assert process.stop(world_dir) is False
        assert stranger.poll() is None
        (world_dir / SERVER_FOLDER / "server.pid").write_text(content)
        assert requests.get(process.start(world_dir, port=unused_port), timeout=10).ok
    finally:
        process.stop(world_dir)
        stranger.kill()
        stranger.wait()


def test_a_killed_server_is_seen_as_stopped(world_dir: Path, running: str) -> None:
    victim = psutil.Process(pid_of(world_dir))
    victim.kill()
    victim.wait(10)
    assert process.status(world_dir).running is False
    with pytest.raises(SandboxError, match="is not running; start it with"):
        process.advance(world_dir, "+1d")


def test_a_failed_start_shows_the_end_of_the_log(world_dir: Path, unused_port: int) -> None:
    (world_dir / "world.json").write_text("{}")
    with pytest.raises(SandboxError, match=r"(?s)the sandbox ended while starting \(exit 1\).*create the world again"):
        process.start(world_dir, port=unused_port)
    assert process.status(world_dir).running is False


def test_a_second_server_of_the_same_world_is_refused(world_dir: Path, running: str, unused_port: int) -> None:
    second = subprocess.run(
        serve.command(world_dir, unused_port), capture_output=True, text=True, timeout=60, check=False
    )
    assert (second.returncode, second.stderr.count("\n")) == (1, 1)
    assert "another process already serves this sandbox" in second.stderr


def test_a_server_without_assertions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "sys", SimpleNamespace(flags=SimpleNamespace(optimize=1), stderr=sys.stderr))
    assert serve.main(["--world", str(tmp_path), "--port", "1"]) == 1
    assert "numerai-tools would check nothing" in capsys.readouterr().err


def test_the_status_of_a_sandbox_that_never_was_is_not_running(tmp_path: Path) -> None:
    assert process.status(tmp_path / "nothing") == process.Status(running=False)
    assert not (tmp_path / "nothing").exists()
