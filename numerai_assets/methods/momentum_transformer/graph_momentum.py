"""Network momentum: the trend of a node includes that of its neighbours, on a graph trained on the returns of the trend.

Paper: Pu et al. 2023, L2GMOM (arXiv 2308.12212). The signal of all nodes is y = D^-1/2 A D^-1/2 U theta + b of their
momentum features U; the weights A are those of `graph_learning.UnrolledGraph` for the distances between the nodes'
past features; theta, b and the layers' parameters are trained together, by squared error or by the Sharpe ratio.

Changed: distances are those over the whole past, not over one window of it. The graph of a few hundred overlapping days is
mostly noise, and such a network earns little more than one without a graph.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from numerai_assets.errors import MethodError
from numerai_assets.nn import training
from numerai_assets.nn.graph_learning import as_matrix, normalised, pairwise_distances, scaled

Loss = Literal["sharpe", "squared error"]


class NetworkMomentum(nn.Module):
    """y = D^-1/2 A D^-1/2 U theta + b of `features` momentum features. graph: from scaled distances (..., e) to weights
    (..., e), such as `UnrolledGraph` or `GivenGraph`; None for y = U theta + b.

    Initially theta is the mean of the features, which follows the trend.
    """

    def __init__(self, features: int, graph: nn.Module | None) -> None:
        super().__init__()
        self.graph = graph
        self.theta = nn.Parameter(torch.full((features,), 1 / features))
        self.bias = nn.Parameter(torch.zeros(()))

    def weights(self, distances: Tensor) -> Tensor:
        """(..., e) weights of the graph. Raises MethodError without one."""
        if self.graph is None:
            raise MethodError("this network has no graph: expected one that was made with it")
        found: Tensor = self.graph(scaled(distances))
        return found

    def forward(self, features: Tensor, distances: Tensor) -> Tensor:
        """(..., days, n) signals of features (..., days, n, k); distances (..., e) of the past of the first day."""
        own = features @ self.theta
        if self.graph is not None:
            # One product for all days, which share a symmetric graph.
            own = own @ normalised(as_matrix(self.weights(distances)))
        return own + self.bias


class GivenGraph(nn.Module):
    """A fixed graph: weights (e,) for any distances."""

    known: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("known", weights)

    def forward(self, distances: Tensor) -> Tensor:
        return self.known.expand(distances.shape)


def network_features(features: Tensor, weights: Tensor) -> Tensor:
    """(..., n, k) network momentum: for each node the features (..., n, k) of its neighbours, on a graph (..., n, n)."""
    return normalised(weights) @ features


def distances_before(features: Tensor, days: Sequence[int], window: int | None = None) -> Tensor:
    """(len(days), e) squared distances between nodes over the days before each of `days`, which ascend.

    features: (T, n, k), finite. window: days counted; None for all. Raises MethodError for a day with fewer before it.
    """
    least = window or 1
    if not days or days[0] < least or days[-1] > len(features) or any(a >= b for a, b in itertools.pairwise(days)):
        raise MethodError(f"days {list(days)[:3]}...: expected ascending ones in {least}..{len(features)}")

    def between(first: int, last: int) -> Tensor:
        return pairwise_distances(features[first:last].transpose(0, 1).flatten(1))

    if window is not None:
        return torch.stack([between(day - window, day) for day in days])
    parts = [between(first, last) for first, last in itertools.pairwise([0, *days])]
    return torch.stack(parts).cumsum(dim=0)


def train(
    network: NetworkMomentum,
    features: Tensor,
    distances: Tensor,
    returns: Tensor,
    *,
    loss: Loss = "sharpe",
    steps: int = 100,
    learning_rate: float = 0.01,
) -> NetworkMomentum:
    """The network after `steps` steps of Adam over all blocks at once. Nothing is random, so there is no seed.

    features: (blocks, days, n, k). distances: (blocks, e). returns: (blocks, days, n) of the next day, in units of
    their volatility. Raises MethodError when the loss is not finite.
    """

    def losses(_: int) -> Iterator[Tensor]:
        signals = network(features, distances)
        yield ((signals - returns) ** 2).mean() if loss == "squared error" else -sharpe(earned(signals, returns))

    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    training.train(network, optimiser, lambda step: [step], losses, epochs=steps)
    return network


def earned(signals: Tensor, returns: Tensor) -> Tensor:
    """(days,) mean return over nodes of positions of the size of the signals (..., n); returns: (..., n)."""
    return (signals * returns).mean(dim=-1).flatten()


def sharpe(daily: Tensor) -> Tensor:
    """() annualised Sharpe ratio of daily returns (days,)."""
    ratio: Tensor = 252**0.5 * daily.mean() / daily.std(unbiased=False)
    return ratio
