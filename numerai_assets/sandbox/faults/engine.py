"""Decides which fault occurs when, remembers it across restarts, and logs each one.

A random number is drawn from (seed, fault, sort of request, number of earlier requests of that sort): the same requests
meet the same faults, and more requests of one sort do not change the faults of another. For a round or release it is
drawn from (seed, fault, round number).
"""

import datetime as dt
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import CalendarRound, round_by_number
from numerai_assets.sandbox.faults import catalogue
from numerai_assets.sandbox.faults.alterations import Alteration, Altered, is_kept, touches
from numerai_assets.sandbox.faults.catalogue import FAULTS, Fault, IncomingRequest, Parameters, Scope
from numerai_assets.sandbox.faults.memory import Burst, Fired, Lasting, Memory, Streak, remembered
from numerai_assets.sandbox.faults.plan import Plan, die, parameters_of
from numerai_assets.sandbox.published.files import write_text

_Rows = TypeVar("_Rows", pd.DataFrame, "pd.Series[Any]")

STATE_FILE, LOG_FILE, ALTERED_FOLDER = "faults.json", "faults.jsonl", "altered"


@dataclass(frozen=True)
class Hit:
    """An occurrence of a fault, with its parameters. number: earlier occurrences of the same fault."""

    fault: Fault
    parameters: Parameters
    number: int


