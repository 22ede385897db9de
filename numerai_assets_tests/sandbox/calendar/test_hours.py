"""Actual hours of rounds that open late or close early."""

import datetime as dt

import pytest

from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import round_by_number


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


def test_hours_are_announced_only_once_they_are_known() -> None:
    scheduled = round_by_number(326)
    hours = Hours({326: dt.timedelta(minutes=30)}, {326: dt.timedelta(hours=2)})
    actual = hours.actual(326)
    assert hours.announced(326, scheduled.opens) == scheduled
    assert hours.announced(326, actual.opens).opens == actual.opens
    assert hours.announced(326, actual.opens).closes == scheduled.closes
    assert hours.announced(326, actual.closes) == actual


def test_the_next_round_may_be_one_that_is_late() -> None:
    scheduled = round_by_number(327)
    hours = Hours({327: dt.timedelta(minutes=90)})
    waiting = scheduled.opens + dt.timedelta(minutes=5)
    assert hours.latest_round(waiting).number == 326
    assert hours.destination("next-round", waiting) == hours.actual(327).opens + dt.timedelta(minutes=5)
    assert hours.destination("+1d", waiting) == waiting + dt.timedelta(days=1)
