"""A sparse graph among nodes, learned from the similarity of their signals: by iterations, and by a network made of them.

Papers: Kalofolias 2016, How to learn a graph from smooth signals (arXiv 1601.02513), eq. 12 and algorithm 1; Pu et al.
2021, Learning to learn graph topologies (arXiv 2110.09807), whose layers are such iterations with parameters of their
own; Pu et al. 2023, L2GMOM (arXiv 2308.12212), which trains them by what a portfolio earns.

Weights w and squared distances z of the e = n (n - 1) / 2 pairs of n nodes are half-vectors: the upper triangle, row
after row. Where A is the symmetric matrix of the weights and Dw = A 1 the degrees, the graph is

    min over w >= 0 of  2 z'w - alpha 1'log(Dw) + beta |w|^2.

The logarithm leaves no node without a neighbour. The number of neighbours depends on alpha x beta relative to the square
of the scale of z. So distances are `scaled` to mean 1; alpha = beta = 1 then keeps the nearest neighbours.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.errors import MethodError

_STEP = 0.9
"""Default length of a step, as a share of the longest with which iterations converge."""


def learn_graph(
    signals: NDArray[np.float64], *, alpha: float = 1.0, beta: float = 1.0, steps: int = 500
) -> NDArray[np.float64]:
    """(nodes, nodes) float64 weights >= 0, symmetric, diagonal 0, of the graph on which signals (nodes, samples) are smooth.

    Only relative differences between nodes count: signals times a constant have the same graph.
    500 steps end within 1e-5 of the largest weight from the optimum of up to 128 nodes at alpha = beta = 1.
    Raises MethodError for fewer than two nodes, values that are not finite and nodes that are all equal.
    """
    if signals.ndim != 2 or len(signals) < 2 or not np.isfinite(signals).all():
        raise MethodError(f"signals {signals.shape}: expected finite numbers (nodes, samples) of two nodes or more")
    distances = scaled(pairwise_distances(torch.from_numpy(np.asarray(signals, np.float64))))
    weights = primal_dual(distances, alpha=alpha, beta=beta, steps=steps)
    return np.asarray(as_matrix(weights).numpy())


def primal_dual(
    distances: Tensor, *, alpha: float = 1.0, beta: float = 1.0, gamma: float | None = None, steps: int = 500
) -> Tensor:
    """(..., e) weights after `steps` iterations from 0, all with the same parameters.

    gamma: length of a step; None for one that converges, 0.9 of `largest_step`.
    """
    if gamma is None:
        gamma = _STEP * float(largest_step(node_count(distances), torch.tensor(beta)))
    alphas, betas, gammas = (distances.new_full((steps,), value) for value in (alpha, beta, gamma))
    return unroll(distances, alphas, betas, gammas)


class UnrolledGraph(nn.Module):
    """Iterations as layers, each with an alpha, beta and gamma of its own, all learnable (Pu et al. 2021).

    Initially they are the iterations that converge, so an untrained network already finds a graph. The parameters are the
    logarithms of alpha and beta and the log-odds of the step as a share of `largest_step`: at any parameters alpha and beta
    are positive and the steps stable, for graphs of any size.
    """

    def __init__(self, layers: int = 20, *, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.full((layers,), math.log(alpha)))
        self.log_beta = nn.Parameter(torch.full((layers,), math.log(beta)))
        self.step_odds = nn.Parameter(torch.full((layers,), math.log(_STEP / (1 - _STEP))))

    def forward(self, distances: Tensor) -> Tensor:
        """(..., e) weights of `scaled` distances (..., e)."""
        beta = self.log_beta.exp()
        gamma = torch.sigmoid(self.step_odds) * largest_step(node_count(distances), beta)
        return unroll(distances, self.log_alpha.exp(), beta, gamma)


def unroll(distances: Tensor, alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """(..., e) weights >= 0 of distances (..., e), by a primal-dual step for each of alpha, beta and gamma (layers >= 1,).

    Forward-backward-forward splitting (Kalofolias 2016, algorithm 1). The iterate w may still be slightly negative or not
    exactly 0, so the result is the first half of one more step, whose values are >= 0 and sparse.
    """
    nodes = node_count(distances)
    cost = 2 * distances
    weights = torch.zeros_like(distances)
    dual = distances.new_zeros((*distances.shape[:-1], nodes))
    for a, b, g in zip(alpha, beta, gamma, strict=True):
        moved = weights - g * (2 * b * weights + cost + spread(dual))
        moved_dual = dual + g * degrees(weights)
        kept = torch.relu(moved)
        # Proximal operator of the conjugate of the logarithmic barrier.
        kept_dual = (moved_dual - (moved_dual**2 + 4 * a * g).sqrt()) / 2
        weights = weights - moved + kept - g * (2 * b * kept + cost + spread(kept_dual))
        dual = dual - moved_dual + kept_dual + g * degrees(kept)
    return torch.relu(weights - gamma[-1] * (2 * beta[-1] * weights + cost + spread(dual)))


def largest_step(nodes: int, beta: Tensor) -> Tensor:
    """Of the shape of beta: the step below which iterations converge, 1 / (2 beta + sqrt(2 (n - 1))).

    2 beta is the Lipschitz constant of the smooth term's gradient, sqrt(2 (n - 1)) the norm of the degree operator.
    """
    return 1 / (2 * beta + math.sqrt(2 * (nodes - 1)))


def degrees(weights: Tensor) -> Tensor:
    """(..., n) sum of the weights (..., e) at each node: the operator D."""
    first, second = ends(node_count(weights), weights.device)
    none = weights.new_zeros((*weights.shape[:-1], node_count(weights)))
    return none.index_add(-1, first, weights).index_add(-1, second, weights)


def spread(values: Tensor) -> Tensor:
    """(..., e) sum of the values (..., n) at both ends of each pair: the adjoint D' of `degrees`."""
    first, second = ends(values.shape[-1], values.device)
    return values[..., first] + values[..., second]


