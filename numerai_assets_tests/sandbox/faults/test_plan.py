import json
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults import plan as plans
from numerai_assets.sandbox.faults.catalogue import FAULTS, Scope
from numerai_assets.sandbox.faults.plan import die, parse

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
