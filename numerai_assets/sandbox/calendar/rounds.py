"""The calendar of rounds: opening, closing, data, scoring and resolving.

Rounds are counted from the weekend round of the first validation era. Five rounds an era: one at the weekend and four
on Tuesday to Friday. Everything here is a pure function of dates; all times are UTC.

Sources: Numerai docs, "Rounds" (hours, first score and resolve day of each round), "Definitions" (2 weekdays of lag,
then 20 or 60 weekdays of returns, then 2 weekdays until the data has come in).
"""

import datetime as dt
import functools
import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from numerai_assets.eras import era_on, friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA

ROUNDS_PER_ERA = 5
LAG_WEEKDAYS = 2
DATA_DELAY_WEEKDAYS = 2
SCORED_WEEKDAYS = 60
LANDING = dt.timedelta(minutes=5)

_OPENS = dt.time(12, tzinfo=dt.UTC)
_WEEKEND_CLOSES = dt.time(14, tzinfo=dt.UTC)
_WEEKDAY_CLOSES = dt.time(13, tzinfo=dt.UTC)
_TAKES_LATE = dt.timedelta(hours=24)
# Numerai publishes no hour. In the morning, so that a day's scores are there when its round opens.
_SCORED = dt.time(10, tzinfo=dt.UTC)
_MONDAY, _SUNDAY = 0, 6
_STEP = re.compile(r"^\+(\d{1,4})([hdw])$")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class RoundStatus(StrEnum):
    """State of a round, in the API's words."""

    UPCOMING = "UPCOMING"
    OPEN = "OPEN"
    RESOLVING = "RESOLVING"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True)
class CalendarRound:
    """One round. data_day: the market close of its live data. era: the newest era at that close."""

    number: int
    opens: dt.datetime
    closes: dt.datetime
    data_day: dt.date
    era: int

    @property
    def datestamp(self) -> int:
        """The data day as the API writes it: YYYYMMDD."""
        return int(self.data_day.strftime("%Y%m%d"))

    @property
    def closes_late(self) -> dt.datetime:
        """End of late submissions (the API's closeTime): a day after `closes`, or when the next round opens.

        Numerai publishes no rule; its rounds had a day between the two times.
        """
        return min(self.closes + _TAKES_LATE, round_by_number(self.number + 1).opens)

    @property
    def resolves(self) -> dt.datetime:
        """Time of the final 60-day scores: the 64th weekday after the data day, also if it is a Monday."""
        return dt.datetime.combine(_weekdays_after(self.data_day, _delay(SCORED_WEEKDAYS)), _SCORED)

    def is_open(self, now: dt.datetime) -> bool:
        return self.opens <= now < self.closes

    def scored_at(self, day: int) -> dt.datetime:
        """Time of the score over `day` (1..60) weekdays of returns. A score due on a Monday is given on Saturday."""
        due = _weekdays_after(self.data_day, _delay(day))
        return dt.datetime.combine(due - dt.timedelta(days=2) if due.weekday() == _MONDAY else due, _SCORED)

    def status(self, now: dt.datetime) -> RoundStatus:
        if now < self.opens:
            return RoundStatus.UPCOMING
        if self.is_open(now):
            return RoundStatus.OPEN
        return RoundStatus.RESOLVED if now >= self.resolves else RoundStatus.RESOLVING


def round_by_number(number: int) -> CalendarRound:
    """The round of a number >= 1. Raises SandboxError below 1."""
    if number < 1:
        raise SandboxError(f"round {number}: rounds are numbered from 1 (weekend of era {FIRST_VALIDATION_ERA:04d})")
    weeks, position = divmod(number - 1, ROUNDS_PER_ERA)
    era = FIRST_VALIDATION_ERA + weeks
    friday = friday_of(era)
    if position == 0:
        saturday = friday + dt.timedelta(days=1)
        closes = dt.datetime.combine(saturday + dt.timedelta(days=1), _WEEKEND_CLOSES)
        return CalendarRound(number, dt.datetime.combine(saturday, _OPENS), closes, friday, era)
    day = friday + dt.timedelta(days=3 + position)
    opens, closes = dt.datetime.combine(day, _OPENS), dt.datetime.combine(day, _WEEKDAY_CLOSES)
    return CalendarRound(number, opens, closes, day - dt.timedelta(days=1), era)


def weekend_round(era: int) -> CalendarRound:
    """The round that opens on the Saturday after the Friday of `era` (>= 575)."""
    return round_by_number(ROUNDS_PER_ERA * (era - FIRST_VALIDATION_ERA) + 1)


def latest_round(now: dt.datetime) -> CalendarRound:
    """The round that opened last, still open or not. Raises SandboxError before the first round."""
    guess = ROUNDS_PER_ERA * (era_on(now.date()) - FIRST_VALIDATION_ERA) + 1
    opened = [n for n in range(guess + ROUNDS_PER_ERA, guess - ROUNDS_PER_ERA - 1, -1) if n >= 1]
    for number in opened:
        if (found := round_by_number(number)).opens <= now:
            return found
    raise SandboxError(f"{now:%Y-%m-%d %H:%M}: no round had opened yet; the first opens at {round_by_number(1).opens}")


def next_round(now: dt.datetime) -> CalendarRound:
    """The first round that opens after `now`."""
    return round_by_number(latest_round(now).number + 1)


def is_scoring_day(date: dt.date) -> bool:
    """True from Tuesday to Saturday."""
    return date.weekday() not in (_SUNDAY, _MONDAY)


def scored_on(date: dt.date) -> dt.datetime:
    """Time of the scoring of a scoring day."""
    return dt.datetime.combine(date, _SCORED)


def destination(to: str, now: dt.datetime) -> dt.datetime:
    """The time that `to` names: "next-round" (5 minutes after it opens), "+3d", "+12h", "+2w", an ISO date or datetime.

    A date is its midnight; a time without a zone is UTC. Raises SandboxError for anything else and for the past.
    """
    if to == "next-round":
        return next_round(now).opens + LANDING
    if match := _STEP.match(to):
        return now + dt.timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})
    try:
        at = dt.datetime.fromisoformat(to)
    except ValueError:
        raise SandboxError(
            f"cannot advance to {to!r}: expected 'next-round', a step such as '+3d' or '+12h', or an ISO date or time"
        ) from None
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    if at < now:
        raise SandboxError(
            f"cannot advance to {at:%Y-%m-%d %H:%M}: it is {now:%Y-%m-%d %H:%M} UTC, and the clock cannot go back"
        )
    return at


def _delay(day: int) -> int:
    return LAG_WEEKDAYS + day + DATA_DELAY_WEEKDAYS


# Scoring a year needs the same few thousand days again and again.
@functools.lru_cache(1 << 14)
def _weekdays_after(date: dt.date, count: int) -> dt.date:
    return np.busday_offset(date, count).astype(dt.date)  # type: ignore[no-any-return]
