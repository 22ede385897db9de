"""Churn and turnover are those of numerai-tools, for many columns at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numerai_tools import signals as oracle

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.churn import churn, common_rows, compare_eras, turnover

LAWFUL = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**32 - 1)


def some_pair(seed: int, rows: int, *, distinct: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two (rows, 3) predictions that resemble each other; with `distinct`, many are tied."""
    rng = np.random.default_rng(seed)
    first = rng.random((rows, 3))
    second = (first + rng.random((rows, 3))) / 2
    return tuple(x if distinct is None else np.floor(x * distinct) / distinct for x in (first, second))  # type: ignore[return-value]


def series(values: np.ndarray, ids: np.ndarray | None = None) -> pd.Series:
    return pd.Series(values, [f"n{row:05d}" for row in range(len(values))] if ids is None else ids)


@given(seed=SEEDS, rows=st.integers(3, 120), distinct=st.sampled_from([None, 20, 3]), single=st.booleans())
@LAWFUL
def test_churn_is_that_of_numerai_tools(seed: int, rows: int, distinct: int | None, single: bool) -> None:
    first, second = some_pair(seed, rows, distinct=distinct)
    if single:
        first, second = first.astype(np.float32), second.astype(np.float32)
    assume(min(np.ptp(first, axis=0).min(), np.ptp(second, axis=0).min()) > 0)

    theirs = [oracle.churn(series(a), series(b)) for a, b in zip(first.T, second.T, strict=True)]

    np.testing.assert_allclose(churn(first, second), theirs, rtol=0, atol=1e-9)


@given(seed=SEEDS, rows=st.integers(4, 120), distinct=st.sampled_from([None, 20, 3]), share=st.floats(0.01, 0.5))
@LAWFUL
def test_churn_of_the_top_and_bottom_is_that_of_numerai_tools(
    seed: int, rows: int, distinct: int | None, share: float
) -> None:
    first, second = some_pair(seed, rows, distinct=distinct)
    count = max(1, int(share * rows))

    theirs = [oracle.churn(series(a), series(b), count) for a, b in zip(first.T, second.T, strict=True)]

    np.testing.assert_allclose(churn(first, second, top_bottom=count), theirs, rtol=0, atol=1e-12)


@given(seed=SEEDS, rows=st.integers(10, 100))
@LAWFUL
def test_ids_in_any_order_with_some_of_their_own_compare_as_in_numerai_tools(seed: int, rows: int) -> None:
    rng = np.random.default_rng([seed, 1])
    first, second = some_pair(seed, rows)
    ids = np.array([f"n{row:05d}" for row in rng.permutation(rows)])
    kept, order = np.arange(rows // 10, rows), rng.permutation(rows - rows // 10)
    ours, theirs = common_rows(ids, ids[kept][order])
    there = second[kept][order]

    for compare, expected in ((churn, oracle.churn), (turnover, oracle.turnover)):
        found = compare(first[ours], there[theirs])
        wanted = [expected(series(a, ids), series(b, ids[kept][order])) for a, b in zip(first.T, there.T, strict=True)]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@given(seed=SEEDS, rows_of_era=st.lists(st.integers(2, 30), min_size=1, max_size=4))
@LAWFUL
def test_eras_together_compare_as_each_does_alone(seed: int, rows_of_era: list[int]) -> None:
    first, second = some_pair(seed, sum(rows_of_era))

    together = compare_eras(churn, first, second, rows_of_era)

    stop = np.cumsum(rows_of_era)
    alone = [churn(first[b - n : b], second[b - n : b]) for n, b in zip(rows_of_era, stop, strict=True)]
    np.testing.assert_array_equal(together, alone)


@given(seed=SEEDS, rows=st.integers(3, 60))
@LAWFUL
def test_a_copy_does_not_churn_and_the_opposite_churns_by_two(seed: int, rows: int) -> None:
    first, _ = some_pair(seed, rows)

    np.testing.assert_allclose(churn(first, first**3), 0, atol=1e-12)
    np.testing.assert_allclose(churn(first, -first), 2, atol=1e-12)
    np.testing.assert_array_equal(turnover(first, first), 0)


@pytest.mark.filterwarnings("error")
def test_constants_and_gaps_have_no_churn_and_do_not_disturb_the_others() -> None:
    first, second = some_pair(0, 40)
    first[:, 0], second[3, 1] = 0.1, np.nan

    assert np.isnan(churn(first, second)).tolist() == [True, True, False]
    assert np.isnan(churn(first, second, top_bottom=5)).tolist() == [False, True, False]
    assert np.isnan(turnover(first, second)).tolist() == [False, True, False]
    assert np.isnan(churn(first[:1], second[:1])).all()


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    first, second = some_pair(0, 40)

    with pytest.raises(ScoringError, match=r"found \(40, 3\) and \(39, 3\)"):
        churn(first, second[1:])
    with pytest.raises(ScoringError, match="top and bottom 41, expected 1 to 40"):
        churn(first, second, top_bottom=41)
    with pytest.raises(ScoringError, match="rows of the eras together: 39"):
        compare_eras(turnover, first, second, [20, 19])
    with pytest.raises(ScoringError, match="7 are common to 10 and 7, expected at least 80%"):
        common_rows(np.arange(10), np.arange(7))
    with pytest.raises(ScoringError, match="second predictions: some stand more than once among 3"):
        common_rows(np.arange(3), np.array([0, 1, 1]))
