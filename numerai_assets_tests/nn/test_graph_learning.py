"""A learned graph is the optimum of its problem, whatever the nodes are called, and its layers learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from torch import Tensor

from numerai_assets.errors import MethodError
from numerai_assets.nn.graph_learning import (
    UnrolledGraph,
    as_matrix,
    as_pairs,
    degrees,
    density,
    largest_step,
    learn_graph,
    node_count,
    normalised,
    pairwise_distances,
    primal_dual,
    scaled,
    spread,
)

LAWFUL = settings(deadline=None, max_examples=20)
COSTLY = settings(deadline=None, max_examples=8)
SEEDS = st.integers(0, 999)


def clusters(nodes: int, samples: int = 2000, seed: int = 0, shared: float = 0.25) -> NDArray[np.float64]:
    """Signals (nodes, samples) of variance 1; every third node shares a part of it."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(3, samples))[np.arange(nodes) % 3]
    return np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=(nodes, samples))


def distances(nodes: int, seed: int, samples: int = 4) -> Tensor:
    return scaled(pairwise_distances(torch.from_numpy(np.random.default_rng(seed).normal(size=(nodes, samples)))))


@given(seed=SEEDS, alpha=st.floats(0.1, 3), beta=st.floats(0.2, 3))
@COSTLY
def test_iterations_end_at_the_optimum(seed: int, alpha: float, beta: float) -> None:
    z = distances(10, seed)

    w = primal_dual(z, alpha=alpha, beta=beta, steps=2000)

    slope = 2 * z + 2 * beta * w - alpha * spread(1 / degrees(w))
    assert w.min() >= 0
    assert slope.min() > -1e-6
    assert (slope * w).abs().max() < 1e-6


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_no_general_solver_finds_a_better_graph(alpha: float, beta: float) -> None:
    z = distances(10, seed=1)

    def cost(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = torch.tensor(w, requires_grad=True)
        value = 2 * z @ weights - alpha * degrees(weights).log().sum() + beta * weights @ weights
        value.backward()
        return value.item(), weights.grad.numpy()

    theirs = minimize(
        cost, np.full(45, 0.1), jac=True, bounds=[(1e-12, None)] * 45, options={"ftol": 1e-15, "gtol": 1e-10}
    )
    ours = primal_dual(z, alpha=alpha, beta=beta, steps=2000)

    np.testing.assert_allclose(ours.numpy(), theirs.x, atol=1e-4)
    assert cost(ours.numpy())[0] <= theirs.fun + 1e-8


@given(nodes=st.integers(2, 12), seed=SEEDS)
@LAWFUL
def test_spreading_is_the_adjoint_of_summing_up(nodes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, v = torch.from_numpy(rng.normal(size=nodes * (nodes - 1) // 2)), torch.from_numpy(rng.normal(size=nodes))

    torch.testing.assert_close(degrees(w) @ v, w @ spread(v))


@given(nodes=st.integers(2, 12), seed=SEEDS)
@LAWFUL
def test_pairs_and_matrix_are_the_same_graph(nodes: int, seed: int) -> None:
    w = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, nodes * (nodes - 1) // 2)))

    matrix = as_matrix(w)

    torch.testing.assert_close(matrix, matrix.mT)
    assert not matrix.diagonal(dim1=-2, dim2=-1).any()
    torch.testing.assert_close(as_pairs(matrix), w)
    torch.testing.assert_close(matrix.sum(dim=-1), degrees(w))


@given(nodes=st.integers(2, 12), seed=SEEDS, level=st.floats(-1e6, 1e6))
@LAWFUL
def test_distances_are_those_of_scipy_also_far_from_0(nodes: int, seed: int, level: float) -> None:
    signals = np.random.default_rng(seed).normal(size=(nodes, 5))

    found = pairwise_distances(torch.from_numpy(signals + level))

    np.testing.assert_allclose(found.numpy(), pdist(signals, "sqeuclidean"), atol=1e-7)


@given(seed=SEEDS, nodes=st.integers(2, 12), factor=st.floats(0.01, 100))
@COSTLY
def test_a_graph_hangs_neither_on_the_order_of_nodes_nor_on_the_unit_of_signals(
    seed: int, nodes: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    signals, order = rng.normal(size=(nodes, 6)), rng.permutation(nodes)

    weights = learn_graph(signals)

    np.testing.assert_array_equal(weights, weights.T)
    assert not weights.diagonal().any()
    assert weights.min() >= 0
    assert (weights.sum(axis=0) > 0).all()
    np.testing.assert_allclose(learn_graph(signals[order]), weights[np.ix_(order, order)], atol=1e-8)
    np.testing.assert_allclose(learn_graph(factor * signals + rng.normal(size=6)), weights, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_graph_of_a_batch_is_what_it_is_alone(dtype: torch.dtype) -> None:
    z = torch.stack([distances(8, seed) for seed in range(6)]).to(dtype).reshape(2, 3, -1)
    net = UnrolledGraph(5)

    assert primal_dual(z, steps=50).dtype == dtype
    for first in range(2):
        for second in range(3):
            torch.testing.assert_close(net(z)[first, second], net(z[first, second]))
            torch.testing.assert_close(primal_dual(z, steps=50)[first, second], primal_dual(z[first, second], steps=50))


@pytest.mark.parametrize("nodes", [2, 10, 64])
def test_an_untrained_network_is_the_iterations_it_is_made_of(nodes: int) -> None:
    z = distances(nodes, seed=0)

    torch.testing.assert_close(
        UnrolledGraph(12, alpha=0.7, beta=1.3)(z), primal_dual(z, alpha=0.7, beta=1.3, steps=12), atol=1e-6, rtol=1e-5
    )


def test_every_parameter_of_every_layer_learns() -> None:
    z, net = distances(10, seed=0), UnrolledGraph(6)

    (net(z) * torch.linspace(0, 1, 45)).sum().backward()

    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.abs() > 1e-9).all(), name
        assert parameter.grad.isfinite().all(), name


@given(seed=SEEDS, size=st.floats(0.1, 30))
@LAWFUL
def test_whatever_it_is_trained_to_its_weights_stay_finite(seed: int, size: float) -> None:
    net = UnrolledGraph(20)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        net.step_odds.copy_(size * torch.randn(20, generator=generator))

        weights = net(distances(10, seed).float())

    assert weights.isfinite().all()
    assert weights.max() < 100


@pytest.mark.parametrize("nodes", [30, 64])
def test_twenty_layers_find_the_edges_that_iterations_end_with(nodes: int) -> None:
    z = scaled(pairwise_distances(torch.from_numpy(clusters(nodes))))
    edges = primal_dual(z, steps=2000) > 0

    within = np.equal.outer(np.arange(nodes) % 3, np.arange(nodes) % 3)

    assert 0.1 < edges.double().mean() < 0.7
    assert within[np.triu_indices(nodes, 1)][edges.numpy()].all()
    assert ((UnrolledGraph(20)(z) > 0) == edges).double().mean() >= 0.999
    assert ((primal_dual(z, gamma=0.02, steps=8) > 0) == edges).double().mean() < 0.8


def test_distances_near_each_other_relative_to_alpha_and_beta_make_the_complete_graph() -> None:
    z = scaled(pairwise_distances(torch.from_numpy(clusters(30))))

    assert density(primal_dual(z)) < 0.7
    assert density(primal_dual(z / 10)) == 1


@given(seed=SEEDS, nodes=st.integers(2, 12))
@COSTLY
def test_a_normalised_graph_never_amplifies(seed: int, nodes: int) -> None:
    matrix = normalised(as_matrix(primal_dual(distances(nodes, seed))))

    values = torch.linalg.eigvalsh(matrix)

    torch.testing.assert_close(matrix, matrix.mT)
    assert values.max().item() == pytest.approx(1)
    assert values.min() > -1 - 1e-9


def test_a_node_without_neighbour_has_a_row_of_0_and_no_gradient_that_is_not_finite() -> None:
    weights = torch.tensor([1.0, 0, 0], requires_grad=True)

    matrix = normalised(as_matrix(weights))
    matrix.sum().backward()

    assert matrix.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


@pytest.mark.parametrize(
    "signals", [np.ones((1, 5)), np.ones(5), np.full((4, 5), 2.0), np.full((4, 5), np.nan), np.empty((4, 0))]
)
def test_signals_without_a_graph_are_refused(signals: NDArray[np.float64]) -> None:
    with pytest.raises(MethodError):
        learn_graph(signals)


@pytest.mark.parametrize("pairs", [0, 2, 4, 44])
def test_a_length_that_is_no_number_of_pairs_is_refused(pairs: int) -> None:
    with pytest.raises(MethodError, match=f"{pairs} pairs"):
        node_count(torch.zeros(3, pairs))


@pytest.mark.parametrize("nodes", [2, 5, 10])
def test_the_longest_step_follows_from_the_norms_of_what_is_iterated(nodes: int) -> None:
    operator = torch.stack([degrees(pair) for pair in torch.eye(nodes * (nodes - 1) // 2)])

    norm = torch.linalg.matrix_norm(operator, 2)

    torch.testing.assert_close(largest_step(nodes, torch.tensor([0.5, 2.0])), 1 / (torch.tensor([1.0, 4.0]) + norm))
