import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import RoundStatus, round_by_number

NUMBERS = st.integers(1, 5000)
MOMENTS = st.datetimes(dt.datetime(2014, 1, 11, 12), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))
DAYS = st.integers(1, 60)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


# Numerai docs, "Rounds": round day, first score, days until 20D and 60D scores are final.
@pytest.mark.parametrize(
    ("number", "opens", "closes", "data_day", "first_score", "days_20", "days_60", "resolves"),
    [
        (1, "Sat 12", "Sun 14", "Fri", "Fri", 33, 89, "Thu"),
        (2, "Tue 12", "Tue 13", "Mon", "Sat", 31, 87, "Fri"),
        (3, "Wed 12", "Wed 13", "Tue", "Tue", 31, 89, "Mon"),
        (4, "Thu 12", "Thu 13", "Wed", "Wed", 33, 89, "Tue"),
        (5, "Fri 12", "Fri 13", "Thu", "Thu", 33, 89, "Wed"),
    ],
)
def test_a_week_of_rounds_follows_the_published_table(
    number: int, opens: str, closes: str, data_day: str, first_score: str, days_20: int, days_60: int, resolves: str
) -> None:
    found = round_by_number(number)
    assert found.opens.strftime("%a %H") == opens
    assert found.closes.strftime("%a %H") == closes
    assert found.data_day.strftime("%a") == data_day
    assert found.scored_at(1).strftime("%a") == first_score
    assert (found.scored_at(20).date() - found.opens.date()).days == days_20
    assert (found.resolves.date() - found.opens.date()).days == days_60
    assert found.resolves.strftime("%a") == resolves


@pytest.mark.parametrize(
    ("number", "closes_late"), [(1, "Mon 14"), (2, "Wed 12"), (3, "Thu 12"), (4, "Fri 12"), (5, "Sat 12")]
)
def test_late_submissions_end_after_a_day_or_when_the_next_round_opens(number: int, closes_late: str) -> None:
    assert round_by_number(number).closes_late.strftime("%a %H") == closes_late


def test_the_first_round_is_the_weekend_of_the_first_validation_era() -> None:
    assert round_by_number(1).data_day == dt.date(2014, 1, 10)
    assert rounds.weekend_round(575) == round_by_number(1)
    assert rounds.weekend_round(1232).datestamp == 20260814
    assert [round_by_number(number).era for number in (1, 5, 6, 326)] == [575, 575, 576, 640]


@given(NUMBERS)
def test_rounds_follow_one_another_without_overlap(number: int) -> None:
    this, following = round_by_number(number), round_by_number(number + 1)
    assert this.opens < this.closes < this.closes_late <= following.opens
    assert this.data_day < following.data_day
    assert this.data_day < this.opens.date()
    assert (this.opens.strftime("%a") == "Sat") == (number % 5 == 1)


@given(MOMENTS)
def test_a_moment_lies_in_at_most_one_round_and_before_the_next(now: dt.datetime) -> None:
    latest, following = rounds.latest_round(now), rounds.next_round(now)
    assert latest.opens <= now < following.opens
    assert following.number == latest.number + 1
    current = Hours().round_at(now)
    assert (current is None) == (now >= latest.closes)
    assert current in (None, latest)


@given(NUMBERS, DAYS)
def test_every_score_is_given_on_one_scoring_day(number: int, day: int) -> None:
    found = round_by_number(number)
    at = found.scored_at(day)
    assert rounds.is_scoring_day(at.date())
    assert at.weekday() not in (6, 0)
    assert at > found.closes
    if day > 1:
        assert found.scored_at(day - 1) < at


@given(NUMBERS)
def test_scores_come_on_sixty_days_and_no_other(number: int) -> None:
    found = round_by_number(number)
    dates = [found.opens.date() + dt.timedelta(days=offset) for offset in range(100)]
    given_on = {found.scored_at(day).date() for day in range(1, 61)}
    first, last = min(given_on), max(given_on)
    assert given_on == {date for date in dates if first <= date <= last and rounds.is_scoring_day(date)}
    assert len(given_on) == 60


def test_targets_of_the_newest_era_are_known_as_numerai_publishes_them() -> None:
    opening = rounds.weekend_round(700).opens
    assert rounds.weekend_round(695).scored_at(20) < opening < rounds.weekend_round(696).scored_at(20)
    assert rounds.weekend_round(687).resolves < opening < rounds.weekend_round(688).resolves


def test_status_goes_from_upcoming_to_resolved() -> None:
    found = round_by_number(1)
    moments = (found.opens - dt.timedelta(seconds=1), found.opens, found.closes, found.resolves)
    assert [found.status(moment) for moment in moments] == list(RoundStatus)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("next-round", "2014-01-14T12:05"),
        ("+3d", "2014-01-14T12:05"),
        ("+12h", "2014-01-12T00:05"),
        ("+2w", "2014-01-25T12:05"),
        ("2014-02-01", "2014-02-01T00:00"),
        ("2014-02-01T08:30", "2014-02-01T08:30"),
        ("2014-02-01T08:30+02:00", "2014-02-01T06:30"),
    ],
)
def test_destinations_are_understood(to: str, expected: str) -> None:
    assert rounds.destination(to, utc("2014-01-11T12:05")) == utc(expected)


@pytest.mark.parametrize(
    "to", ["", "tomorrow", "+3", "-3d", "+1.5d", "2014-13-01", "2014-01-11T12:04", "+99999999999d"]
)
def test_destinations_that_cannot_be_meant_are_refused_in_one_line(to: str) -> None:
    with pytest.raises(SandboxError, match="cannot advance to") as caught:
        rounds.destination(to, utc("2014-01-11T12:05"))
    assert "\n" not in str(caught.value)


def test_there_is_no_round_before_the_first() -> None:
    with pytest.raises(SandboxError, match="numbered from 1"):
        round_by_number(0)
    with pytest.raises(SandboxError, match="no round had opened yet"):
        rounds.latest_round(utc("2014-01-11T11:59"))
