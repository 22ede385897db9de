import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from numerai_assets.cli.main import main
from numerai_assets.sandbox.faults.catalogue import FAULTS
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.server import process
from numerai_assets.sandbox.tournament.state import MODEL_NAMES
from numerai_assets.settings import load_settings
from numerai_assets_tests.sandbox.serving import free_port


def faults(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sandbox", "faults", *arguments])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with settings of a tiny sandbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMERAI_SANDBOX__SIZE", "tiny")
    return load_settings(tournament="sandbox").workspace


@pytest.fixture
def url(workspace: Path) -> Iterator[str]:
    """Of a running sandbox of these settings."""
    yield process.start(workspace / "world", port=free_port(), size="tiny")
    process.stop(workspace / "world")


def test_default_settings_make_the_usual_world_and_account() -> None:
    settings = load_settings(tournament="sandbox").sandbox
    assert Dials(**settings.dials.model_dump()) == Dials()
    assert settings.models == MODEL_NAMES
    assert settings.world_name == "synthetic-default"


def test_dials_and_models_of_the_settings_reach_the_sandbox(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_SANDBOX__DIALS__DRIFT", "0.05")
    monkeypatch.setenv("NUMERAI_SANDBOX__MODELS", '["first", "second", "third", "fourth"]')
    given: dict[str, Any] = {}
    monkeypatch.setattr(process, "start", lambda world, **options: given.update(options, world=world))
    assert CliRunner().invoke(main, ["sandbox", "start"]).exit_code == 0
    assert given["dials"] == Dials(drift=0.05)
    assert given["models"] == ("first", "second", "third", "fourth")
    assert given["world"] == workspace.with_name(f"{workspace.name}-drift0.05") / "world"


def test_faults_are_listed_with_their_parameters() -> None:
    shown = faults("list").output
    assert all(name in shown for name in FAULTS)
    assert "any request, status=502, requests=3, a bad year: 0.01" in shown


def test_faults_are_set_scripted_shown_cleared_and_logged(url: str, tmp_path: Path) -> None:
    assert faults("show").output == "no faults are active\n"
    assert "server-error: rate 1, occurred 0 times" in faults("set", "server-error=1", "--seed", "4").output
    assert requests.get(url, timeout=10).status_code == 502
    shown = faults("show").output
    assert "seed 4" in shown
    assert "server-error: rate 1, occurred 1 times" in shown
    plan = {"events": [{"fault": "late-opening", "at": 327}, {"fault": "drop", "at": {"request": "clock"}}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    shown = faults("script", "plan.json").output
    assert "event 1: late-opening (round 327), 1 times" in shown
    assert faults("clear").output == "no faults are active\n"
    assert requests.get(url, timeout=10).ok
    assert faults("log").output.splitlines() == ["2015-04-11T12:05:00  round 326  server-error  clock  (rate)"]


def test_what_cannot_be_meant_or_done_is_said_in_one_line(workspace: Path) -> None:
    for arguments, message in {
        ("set", "slow"): "expected NAME=RATE",
        ("set", "slwo=1"): "did you mean 'slow'",
        ("set", "slow=1"): "is not running; start it with `numerai sandbox start`",
        ("script", "absent.toml"): "absent.toml: cannot be read (No such file or directory)",
    }.items():
        result = faults(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert message in result.stderr
    assert faults("log").output == "no fault occurred\n"
