"""The network's signal is the paper's, and its distances know nothing of what comes after them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from numerai_assets.errors import MethodError
from numerai_assets.methods.momentum_transformer.graph_momentum import (
    GivenGraph,
    Loss,
    NetworkMomentum,
    distances_before,
    earned,
    network_features,
    sharpe,
    train,
)
from numerai_assets.nn.graph_learning import UnrolledGraph, as_matrix, pairwise_distances

LAWFUL = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 999)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


@pytest.mark.parametrize("graph", [GivenGraph(torch.tensor([1.0, 0, 2, 3, 0, 1])), UnrolledGraph(8)])
def test_the_signal_is_that_of_the_paper_written_out(graph: nn.Module) -> None:
    features, distances, network = drawn(2, 5, 4, 3), drawn(2, 6).square(), NetworkMomentum(3, graph)
    with torch.no_grad():
        network.theta.copy_(torch.tensor([1.0, -2, 0.5]))
        network.bias.fill_(0.25)

        found = network(features, distances)
        weights = as_matrix(network.weights(distances))

    for block in range(2):
        a = weights[block].numpy()
        root = np.diag(a.sum(axis=1) ** -0.5)
        for day in range(5):
            expected = root @ a @ root @ features[block, day].numpy() @ np.array([1, -2, 0.5]) + 0.25
            np.testing.assert_allclose(found[block, day].numpy(), expected, atol=1e-5)


def test_the_signal_is_theta_times_the_network_s_features() -> None:
    features, distances, network = drawn(2, 4, 3), drawn(2, 6).square(), NetworkMomentum(3, UnrolledGraph(8))
    with torch.no_grad():
        mixed = network_features(features, as_matrix(network.weights(distances)))

        torch.testing.assert_close(network(features[:, None], distances)[:, 0], mixed @ network.theta)


def test_without_a_graph_a_node_knows_of_itself_alone() -> None:
    features, network = drawn(5, 4, 3), NetworkMomentum(3, None)

    torch.testing.assert_close(network(features, torch.zeros(6)), features.mean(dim=-1))
    with pytest.raises(MethodError, match="no graph"):
        network.weights(torch.ones(6))


@given(seed=SEEDS)
@LAWFUL
def test_other_names_of_the_nodes_are_other_names_of_the_signals(seed: int) -> None:
    features, order = drawn(40, 6, 3, seed=seed), torch.from_numpy(np.random.default_rng(seed).permutation(6))
    network = NetworkMomentum(3, UnrolledGraph(8))
    with torch.no_grad():
        signals = network(features[20:], distances_before(features, [20])[0])
        renamed = network(features[20:, order], distances_before(features[:, order], [20])[0])

    torch.testing.assert_close(renamed, signals[:, order], atol=1e-5, rtol=1e-4)


@given(seed=SEEDS, window=st.sampled_from([None, 1, 5]))
@LAWFUL
def test_distances_are_those_of_the_days_before_and_of_no_other(seed: int, window: int | None) -> None:
    features, days = drawn(30, 4, 3, seed=seed), [5, 6, 20, 30]
    changed = features.clone()
    changed[20:] = torch.nan

    found = distances_before(features, days, window)

    for day, row in zip(days, found, strict=True):
        first = 0 if window is None else day - window
        whole = features[first:day].transpose(0, 1).reshape(4, -1)
        torch.testing.assert_close(row, pairwise_distances(whole), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(distances_before(changed, days[:3], window), found[:3])


@pytest.mark.parametrize(
    ("days", "window"), [([], None), ([0], None), ([4], 5), ([5, 5], None), ([6, 5], 2), ([31], 5)]
)
def test_days_without_a_past_or_out_of_order_are_refused(days: list[int], window: int | None) -> None:
    with pytest.raises(MethodError, match="ascending"):
        distances_before(drawn(30, 4, 3), days, window)


@pytest.mark.parametrize("loss", ["sharpe", "squared error"])
def test_training_lowers_the_loss_through_the_layers_and_is_repeatable(loss: Loss) -> None:
    features, distances = drawn(4, 20, 6, 3), drawn(4, 15, seed=1).square()
    returns = 0.3 * features[..., 0] + drawn(4, 20, 6, seed=2)

    def value(network: NetworkMomentum) -> float:
        with torch.no_grad():
            signals = network(features, distances)
            better = sharpe(earned(signals, returns)) if loss == "sharpe" else -((signals - returns) ** 2).mean()
        return float(better)

    first, second = (
        train(NetworkMomentum(3, UnrolledGraph(6)), features, distances, returns, loss=loss, steps=20) for _ in range(2)
    )

    assert value(first) > value(NetworkMomentum(3, UnrolledGraph(6)))
    untrained = dict(NetworkMomentum(3, UnrolledGraph(6)).named_parameters())
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, untrained[name]), name


def test_returns_that_are_not_known_are_refused() -> None:
    returns = torch.full((1, 5, 3), torch.nan)

    with pytest.raises(MethodError, match="loss is nan in part 1 of epoch 1"):
        train(NetworkMomentum(2, None), drawn(1, 5, 3, 2), torch.ones(1, 3), returns)


def test_the_ratio_is_that_of_a_year_of_daily_returns() -> None:
    daily = drawn(500) + 0.1

    assert sharpe(daily).item() == pytest.approx(np.sqrt(252) * daily.numpy().mean() / daily.numpy().std(), rel=1e-5)
