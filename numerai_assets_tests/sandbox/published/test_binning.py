"""The fast bins are those of the encoder."""

import numpy as np
import pytest

from numerai_assets.sandbox.published.binning import bin_columns
from numerai_assets.sandbox.published.encoder import bin_features


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [50, 101, 203, 999])
def test_bins_are_those_of_the_encoder_where_no_values_tie(n: int) -> None:
    values = rng().standard_normal((n, 130)).astype(np.float32)
    values[:, 3] = np.nan
    thin = rng(2).permutation(n) / n
    values[thin[:, None] < rng(1).uniform(0, 0.14, 130)] = np.nan
    np.testing.assert_array_equal(bin_columns(values, np.arange(n), rng(3)).T, bin_features(values, rng(4)))


def test_columns_come_out_in_the_order_of_rows_asked_for() -> None:
    values, order = rng().standard_normal((57, 70)).astype(np.float32), rng(1).permutation(57)
    np.testing.assert_array_equal(
        bin_columns(values, order, rng()), bin_columns(values, np.arange(57), rng())[:, order]
    )


def test_bins_stay_equal_with_ties_and_with_half_of_the_values_missing() -> None:
    values = rng().integers(0, 3, (200, 6)).astype(np.float32)
    values[rng(2).random((200, 6)) < [0, 0.1, 0.3, 0.5, 0.9, 1]] = np.nan
    bins = bin_columns(values, np.arange(200), rng(1))
    assert (bins[5] == 2).all()
    assert all((np.bincount(column, minlength=5) == 40).all() for column in bins[:5])


def test_infinite_and_equal_values_are_binned_equally() -> None:
    values = np.zeros((40, 2), dtype=np.float32)
    values[:7, 1] = np.inf
    assert all((np.bincount(column, minlength=5) == 8).all() for column in bin_columns(values, np.arange(40), rng()))
