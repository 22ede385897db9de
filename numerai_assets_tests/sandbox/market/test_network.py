"""The hidden network: who leads whom, and what is taken over."""

import numpy as np
import pytest

from numerai_assets.sandbox.market import network

STOCKS = np.arange(400, dtype=np.int64) * 3
KINSHIP = np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)
LEADING = network.leads(7, STOCKS)
NOBODY = np.full((400, network.LEADERS), network.NOBODY)


def drawn() -> np.ndarray:
    return network.rewire(NOBODY, STOCKS, LEADING, KINSHIP, np.random.default_rng(1))


def test_followers_have_leaders_and_leaders_have_none() -> None:
    leaders = drawn()
    assert 0.15 < LEADING.mean() < 0.35
    assert (leaders[LEADING] == network.NOBODY).all()
    assert np.isin(leaders[~LEADING], STOCKS[LEADING]).all()
    assert all(len(set(row)) == network.LEADERS for row in leaders[~LEADING].tolist())


def test_leaders_are_alike() -> None:
    leaders = drawn()[~LEADING]
    to_leaders = np.linalg.norm(KINSHIP[~LEADING][:, None] - KINSHIP[np.searchsorted(STOCKS, leaders)], axis=2)
    anybody = np.linalg.norm(KINSHIP[~LEADING][:, None] - KINSHIP[LEADING][None, :], axis=2)
    assert to_leaders.mean() < 0.6 * anybody.mean()


def test_the_network_lasts_and_a_lost_leader_is_replaced() -> None:
    before = drawn()
    gone = before[~LEADING][0, 0]
    stay = gone != STOCKS
    after = network.rewire(before[stay], STOCKS[stay], LEADING[stay], KINSHIP[stay], np.random.default_rng(2))
    assert not (after == gone).any()
    had_lost = (before[stay] == gone).any(axis=1)
    same = (after == before[stay]).all(axis=1)
    assert not same[had_lost].any() and same[~had_lost].mean() > 0.9


def test_a_follower_takes_over_its_leaders_values_and_a_leader_nothing() -> None:
    leaders = np.array([[3, 6, 9], [-1, -1, -1], [0, 3, 12]])
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    led = network.mean_of_leaders(leaders, np.array([0, 3, 6, 9, 12]), values)
    np.testing.assert_allclose(led, np.array([14.0, 0.0, 19.0]) / np.sqrt(3))


def test_a_hash_is_uniform_and_belongs_to_the_stock() -> None:
    values = network.unit_hash(3, 5, STOCKS)
    assert values.mean() == pytest.approx(0.5, abs=0.05) and values.std() == pytest.approx(12**-0.5, abs=0.02)
    np.testing.assert_array_equal(values[10:20], network.unit_hash(3, 5, STOCKS[10:20]))
