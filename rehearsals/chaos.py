"""A year of rounds with everything going wrong: `python -m rehearsals.chaos --weeks 52 --seed 0`.

The tiny market, its server with every fault at the rates of a bad year, and the pipeline run again and again as cron
would run it, some of the runs killed by SIGKILL at a random boundary. For every round the server's own database is asked
what is in effect; nothing is believed because the pipeline says so.
"""

import argparse
import collections
import datetime as dt
import itertools
import json
import random
import shutil
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_assets.sandbox.faults.catalogue import FAULTS, Scope
from numerai_assets.sandbox.faults.plan import Plan, parse
from numerai_assets.sandbox.server import process
from numerai_assets.sandbox.tournament.state import State
from rehearsals import mortal_run

SLOT = "sandbox_one"
ROUNDS_PER_WEEK = 5

_SETTINGS = """
tournament = "sandbox"
home = "{home}"
[slots]
{slot} = "benchmark"
[methods.benchmark.parameters]
n_estimators = 40
learning_rate = 0.1
every_eras = 2
[network]
attempts = 3
timeout_seconds = 2.0
retry_seconds = 0.05
[sandbox]
size = "tiny"
port = {port}
"""
# Real seconds: what matters is that an answer outlasts a time limit, not by how much.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 0.2},
    "stall": {"seconds": 4.0},
    "rate-limit": {"retry_after_seconds": 1},
    "processing": {"minutes": 10},
    "features-changed": {"releases": 3},
}
# A cron job looks every five minutes while a weekday round is open, every half hour at a weekend.
_TRIES_ONCE_PROVEN = 3
# Releases that a fault of the data lasts, at most.
_LASTS = 3
_WEEKDAY_STEP, _WEEKEND_STEP = dt.timedelta(minutes=5), dt.timedelta(minutes=30)


@dataclass
class Ledger:
    """What a rehearsal has come to. rungs, faults: how often each. lost: round -> why and whether told in time."""

    rounds: int = 0
    submitted: int = 0
    runs: int = 0
    killed: int = 0
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    rungs: collections.Counter[str] = field(default_factory=collections.Counter)
    attempts: collections.Counter[int] = field(default_factory=collections.Counter)
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    lost: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    files: int = 0
    parts: int = 0
    alerts: int = 0
    seconds: float = 0.0


