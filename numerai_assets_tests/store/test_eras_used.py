"""What a vintage records of the eras it used: short, exact, and refused where it cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.errors import StoreError
from numerai_assets.store.eras_used import eras_of, recorded, runs_of, target_of


@given(st.sets(st.integers(1, 1500)))
def test_runs_read_back_as_the_eras_they_were_made_of(eras: set[int]) -> None:
    runs = runs_of(eras)

    assert eras_of(runs) == sorted(eras)
    assert [run[0] for run in runs] == sorted(run[0] for run in runs)
    assert len(runs) <= len(eras)


@given(first=st.integers(1, 900), count=st.integers(2, 500), every=st.integers(1, 20))
def test_evenly_spaced_eras_are_one_run(first: int, count: int, every: int) -> None:
    last = first + (count - 1) * every

    assert runs_of(reversed(range(first, last + 1, every))) == ((first, last, every),)


def test_runs_are_as_few_as_a_glance_would_have_them() -> None:
    assert runs_of([]) == ()
    assert runs_of([7, 7]) == ((7, 7, 1),)
    assert runs_of([1, 2, 3, 10, 14, 18, 30]) == ((1, 3, 1), (10, 18, 4), (30, 30, 1))


@pytest.mark.parametrize("run", [[1, 2], [1, 9, 0], [9, 1, 1], [1, 9, 3], [1, 9.0, 1], ["1", 9, 1], [1, 9, True]])
def test_what_is_no_run_is_refused(run: list[int]) -> None:
    with pytest.raises(StoreError, match=r"expected \[first, last, step\]"):
        eras_of([run])


def test_a_use_that_saw_nothing_is_not_recorded() -> None:
    assert recorded({"fit": range(2, 11, 4), "early_stopping": []}) == {"fit": ((2, 10, 4),)}


def test_an_unknown_use_is_named_with_those_there_are() -> None:
    with pytest.raises(StoreError, match="use 'tuning' of targets is unknown; a vintage records fit, selection, "):
        recorded({"tuning": [1]})


def test_a_use_is_of_the_target_it_names_or_else_of_the_vintages_own() -> None:
    assert recorded({"fit:target_ender_20": [3]}) == {"fit:target_ender_20": ((3, 3, 1),)}
    assert target_of("fit:target_ender_20", "target_ender_60") == "target_ender_20"
    assert target_of("fit", "target_ender_60") == "target_ender_60"
