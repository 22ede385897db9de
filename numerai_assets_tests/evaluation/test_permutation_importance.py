"""CORR lost to a permuted feature: what scoring each prediction by itself would say."""

import numpy as np
import pytest

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import corr
from numerai_assets.evaluation.permutation_importance import corr_lost


def test_what_is_lost_is_the_difference_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    target = (rng.integers(0, 5, 300) / 4).astype(np.float32)
    predictions = [target + rng.normal(size=300) * noise for noise in np.linspace(0.2, 3, 150)]

    lost = corr_lost(((p, True) for p in predictions), target)

    scores = [corr(p[:, None], target)[0] for p in predictions]
    np.testing.assert_allclose(lost, scores[0] - np.array(scores[1:]))


def test_a_prediction_that_cannot_differ_loses_exactly_nothing() -> None:
    rng = np.random.default_rng(0)
    target = (rng.integers(0, 5, 100) / 4).astype(np.float32)
    whole, other = rng.normal(size=(2, 100))

    lost = corr_lost([(whole, True), (whole + 1e-12 * other, False), (other, True)], target)

    assert lost[0] == 0
    assert lost[1] != 0


def test_a_prediction_that_is_all_alike_scores_nothing() -> None:
    rng = np.random.default_rng(0)
    target = (rng.integers(0, 5, 100) / 4).astype(np.float32)

    lost = corr_lost([(target, True), (np.ones(100), True)], target)

    np.testing.assert_allclose(lost, corr(target[:, None], target))


def test_an_era_without_a_target_cannot_say_what_is_lost() -> None:
    with pytest.raises(ScoringError, match="none of 3 targets is known"):
        corr_lost([(np.arange(3.0), True)], np.full(3, np.nan, np.float32))
