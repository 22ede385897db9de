"""The pieces of the plan that are pure."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.pipeline.plan import Step, contiguous


@given(eras=st.lists(st.integers(1, 200), unique=True))
@settings(deadline=None, max_examples=100)
def test_runs_hold_the_very_eras_and_never_touch(eras: list[int]) -> None:
    runs = contiguous(eras)

    assert [era for first, last in runs for era in range(first, last + 1)] == sorted(eras)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(runs))


def test_runs_of_an_example() -> None:
    assert contiguous([9, 3, 1, 2, 7, 8]) == [(1, 3), (7, 9)]
    assert contiguous([5]) == [(5, 5)]
    assert contiguous([]) == []


def test_a_step_is_the_same_whatever_words_its_reason_is_put_in_and_another_for_another_cause() -> None:
    step = Step("round", ("326",), "round 326 is open, one not submitted", cause=("not submitted", "one"))

    assert step == Step("round", ("326",), "round 326 waits for one", cause=("not submitted", "one"))
    assert step != Step("round", ("326",), step.why, cause=("fresh vintage", "one"))
