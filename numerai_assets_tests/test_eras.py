"""The calendar and the wall: facts that Numerai published, round trips, and the laws that keep the future out."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import (
    HORIZONS,
    PAYOUT_TARGET,
    Wall,
    era_label,
    era_on,
    fewest_eras,
    first_era_after,
    first_vintage_with,
    friday_of,
    horizon_of,
    last_era_before,
    live_key,
    look_back_to,
    parse_era,
    purge,
    resolve_lag,
    resolved_at,
    resolved_through,
    resolved_within,
    spanned_eras,
)
from numerai_assets.errors import CalendarError, WallError

ERAS = st.integers(1, 9999)
LAWFUL = settings(deadline=None, max_examples=60)

# Eras whose Friday is known from what Numerai published.
KNOWN = {
    1: dt.date(2003, 1, 10),
    574: dt.date(2014, 1, 3),
    575: dt.date(2014, 1, 10),
    1133: dt.date(2024, 9, 20),
    1232: dt.date(2026, 8, 14),
}


@pytest.mark.parametrize(("era", "friday"), KNOWN.items())
def test_known_eras_fall_on_their_fridays(era: int, friday: dt.date) -> None:
    assert friday_of(era) == friday
    assert era_on(friday) == era


@given(ERAS)
@LAWFUL
def test_an_era_begins_on_its_friday_and_lasts_until_the_next(era: int) -> None:
    friday = friday_of(era)

    assert friday.isoweekday() == 5
    assert [era_on(friday + dt.timedelta(days=d)) for d in range(7)] == [era] * 7
    assert era_on(friday + dt.timedelta(days=7)) == era + 1


@pytest.mark.parametrize("era", [0, -1])
def test_there_is_no_era_before_the_first(era: int) -> None:
    with pytest.raises(CalendarError, match=str(era)):
        friday_of(era)


def test_the_day_before_the_first_friday_has_no_era() -> None:
    with pytest.raises(CalendarError, match="2003-01-09"):
        era_on(dt.date(2003, 1, 9))


@given(ERAS)
@LAWFUL
def test_labels_read_back_and_sort_like_their_eras(era: int) -> None:
    label = era_label(era)

    assert len(label) == 4
    assert parse_era(label) == era
    assert (label < era_label(9999)) == (era < 9999)


@pytest.mark.parametrize("label", ["X", "", "0000", "-575", "57.5", "X@575", " 0575", "٠٥٧٥", "five"])
def test_what_is_no_numbered_era_is_refused(label: str) -> None:
    with pytest.raises(CalendarError, match="expected digits"):
        parse_era(label)


@given(st.integers(0, 100_000))
@LAWFUL
def test_a_live_key_names_its_round_and_is_never_taken_for_an_era(number: int) -> None:
    key = live_key(number)

    assert key == f"X@{number}"
    with pytest.raises(CalendarError):
        parse_era(key)


@pytest.mark.parametrize(
    ("target", "horizon"), [("target_ender_60", 60), ("target_ender_20", 20), ("target_teager2b_20", 20)]
)
def test_horizon_stands_at_the_end_of_a_target_named_in_full(target: str, horizon: int) -> None:
    assert horizon_of(target) == horizon


def test_the_payout_target_is_ender_over_sixty_days() -> None:
    assert (PAYOUT_TARGET, horizon_of(PAYOUT_TARGET)) == ("target_ender_60", 60)


@pytest.mark.parametrize("target", ["target", "ender_60", "target_ender", "target_ender_30", "target_60", ""])
def test_targets_not_named_in_full_are_refused(target: str) -> None:
    with pytest.raises(CalendarError, match="expected a full name"):
        horizon_of(target)


def test_resolve_lags_and_purges_are_those_of_numerai() -> None:
    assert {h: resolve_lag(h) for h in HORIZONS} == {20: 5, 60: 13}
    assert {h: purge(h) for h in HORIZONS} == {20: 8, 60: 16}


@pytest.mark.parametrize(("newest", "through_20", "through_60"), [(1232, 1227, 1219), (1234, 1229, 1221)])
def test_targets_resolve_through_the_frontiers_that_were_measured(
    newest: int, through_20: int, through_60: int
) -> None:
    assert (resolved_through(newest, 20), resolved_through(newest, 60)) == (through_20, through_60)


@pytest.mark.parametrize("ask", [resolve_lag, purge, lambda horizon: resolved_through(100, horizon)])
@pytest.mark.parametrize("horizon", [0, 21, -20])
def test_unknown_horizons_are_refused(ask: object, horizon: int) -> None:
    with pytest.raises(CalendarError, match=r"expected one of \(20, 60\)"):
        ask(horizon)  # type: ignore[operator]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_purge_is_never_less_than_the_resolve_lag(horizon: int) -> None:
    assert purge(horizon) >= resolve_lag(horizon)


@given(era=st.integers(1, 1500), horizon=st.sampled_from(HORIZONS), extra=st.integers(0, 20))
@LAWFUL
def test_exactly_the_purge_lies_between_the_last_training_and_the_first_validation_era(
    era: int, horizon: int, extra: int
) -> None:
    last = last_era_before(era, horizon, extra=extra)

    assert len(range(last + 1, era)) == purge(horizon) + extra == purge(horizon, extra=extra)
    assert first_era_after(last, horizon, extra=extra) == era


@given(era=st.integers(1, 1500), horizon=st.sampled_from(HORIZONS), validation=st.integers(1, 200))
@LAWFUL
def test_a_vintage_is_the_first_with_an_era_when_its_wall_begins_after_it(
    era: int, horizon: int, validation: int
) -> None:
    assert Wall(first_vintage_with(era, horizon), horizon).last_fit_era == era
    eras = range(1, fewest_eras(validation, horizon) + 1)
    assert last_era_before(eras[-validation], horizon) == 1


@given(era=st.integers(100, 1500), horizon=st.sampled_from(HORIZONS), look_back=st.integers(1, 99))
@LAWFUL
def test_a_look_back_reaches_the_eras_whose_targets_have_resolved(era: int, horizon: int, look_back: int) -> None:
    resolved = [earlier for earlier in range(era - look_back, era) if resolved_at(earlier, horizon) <= era]

    assert len(resolved) == max(resolved_within(look_back, horizon), 0)
    assert resolved_within(look_back_to(look_back, horizon), horizon) == look_back
    assert resolved_at(resolved_through(era, horizon), horizon) == era


@pytest.mark.parametrize("horizon", HORIZONS)
def test_targets_share_no_return_from_the_span_on(horizon: int) -> None:
    # The first return of a target is that of the third weekday after its Friday, a Wednesday.
    first_returns = [friday_of(100 + spanned_eras(horizon) + more) + dt.timedelta(days=5) for more in (-1, 0)]

    assert first_returns[0] <= last_weekday_of_target(100, horizon) < first_returns[1]


def last_weekday_of_target(era: int, horizon: int) -> dt.date:
    """Last day of the returns in a target: `horizon` weekdays after two are skipped."""
    day, left = friday_of(era), horizon + 2
    while left:
        day += dt.timedelta(days=1)
        left -= day.isoweekday() <= 5
    return day


@given(
    vintage=st.integers(30, 1500),
    horizon=st.sampled_from(HORIZONS),
    held=st.sets(st.integers(1, 1600), min_size=1),
    every=st.integers(1, 9),
)
@LAWFUL
def test_nothing_fitted_overlaps_what_is_judged_also_when_eras_are_sampled_down(
    vintage: int, horizon: int, held: set[int], every: int
) -> None:
    wall = Wall(vintage, horizon)
    eras = sorted(held | {1})[::every]

    fitted, judged = wall.fit_eras(eras), wall.judged_eras(eras)

    assert last_weekday_of_target(max(fitted), horizon) < friday_of(wall.first_judged_era)
    assert max(fitted) <= resolved_through(vintage, horizon)
    assert wall.first_judged_era - max(fitted) > purge(horizon)
    assert all(era > vintage for era in judged)
    assert not set(fitted) & set(judged)
    wall.check_fit(fitted)


@given(
    vintage=st.integers(30, 1500),
    horizon=st.sampled_from(HORIZONS),
    held=st.lists(st.integers(1, 1600), unique=True),
    later=st.sets(st.integers(1, 500)),
)
@LAWFUL
def test_eras_that_come_later_change_nothing_in_what_is_fitted(
    vintage: int, horizon: int, held: list[int], later: set[int]
) -> None:
    wall = Wall(vintage, horizon)
    held = [1, *(era for era in held if era > 1)]

    before = wall.fit_eras(held)
    after = wall.fit_eras([*held, *(vintage + n for n in later)])

    assert after == before == sorted(era for era in held if era <= vintage - purge(horizon))


@given(vintage=st.integers(30, 1500), horizon=st.sampled_from(HORIZONS), beyond=st.integers(1, 100))
@LAWFUL
def test_an_era_beyond_the_wall_is_named_and_refused(vintage: int, horizon: int, beyond: int) -> None:
    wall = Wall(vintage, horizon)
    era = wall.last_fit_era + beyond

    with pytest.raises(WallError, match=f"era {era:04d} may not be fitted on by vintage {vintage:04d}"):
        wall.check_fit([wall.last_fit_era, era + 3, era])


def test_wall_of_a_sixty_day_target_stands_sixteen_eras_before_the_vintage() -> None:
    wall = Wall(1000, 60)

    assert (wall.last_fit_era, wall.first_judged_era) == (984, 1001)
    assert wall.fit_eras(range(1, 1200))[-3:] == [982, 983, 984]


def test_judged_eras_end_with_the_next_vintage() -> None:
    wall = Wall(1000, 20)

    assert wall.judged_eras(range(990, 1100), next_vintage=1004) == [1001, 1002, 1003, 1004]
    assert wall.judged_eras([1003, 1001, 990]) == [1001, 1003]
    assert wall.judged_eras(iter([1003, 1001, 990])) == [1001, 1003]
    assert wall.judged_eras([]) == []


@given(
    vintages=st.lists(st.integers(30, 1500), unique=True, min_size=2, max_size=6),
    held=st.lists(st.integers(1, 1600), unique=True),
)
@LAWFUL
def test_each_era_after_the_first_vintage_is_judged_by_exactly_one(vintages: list[int], held: list[int]) -> None:
    vintages = sorted(vintages)
    following = [*vintages[1:], None]

    judged = [
        era
        for v, after in zip(vintages, following, strict=True)
        for era in Wall(v, 60).judged_eras(held, next_vintage=after)
    ]

    assert judged == sorted(era for era in held if era > vintages[0])


@pytest.mark.parametrize("eras", [[], [985, 990], range(985, 1001)])
def test_a_vintage_without_anything_to_fit_says_so(eras: list[int]) -> None:
    with pytest.raises(WallError, match=r"vintage 1000: no era at or before 984 .*purge of 16 eras"):
        Wall(1000, 60).fit_eras(eras)
