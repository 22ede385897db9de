"""Neutralised predictions, FNC and exposures are those of numerai-tools, also where features are combinations of others.

Tolerances: both sides work in float64, and predictions are of order 1. On well-conditioned features they differ by
rounding (1e-12 measured); 1e-9 leaves room for the worst draw of few rows and nearly collinear features.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as oracle
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.exposures import feature_exposures
from numerai_assets.evaluation.neutralisation import (
    EraFactor,
    feature_neutral_corr,
)

LAWFUL = settings(deadline=None, max_examples=50)
TOLERANCE = 1e-9
SEEDS = st.integers(0, 2**32 - 1)

Block = NDArray[np.int8]
Array = NDArray[np.float64]


def some_block(seed: int = 0, features: int = 12, rows: int = 150) -> Block:
    """(features, rows) levels that share a few factors, as Numerai's do."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(features, 3)) @ rng.normal(size=(3, rows)) + rng.normal(size=(features, rows))
    return np.clip(np.floor(scores + 2.5), 0, 4).astype(np.int8)


def some_predictions(seed: int = 0, rows: int = 150, columns: int = 3) -> Array:
    return np.random.default_rng([seed, 1]).random((rows, columns))


def their_neutral(predictions: Array, block: Block, proportion: float = 1.0) -> Array:
    return oracle.neutralize(pd.DataFrame(predictions), pd.DataFrame(block.T), proportion).to_numpy()


