"""Splits of eras: nothing fitted shares a return with what is judged, whatever the calendar, the horizon and the folds."""

import datetime as dt
import doctest
import itertools
import math
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from numerai_assets.eras import HORIZONS, era_label, friday_of, purge
from numerai_assets.errors import CalendarError, SplitError
from numerai_assets.evaluation import splits
from numerai_assets.evaluation.splits import (
    CombinatorialPurged,
    EraSplitter,
    Fold,
    ForwardChaining,
    OfficialWalkForward,
    PurgedKFold,
    RollingWindow,
)

LAWFUL = settings(deadline=None, max_examples=60)
WEEKS = range(1, 401)


def weekdays_after(era: int, number: int) -> dt.date:
    """The `number`-th weekday after the Friday of an era."""
    weeks, days = divmod(number, 5)
    return friday_of(era) + dt.timedelta(days=7 * weeks + (2 + days if days else 0))


def last_return(era: int, horizon: int) -> dt.date:
    """Last day of the returns in a target: so many weekdays after two are skipped."""
    return weekdays_after(era, horizon + 2)


def published(era: int, horizon: int) -> dt.date:
    return weekdays_after(era, horizon + 4)


def share_a_return(one: int, other: int, horizon: int) -> bool:
    """True where the targets' spans, the skipped days counted, meet."""
    return friday_of(max(one, other)) <= last_return(min(one, other), horizon)


def runs_of_consecutive(judged: list[int], held: list[int]) -> list[list[int]]:
    """What is judged, as runs between which no other era is held."""
    place = {era: position for position, era in enumerate(held)}
    grouped = itertools.groupby(enumerate(judged), lambda item: place[item[1]] - item[0])
    return [[era for _, era in run] for _, run in grouped]


@st.composite
def calendars(draw: st.DrawFn) -> list[int]:
    """Eras held: some stretches of the weekly calendar, perhaps with eras missing, perhaps each so many-th alone."""
    first, length = draw(st.integers(1, 700)), draw(st.integers(40, 600))
    every = draw(st.sampled_from([1, 1, 2, 4, 13]))
    gap = draw(st.none() | st.tuples(st.integers(0, 500), st.integers(1, 120)))
    missing = draw(st.sets(st.integers(0, length), max_size=5))
    held = [first + n for n in range(0, length, every) if n not in missing]
    return [era for era in held if gap is None or not first + gap[0] <= era < first + sum(gap)]


SHARED = {"horizon": st.sampled_from(HORIZONS), "extra_purge_eras": st.integers(0, 20)}
FORWARD = st.one_of(
    st.builds(ForwardChaining, n_splits=st.integers(1, 9), **SHARED),
    st.builds(RollingWindow, n_splits=st.integers(1, 9), window_eras=st.integers(1, 250), **SHARED),
    st.builds(OfficialWalkForward, chunk_eras=st.integers(1, 200), **SHARED),
)
BOTH_SIDES = st.one_of(
    st.builds(PurgedKFold, n_splits=st.integers(2, 9), **SHARED),
    st.integers(1, 3).flatmap(
        lambda judged: st.builds(
            CombinatorialPurged, n_judged=st.just(judged), n_groups=st.integers(judged + 1, 7), **SHARED
        )
    ),
)


def folds_of(splitter: EraSplitter, held: list[int]) -> list[Fold]:
    try:
        return splitter.era_folds(held)
    except SplitError:
        assume(False)
        raise


@given(splitter=FORWARD, held=calendars())
@example(splitter=ForwardChaining(n_splits=3, horizon=60), held=list(range(1, 400, 4)))
@example(splitter=OfficialWalkForward(horizon=20), held=[1, *range(160, 320)])
@LAWFUL
def test_what_is_fitted_forward_was_known_before_the_first_judged_era_and_overlaps_none(
    splitter: EraSplitter, held: list[int]
) -> None:
    for fit, judged in folds_of(splitter, held):
        newest = max(fit)
        assert published(newest, splitter.horizon) <= friday_of(judged[0] - 1)
        assert last_return(newest, splitter.horizon) < friday_of(judged[0])
        assert judged[0] - newest > purge(splitter.horizon) + splitter.extra_purge_eras


