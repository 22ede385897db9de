"""Churn is that of numerai-tools, for many columns at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numerai_tools import signals as oracle

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.churn import churn

LAWFUL = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**32 - 1)


def some_pair(seed: int, rows: int, *, distinct: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two (rows, 3) predictions that resemble each other; with `distinct`, many are tied."""
    rng = np.random.default_rng(seed)
    first = rng.random((rows, 3))
    second = (first + rng.random((rows, 3))) / 2
    return tuple(x if distinct is None else np.floor(x * distinct) / distinct for x in (first, second))  # type: ignore[return-value]


def series(values: np.ndarray) -> pd.Series:
    return pd.Series(values, [f"n{row:05d}" for row in range(len(values))])


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


@given(seed=SEEDS, rows=st.integers(3, 60))
@LAWFUL
def test_a_copy_does_not_churn_and_the_opposite_churns_by_two(seed: int, rows: int) -> None:
    first, _ = some_pair(seed, rows)

    np.testing.assert_allclose(churn(first, first**3), 0, atol=1e-12)
    np.testing.assert_allclose(churn(first, -first), 2, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_constants_and_gaps_have_no_churn_and_do_not_disturb_the_others() -> None:
    first, second = some_pair(0, 40)
    first[:, 0], second[3, 1] = 0.1, np.nan

    assert np.isnan(churn(first, second)).tolist() == [True, True, False]
    assert np.isnan(churn(first, second, top_bottom=5)).tolist() == [False, True, False]
    assert np.isnan(churn(first[:1], second[:1])).all()


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    first, second = some_pair(0, 40)

    with pytest.raises(ScoringError, match=r"found \(40, 3\) and \(39, 3\)"):
        churn(first, second[1:])
    with pytest.raises(ScoringError, match="top and bottom 41, expected 1 to 40"):
        churn(first, second, top_bottom=41)