def ends(nodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(e,) and (e,) int64 nodes of each pair, the lower first."""
    first, second = torch.triu_indices(nodes, nodes, offset=1, device=device)
    return first, second


def node_count(pairs: Tensor) -> int:
    """n of a half-vector (..., n (n - 1) / 2). Raises MethodError where its length is not that of two nodes or more."""
    edges = pairs.shape[-1]
    nodes = (1 + math.isqrt(1 + 8 * edges)) // 2
    if edges == 0 or nodes * (nodes - 1) // 2 != edges:
        raise MethodError(f"{edges} pairs: expected n (n - 1) / 2 of n nodes, n at least 2")
    return nodes


def as_matrix(weights: Tensor) -> Tensor:
    """(..., n, n) symmetric, diagonal 0, of a half-vector (..., e)."""
    nodes = node_count(weights)
    first, second = ends(nodes, weights.device)
    cells = weights.new_zeros((*weights.shape[:-1], nodes * nodes)).index_copy(-1, first * nodes + second, weights)
    upper = cells.reshape(*weights.shape[:-1], nodes, nodes)
    return upper + upper.mT


def as_pairs(matrix: Tensor) -> Tensor:
    """(..., e) upper triangle of (..., n, n)."""
    first, second = ends(matrix.shape[-1], matrix.device)
    return matrix[..., first, second]


def pairwise_distances(signals: Tensor) -> Tensor:
    """(..., e) squared Euclidean distances between nodes of signals (..., n, samples)."""
    # Without the mean, which cancels, the squares are small and lose no digits.
    centred = signals - signals.mean(dim=-2, keepdim=True)
    products = centred @ centred.mT
    return (spread(products.diagonal(dim1=-2, dim2=-1)) - 2 * as_pairs(products)).clamp_min(0)


def scaled(distances: Tensor) -> Tensor:
    """Distances (..., e) of mean 1. Raises MethodError where all are 0: such nodes have no graph."""
    mean = distances.mean(dim=-1, keepdim=True)
    if not bool((mean > 0).all()):
        raise MethodError("all distances between nodes are 0 or not a number: expected signals that differ")
    return distances / mean


def normalised(matrix: Tensor) -> Tensor:
    """(..., n, n) D^-1/2 A D^-1/2 of weights A (..., n, n), eigenvalues within -1..1; 0 at a node without neighbour."""
    degree = matrix.sum(dim=-1)
    joined = degree > 0
    root = torch.where(joined, torch.where(joined, degree, 1).rsqrt(), 0)
    return root[..., :, None] * matrix * root[..., None, :]


def density(weights: Tensor) -> Tensor:
    """(...) share of the pairs (..., e) that are edges: 1 for a graph that has collapsed to the complete one."""
    return (weights > 0).to(weights.dtype).mean(dim=-1)
