"""Which fault occurs when, and what the engine remembers."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.faults.catalogue import IncomingRequest, RequestKind
from numerai_assets.sandbox.faults.engine import LOG_FILE, STATE_FILE, Faults
from numerai_assets.sandbox.faults.plan import parse

NOW = round_by_number(326).opens + dt.timedelta(minutes=5)
ROUNDS_QUERY = IncomingRequest(RequestKind.GRAPHQL, "rounds")
LIVE = IncomingRequest(RequestKind.FILE, "v5.3/live.parquet")


def under(folder: Path, plan: dict[str, Any]) -> Faults:
    folder.mkdir(exist_ok=True)
    faults = Faults(folder)
    faults.put(parse(plan, "test"), NOW)
    return faults


def struck(faults: Faults, requests: list[IncomingRequest], round_number: int = 326) -> list[str | None]:
    hits = [faults.meet(request, NOW, round_number) for request in requests]
    return [None if hit is None else hit.fault.name for hit in hits]


def test_the_same_seed_meets_the_same_faults_and_another_meets_others(tmp_path: Path) -> None:
    plan = {"rates": {"slow": 0.3, "drop": 0.2, "range-ignored": 0.5}}
    requests = [LIVE, ROUNDS_QUERY, IncomingRequest(RequestKind.UPLOAD, "p.csv")] * 20
    first = struck(under(tmp_path / "a", plan | {"seed": 1}), requests)
    assert first == struck(under(tmp_path / "b", plan | {"seed": 1}), requests)
    assert first != struck(under(tmp_path / "c", plan | {"seed": 2}), requests)
    assert {"slow", "drop", None} == set(first)


def test_asking_more_often_for_one_thing_does_not_shift_what_befalls_another(tmp_path: Path) -> None:
    plan = {"rates": {"drop": 0.5}}
    registration = IncomingRequest(RequestKind.GRAPHQL, "create_submission")
    alone = struck(under(tmp_path / "a", plan), [registration] * 20)
    between = struck(under(tmp_path / "b", plan), [registration, ROUNDS_QUERY, LIVE] * 20)[::3]
    assert alone == between


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    plan = {"rates": {"drop": 0.5, "server-error": 0.2}, "events": [{"fault": "slow", "at": {"nth": 15}}]}
    at_once = struck(under(tmp_path / "a", plan), [LIVE] * 30)
    begun = struck(under(tmp_path / "b", plan), [LIVE] * 11)
    assert begun + struck(Faults(tmp_path / "b"), [LIVE] * 19) == at_once
    assert "slow" in at_once


def test_limits_hold_in_a_row_and_in_a_round(tmp_path: Path) -> None:
    row = struck(under(tmp_path / "a", {"rates": {"drop": {"rate": 1, "at_most_in_a_row": 2}}}), [LIVE] * 6)
    assert row == ["drop", "drop", None, "drop", "drop", None]
    faults = under(tmp_path / "b", {"rates": {"drop": {"rate": 1, "at_most_per_round": 1}}})
    assert struck(faults, [LIVE] * 3) == ["drop", None, None]
    assert struck(faults, [LIVE] * 2, round_number=327) == ["drop", None]


def test_a_burst_goes_on_for_its_requests(tmp_path: Path) -> None:
    plan = {"events": [{"fault": "server-error", "parameters": {"requests": 3}}]}
    assert struck(under(tmp_path, plan), [ROUNDS_QUERY, LIVE] * 3) == ["server-error"] * 3 + [None] * 3


def test_an_event_waits_for_its_request_round_and_time(tmp_path: Path) -> None:
    at = {"round": 327, "request": "graphql:rounds", "nth": 2, "time": (NOW + dt.timedelta(hours=1)).isoformat()}
    faults = under(tmp_path, {"events": [{"fault": "drop", "at": at, "count": 2}]})
    later = NOW + dt.timedelta(hours=2)
    assert struck(faults, [ROUNDS_QUERY] * 3, 327) == [None] * 3
    assert [faults.meet(ROUNDS_QUERY, later, 326) for _ in range(3)] == [None] * 3
    assert [faults.meet(LIVE, later, 327) for _ in range(3)] == [None] * 3
    hits = [faults.meet(ROUNDS_QUERY, later, 327) for _ in range(5)]
    assert [hit is not None for hit in hits] == [False, True, True, False, False]


def test_events_come_before_dice_and_wait_for_each_other(tmp_path: Path) -> None:
    faults = under(tmp_path, {"rates": {"slow": 1}, "events": [{"fault": "drop"}, {"fault": "reset"}]})
    assert struck(faults, [LIVE] * 3) == ["drop", "reset", "slow"]


def test_range_faults_strike_range_requests_alone(tmp_path: Path) -> None:
    faults = under(tmp_path, {"rates": {"range-ignored": 1, "replaced-file": 1}})
    begun, gone_on = IncomingRequest(RequestKind.FILE, LIVE.name, 0), IncomingRequest(RequestKind.FILE, LIVE.name, 100)
    assert struck(faults, [LIVE, begun, gone_on]) == [None, "range-ignored", "range-ignored"]
    faults = under(tmp_path, {"rates": {"replaced-file": 1}})
    assert struck(faults, [LIVE, begun, gone_on]) == [None, None, "replaced-file"]


def test_what_was_met_is_written_down_and_counted(tmp_path: Path) -> None:
    faults = under(tmp_path, {"rates": {"slow": {"rate": 1, "parameters": {"seconds": 3}}}})
    struck(faults, [ROUNDS_QUERY])
    (entry,) = Faults(tmp_path).log()
    assert entry.pop("wall")
    assert entry == {
        "at": NOW.isoformat(),
        "fault": "slow",
        "on": "graphql:rounds",
        "round": 326,
        "why": "rate",
        "parameters": {"seconds": 3.0},
    }
    assert json.loads((tmp_path / LOG_FILE).read_text())["fault"] == "slow"
    assert Faults(tmp_path).describe()["struck"] == {"slow": 1}


def test_a_new_plan_starts_counts_at_zero_and_the_log_stays(tmp_path: Path) -> None:
    plan = {"events": [{"fault": "drop"}]}
    faults = under(tmp_path, plan)
    assert struck(faults, [LIVE, LIVE]) == ["drop", None]
    faults.put(parse(plan, "test"), NOW)
    assert struck(faults, [LIVE, LIVE]) == ["drop", None]
    faults.put(None, NOW)
    assert (struck(faults, [LIVE]), faults.is_quiet, len(faults.log())) == ([None], True, 2)


def test_a_damaged_memory_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text('{"plan": {"rates": {"gone": {"rate": 1}}}}')
    with pytest.raises(SandboxError, match=r"faults\.json: cannot be read .*remove it to continue without faults"):
        Faults(tmp_path)
