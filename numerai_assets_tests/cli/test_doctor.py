"""`numerai doctor`: each check on a workspace without a server, and what it says when something is missing."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.cli.doctor import Finding, examine
from numerai_assets.errors import Unreachable
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import MethodSettings, Settings
from numerai_assets.tournament.client import Round

OPENS = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
ROUND = Round(1369, OPENS, OPENS + dt.timedelta(hours=26), dt.date(2026, 10, 2))


class Tournament:
    """A tournament with one open round and the given model slots."""

    url, is_sandbox = "http://127.0.0.1:1", True

    def __init__(self, *slots: str, answers: bool = True) -> None:
        self.slots, self.answers = slots, answers

    def now(self) -> dt.datetime:
        if not self.answers:
            raise Unreachable("no answer")
        return OPENS + dt.timedelta(minutes=1)

    def models(self) -> dict[str, str]:
        return {slot: f"id-{slot}" for slot in self.slots}

    def current_round(self) -> Round:
        return ROUND

    def next_round(self) -> None:
        return None


@pytest.fixture(autouse=True)
def nothing_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a settings file, and no step that is due."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("numerai_assets.cli.doctor.next_steps", lambda workspace, current: [])


def examined(tmp_path: Path, server: Tournament, **settings: Any) -> dict[str, Finding]:
    workspace = Workspace(Settings(home=tmp_path, **settings))
    workspace.__dict__["tournament"] = server
    return {finding.subject: finding for finding in examine(workspace)}


def test_a_workspace_before_its_first_run_is_well(tmp_path: Path) -> None:
    found = examined(tmp_path, Tournament("one"), slots={"one": "benchmark"})

    assert all(finding.is_well for finding in found.values() if finding.subject not in ("memory", "disk"))
    assert "no vintage yet" in found["method benchmark"].text
    assert found["slot one"].text == "submits benchmark"
    assert found["round"].text.startswith("round 1369")
    assert found["would run"].text == "nothing is stale"
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_ends_the_examination(tmp_path: Path) -> None:
    found = examined(tmp_path, Tournament(answers=False), slots={"one": "benchmark"})

    assert not found["server"].is_well
    assert "clock" not in found


def test_a_slot_that_the_account_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    found = examined(tmp_path, Tournament("other"), slots={"one": "benchmark"})

    assert not found["slot one"].is_well
    assert found["slot one"].text == "not on this account; it has other"


def test_two_slots_of_one_method_are_refused(tmp_path: Path) -> None:
    tournament = Tournament("one", "two")
    settings = Settings(home=tmp_path, slots={"one": "benchmark", "two": "benchmark"})
    workspace = Workspace(settings)
    workspace.__dict__["tournament"] = tournament

    (refused,) = [finding for finding in examine(workspace) if not finding.is_well and finding.subject == "slot two"]

    assert "another slot submits benchmark" in refused.text


def test_settings_without_slots_submit_nothing(tmp_path: Path) -> None:
    assert not examined(tmp_path, Tournament())["slots"].is_well


def test_a_method_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    methods = {"benchmark": MethodSettings(parameters={"trees": 5})}

    found = examined(tmp_path, Tournament("one"), slots={"one": "benchmark"}, methods=methods)

    assert not found["method benchmark"].is_well
    assert "trees" in found["method benchmark"].text


@pytest.mark.parametrize(
    ("urls", "text"), [("", "stored in a file only"), ("json://a json://b", "sent to 2 addresses")]
)
def test_alerts_need_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: str, text: str) -> None:
    monkeypatch.setenv("NUMERAI_ALERT_URLS", urls)

    alerts = examined(tmp_path, Tournament())["alerts"]

    assert alerts.is_well
    assert text in alerts.text


def test_keys_are_needed_outside_the_sandbox(tmp_path: Path) -> None:
    tournament = Tournament()
    tournament.is_sandbox = False

    keys = examined(tmp_path, tournament, tournament="numerai")["API keys"]

    assert not keys.is_well
    assert keys.text == "NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY not set"