@given(splitter=BOTH_SIDES, held=calendars())
@LAWFUL
def test_what_is_fitted_on_either_side_shares_no_return_with_what_is_judged(
    splitter: EraSplitter, held: list[int]
) -> None:
    for fit, judged in folds_of(splitter, held):
        for run in runs_of_consecutive(judged, held):
            before = [era for era in fit if era < run[0]]
            after = [era for era in fit if era > run[0]]
            nearest = [(max(before), run[0])] if before else []
            nearest += [(run[-1], min(after))] if after else []
            for early, late in nearest:
                assert not share_a_return(early, late, splitter.horizon)
                assert late - early > purge(splitter.horizon) + splitter.extra_purge_eras
            # Before the run it is more than apart: it was known.
            assert not before or published(max(before), splitter.horizon) <= friday_of(run[0] - 1)


@given(splitter=st.builds(ForwardChaining, n_splits=st.integers(1, 9), **SHARED) | BOTH_SIDES, held=calendars())
@LAWFUL
def test_all_that_is_far_enough_from_what_is_judged_is_fitted(splitter: EraSplitter, held: list[int]) -> None:
    left_out = purge(splitter.horizon) + splitter.extra_purge_eras
    is_forward = isinstance(splitter, ForwardChaining)

    for fit, judged in folds_of(splitter, held):
        far = [era for era in held if all(abs(era - other) > left_out for other in judged)]
        assert fit == [era for era in far if era < judged[0] or not is_forward]


@given(splitter=FORWARD | BOTH_SIDES, held=calendars(), seed=st.integers(0, 9))
@LAWFUL
def test_rows_follow_their_eras_in_whatever_order_they_come(splitter: EraSplitter, held: list[int], seed: int) -> None:
    folds = folds_of(splitter, held)
    groups = np.random.default_rng(seed).permutation(np.repeat(held, 2)).astype(np.int16)

    found = list(splitter.split(np.empty((len(groups), 3)), groups=groups))

    assert len(found) == len(folds) == splitter.get_n_splits(groups=groups)
    for (fit, judged), fold in zip(found, folds, strict=True):
        assert sorted(groups[fit]) == sorted([*fold.fit, *fold.fit])
        assert sorted(groups[judged]) == sorted([*fold.judged, *fold.judged])
        assert list(fit) == sorted(fit)


@given(held=calendars(), later=st.integers(1, 300), horizon=st.sampled_from(HORIZONS))
@LAWFUL
def test_eras_that_come_later_change_no_official_fold_but_the_last(held: list[int], later: int, horizon: int) -> None:
    splitter = OfficialWalkForward(horizon=horizon)

    before = folds_of(splitter, held)
    after = splitter.era_folds([*held, *range(held[-1] + 1, held[-1] + later)])

    assert after[: len(before) - 1] == before[:-1]
    assert after[len(before) - 1].fit == before[-1].fit


@given(splitter=st.builds(PurgedKFold, n_splits=st.integers(2, 9), **SHARED) | FORWARD, held=calendars())
@LAWFUL
def test_no_era_is_judged_twice_in_a_walk_or_in_folds(splitter: EraSplitter, held: list[int]) -> None:
    judged = [era for fold in folds_of(splitter, held) for era in fold.judged]

    assert judged == sorted(set(judged))
    assert set(judged) <= set(held)
    assert not isinstance(splitter, PurgedKFold) or judged == held


def test_the_examples_of_the_docstrings_run() -> None:
    found = doctest.testmod(splits)

    assert (found.failed, found.attempted > 10) == (0, True)


@pytest.mark.parametrize(
    ("horizon", "fitted_through"), [(20, [148, 304, 460, 616, 772]), (60, [140, 296, 452, 608, 764])]
)
def test_the_official_walk_forward_has_the_published_chunks(horizon: int, fitted_through: list[int]) -> None:
    folds = OfficialWalkForward(horizon=horizon).era_folds(range(1, 937))

    assert [(fit[0], fit[-1]) for fit, _ in folds] == [(1, last) for last in fitted_through]
    assert [(judged[0], judged[-1]) for _, judged in folds] == [
        (157, 312),
        (313, 468),
        (469, 624),
        (625, 780),
        (781, 936),
    ]


