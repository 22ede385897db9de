"""Bins, targets and ids are what Numerai's files show."""

import re

import numpy as np
import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published import encoder


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_bins_are_five_and_equal_to_within_one_row() -> None:
    bins = encoder.bin_features(rng().standard_normal((103, 7)).astype(np.float32), rng(1))
    assert bins.dtype == np.int8
    for column in bins.T:
        assert sorted(np.bincount(column, minlength=5)) == [20, 20, 21, 21, 21]


def test_bins_follow_the_order_of_the_values() -> None:
    values = rng().standard_normal((50, 1)).astype(np.float32)
    bins = encoder.bin_features(values, rng(1))
    assert (np.diff(bins[np.argsort(values[:, 0]), 0]) >= 0).all()


def test_bins_stay_equal_with_missing_values_and_ties() -> None:
    values = rng().integers(0, 3, (200, 4)).astype(np.float32)
    values[rng(2).random((200, 4)) < 0.15] = np.nan
    bins = encoder.bin_features(values, rng(1))
    assert all((np.bincount(column, minlength=5) == 40).all() for column in bins.T)


def test_missing_values_go_to_the_middle() -> None:
    values = rng().standard_normal((200, 1)).astype(np.float32)
    values[:30] = np.nan
    assert (encoder.bin_features(values, rng(1))[:30] == 2).all()


def test_a_column_without_any_value_is_constant_two() -> None:
    values = rng().standard_normal((40, 2)).astype(np.float32)
    values[:, 1] = np.nan
    assert (encoder.bin_features(values, rng(1))[:, 1] == 2).all()


def test_bins_do_not_depend_on_the_scale() -> None:
    values = rng().standard_normal((60, 3)).astype(np.float32)
    assert (encoder.bin_features(values, rng(1)) == encoder.bin_features(np.exp(values) * 9, rng(1))).all()


@pytest.mark.parametrize("n", [100, 107, 640])
def test_target_shares_are_5_20_50_20_5_percent(n: int) -> None:
    target = encoder.bin_target(rng().standard_normal(n), rng(1))
    cuts = np.rint(n * np.array([0, 0.05, 0.25, 0.75, 0.95, 1])).astype(int)
    assert target.dtype == np.float32
    assert [int((target == v).sum()) for v in (0, 0.25, 0.5, 0.75, 1)] == np.diff(cuts).tolist()


def test_neutral_returns_have_no_linear_exposure_left() -> None:
    exposures = rng().standard_normal((200, 4))
    exposures[:, 3] = exposures[:, 0]
    returns = 3 + exposures @ [1.0, -2.0, 0.5, 0.0] + rng(1).standard_normal(200)
    residual = encoder.neutralise(returns, exposures)
    assert np.abs(exposures.T @ residual).max() < 1e-8
    assert abs(residual.mean()) < 1e-10


def test_a_stock_without_a_return_has_no_auxiliary_target_but_a_middling_main_one() -> None:
    returns = rng().standard_normal(200).astype(np.float32)
    returns[:4] = np.nan
    exposures = rng(1).standard_normal((200, 2)).astype(np.float32)
    auxiliary = encoder.encode_target("agnes", returns, exposures, ("rain", "faith"), rng(2), fill=False)
    main = encoder.encode_target("ender", returns, exposures, ("rain", "faith"), rng(2), fill=True)
    assert np.isnan(auxiliary[:4]).all() and np.isfinite(auxiliary[4:]).all()
    assert (main[:4] == 0.5).all() and np.isfinite(main).all()


def test_targets_differ_in_what_they_are_neutral_to() -> None:
    groups = ("constitution", "rain", "wisdom")
    assert encoder.kept_exposures("ender", groups).all()
    assert not encoder.kept_exposures("agnes", groups).any()
    assert encoder.kept_exposures("charlie", groups).tolist() == [True, False, True]


def test_too_few_returns_to_neutralise_are_refused() -> None:
    returns = np.full(30, np.nan, dtype=np.float32)
    with pytest.raises(SandboxError, match="0 of 30 stocks"):
        encoder.encode_target("ender", returns, np.zeros((30, 3), np.float32), ("rain",) * 3, rng(), fill=True)


def test_there_are_41_targets_the_alias_last() -> None:
    assert len(encoder.TARGETS) == 41 and encoder.TARGETS[-1] == "target"
    assert list(encoder.TARGETS[:-1]) == sorted(encoder.TARGETS[:-1])


def test_ids_are_new_under_every_key_and_the_same_when_made_again() -> None:
    stocks = np.arange(500)
    first, second = encoder.encode_ids(7, "0575", stocks), encoder.encode_ids(7, "X@1", stocks)
    assert all(re.fullmatch(rb"n[0-9a-f]{15}", row) for row in first.tolist())
    assert len(set(first.tolist()) | set(second.tolist())) == 1000
    assert (first == encoder.encode_ids(7, "0575", stocks)).all()
