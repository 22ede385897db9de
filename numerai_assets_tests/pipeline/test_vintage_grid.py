"""Which vintages are due: on one grid, each before what it predicts, history never taken back."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import HORIZONS, Wall
from numerai_assets.evaluation.splits import Fold, OfficialWalkForward
from numerai_assets.pipeline.vintage_grid import history_vintage, vintages_due
from numerai_assets.settings import RetrainPolicy

LAWFUL = settings(deadline=None, max_examples=100)
POLICIES = st.tuples(st.integers(1, 12), st.integers(1, 15)).map(
    lambda steps: RetrainPolicy(every_eras=steps[0], history_every_eras=steps[0] * steps[1])
)
LAST_TRAIN = st.integers(1, 600)
ERAS_AFTER = st.integers(0, 700)


def of_any_grid(law: Callable[..., None]) -> Callable[..., None]:
    """The law is tested with any policy, last train era, and number of eras after it."""
    return LAWFUL(given(policy=POLICIES, last_train=LAST_TRAIN, after=ERAS_AFTER)(law))


def history_of(policy: RetrainPolicy, last_train_era: int, newest_era: int) -> set[int]:
    return set(range(last_train_era, newest_era, policy.history_every_eras))


@of_any_grid
def test_vintages_ascend_on_a_grid_from_the_last_train_era_and_lie_before_the_newest(
    policy: RetrainPolicy, last_train: int, after: int
) -> None:
    due = vintages_due(policy, last_train_era=last_train, newest_era=last_train + after)

    assert due == sorted(set(due))
    assert all(last_train <= vintage < last_train + after for vintage in due)
    assert all((vintage - last_train) % policy.every_eras == 0 for vintage in due)


@of_any_grid
def test_history_is_replayed_at_its_spacing_and_the_live_grid_adds_its_newest_point_alone(
    policy: RetrainPolicy, last_train: int, after: int
) -> None:
    newest = last_train + after

    due = vintages_due(policy, last_train_era=last_train, newest_era=newest)

    history = history_of(policy, last_train, newest)
    assert history <= set(due)
    beside = set(due) - history
    assert beside <= {max(due, default=None)}


@given(policy=POLICIES, last_train=LAST_TRAIN, after=ERAS_AFTER, more=st.integers(1, 100))
@LAWFUL
def test_a_newer_era_never_takes_a_vintage_of_history_back(
    policy: RetrainPolicy, last_train: int, after: int, more: int
) -> None:
    before = vintages_due(policy, last_train_era=last_train, newest_era=last_train + after)
    later = vintages_due(policy, last_train_era=last_train, newest_era=last_train + after + more)

    assert history_of(policy, last_train, last_train + after) & set(before) <= set(later)
    assert max(before, default=0) <= max(later, default=0)


@given(policy=POLICIES, last_train=LAST_TRAIN, after=st.integers(1, 700))
@LAWFUL
def test_the_newest_vintage_due_at_an_era_predicts_it_and_is_never_older_than_the_cadence(
    policy: RetrainPolicy, last_train: int, after: int
) -> None:
    newest = last_train + after

    vintage = vintages_due(policy, last_train_era=last_train, newest_era=newest)[-1]

    assert vintage < newest <= vintage + policy.every_eras


@of_any_grid
def test_every_vintage_of_history_is_one_that_the_live_process_made(
    policy: RetrainPolicy, last_train: int, after: int
) -> None:
    newest = last_train + after
    weeks = [vintages_due(policy, last_train_era=last_train, newest_era=era) for era in range(last_train, newest + 1)]
    lived = {due[-1] for due in weeks if due}

    assert set(weeks[-1]) <= lived


@given(policy=POLICIES, last_train=LAST_TRAIN, after=st.integers(1, 700))
@LAWFUL
def test_what_a_due_vintage_goes_on_from_is_due_too_and_of_history_each_is_its_own(
    policy: RetrainPolicy, last_train: int, after: int
) -> None:
    due = vintages_due(policy, last_train_era=last_train, newest_era=last_train + after)

    bases = {vintage: history_vintage(policy, vintage, last_train_era=last_train) for vintage in due}

    assert set(bases.values()) == history_of(policy, last_train, last_train + after)
    assert all(0 <= vintage - base < policy.history_every_eras for vintage, base in bases.items())
    assert all(bases[base] == base for base in bases.values())


def test_a_vintage_before_the_grid_goes_on_from_none() -> None:
    assert history_vintage(RetrainPolicy(), 500, last_train_era=574) == 500


@pytest.mark.parametrize("newest", [574, 570, 1])
def test_nothing_is_due_before_there_is_an_era_to_predict(newest: int) -> None:
    assert vintages_due(RetrainPolicy(), last_train_era=574, newest_era=newest) == []


def test_the_default_policy_replays_history_yearly_and_keeps_a_fresh_vintage() -> None:
    due = vintages_due(RetrainPolicy(), last_train_era=574, newest_era=700)

    assert due == [574, 626, 678, 698]


OFFICIAL = RetrainPolicy(history_every_eras=156, first_vintage=156)


def test_the_official_policy_has_the_vintages_of_the_benchmark_models() -> None:
    due = vintages_due(OFFICIAL, last_train_era=574, newest_era=781)

    assert due == [156, 312, 468, 624, 780]
    assert [Wall(vintage, 20).last_fit_era for vintage in due] == [148, 304, 460, 616, 772]
    assert [Wall(vintage, 60).last_fit_era for vintage in due] == [140, 296, 452, 608, 764]


@given(newest=st.integers(157, 1500), horizon=st.sampled_from(HORIZONS))
@LAWFUL
def test_the_official_policy_fits_and_judges_what_the_official_walk_forward_does(newest: int, horizon: int) -> None:
    held = range(1, newest + 1)
    history = sorted(history_of(OFFICIAL, 156, newest))

    assert set(history) <= set(vintages_due(OFFICIAL, last_train_era=574, newest_era=newest))
    walls = [Wall(vintage, horizon) for vintage in history]
    ends = [*history[1:], newest]
    vintages = [
        Fold(w.fit_eras(held), w.judged_eras(held, next_vintage=end)) for w, end in zip(walls, ends, strict=True)
    ]
    assert vintages == OfficialWalkForward(horizon=horizon).era_folds(held)


@given(policy=POLICIES, first=LAST_TRAIN, last_train=LAST_TRAIN, after=ERAS_AFTER)
@LAWFUL
def test_a_first_vintage_stands_in_place_of_the_last_train_era(
    policy: RetrainPolicy, first: int, last_train: int, after: int
) -> None:
    moved = policy.model_copy(update={"first_vintage": first})
    newest = last_train + after

    assert vintages_due(moved, last_train_era=last_train, newest_era=newest) == vintages_due(
        policy, last_train_era=first, newest_era=newest
    )
