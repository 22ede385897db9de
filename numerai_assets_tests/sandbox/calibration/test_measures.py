"""Measures are what their names say; scores are numerai-tools' own."""

import numpy as np
import pandas as pd
import pytest
from numerai_tools.scoring import correlation_contribution, numerai_corr

from numerai_assets.sandbox.calibration import measures

RNG = np.random.default_rng(0)
BINS = RNG.integers(0, 5, (300, 6)).astype(np.int8)
TARGET = RNG.choice([0, 0.25, 0.5, 0.75, 1], 300, p=[0.05, 0.2, 0.5, 0.2, 0.05]).astype(np.float32)


def test_corr_is_numerai_tools() -> None:
    predictions = RNG.random((300, 2))
    expected = numerai_corr(pd.DataFrame(predictions, columns=["a", "b"]), pd.Series(TARGET, name="target")).to_numpy()
    np.testing.assert_allclose(measures.corr(predictions, TARGET), expected, atol=1e-9)


def test_contribution_is_numerai_tools() -> None:
    predictions, reference = RNG.random((300, 2)), RNG.random(300)
    expected = correlation_contribution(
        pd.DataFrame(predictions, columns=["a", "b"]), pd.Series(reference), pd.Series(TARGET, name="target")
    ).to_numpy()
    np.testing.assert_allclose(measures.contribution(predictions, reference, TARGET), expected, atol=1e-9)


def test_rows_without_a_target_do_not_count() -> None:
    predictions, gaps = RNG.random((300, 1)), TARGET.copy()
    gaps[:50] = np.nan
    np.testing.assert_allclose(measures.corr(predictions, gaps), measures.corr(predictions[50:], TARGET[50:]))


def test_neutral_predictions_have_no_feature_left_in_them() -> None:
    rest = measures.neutral(BINS[:, :1] + RNG.random((300, 1)), BINS)
    assert np.abs(measures.feature_ic(BINS, rest[:, 0].astype(np.float32))).max() < 1e-5


def test_equal_directions_count_one_each() -> None:
    assert measures.participation_ratio(np.eye(7)) == pytest.approx(7)
    assert measures.participation_ratio(np.ones((7, 7))) == pytest.approx(1)
    np.testing.assert_allclose(measures.eigenvalue_shares(np.ones((4, 4))), [1, 0, 0, 0], atol=1e-12)


def test_bin_gap_is_in_rows_and_skips_a_feature_that_does_not_exist() -> None:
    even = np.tile(np.arange(5, dtype=np.int8), 20)[:, None]
    assert measures.bin_gap(np.hstack([even, np.full((100, 1), 2, dtype=np.int8)])) == 0
    even[0] = 4
    assert measures.bin_gap(even) == 1


def test_persistence_follows_stocks_wherever_their_rows_are() -> None:
    early, late = np.arange(0, 300), np.arange(30, 330)
    moved = np.vstack([BINS[30:], BINS[:30]])
    np.testing.assert_allclose(measures.persistence(BINS, moved, early, late), 1.0)


def test_the_error_of_a_mean_counts_the_overlap() -> None:
    shocks = np.random.default_rng(4).standard_normal(5000)
    overlapping = np.convolve(shocks, np.ones(4), mode="valid")
    # The mean of a 4-term moving sum of unit shocks has standard error 4/sqrt(n).
    assert measures.standard_error(overlapping, 12) == pytest.approx(4 / np.sqrt(5000), rel=0.2)
    assert measures.autocorrelation(overlapping, (1, 4))[1] == pytest.approx(0.75, abs=0.05)


def test_noise_alone_has_no_excess() -> None:
    assert measures.excess_std(np.full(5, 0.02), 600) == 0
    assert measures.excess_std(np.array([0.0, 0.1]), 1e12) == pytest.approx(0.05)


def test_groups_are_measured_apart() -> None:
    correlation = np.array([[1, 0.5, 0.1], [0.5, 1, 0.2], [0.1, 0.2, 1]])
    assert measures.within_groups(correlation, ("rain", "rain", "faith")) == {"rain": 0.5}
