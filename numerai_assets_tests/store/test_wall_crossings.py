"""Walls recomputed from what is on disk: every use that crossed one is found, and none that did not."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import HORIZONS, Wall, purge
from numerai_assets.errors import CalendarError, StoreError
from numerai_assets.store.eras_used import USES, recorded
from numerai_assets.store.vintage_store import Vintage
from numerai_assets.store.wall_crossings import crossings
from numerai_assets_tests.store.vintage_facts import FACTS

LAWFUL = settings(deadline=None, max_examples=100)
VINTAGES = st.integers(30, 1500)
TARGETS = st.sampled_from(["target_ender_20", "target_ender_60"])


def vintage_of(vintage: int = 100, target: str = "target_ender_60", **uses: Any) -> Vintage:
    """Facts of a vintage fitted on eras 1 to its wall, unless `uses` say otherwise."""
    eras = Wall(vintage, 60 if target.endswith("60") else 20).fit_eras(range(1, vintage))
    seen = {name.replace("_of_", ":"): used for name, used in uses.items()}
    of_fit = {"target": target, "first_fit_era": 1, "last_fit_era": eras[-1], "fit_eras": len(eras)}
    return Vintage(**FACTS | of_fit | {"vintage": vintage, "files": {}, "uses": recorded({"fit": eras} | seen)})


@given(vintage=VINTAGES, target=TARGETS, every=st.integers(1, 9), use=st.sampled_from(USES), more=st.integers(1, 200))
@LAWFUL
def test_what_keeps_its_wall_crosses_none(vintage: int, target: str, every: int, use: str, more: int) -> None:
    horizon = 60 if target.endswith("60") else 20
    wall = Wall(vintage, horizon)
    facts = vintage_of(vintage, target, **{use: wall.fit_eras(range(vintage, 0, -every)) if vintage > 40 else [1]})

    assert crossings(facts) == []
    assert crossings(facts, wall.judged_eras(range(1, vintage + more))) == []


@given(vintage=VINTAGES, target=TARGETS, use=st.sampled_from(USES), beyond=st.integers(1, 200))
@LAWFUL
def test_an_era_behind_the_wall_is_found_with_the_use_that_saw_it(
    vintage: int, target: str, use: str, beyond: int
) -> None:
    last_allowed = Wall(vintage, 60 if target.endswith("60") else 20).last_fit_era
    era = last_allowed + beyond

    (found,) = crossings(vintage_of(vintage, target, **{use: [1, last_allowed, era, era + 4]}))

    assert (found.method, found.vintage, found.use, found.era) == ("benchmark", vintage, use, era)
    assert str(found) == (
        f"benchmark vintage {vintage:04d}: era {era:04d} used for {use}, the last allowed is {last_allowed:04d}"
    )


@given(
    vintage=VINTAGES,
    horizons=st.tuples(st.sampled_from(HORIZONS), st.sampled_from(HORIZONS)),
    used=st.integers(1, 1600),
)
@LAWFUL
def test_the_wall_of_a_use_is_that_of_the_target_it_saw(vintage: int, horizons: tuple[int, int], used: int) -> None:
    own, other = (f"target_ender_{horizon}" for horizon in horizons)

    found = crossings(vintage_of(vintage, own, **{f"scaling_of_{other}": [used]}))

    assert bool(found) == (used > vintage - purge(horizons[1]))


@given(vintage=VINTAGES, target=TARGETS, used=st.integers(1, 1600), judged=st.sets(st.integers(1, 1700), min_size=1))
@LAWFUL
def test_what_is_judged_is_past_the_vintage_and_past_the_purge_of_every_used_era(
    vintage: int, target: str, used: int, judged: set[int]
) -> None:
    horizon = 60 if target.endswith("60") else 20
    facts = vintage_of(vintage, target, selection=[used])

    found = crossings(facts, judged)

    seen = [used, facts.last_fit_era]
    is_right = all(era > vintage for era in judged) and all(
        era - other > purge(horizon) for era, other in itertools.product(judged, seen)
    )
    assert ("judged" in {crossing.use for crossing in found}) == (not is_right)
    assert all(crossing.era == min(judged) for crossing in found if crossing.use == "judged")


def test_a_judged_era_that_comes_too_early_is_told_with_what_it_follows() -> None:
    found = crossings(vintage_of(100, early_stopping=[95]), [105, 112])

    assert [str(crossing) for crossing in found] == [
        "benchmark vintage 0100: era 0095 used for early_stopping, the last allowed is 0084",
        "benchmark vintage 0100: era 0105 predicted, after era 0095 used for early_stopping the first allowed is 0112",
    ]
    assert [str(crossing) for crossing in crossings(vintage_of(100, "target_ender_20", fit=[3]), [100])] == [
        "benchmark vintage 0100: era 0100 predicted, after era 0092 used for fit the first allowed is 0101",
        "benchmark vintage 0100: era 0100 predicted, which is not after the vintage",
    ]


def test_the_ends_of_the_fit_count_also_where_its_uses_say_less() -> None:
    honest = vintage_of(100, fit=[1, 2, 3])
    facts = Vintage(**honest.__dict__ | {"last_fit_era": 90})

    (found,) = crossings(facts)

    assert (found.use, found.era) == ("fit", 90)


def test_a_record_that_cannot_be_read_names_its_vintage() -> None:
    facts = Vintage(**vintage_of(100).__dict__ | {"uses": {"selection": ((1, 9, 3),)}})

    with pytest.raises(StoreError, match=r"benchmark vintage 0100: run of eras .* train it again"):
        crossings(facts)


def test_a_use_of_a_target_without_a_horizon_is_refused() -> None:
    with pytest.raises(CalendarError, match="target 'target'"):
        crossings(vintage_of(100, fit_of_target=[1]))