class Faults:
    """The faults of one sandbox, with their state in `directory`. Safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATE_FILE
        self._log_path = directory / LOG_FILE
        self._altered = Altered(directory / ALTERED_FOLDER)
        self._lock = threading.Lock()
        self._memory = remembered(self._path)

    # -- the plan ------------------------------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """True while no plan is active."""
        return self._memory.plan is None

    def put(self, plan: Plan | None, now: dt.datetime) -> None:
        """Replaces the active plan, all counts at zero. None: no faults."""
        with self._lock:
            events = [] if plan is None else [Fired() for _ in plan.events]
            since = None if plan is None else now
            self._keep(Memory(plan=plan, since=since, events=events, universes=self._memory.universes))

    def describe(self) -> dict[str, Any]:
        """The active plan (or null), since when (the sandbox's time), and how often each fault occurred under it."""
        memory = self._memory
        return {
            "plan": None if memory.plan is None else memory.plan.model_dump(mode="json", exclude_defaults=True),
            "since": None if memory.since is None else memory.since.isoformat(),
            "struck": dict(sorted(memory.struck.items())),
        }

    def log(self) -> list[dict[str, Any]]:
        """Every fault that occurred, oldest first."""
        if not self._log_path.exists():
            return []
        with self._lock:
            lines = self._log_path.read_text(encoding="utf-8").splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise SandboxError(f"{self._log_path}: a line is damaged ({error}); repair or remove the file") from None

    # -- requests ------------------------------------------------------------------------------------------------

    def meet(self, request: IncomingRequest, now: dt.datetime, round_number: int) -> Hit | None:
        """The fault of a request, or None. At most one; events take precedence over rates."""
        with self._lock:
            memory = self._memory
            if memory.plan is None:
                return None
            chance = memory.requests.get(request.sort, 0)
            memory.requests[request.sort] = chance + 1
            struck = (
                self._event(memory.plan, request, now, round_number)
                or self._burst(request)
                or self._chance(memory.plan, request, chance, round_number)
            )
            hit = None
            if struck is not None:
                fault, why, given = struck
                hit = Hit(fault, parameters_of(fault, given), memory.struck.get(fault.name, 0))
                memory.struck[fault.name] = hit.number + 1
                self._note(now, fault, f"{request.kind}:{request.name}".rstrip(":"), round_number, why, given)
            self._keep(memory)
            return hit

    def _burst(self, request: IncomingRequest) -> "_Struck | None":
        for name, burst in list(self._memory.bursts.items()):
            fault = FAULTS[name]
            if not request.can_meet(fault) or not _is_meant(request, burst.on):
                continue
            burst.left -= 1
            if burst.left == 0:
                del self._memory.bursts[name]
            return fault, "burst", burst.parameters
        return None

    def _event(self, plan: Plan, request: IncomingRequest, now: dt.datetime, round_number: int) -> "_Struck | None":
        found: _Struck | None = None
        for number, (event, fired) in enumerate(zip(plan.events, self._memory.events, strict=True), start=1):
            fault, at = FAULTS[event.fault], event.at
            on = None if at.request is None else (at.request,)
            is_time = (at.time is None or now >= at.time) and at.round in (None, round_number)
            if not (is_time and request.can_meet(fault) and _is_meant(request, on)):
                continue
            fired.fitted += 1
            if found is None and fired.fitted >= at.nth and fired.struck < event.count:
                fired.struck += 1
                self._begin_burst(fault, event.parameters, on)
                found = fault, f"event {number}", event.parameters
        return found

    def _chance(self, plan: Plan, request: IncomingRequest, chance: int, round_number: int) -> "_Struck | None":
        found: _Struck | None = None
        for name, rate in plan.rates.items():
            fault = FAULTS[name]
            if found is not None or not request.can_meet(fault) or not _is_meant(request, rate.on):
                continue
            streak = self._memory.streaks.setdefault(name, Streak())
            if streak.round_number != round_number:
                streak.round_number, streak.in_round = round_number, 0
            is_allowed = _below(streak.in_a_row, rate.at_most_in_a_row) and _below(
                streak.in_round, rate.at_most_per_round
            )
            if is_allowed and die(plan.seed, name, request.sort, chance) < rate.rate:
                streak.in_a_row += 1
                streak.in_round += 1
                self._begin_burst(fault, rate.parameters, rate.on)
                found = fault, "rate", rate.parameters
            else:
                streak.in_a_row = 0
        return found

    def _begin_burst(self, fault: Fault, given: dict[str, Any], on: tuple[str, ...] | None) -> None:
        left = int(getattr(parameters_of(fault, given), "requests", 1)) - 1
        if left > 0:
            self._memory.bursts[fault.name] = Burst(left=left, parameters=given, on=on)

    # -- rounds and releases -------------------------------------------------------------------------------------

    @property
    def hours(self) -> Hours:
        """Actual opening hours of rounds."""
        lasting = list(self._memory.lasting)
        return Hours(
            late={item.first_round: _minutes(item) for item in lasting if item.fault == catalogue.LATE_OPENING.name},
            early={item.first_round: _minutes(item) for item in lasting if item.fault == catalogue.EARLY_CLOSE.name},
        )

    def meet_round(self, scheduled: CalendarRound, now: dt.datetime) -> None:
        """Decides, once, the faults of a round that is due. A round that is already open does not open late."""
        with self._lock:
            memory = self._memory
            if memory.plan is None or memory.since is None or scheduled.number in memory.rounds_met:
                return
            memory.rounds_met.append(scheduled.number)
            for fault in FAULTS.values():
                if fault.scope is not Scope.REQUEST:
                    self._meet_round(memory.plan, memory.since, fault, scheduled, now)
            self._keep(memory)

    def _meet_round(
        self, plan: Plan, since: dt.datetime, fault: Fault, scheduled: CalendarRound, now: dt.datetime
    ) -> None:
        struck = self._round_event(plan, since, fault, scheduled, now) or self._round_chance(
            plan, since, fault, scheduled
        )
        if struck is None:
            return
        _, why, given = struck
        memory, parameters = self._memory, parameters_of(fault, given)
        last = scheduled.number + int(getattr(parameters, "releases", 1)) - 1
        item = Lasting(fault=fault.name, first_round=scheduled.number, last_round=last, parameters=given)
        memory.lasting.append(item)
        if isinstance(parameters, catalogue.UniverseCut):
            memory.universes.setdefault(scheduled.number, (parameters.share, _salt(plan, item)))
        memory.struck[fault.name] = memory.struck.get(fault.name, 0) + 1
        self._note(now, fault, str(fault.scope), scheduled.number, why, given)

    def _round_event(
        self, plan: Plan, since: dt.datetime, fault: Fault, scheduled: CalendarRound, now: dt.datetime
    ) -> "_Struck | None":
        for number, (event, fired) in enumerate(zip(plan.events, self._memory.events, strict=True), start=1):
            if event.fault != fault.name or fired.struck or event.at.round not in (None, scheduled.number):
                continue
            is_time = event.at.time is None or now >= event.at.time
            if is_time and _can_befall(parameters_of(fault, event.parameters), scheduled, since):
                fired.struck = 1
                return fault, f"event {number}", event.parameters
        return None

    def _round_chance(self, plan: Plan, since: dt.datetime, fault: Fault, scheduled: CalendarRound) -> "_Struck | None":
        rate = plan.rates.get(fault.name)
        if rate is None or not _can_befall(parameters_of(fault, rate.parameters), scheduled, since):
            return None
        streak = self._memory.streaks.setdefault(fault.name, Streak())
        if _below(streak.in_a_row, rate.at_most_in_a_row) and die(plan.seed, fault.name, scheduled.number) < rate.rate:
            streak.in_a_row += 1
            return fault, "rate", rate.parameters
        streak.in_a_row = 0
        return None

    def accepted(self, round_number: int, live: _Rows) -> _Rows:
        """The published rows of an opened round, which a submission must have. live: all rows, index id."""
        universe = self._memory.universes.get(round_number)
        if universe is None:
            return live
        share, salt = universe
        return live[is_kept(live.index, share, salt)]

    # -- files ---------------------------------------------------------------------------------------------------

    def served(
        self,
        source: Path,
        sha256: str,
        *,
        datestamp: int,
        name: str,
        round_number: int,
        now: dt.datetime,
        hit: Hit | None,
    ) -> tuple[Path, str]:
        """The path of the file to serve in place of a release's file, and its ETag without quotes.

        Slow if an altered copy must be made first. Raises SandboxError when the fault does not fit this release.
        """
        steps = self._steps(datestamp, name, round_number, now, hit)
        if not steps:
            return source, sha256
        lasting = [step for step in steps if step.has_new_etag]
        path, altered = self._altered.copy(source, datestamp, name, steps)
        if len(lasting) == len(steps):
            return path, altered
        return path, self._altered.copy(source, datestamp, name, lasting)[1] if lasting else sha256

    def keep_files(self, datestamps: Iterable[int]) -> None:
        """Removes altered copies of releases that are no longer offered."""
        self._altered.keep_only(datestamps)

    def _steps(
        self, datestamp: int, name: str, round_number: int, now: dt.datetime, hit: Hit | None
    ) -> list[Alteration]:
        with self._lock:
            memory, key = self._memory, f"{datestamp}/{name}"
            steps = [] if round_number not in memory.universes else [_universe_step(*memory.universes[round_number])]
            steps += [
                Alteration(item.fault, parameters_of(FAULTS[item.fault], item.parameters), _salt(memory.plan, item))
                for item in memory.lasting
                if memory.plan is not None and _is_in_force(item, round_number, now)
            ]
            if hit is not None and hit.fault is catalogue.REPLACED_FILE:
                memory.replaced[key] = memory.replaced.get(key, 0) + 1
                self._keep(memory)
            if key in memory.replaced:
                steps.append(
                    Alteration(catalogue.REPLACED_FILE.name, catalogue.Replacement(times=memory.replaced[key]), key)
                )
            if hit is not None and isinstance(hit.parameters, (catalogue.Corruption, catalogue.Truncation)):
                seed = memory.plan.seed if memory.plan is not None else 0
                steps.append(Alteration(hit.fault.name, hit.parameters, f"{seed}|{key}|{hit.number}"))
        return [step for step in steps if touches(step, name)]

    # ------------------------------------------------------------------------------------------------------------

    def _keep(self, memory: Memory) -> None:
        write_text(self._path, memory.model_dump_json())
        self._memory = memory

    def _note(
        self, now: dt.datetime, fault: Fault, struck: str, round_number: int, why: str, given: dict[str, Any]
    ) -> None:
        entry = {
            "at": now.isoformat(),
            "wall": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "fault": fault.name,
            "on": struck,
            "round": round_number,
            "why": why,
            "parameters": parameters_of(fault, given).model_dump(),
        }
        with self._log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


_Struck = tuple[Fault, str, dict[str, Any]]


def _is_meant(request: IncomingRequest, on: tuple[str, ...] | None) -> bool:
    return on is None or any(request.fits(selector) for selector in on)


def _below(count: int, limit: int | None) -> bool:
    return limit is None or count < limit


def _minutes(item: Lasting) -> dt.timedelta:
    parameters: Any = parameters_of(FAULTS[item.fault], item.parameters)
    return dt.timedelta(minutes=parameters.minutes)


def _can_befall(parameters: Parameters, scheduled: CalendarRound, since: dt.datetime) -> bool:
    """True if the fault can occur in this round: a plan changes only future hours, and the first round cannot be late."""
    match parameters:
        case catalogue.LateOpening():
            return since < scheduled.opens and scheduled.number > 1
        case catalogue.EarlyClose(minutes=minutes):
            number = scheduled.number
            closes = Hours(early={number: dt.timedelta(minutes=minutes)}).actual(number).closes
            return since < closes < scheduled.closes
    return True


def _is_in_force(item: Lasting, round_number: int, now: dt.datetime) -> bool:
    """True while a release of this round has the fault; faults of hours and universes are not of releases."""
    parameters = parameters_of(FAULTS[item.fault], item.parameters)
    if not isinstance(parameters, catalogue.ReleaseFault) or not item.first_round <= round_number <= item.last_round:
        return False
    if parameters.minutes == "never":
        return True
    return now < round_by_number(item.first_round).opens + dt.timedelta(minutes=parameters.minutes)


def _salt(plan: Plan | None, item: Lasting) -> str:
    return f"{plan.seed if plan is not None else 0}|{item.first_round}"


def _universe_step(share: float, salt: str) -> Alteration:
    return Alteration(catalogue.UNIVERSE_CUT.name, catalogue.UniverseCut(share=share), salt)
