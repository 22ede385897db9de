"""Exposures are Pearson correlations with features, where there is something to correlate with."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as oracle

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.exposures import feature_exposures

LAWFUL = settings(deadline=None, max_examples=12)
SEEDS = st.integers(0, 2**32 - 1)


def some_block(seed: int = 0, features: int = 8, rows: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5, (features, rows), dtype=np.int8)


def some_predictions(seed: int = 0, rows: int = 60, columns: int = 3) -> np.ndarray:
    return np.random.default_rng([seed, 1]).random((rows, columns))


@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
@LAWFUL
def test_exposures_are_pearson_correlations(seed: int, dtype: type) -> None:
    block, predictions = some_block(seed), some_predictions(seed).astype(dtype)

    exposures = feature_exposures(predictions, block)

    both = np.corrcoef(np.vstack([block, predictions.T.astype(np.float64)]))
    np.testing.assert_allclose(exposures, both[: len(block), len(block) :], rtol=0, atol=1e-12)


@given(seed=SEEDS, rows=st.integers(15, 40))
@LAWFUL
def test_the_largest_and_the_mean_exposure_are_those_of_numerai_tools(seed: int, rows: int) -> None:
    block, predictions = some_block(seed, rows=rows), some_predictions(seed, rows)

    found = np.abs(feature_exposures(predictions, block))

    features = pd.DataFrame(block.T)
    for column, exposures in zip(predictions.T, found.T, strict=True):
        series = pd.Series(column)
        each = [oracle.pearson_correlation(features[feature], series) for feature in features]
        assert exposures.max() == pytest.approx(oracle.max_feature_correlation(series, features)[1], abs=1e-9)
        assert exposures.mean() == pytest.approx(np.abs(each).mean(), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_single_row_has_no_exposure() -> None:
    assert np.isnan(feature_exposures(some_predictions(rows=1), some_block(rows=1))).all()


@pytest.mark.filterwarnings("error")
def test_constant_features_and_predictions_have_no_exposure() -> None:
    block, predictions = some_block(features=4), some_predictions()
    block[1], block[3], predictions[:, 2] = 3, -1, 0.1

    exposures = feature_exposures(predictions, block)

    nothing, some = [True] * 3, [False, False, True]
    assert np.isnan(exposures).tolist() == [some, nothing, some, nothing]


def test_predictions_with_gaps_are_refused_by_name() -> None:
    with pytest.raises(ScoringError, match="1 of 3 columns hold NaN"):
        feature_exposures(np.where(np.arange(3) == 1, np.nan, some_predictions()), some_block())