@given(
    seed=SEEDS,
    rows=st.integers(60, 200),
    features=st.integers(1, 25),
    columns=st.integers(1, 4),
    proportion=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
@LAWFUL
def test_neutralised_predictions_are_those_of_numerai_tools(
    seed: int, rows: int, features: int, columns: int, proportion: float
) -> None:
    block, predictions = some_block(seed, features, rows), some_predictions(seed, rows, columns)

    neutral = EraFactor.of(block).neutralise(predictions, proportion)

    np.testing.assert_allclose(neutral, their_neutral(predictions, block, proportion), rtol=0, atol=TOLERANCE)


@given(seed=SEEDS, copies=st.integers(1, 12))
@LAWFUL
def test_copies_opposites_sums_and_constants_among_the_features_change_nothing(seed: int, copies: int) -> None:
    block, predictions = some_block(seed), some_predictions(seed)
    half = block[:1] // 2
    flat = np.full((2, block.shape[1]), 2, np.int8)
    more = np.concatenate([block, block[:copies], 4 - block[:2], half, block[:1] - half, flat])

    neutral = EraFactor.of(more).neutralise(predictions)

    np.testing.assert_allclose(neutral, their_neutral(predictions, more), rtol=0, atol=TOLERANCE)
    spanning = np.concatenate([block, half])
    np.testing.assert_allclose(neutral, EraFactor.of(spanning).neutralise(predictions), rtol=0, atol=TOLERANCE)


def test_as_many_features_as_rows_leave_nothing() -> None:
    neutral = EraFactor.of(some_block(features=80, rows=50)).neutralise(some_predictions(rows=50))

    np.testing.assert_allclose(neutral, 0, atol=1e-6)


@given(seed=SEEDS)
@LAWFUL
def test_what_is_neutral_is_orthogonal_to_every_feature_and_stays_as_it_is(seed: int) -> None:
    block, factor = some_block(seed), EraFactor.of(some_block(seed))

    neutral = factor.neutralise(some_predictions(seed))

    np.testing.assert_allclose(block @ neutral, 0, atol=1e-8)
    np.testing.assert_allclose(neutral.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(factor.neutralise(neutral), neutral, rtol=0, atol=TOLERANCE)


@given(seed=SEEDS)
@LAWFUL
def test_one_factor_serves_each_prediction_as_if_it_were_alone(seed: int) -> None:
    factor, predictions = EraFactor.of(some_block(seed)), some_predictions(seed)

    together = factor.neutralise(predictions)

    alone = np.hstack([factor.neutralise(predictions[:, [column]]) for column in range(3)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


def test_a_subset_is_neutralised_to_and_the_rest_is_not() -> None:
    block, predictions = some_block(), some_predictions()

    neutral = EraFactor.of(block, [7, 2, 4]).neutralise(predictions)

    np.testing.assert_allclose(neutral, their_neutral(predictions, block[[2, 4, 7]]), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("block", [np.full((3, 150), 2, np.int8), np.empty((0, 150), np.int8)])
def test_without_a_feature_that_varies_only_the_mean_goes(block: Block) -> None:
    predictions = some_predictions()

    neutral = EraFactor.of(block).neutralise(predictions)

    np.testing.assert_allclose(neutral, predictions - predictions.mean(axis=0), rtol=0, atol=1e-15)


def test_a_missing_cell_counts_as_the_middle_level() -> None:
    block, predictions = some_block(), some_predictions()
    gaps = np.random.default_rng(0).random(block.shape) < 0.1
    with_gaps, filled = np.where(gaps, np.int8(-1), block), np.where(gaps, np.int8(2), block)

    np.testing.assert_array_equal(
        EraFactor.of(with_gaps).neutralise(predictions), EraFactor.of(filled).neutralise(predictions)
    )
    np.testing.assert_array_equal(feature_exposures(predictions, with_gaps), feature_exposures(predictions, filled))


@given(seed=SEEDS, missing=st.integers(1, 12))
@LAWFUL
def test_a_feature_that_is_missing_everywhere_changes_nothing(seed: int, missing: int) -> None:
    block, predictions = some_block(seed), some_predictions(seed)
    absent = np.concatenate([block, np.full((missing, block.shape[1]), -1, np.int8)])

    np.testing.assert_array_equal(
        EraFactor.of(absent).neutralise(predictions), EraFactor.of(block).neutralise(predictions)
    )


@given(seed=SEEDS, copies=st.integers(0, 12), proportion=st.floats(0, 0.95))
@LAWFUL
def test_neutral_predictions_correlate_with_those_of_numerai_tools_to_a_millionth(
    seed: int, copies: int, proportion: float
) -> None:
    block, predictions = some_block(seed), some_predictions(seed)
    flat = np.full((1, block.shape[1]), 3, np.int8)
    spanned = np.concatenate([block, block[:copies], block[:1] // 2, block[:1] - block[:1] // 2, flat])

    ours = EraFactor.of(spanned).neutralise(predictions, proportion)

    theirs = their_neutral(predictions, spanned, proportion)
    for column, other in zip(ours.T, theirs.T, strict=True):
        assert np.corrcoef(column, other)[0, 1] > 1 - 1e-6


@given(seed=SEEDS, proportion=st.floats(-1, 2))
@LAWFUL
def test_a_proportion_takes_off_that_share_of_the_whole_fit(seed: int, proportion: float) -> None:
    factor, predictions = EraFactor.of(some_block(seed)), some_predictions(seed)

    neutral = factor.neutralise(predictions, proportion)

    fitted = predictions - factor.neutralise(predictions)
    np.testing.assert_allclose(neutral, predictions - proportion * fitted, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("error")
def test_a_single_row_leaves_nothing_to_score() -> None:
    factor = EraFactor.of(some_block(rows=1))

    assert np.isnan(factor.neutralise(some_predictions(rows=1))).all()
    assert np.isnan(feature_neutral_corr(some_predictions(rows=1), factor, np.array([0.5]))).all()


@pytest.mark.filterwarnings("error")
def test_fnc_without_a_target_or_with_a_gap_in_the_prediction_is_nan() -> None:
    factor, predictions, target = EraFactor.of(some_block()), some_predictions(), some_predictions(columns=1)[:, 0]
    predictions[3, 1] = np.nan

    assert np.isnan(feature_neutral_corr(predictions, factor, target)).tolist() == [False, True, False]
    assert np.isnan(feature_neutral_corr(predictions, factor, np.full(150, np.nan))).all()


SPANNED = np.concatenate([some_block(), some_block()[:3], np.full((1, 150), 2, np.int8)])


def test_the_factor_takes_the_gram_matrix_exactly_at_odd_sizes() -> None:
    block = some_block(features=37, rows=1001)
    centred = block - block.mean(axis=1, keepdims=True)

    lower = np.tril(EraFactor.of(block).cholesky)

    np.testing.assert_allclose(lower @ lower.T, centred @ centred.T, rtol=1e-11, atol=1e-9)


def test_a_read_only_map_is_taken_as_it_is_without_a_warning(tmp_path: object) -> None:
    block = some_block()
    np.save(f"{tmp_path}/era.npy", block)
    mapped = np.load(f"{tmp_path}/era.npy", mmap_mode="r")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factor = EraFactor.of(mapped)

    assert np.shares_memory(factor.levels, mapped)


@given(seed=SEEDS, distinct=st.sampled_from([None, 20]))
@LAWFUL
def test_feature_neutral_corr_is_that_of_numerai_tools(seed: int, distinct: int | None) -> None:
    block, predictions = some_block(seed), some_predictions(seed)
    if distinct:
        predictions = np.round(predictions * distinct) / distinct
    target = np.random.default_rng([seed, 2]).choice([0, 0.25, 0.5, 0.75, 1], len(predictions))
    target[:10] = np.nan
    neutral = their_neutral(predictions, block)
    # Rows that neutralise to the same value are told apart by rounding alone, by either side as it happens.
    assume(min(np.diff(np.sort(column)).min() for column in neutral.T) > 1e-10)

    fnc = feature_neutral_corr(predictions, EraFactor.of(block), target)

    theirs = oracle.feature_neutral_corr(
        pd.DataFrame(predictions), pd.DataFrame(block.T), pd.Series(target, name="target")
    )
    np.testing.assert_allclose(fnc, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.filterwarnings("error")
def test_constant_predictions_have_no_neutral_form() -> None:
    predictions = some_predictions()
    predictions[:, 2] = 0.1

    neutral = EraFactor.of(some_block()).neutralise(predictions)

    assert np.isnan(neutral).all(axis=0).tolist() == [False, False, True]


def test_gaps_and_other_shapes_are_refused_by_name() -> None:
    factor, gaps = EraFactor.of(some_block()), some_predictions()
    gaps[3, 1] = np.nan

    with pytest.raises(ScoringError, match="1 of 3 columns hold NaN, the first is 1"):
        factor.neutralise(gaps)
    with pytest.raises(ScoringError, match="expected a finite number"):
        factor.neutralise(some_predictions(), np.nan)
    with pytest.raises(ScoringError, match=r"expected \(150, m\), found \(149, 3\)"):
        factor.neutralise(some_predictions(rows=149))
    with pytest.raises(ScoringError, match=r"expected \(d, n\) int8 with rows, found \(12, 150\) float64"):
        EraFactor.of(some_block().astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ScoringError, match=r"found \(12, 0\) int8"):
        EraFactor.of(np.empty((12, 0), np.int8))
