"""Faults of uploads, registrations, universes and rounds' hours."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import time_machine

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.faults.alterations import changed_upload
from numerai_assets.sandbox.server import process
from numerai_assets.sandbox.tournament.intake import NOT_OPEN
from numerai_assets_tests.sandbox.faulty import event, fetched, frame, log, plan
from numerai_assets_tests.sandbox.serving import FIRST_ROUND as ROUND
from numerai_assets_tests.sandbox.serving import Served, served

MINUTE = dt.timedelta(minutes=1)


def submit(sandbox: Served, seed: int = 0) -> str:
    identity: str = sandbox.client().upload_predictions(model_id=sandbox.slot(), df=sandbox.predictions(seed))
    return identity


def submissions(sandbox: Served) -> list[tuple[str, str, bool]]:
    """(id, status, selected) of the slot's submissions, newest first."""
    query = "query($id: String) { model(modelId: $id) { submissions { id status selected } } }"
    found = sandbox.ask(query, id=sandbox.slot())["model"]["submissions"]
    return [(item["id"], item["status"], item["selected"]) for item in found]


def read_back(sandbox: Served, identity: str, folder: Path) -> bytes:
    target = folder / identity
    sandbox.client().download_submission(submission_id=identity, dest_path=str(target))
    return target.read_bytes()


def at(sandbox: Served, moment: dt.datetime) -> Served:
    sandbox.advance(moment.isoformat())
    return sandbox


# -- uploads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "status"), [("upload-forbidden", 403), ("upload-error", 500), ("upload-lost", 200)])
def test_an_upload_that_was_not_stored_cannot_be_registered(fresh_sandbox: Served, fault: str, status: int) -> None:
    client = fresh_sandbox.client()
    event(fresh_sandbox, fault)
    auth = client._upload_auth("submission_upload_auth", "predictions.csv", 8, fresh_sandbox.slot())
    content = fresh_sandbox.predictions().to_csv(index=False).encode()
    assert requests.put(auth["url"], data=content, timeout=60).status_code == status
    assert requests.put(auth["url"], data=content, timeout=60).status_code == 200
    # numerapi never looks at the answer of its PUT.
    event(fresh_sandbox, fault)
    with pytest.raises(ValueError, match="was not uploaded"):
        submit(fresh_sandbox)
    assert submissions(fresh_sandbox) == []


def test_an_altered_upload_is_accepted_and_reads_back_otherwise(fresh_sandbox: Served, tmp_path: Path) -> None:
    event(fresh_sandbox, "upload-altered")
    sent = fresh_sandbox.predictions().to_csv(index=False).encode()
    stored = read_back(fresh_sandbox, submit(fresh_sandbox), tmp_path)
    assert len(stored) == len(sent)
    assert sum(a != b for a, b in zip(stored, sent, strict=True)) == 1
    assert read_back(fresh_sandbox, submit(fresh_sandbox), tmp_path) == sent


@pytest.mark.parametrize("content", [b"id,prediction\nn1,0.59\n", b"0", b"no digit", b""])
def test_a_changed_upload_always_differs(content: bytes) -> None:
    assert changed_upload(content) != content
    assert len(changed_upload(content)) == max(len(content), 1)


# -- registrations -----------------------------------------------------------------------------------------------


