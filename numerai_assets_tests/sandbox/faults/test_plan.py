import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.faults import plan as plans
from numerai_assets.sandbox.faults.catalogue import FAULTS, IncomingRequest, RequestKind, Scope
from numerai_assets.sandbox.faults.engine import LOG_FILE, STATE_FILE, Faults
from numerai_assets.sandbox.faults.plan import die, parse

ROUND = round_by_number(326)
NOW = ROUND.opens + dt.timedelta(minutes=5)
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


# -- plans -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"rates": {"sever-error": 0.1}}, "fault 'sever-error' is unknown; did you mean 'server-error'\\?"),
        ({"events": [{"fault": "late"}]}, "fault 'late' is unknown; `numerai sandbox faults list` lists them all"),
        ({"rates": {"slow": 1.5}}, "rates.slow.rate: Input should be less than or equal to 1"),
        ({"rate": {}}, "rate: Extra inputs are not permitted"),
        ({"rates": {"slow": {"rate": 1, "parameters": {"minutes": 2}}}}, "parameters of slow \\(it has: seconds\\)"),
        ({"rates": {"expired-url": {"rate": 1, "on": ["upload"]}}}, "expected requests of kind download, file"),
        (
            {"rates": {"late-opening": {"rate": 1, "on": ["file"]}}},
            "expected requests of kind none, it occurs in a round",
        ),
        (
            {"events": [{"fault": "drop", "at": {"request": "graphql:round"}}]},
            "has no field 'round'; did you mean 'rounds'",
        ),
        ({"events": [{"fault": "drop", "at": "tomorrow"}]}, "events.0.at.time: Input should be a valid datetime"),
        (
            {"events": [{"fault": "late-opening", "count": 2}]},
            "event 1: late-opening occurs in a round, not in requests",
        ),
        (
            {"rates": {"early-close": {"rate": 1, "at_most_per_round": 1}}},
            "occurs once per round: remove at_most_per_round",
        ),
        ({"rates": {"alias-switched": {"rate": 1, "parameters": {"to": "target_ender"}}}}, "full name of a target"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_in_words(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(SandboxError, match=message) as refused:
        parse(plan, "my plan")
    assert str(refused.value).startswith("my plan: ")
    assert "\n" not in str(refused.value)


def test_a_plan_reads_the_same_as_toml_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        'seed = 7\n[rates]\nserver-error = 0.02\nslow = { rate = 0.1, on = ["file"], parameters = { seconds = 3 } }\n'
        '[[events]]\nfault = "late-opening"\nat = 331\n[[events]]\nfault = "drop"\nat = "2014-01-11T12:05"\n'
    )
    plan = {
        "seed": 7,
        "rates": {"server-error": 0.02, "slow": {"rate": 0.1, "on": ["file"], "parameters": {"seconds": 3}}},
        "events": [
            {"fault": "late-opening", "at": {"round": 331}},
            {"fault": "drop", "at": {"time": "2014-01-11T12:05Z"}},
        ],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert plans.load(tmp_path / "plan.toml") == plans.load(tmp_path / "plan.json")


@pytest.mark.parametrize(("name", "content"), [("plan.toml", "seed = "), ("plan.json", "{"), ("absent.json", None)])
def test_a_plan_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SandboxError, match=name):
        plans.load(tmp_path / name)


def test_every_fault_has_usable_defaults_and_says_what_it_strikes() -> None:
    for name, fault in FAULTS.items():
        assert parse({"rates": {name: fault.bad_year}}, "test").rates[name].rate == fault.bad_year > 0
        assert (fault.scope is Scope.REQUEST) == bool(fault.on)
        assert fault.parameters() is not None


# -- dice --------------------------------------------------------------------------------------------------------


def test_dice_are_fair_and_independent() -> None:
    rolls = [die(0, "slow", "file", n) for n in range(4000)]
    assert abs(sum(roll < 0.1 for roll in rolls) / len(rolls) - 0.1) < 0.02
    assert die(0, "slow", "file", 1) != die(1, "slow", "file", 1) != die(1, "slow", "graphql", 1)


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


# -- hours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [326, 327], ids=["weekend", "weekday"])
@pytest.mark.parametrize("late", [0, 30, 600])
@pytest.mark.parametrize("early", [0, 60, 10_000])
def test_hours_stay_within_the_rules_whatever_befalls_a_round(number: int, late: int, early: int) -> None:
    scheduled = round_by_number(number)
    hours = Hours({number: dt.timedelta(minutes=late)}, {number: dt.timedelta(minutes=early)})
    actual = hours.actual(number)
    assert scheduled.opens <= actual.opens
    assert actual.closes - actual.opens >= dt.timedelta(hours=1)
    assert (actual.closes.hour, actual.closes.date()) >= (13, actual.opens.date())
    assert actual.closes < round_by_number(number + 1).opens
    assert hours.round_at(actual.opens - dt.timedelta(seconds=1)) is None
    told = hours.round_at(actual.opens)
    assert told is not None
    assert (told.number, told.opens) == (number, actual.opens)
    assert hours.round_at(actual.closes) is None
    assert hours.latest_round(actual.closes).closes == actual.closes
    assert hours.next_opening(scheduled.opens - dt.timedelta(days=1)) <= actual.opens