class Rehearsal:
    """The sandbox, the pipeline's settings, and the dice of one chaotic year in `folder`, which is made anew."""

    def __init__(self, folder: Path, *, seed: int, weeks: int, kills: float) -> None:
        self.folder = folder
        self.world = folder / "world"
        self.ledger = Ledger()
        self._dice = random.Random(seed)
        self._weeks = weeks
        self._kills = kills
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        port = _free_port()
        self.settings_file = folder / "home.toml"
        self.settings_file.write_text(_SETTINGS.format(home=folder / "home", slot=SLOT, port=port))
        process.start(self.world, port=port, size="tiny", seed=seed)
        self._plan = bad_year(
            seed, first_round=self._state().releases()[-1].round_number, rounds=weeks * ROUNDS_PER_WEEK
        )
        process.put_faults(self.world, self._plan)

    @property
    def workspace(self) -> Path:
        return self.folder / "home" / "sandbox-synthetic-tiny"

    @property
    def impossible_rounds(self) -> set[int]:
        """Rounds during which the server answers nothing at all."""
        return {event.at.round for event in self._plan.events if event.at.round is not None}

    def run(self) -> Ledger:
        """Goes through all rounds and returns the ledger."""
        began = time.monotonic()
        for number in range(1, self._weeks * ROUNDS_PER_WEEK + 1):
            self._serve_round()
            self.ledger.seconds = time.monotonic() - began
            if number % ROUNDS_PER_WEEK == 0:
                _say(self.ledger)
            self._to_next_opening()
        self.ledger.faults.update(entry["fault"] for entry in process.fault_log(self.world))
        self.ledger.alerts = len(self._alerts())
        return self.ledger

    def stop(self) -> None:
        process.stop(self.world)

    def _to_next_opening(self) -> None:
        """Moves on to the next round, and, where it opens late, as far as it takes."""
        status = process.advance(self.world, "next-round")
        while status.open_round is None:
            status = process.advance(self.world, "next-round")

    def _serve_round(self) -> None:
        """Runs the job, as cron would, until the round that is open now is submitted and its work done, or it closes."""
        status = process.status(self.world)
        assert status.now is not None
        number, alerts_before = status.open_round, len(self._alerts())
        if number is None:
            raise RuntimeError(f"no round is open at {status.now}")
        self.ledger.rounds += 1
        step = _WEEKEND_STEP if status.now.weekday() == 5 else _WEEKDAY_STEP
        for tried in itertools.count(1):
            outcome = self._run_once()
            is_done = outcome.error is None and not outcome.was_killed
            # What else is due may be in trouble for days; it is tried anew with the next round.
            if self._is_proven(number) and (is_done or tried >= _TRIES_ONCE_PROVEN):
                break
            status = process.advance(self.world, f"{status.now + step:%Y-%m-%dT%H:%M}")
            assert status.now is not None
            if status.open_round != number:
                break
        self._judge(number, alerts_in_window=len(self._alerts()) - alerts_before)

    def _run_once(self) -> mortal_run.Outcome:
        die_after = self._dice.randint(1, 120) if self._dice.random() < self._kills else None
        outcome = mortal_run.weekly(self.settings_file, die_after=die_after, keeps_history=True)
        self.ledger.runs += 1
        self.ledger.killed += outcome.was_killed
        if outcome.error is not None:
            self.ledger.errors[_kind_of(outcome.error)] += 1
            if "Traceback" in outcome.error:
                self.ledger.wrong.append(f"a run ended in a traceback: {outcome.error.splitlines()[-1]}")
        return outcome

    def _is_proven(self, number: int) -> bool:
        return any(receipt["step"] == "proven" for receipt in self._receipts(number))

    def _judge(self, number: int, *, alerts_in_window: int) -> None:
        """Compares what the server has for a round that is over with what the pipeline's receipt says."""
        selected = self._state().submissions(round_number=number, selected=1)
        attempts = self._receipts(number)
        proven = [receipt for receipt in attempts if receipt["step"] == "proven"]
        self.ledger.attempts[len(attempts)] += 1
        self.ledger.wrong += self._foreign_files(number)
        if not selected:
            why = attempts[-1].get("abandoned_over") or attempts[-1]["step"] if attempts else "nothing was built"
            self.ledger.lost.append({"round": number, "why": why, "alerted": alerts_in_window > 0})
            if proven:
                self.ledger.wrong.append(f"round {number}: a receipt is proven, the server has nothing in effect")
            return
        if len(selected) > 1:
            self.ledger.wrong.append(f"round {number}: {len(selected)} submissions are in effect")
        if selected[0].status != "on-time":
            why = f"what is in effect is {selected[0].status}"
            self.ledger.lost.append({"round": number, "why": why, "alerted": alerts_in_window > 0})
            return
        sent = (self.world / "server" / "uploads" / selected[0].filename).read_bytes()
        ours = [self._built(number, receipt) for receipt in proven]
        if sent not in ours:
            self.ledger.wrong.append(f"round {number}: what is in effect was never proven")
            return
        self.ledger.submitted += 1
        self.ledger.rungs[proven[ours.index(sent)]["rung"]] += 1

    def _foreign_files(self, number: int) -> list[str]:
        """Files taken in for a round that are not, to the byte, those that were published for it; of a part, its rows.

        While a fault has altered the release itself, nobody but the server could tell, so nothing is said.
        """
        log = process.fault_log(self.world)
        if any(FAULTS[e["fault"]].scope is Scope.RELEASE and number - _LASTS < e["round"] <= number for e in log):
            return []
        release = next((r for r in self._state().releases() if r.round_number == number), None)
        published = {file.name.rpartition("/")[2]: file for file in release.files} if release else {}
        notes = {path: json.loads(path.read_text()) for path in self.workspace.rglob("*.manifest.json")}
        taken = {path: n for path, n in notes.items() if n["round_number"] == number and n["name"] in published}
        self.ledger.files += len(taken)
        wrong = []
        for path, note in taken.items():
            file = published[note["name"]]
            if note["part"] is None:
                is_same = note["sha256"] == file.sha256
            else:
                whole = self.world / "server" / "releases" / str(file.datestamp) / file.name
                is_same = _has_rows_of(path.with_name(note["name"]), whole)
                self.ledger.parts += 1
            if not is_same:
                wrong.append(f"round {number}: {note['name']} is not what was published")
        return wrong

    def _receipts(self, number: int) -> list[dict[str, Any]]:
        places = (self.workspace / "rounds" / str(number) / "submissions" / SLOT).glob("*/receipt.json")
        return [json.loads(path.read_text()) for path in sorted(places, key=lambda path: int(path.parent.name))]

    def _built(self, number: int, receipt: dict[str, Any]) -> bytes:
        place = self.workspace / "rounds" / str(number) / "submissions" / SLOT / str(receipt["attempt"])
        return (place / "predictions.csv").read_bytes()

    def _alerts(self) -> list[str]:
        path = self.workspace / "alerts.jsonl"
        return path.read_text().splitlines() if path.is_file() else []

    def _state(self) -> State:
        return State(self.world / "server" / "state.sqlite")


