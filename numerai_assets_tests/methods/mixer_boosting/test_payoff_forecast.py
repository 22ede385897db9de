"""Forecasts of payoffs are fitted on whole runs of known eras, and believed as far as later eras bear them out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import FeatureError
from numerai_assets.methods.mixer_boosting.payoff_forecast import PayoffForecast, Recipe, least_eras, split, windows

LAWFUL = settings(deadline=None, max_examples=60)
RECIPE = Recipe(length=8, horizon=4, lag=3, overlap=3, hidden=4, dropout=0.1, epochs=8, learning_rate=1e-2)


def waves(eras: int, noise: float, seed: int = 0) -> np.ndarray:
    """(eras, 3) payoffs: a wave of eight eras in noise about means that differ."""
    rng = np.random.default_rng(seed)
    turn = 2 * np.pi * (np.arange(eras)[:, None] / 8 + np.arange(3) / 3)
    return 0.02 * np.cos(turn) + [0.01, 0.0, -0.01] + noise * rng.normal(size=(eras, 3))


@LAWFUL
@given(known=st.lists(st.booleans(), max_size=40), span=st.integers(1, 12))
def test_windows_are_all_the_runs_of_known_eras(known: list[bool], span: int) -> None:
    expected = [start for start in range(len(known) - span + 1) if all(known[start : start + span])]

    assert windows(np.array(known, bool), span).tolist() == expected


@LAWFUL
@given(gaps=st.sets(st.integers(0, 119), max_size=6))
def test_no_era_that_is_forecast_to_judge_lies_within_the_overlap_of_one_fitted(gaps: set[int]) -> None:
    known = np.ones(120, bool)
    known[list(gaps)] = False

    fitted, judged = split(windows(known, RECIPE.span), RECIPE)

    if len(fitted) and len(judged):
        assert judged[0] + RECIPE.length - (fitted[-1] + RECIPE.span - 1) > RECIPE.overlap


def test_the_least_number_of_eras_is_enough_and_one_less_is_not() -> None:
    enough = least_eras(RECIPE)
    paid = waves(enough, 0.01)

    PayoffForecast.fit(paid, np.ones(enough, bool), RECIPE, seed=0)
    with pytest.raises(FeatureError, match=f"{enough} consecutive eras are enough"):
        PayoffForecast.fit(paid[1:], np.ones(enough - 1, bool), RECIPE, seed=0)


def test_what_repeats_is_believed_and_noise_is_not() -> None:
    known = np.ones(300, bool)

    regular = PayoffForecast.fit(waves(300, 0.002), known, RECIPE, seed=0)
    noise = PayoffForecast.fit(np.random.default_rng(0).normal(size=(300, 3)), known, RECIPE, seed=0)

    assert regular.share > 0.8
    assert noise.share < 0.2
    ahead = regular.ahead(waves(312, 0)[None, 300:308])[0, RECIPE.lag - 1]
    np.testing.assert_allclose(ahead, waves(312, 0)[310], atol=0.01)


def test_eras_that_are_not_known_change_no_bit() -> None:
    known = np.ones(200, bool)
    known[90:110] = False
    paid = waves(200, 0.01)
    poisoned = paid.copy()
    poisoned[90:110] = np.nan

    one, other = (PayoffForecast.fit(each, known, RECIPE, seed=0) for each in (paid, poisoned))

    np.testing.assert_array_equal(one.ahead(paid[None, :8]), other.ahead(paid[None, :8]))


def test_where_a_feature_has_no_payoff_its_mean_stands_in() -> None:
    paid = waves(120, 0.01)
    fitted = PayoffForecast.fit(paid, np.ones(120, bool), RECIPE, seed=0)
    with_gap, filled = paid[:8].copy(), paid[:8].copy()
    with_gap[3, 1], filled[3, 1] = np.nan, fitted.mean[1]

    np.testing.assert_array_equal(fitted.ahead(with_gap[None]), fitted.ahead(filled[None]))


def test_what_was_saved_forecasts_the_same(tmp_path: Path) -> None:
    paid = waves(120, 0.01)
    fitted = PayoffForecast.fit(paid, np.ones(120, bool), RECIPE, seed=0)

    fitted.save(tmp_path)

    np.testing.assert_array_equal(PayoffForecast.load(tmp_path).ahead(paid[None, :8]), fitted.ahead(paid[None, :8]))