def test_a_rolling_window_is_full_in_every_fold_and_counted_in_calendar_eras() -> None:
    held = range(1, 401, 4)

    folds = RollingWindow(n_splits=4, window_eras=100, horizon=60).era_folds(held)

    assert [len(fit) for fit, _ in folds] == [25] * 4
    assert all(judged[0] - fit[0] <= 100 + 16 for fit, judged in folds)
    assert [era for _, judged in folds for era in judged] == [era for era in held if era > 116]


def test_down_sampled_eras_are_purged_by_the_calendar_and_not_by_their_count() -> None:
    for fit, judged in ForwardChaining(n_splits=3, horizon=60).era_folds(range(1, 401, 4)):
        assert judged[0] - fit[-1] == 20
    for fit, judged in PurgedKFold(n_splits=3, horizon=20).era_folds(range(1, 401, 4)):
        assert min(abs(era - other) for era in fit for other in judged) == 12


@given(n_groups=st.integers(2, 8), n_judged=st.integers(1, 7))
@LAWFUL
def test_every_era_is_judged_by_equally_many_splits_and_fitted_in_none_of_them(n_groups: int, n_judged: int) -> None:
    assume(n_judged < n_groups)
    splitter, stored = CombinatorialPurged(n_groups=n_groups, n_judged=n_judged, horizon=20), range(1, 401, 10)

    folds = splitter.era_folds(stored)

    assert len(folds) == splitter.get_n_splits() == math.comb(n_groups, n_judged)
    times = Counter(era for fold in folds for era in fold.judged)
    assert times == dict.fromkeys(stored, math.comb(n_groups - 1, n_judged - 1))
    assert not any(set(fold.fit) & set(fold.judged) for fold in folds)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """600 rows of 200 eras: features, a target that follows the first of them, and eras."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 3))
    return x, x[:, 0] + rng.normal(size=600) / 9, np.repeat(np.arange(1, 201), 3)


SPLITTERS = [
    ForwardChaining(n_splits=3, horizon=20),
    RollingWindow(n_splits=3, window_eras=60, horizon=60),
    PurgedKFold(n_splits=3, horizon=60),
    CombinatorialPurged(n_groups=4, n_judged=2, horizon=20),
    OfficialWalkForward(horizon=60, chunk_eras=50),
]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_scikit_learn_takes_every_splitter(
    splitter: EraSplitter, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    x, y, eras = rows

    scores = cross_val_score(Ridge(), x, y, groups=eras, cv=splitter)
    search = GridSearchCV(Ridge(), {"alpha": [1e-3, 1e6]}, cv=splitter).fit(x, y, groups=eras)

    assert len(scores) == splitter.get_n_splits(groups=eras) == len(splitter.era_folds(eras))
    assert search.n_splits_ == len(scores)
    assert search.best_params_ == {"alpha": 1e-3}
    assert pickle.loads(pickle.dumps(splitter)) == splitter


def test_groups_reach_a_splitter_where_metadata_is_routed(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, eras = rows

    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(make_pipeline(Ridge()), x, y, cv=SPLITTERS[0], params={"groups": eras})

    assert len(scores) == 3


def test_folds_partition_the_rows_for_predictions_out_of_fold(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, eras = rows

    assert len(cross_val_predict(Ridge(), x, y, groups=eras, cv=PurgedKFold(n_splits=3, horizon=60))) == len(y)


@pytest.mark.parametrize("kind", [np.asarray, list, lambda labels: np.asarray(labels, object)])
def test_labels_as_numerai_writes_them_are_eras_too(kind: Callable[[list[str]], Any]) -> None:
    splitter = ForwardChaining(n_splits=2, horizon=20)

    assert splitter.era_folds(kind([era_label(era) for era in WEEKS])) == splitter.era_folds(WEEKS)


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ([0, 1, 2], "found 0"),
        ([1, -1], "found -1"),
        ([1.0, 2.0], "found 1.0"),
        ([1.0, math.nan], "found 1.0"),
        ([True, False], "found True"),
        (["0575", "X"], "found 'X'"),
        (["0575", None], "found nan"),
        ([], r"shape \(0,\)"),
        ([[1, 2]], r"shape \(1, 2\)"),
        (7, r"shape \(\)"),
    ],
)
def test_what_is_no_era_is_named_and_refused(groups: object, found: str) -> None:
    with pytest.raises(SplitError, match=f"eras: .*{found}"):
        ForwardChaining(horizon=20).era_folds(groups)


def test_missing_groups_are_asked_for() -> None:
    with pytest.raises(SplitError, match="groups are missing; pass the era of each row"):
        next(iter(PurgedKFold(horizon=20).split(np.empty((9, 1)))))
    with pytest.raises(SplitError, match="groups are missing"):
        OfficialWalkForward(horizon=20).get_n_splits()


def test_groups_of_another_length_than_the_rows_are_refused() -> None:
    with pytest.raises(SplitError, match="400 groups for 9 rows"):
        next(iter(PurgedKFold(horizon=20).split(np.empty((9, 1)), groups=WEEKS)))


@pytest.mark.parametrize("name", ["target_ender_60", "target_ender_20", "target", None])
def test_a_target_that_needs_a_longer_purge_is_refused_by_its_name(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], name: str | None
) -> None:
    x, y, eras = rows
    named = pd.Series(y, name=name)

    cross_val_score(Ridge(), x, named, groups=eras, cv=PurgedKFold(n_splits=2, horizon=60))
    if name == "target_ender_60":
        with pytest.raises(SplitError, match="target_ender_60 needs the purge of a 60-day target"):
            cross_val_score(Ridge(), x, named, groups=eras, cv=PurgedKFold(n_splits=2, horizon=20))
    else:
        cross_val_score(Ridge(), x, named, groups=eras, cv=PurgedKFold(n_splits=2, horizon=20))


@pytest.mark.parametrize(
    ("splitter", "eras", "said"),
    [
        (ForwardChaining(n_splits=5, horizon=20), range(1, 6), "needs at least 6 eras, found 5 eras, 0001-0005"),
        (PurgedKFold(n_splits=5, horizon=20), [7], "needs at least 5 eras, found 1 eras, 0007-0007"),
        (CombinatorialPurged(horizon=20), range(1, 6), "needs at least 6 eras"),
        (
            ForwardChaining(n_splits=9, horizon=60),
            range(1, 101),
            "no training eras are left beside 0011-0020 after a purge of 16 calendar",
        ),
        (PurgedKFold(n_splits=2, horizon=60), range(1, 31), "no training eras are left beside 0001-0015"),
        (RollingWindow(n_splits=2, window_eras=99, horizon=60), range(1, 117), "1 eras follow the first window"),
        (OfficialWalkForward(horizon=60), range(1, 157), "no fold has training eras before its validation eras"),
    ],
)
def test_too_few_eras_for_the_folds_are_counted(splitter: EraSplitter, eras: Any, said: str) -> None:
    with pytest.raises(SplitError, match=said):
        splitter.era_folds(eras)


@pytest.mark.parametrize(
    "make",
    [
        ForwardChaining,
        PurgedKFold,
        CombinatorialPurged,
        OfficialWalkForward,
        lambda **given: RollingWindow(window_eras=9, **given),
    ],
)
def test_the_purge_can_be_added_to_and_not_taken_from(make: Callable[..., EraSplitter]) -> None:
    assert make(horizon=60, extra_purge_eras=3).eras_left_out == 19
    with pytest.raises(SplitError, match="extra_purge_eras is -1, expected a whole number of at least 0"):
        make(horizon=60, extra_purge_eras=-1)
    with pytest.raises(TypeError, match="purge_eras"):
        make(horizon=60, purge_eras=0)
    with pytest.raises(AttributeError):
        make(horizon=60).extra_purge_eras = -16
    with pytest.raises(CalendarError, match="horizon 30"):
        make(horizon=30)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ForwardChaining(n_splits=0, horizon=20), "n_splits is 0"),
        (lambda: PurgedKFold(n_splits=1, horizon=20), "n_splits is 1, expected a whole number of at least 2"),
        (lambda: PurgedKFold(n_splits=2.5, horizon=20), "n_splits is 2.5"),
        (lambda: RollingWindow(window_eras=0, horizon=20), "window_eras is 0"),
        (lambda: CombinatorialPurged(n_groups=2, n_judged=2, horizon=20), "n_groups is 2, .* at least 3"),
        (lambda: CombinatorialPurged(n_judged=0, horizon=20), "n_judged is 0"),
        (lambda: OfficialWalkForward(chunk_eras=True, horizon=20), "chunk_eras is True"),
    ],
)
def test_parameters_out_of_their_range_are_refused_at_once(make: Callable[[], EraSplitter], said: str) -> None:
    with pytest.raises(SplitError, match=said):
        make()
