"""Actual opening hours of rounds: those of the calendar, except for rounds that open late or close early.

Source: Numerai docs, "Rounds": times vary, a round is open for an hour at least, none opens before 12:00 UTC or closes
before 13:00 UTC.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.rounds import CalendarRound

LEAST_WINDOW = dt.timedelta(hours=1)
_EARLIEST_CLOSE = dt.time(13, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Hours:
    """late: delay of a round's opening.  early: how much earlier a round closes. Both by round number."""

    late: Mapping[int, dt.timedelta] = field(default_factory=dict)
    early: Mapping[int, dt.timedelta] = field(default_factory=dict)

    def actual(self, number: int) -> CalendarRound:
        """The round with its actual hours."""
        scheduled = rounds.round_by_number(number)
        nothing = dt.timedelta()
        opens = scheduled.opens + self.late.get(number, nothing)
        earliest = max(opens + LEAST_WINDOW, dt.datetime.combine(opens, _EARLIEST_CLOSE))
        return replace(scheduled, opens=opens, closes=max(scheduled.closes - self.early.get(number, nothing), earliest))

    def announced(self, number: int, now: dt.datetime) -> CalendarRound:
        """The round as announced to participants: hours of the calendar until the actual ones are known."""
        scheduled, actual = rounds.round_by_number(number), self.actual(number)
        opens = actual.opens if now >= actual.opens else scheduled.opens
        is_known = now >= actual.closes or (now >= actual.opens and actual.closes > scheduled.closes)
        return replace(scheduled, opens=opens, closes=actual.closes if is_known else scheduled.closes)

    def latest_round(self, now: dt.datetime) -> CalendarRound:
        """The round that actually opened last, still open or not, as announced."""
        number = rounds.latest_round(now).number
        return self.announced(number if now >= self.actual(number).opens else number - 1, now)

    def round_at(self, now: dt.datetime) -> CalendarRound | None:
        """The round that is actually open, as announced; None between rounds."""
        latest = self.latest_round(now)
        return latest if self.actual(latest.number).is_open(now) else None

    def next_opening(self, now: dt.datetime) -> dt.datetime:
        """Actual opening of the next round."""
        return self.actual(self.latest_round(now).number + 1).opens

    def destination(self, to: str, now: dt.datetime) -> dt.datetime:
        """As `rounds.destination`, except that the next round may be a late one that is still waited for."""
        is_waiting = self.latest_round(now).number < rounds.latest_round(now).number
        return (
            self.next_opening(now) + rounds.LANDING
            if to == "next-round" and is_waiting
            else rounds.destination(to, now)
        )