def test_a_submission_answered_with_an_error_was_made_all_the_same(
    fresh_sandbox: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    event(fresh_sandbox, "registered-with-error")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    # numerapi asks again after a 5xx and is told of what it did not hear the first time.
    with pytest.raises(ValueError, match="File already submitted"):
        submit(fresh_sandbox)
    ((_, status, is_selected),) = submissions(fresh_sandbox)
    assert (status, is_selected) == ("on-time", True)


def test_a_refusal_stays_a_refusal_under_faults_of_registration(fresh_sandbox: Served) -> None:
    client = fresh_sandbox.client()
    bad = fresh_sandbox.predictions().assign(prediction=0.5)
    for fault in ("registered-with-error", "registered-twice", "processing"):
        event(fresh_sandbox, fault)
        with pytest.raises(ValueError, match="non-zero standard deviation"):
            client.upload_predictions(model_id=fresh_sandbox.slot(), df=bad)
    assert submissions(fresh_sandbox) == []


def test_a_submission_made_twice_tells_the_first_and_selects_the_second(fresh_sandbox: Served, tmp_path: Path) -> None:
    event(fresh_sandbox, "registered-twice")
    told = submit(fresh_sandbox)
    (second, _, second_selected), (first, _, first_selected) = submissions(fresh_sandbox)
    assert (first, first_selected, second_selected) == (told, False, True)
    assert read_back(fresh_sandbox, first, tmp_path) == read_back(fresh_sandbox, second, tmp_path)


def test_a_submission_in_processing_is_selected_when_its_time_has_come(fresh_sandbox: Served) -> None:
    before = submit(fresh_sandbox)
    event(fresh_sandbox, "processing", minutes=20)
    held = submit(fresh_sandbox, seed=1)
    assert submissions(fresh_sandbox) == [(held, "processing", False), (before, "on-time", True)]
    now = fresh_sandbox.tournament.view.now
    at(fresh_sandbox, now + 19 * MINUTE)
    assert submissions(fresh_sandbox) == [(held, "processing", False), (before, "on-time", True)]
    at(fresh_sandbox, now + 20 * MINUTE)
    assert submissions(fresh_sandbox) == [(held, "on-time", True), (before, "on-time", False)]


def test_a_submission_in_processing_does_not_displace_a_newer_one(fresh_sandbox: Served) -> None:
    event(fresh_sandbox, "processing", minutes=20)
    held = submit(fresh_sandbox)
    newer = submit(fresh_sandbox, seed=1)
    at(fresh_sandbox, fresh_sandbox.tournament.view.now + 20 * MINUTE)
    assert submissions(fresh_sandbox) == [(newer, "on-time", True), (held, "on-time", False)]


def test_a_submission_in_processing_for_ever_is_never_scored(fresh_sandbox: Served) -> None:
    event(fresh_sandbox, "processing", minutes="never")
    held = submit(fresh_sandbox)
    fresh_sandbox.advance("+2w")
    assert submissions(fresh_sandbox) == [(held, "processing", False)]
    assert fresh_sandbox.client().submission_scores(fresh_sandbox.slot()) == []


# -- universes ---------------------------------------------------------------------------------------------------


def test_a_cut_universe_is_what_is_published_accepted_and_scored(fresh_sandbox: Served) -> None:
    full = len(fresh_sandbox.predictions())
    plan(fresh_sandbox, events=[{"fault": "universe-cut", "at": ROUND + 1, "parameters": {"share": 0.3}}])
    fresh_sandbox.advance("next-round")
    live = frame(fresh_sandbox, "live.parquet")
    assert len(live) < 0.9 * full
    for name in ("live_benchmark_models.parquet", "live_example_preds.parquet", "live_example_preds.csv"):
        assert list(frame(fresh_sandbox, name).index) == list(live.index)
    client = fresh_sandbox.client()
    values = (pd.Series(range(len(live))) + 0.5) / len(live)
    good = pd.DataFrame({"id": live.index, "prediction": values})
    with pytest.raises(ValueError, match="Not enough stocks"):
        client.upload_predictions(model_id=fresh_sandbox.slot(), df=good[1:])
    client.upload_predictions(model_id=fresh_sandbox.slot(), df=good)
    # What was published stays, though the plan goes.
    requests.delete(f"{fresh_sandbox.url}/sandbox/faults", timeout=60)
    assert len(frame(fresh_sandbox, "live.parquet")) == len(live)
    fresh_sandbox.advance("+2w")
    assert {s["displayName"] for s in client.submission_scores(fresh_sandbox.slot())} >= {"corr60", "mmc60"}


def test_missing_live_rows_make_a_submission_of_the_file_fail(fresh_sandbox: Served) -> None:
    plan(fresh_sandbox, events=[{"fault": "live-rows-missing"}])
    live = frame(fresh_sandbox, "live.parquet")
    client = fresh_sandbox.client()
    values = (pd.Series(range(len(live))) + 0.5) / len(live)
    with pytest.raises(ValueError, match="Not enough stocks"):
        client.upload_predictions(
            model_id=fresh_sandbox.slot(), df=pd.DataFrame({"id": live.index, "prediction": values})
        )
    assert submit(fresh_sandbox)


# -- hours -------------------------------------------------------------------------------------------------------


def late(sandbox: Served, number: int, minutes: float = 30) -> None:
    plan(sandbox, events=[{"fault": "late-opening", "at": number, "parameters": {"minutes": minutes}}])


def test_a_late_round_is_closed_and_keeps_the_old_files_until_it_opens(fresh_sandbox: Served) -> None:
    number, client = ROUND + 1, fresh_sandbox.client()
    before = fetched(fresh_sandbox, "live.parquet")
    late(fresh_sandbox, number)
    scheduled = round_by_number(number)
    at(fresh_sandbox, scheduled.opens + 5 * MINUTE)
    with pytest.raises(ValueError, match=NOT_OPEN):
        client.get_current_round()
    with time_machine.travel(fresh_sandbox.tournament.view.now):
        assert client.check_round_open() is False
    assert fetched(fresh_sandbox, "live.parquet") == before
    (listed,) = client.list_rounds(number=number)
    assert listed["openTime"] == scheduled.opens
    assert number in [found["number"] for found in client.list_rounds(status="upcoming")]
    assert client.list_rounds(status="open") == []
    at(fresh_sandbox, scheduled.opens + 30 * MINUTE)
    assert client.get_current_round() == number
    assert fetched(fresh_sandbox, "live.parquet") != before
    (listed,) = client.list_rounds(number=number)
    assert (listed["openTime"], listed["closeStakingTime"]) == (
        scheduled.opens + 30 * MINUTE,
        scheduled.opens + 90 * MINUTE,
    )
    at(fresh_sandbox, scheduled.closes + 15 * MINUTE)
    assert submit(fresh_sandbox)
    at(fresh_sandbox, scheduled.closes + 30 * MINUTE)
    with pytest.raises(ValueError, match=NOT_OPEN):
        client.get_current_round()


def test_the_next_round_of_a_waiting_sandbox_is_the_late_one(fresh_sandbox: Served) -> None:
    late(fresh_sandbox, ROUND + 1, minutes=120)
    fresh_sandbox.advance("next-round")
    view = fresh_sandbox.tournament.view
    assert (view.open_round, view.latest_round.number) == (None, ROUND)
    assert (
        fresh_sandbox.tournament.status()["next_opening"]
        == round_by_number(ROUND + 1).opens.replace(hour=14).isoformat()
    )
    fresh_sandbox.advance("next-round")
    opened = fresh_sandbox.tournament.view.open_round
    assert opened is not None
    assert opened.number == ROUND + 1


def test_a_late_weekend_brings_its_era_late(fresh_sandbox: Served) -> None:
    number = ROUND + 5
    late(fresh_sandbox, number)
    at(fresh_sandbox, round_by_number(number).opens + 5 * MINUTE)
    world = fresh_sandbox.tournament.world
    assert (world.newest_era, fresh_sandbox.tournament.view.latest_round.number) == (640, number - 1)
    assert fresh_sandbox.tournament.view.releases[-1].round_number == number - 1
    fresh_sandbox.advance("next-round")
    assert (world.newest_era, fresh_sandbox.tournament.view.releases[-1].round_number) == (641, number)


def test_a_round_that_is_open_does_not_become_late(fresh_sandbox: Served) -> None:
    plan(fresh_sandbox, rates={"late-opening": 1})
    assert fresh_sandbox.client().get_current_round() == ROUND
    fresh_sandbox.advance("next-round")
    assert fresh_sandbox.tournament.view.open_round is None


def test_an_event_of_hours_waits_for_a_round_that_it_can_befall(fresh_sandbox: Served) -> None:
    # The open round cannot become late, and only weekend rounds can close early.
    plan(fresh_sandbox, events=[{"fault": "late-opening"}, {"fault": "early-close", "at": "2015-04-13"}])
    for _ in range(6):
        fresh_sandbox.advance("next-round")
    met = [(entry["fault"], entry["round"]) for entry in log(fresh_sandbox)]
    assert met == [("late-opening", ROUND + 1), ("early-close", ROUND + 5)]


def test_a_late_round_opens_when_faults_are_cleared(fresh_sandbox: Served) -> None:
    late(fresh_sandbox, ROUND + 1)
    fresh_sandbox.advance("next-round")
    requests.delete(f"{fresh_sandbox.url}/sandbox/faults", timeout=60)
    assert fresh_sandbox.client().get_current_round() == ROUND + 1
    assert submit(fresh_sandbox)


def test_a_round_closes_early_and_unannounced(fresh_sandbox: Served) -> None:
    client, scheduled = fresh_sandbox.client(), round_by_number(ROUND)
    plan(fresh_sandbox, rates={"early-close": 1})
    at(fresh_sandbox, scheduled.closes - 61 * MINUTE)
    (listed,) = client.list_rounds(number=ROUND)
    assert listed["closeStakingTime"] == scheduled.closes
    at(fresh_sandbox, scheduled.closes - 60 * MINUTE)
    with pytest.raises(ValueError, match=NOT_OPEN):
        client.get_current_round()
    submit_frame(fresh_sandbox, fresh_sandbox.tournament.world.live(ROUND).index)
    assert [s.status for s in fresh_sandbox.tournament.state.submissions(round_number=ROUND)] == ["late"]
    (listed,) = client.list_rounds(number=ROUND)
    assert listed["closeStakingTime"] == scheduled.closes - 60 * MINUTE
    assert [entry["fault"] for entry in log(fresh_sandbox)] == ["early-close"]


def submit_frame(sandbox: Served, ids: "pd.Index[Any]") -> None:
    values = (pd.Series(range(len(ids))) + 0.5) / len(ids)
    sandbox.client().upload_predictions(model_id=sandbox.slot(), df=pd.DataFrame({"id": ids, "prediction": values}))


# -- restarts ----------------------------------------------------------------------------------------------------


def test_a_restarted_server_goes_on_with_plan_counts_late_round_and_processing(world_dir: Path) -> None:
    with served(world_dir) as sandbox:
        events = [
            {"fault": "late-opening", "at": ROUND + 1},
            {"fault": "processing"},
            {"fault": "drop", "at": "2100-01-01"},
        ]
        plan(sandbox, seed=9, rates={"slow": {"rate": 0.5, "parameters": {"seconds": 0.001}}}, events=events)
        held = submit(sandbox)
        sandbox.advance(round_by_number(ROUND + 1).opens.isoformat())
        before = requests.get(f"{sandbox.url}/sandbox/faults", timeout=60).json()
        logged = log(sandbox)
    stopped = process.status(world_dir)
    assert (stopped.open_round, stopped.next_opening) == (None, round_by_number(ROUND + 1).opens + 30 * MINUTE)
    with served(world_dir) as sandbox:
        assert requests.get(f"{sandbox.url}/sandbox/faults", timeout=60).json() == before
        assert log(sandbox) == logged
        assert sandbox.tournament.view.open_round is None
        assert submissions(sandbox) == [(held, "on-time", True)]
        sandbox.advance("next-round")
        assert sandbox.client().get_current_round() == ROUND + 1


def test_the_log_is_lines_of_json(fresh_sandbox: Served) -> None:
    plan(fresh_sandbox, rates={"constant-features": 1}, events=[{"fault": "upload-altered"}])
    submit(fresh_sandbox)
    lines = (fresh_sandbox.tournament.directory / "faults.jsonl").read_text().splitlines()
    assert [json.loads(line)["fault"] for line in lines] == ["constant-features", "upload-altered"]
    assert [json.loads(line)["round"] for line in lines] == [ROUND, ROUND]
    assert json.loads(lines[1])["on"].startswith("upload:predictions-")