def bad_year(seed: int, *, first_round: int, rounds: int) -> Plan:
    """Every fault at the rate of a bad year, and one weekday round in a hundred or so under a total outage."""
    rates: dict[str, Any] = {}
    for name, fault in FAULTS.items():
        rate: dict[str, Any] = {"rate": fault.bad_year, "parameters": _PARAMETERS.get(name, {})}
        if fault.scope is Scope.REQUEST:
            rate["at_most_in_a_row"] = 3
        rates[name] = rate
    dice = random.Random(f"{seed} outages")
    weekdays = [
        n for n in range(first_round + ROUNDS_PER_WEEK, first_round + rounds) if (n - first_round) % ROUNDS_PER_WEEK
    ]
    struck = dice.sample(weekdays, k=round(len(weekdays) / 100)) if weekdays else []
    events = [{"fault": "drop", "at": number, "count": 100_000} for number in struck]
    return parse({"seed": seed, "rates": rates, "events": events}, "bad year")


def _has_rows_of(part: Path, whole: Path) -> bool:
    """True when a Parquet file holds, of its eras, exactly the rows that the whole one does."""
    rows, published = pq.read_table(part), pq.read_table(whole)
    eras = pc.unique(rows["era"])
    return bool(rows.equals(published.filter(pc.is_in(published["era"], eras))))


def table(ledger: Ledger) -> str:
    """The ledger as Markdown."""
    lines = [
        "| | |",
        "|---|---:|",
        f"| rounds | {ledger.rounds} |",
        f"| submitted, in effect, proven, on time | {ledger.submitted} |",
        f"| lost | {len(ledger.lost)} |",
        f"| of these alerted before the close | {sum(item['alerted'] for item in ledger.lost)} |",
        f"| wrong (duplicates in effect, other rounds' files, unproven bytes, corrupt files) | {len(ledger.wrong)} |",
        f"| files compared with what was published | {ledger.files} |",
        f"| of these parts, fetched by ranges | {ledger.parts} |",
        f"| runs | {ledger.runs} |",
        f"| of these killed by SIGKILL | {ledger.killed} |",
        f"| of these ended in an error, told in one line | {sum(ledger.errors.values())} |",
        f"| faults met | {sum(ledger.faults.values())} |",
        f"| alerts | {ledger.alerts} |",
        f"| minutes it took | {ledger.seconds / 60:.0f} |",
        "",
        "| rung of the ladder | rounds |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in ledger.rungs.most_common()),
        "",
        "| attempts a round | rounds |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in sorted(ledger.attempts.items())),
        "",
        "| fault | met |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in ledger.faults.most_common()),
    ]
    if ledger.lost:
        lines += ["", "| round lost | how far it came | alerted before it closed |", "|---|---|---|"]
        lines += [f"| {i['round']} | {i['why']} | {'yes' if i['alerted'] else 'no'} |" for i in ledger.lost]
    return "\n".join(lines)


def _say(ledger: Ledger) -> None:
    print(
        f"{ledger.rounds} rounds, {ledger.submitted} submitted, {len(ledger.lost)} lost, {len(ledger.wrong)} wrong, "
        f"{ledger.runs} runs ({ledger.killed} killed), {ledger.seconds:.0f} s",
        flush=True,
    )


def _kind_of(error: str) -> str:
    return error.splitlines()[-1][:100]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(arguments: list[str] | None = None) -> int:
    """0 when every round was submitted but for those without any answer, alerted in time, and nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=float, default=0.15, help="share of the runs that are killed")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    options = parser.parse_args(arguments)
    rehearsal = Rehearsal(options.folder.resolve(), seed=options.seed, weeks=options.weeks, kills=options.kills)
    try:
        ledger = rehearsal.run()
    finally:
        rehearsal.stop()
    print(table(ledger))
    for line in ledger.wrong:
        print(f"wrong: {line}")
    for kind, count in ledger.errors.most_common():
        print(f"{count:4d} x {kind}")
    avoidable = [
        item for item in ledger.lost if item["round"] not in rehearsal.impossible_rounds or not item["alerted"]
    ]
    return 1 if ledger.wrong or avoidable else 0


if __name__ == "__main__":
    sys.exit(main())
