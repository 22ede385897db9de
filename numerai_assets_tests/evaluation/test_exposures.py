"""Exposures are Pearson correlations with features, by group and era, where there is something to correlate with."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as oracle

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.exposures import exposures_of_eras, feature_exposures

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


@given(seed=SEEDS, rows_of_era=st.lists(st.integers(15, 40), min_size=1, max_size=3))
@LAWFUL
def test_the_largest_of_each_group_and_era_is_that_of_numerai_tools(seed: int, rows_of_era: list[int]) -> None:
    blocks = [some_block(seed + era, rows=rows) for era, rows in enumerate(rows_of_era)]
    predictions = some_predictions(seed, sum(rows_of_era))
    groups = {"all": range(8), "some": [3, 1, 7]}

    found = exposures_of_eras(predictions, rows_of_era, blocks, groups)

    for name, positions in groups.items():
        for era, (stop, rows) in enumerate(zip(np.cumsum(rows_of_era), rows_of_era, strict=True)):
            for column in range(3):
                features = pd.DataFrame(blocks[era][list(positions)].T)
                series = pd.Series(predictions[stop - rows : stop, column])
                largest = oracle.max_feature_correlation(series, features)[1]
                each = [oracle.pearson_correlation(features[feature], series) for feature in features]
                assert found[name].largest[era, column] == pytest.approx(largest, abs=1e-9)
                assert found[name].mean[era, column] == pytest.approx(np.abs(each).mean(), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_what_is_constant_does_not_count_and_a_group_of_constants_has_no_exposure() -> None:
    blocks, predictions = [some_block(0), some_block(1)], some_predictions(rows=120)
    blocks[0][4], blocks[0][5] = 2, -1
    predictions[:60, 1] = 0.1

    found = exposures_of_eras(predictions, [60, 60], blocks, {"flat": [4, 5], "mixed": [4, 0], "live": [0]})

    assert np.isnan(found["flat"].largest).tolist() == [[True] * 3, [False] * 3]
    assert np.isnan(found["flat"].mean).tolist() == [[True] * 3, [False] * 3]
    np.testing.assert_array_equal(found["mixed"].mean[0], found["live"].mean[0])
    assert np.isnan(found["live"].largest).tolist() == [[False, True, False], [False] * 3]


@pytest.mark.filterwarnings("error")
def test_a_single_row_has_no_exposure() -> None:
    found = exposures_of_eras(some_predictions(rows=1), [1], [some_block(rows=1)], {"all": range(8)})["all"]

    assert np.isnan(found.largest).all()
    assert np.isnan(found.mean).all()


def test_constant_features_and_predictions_have_no_exposure() -> None:
    block, predictions = some_block(features=4), some_predictions()
    block[1], predictions[:, 2] = 3, 0.1

    exposures = feature_exposures(predictions, block)

    assert np.isnan(exposures).tolist() == [[False, False, True], [True] * 3, *[[False, False, True]] * 2]


def test_what_does_not_fit_together_is_refused_by_name() -> None:
    blocks, predictions = [some_block()], some_predictions()

    with pytest.raises(ScoringError, match="1 blocks and 60 rows of predictions, expected 2 blocks"):
        exposures_of_eras(predictions, [30, 30], blocks, {"all": range(8)})
    with pytest.raises(ScoringError, match="no features in group empty"):
        exposures_of_eras(predictions, [60], blocks, {"all": range(8), "empty": []})
    with pytest.raises(ScoringError, match="1 of 3 columns hold NaN"):
        feature_exposures(np.where(np.arange(3) == 1, np.nan, predictions), blocks[0])
