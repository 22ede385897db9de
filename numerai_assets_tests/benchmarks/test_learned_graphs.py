"""On planted worlds the true edges are found, and a graph that has collapsed does not pass for one that was found."""

import pytest
import torch

from benchmarks.learned_graphs import (
    Outcome,
    PlantedReturns,
    best_of_grid,
    edge_auc,
    fit_layers,
    is_worth_learning,
    outcome,
    planted_graphs,
    planted_returns,
    relative_error,
)
from numerai_assets.methods.momentum_transformer.graph_momentum import GivenGraph
from numerai_assets.nn.graph_learning import UnrolledGraph, density, primal_dual


def test_trained_layers_find_planted_graphs_better_than_the_best_iterations() -> None:
    known, new = planted_graphs(256, 0), planted_graphs(32, 1)
    edges = (new.weights > 0).numpy()

    layers = fit_layers(UnrolledGraph(), known, epochs=5, learning_rate=0.03)
    with torch.no_grad():
        found = layers(new.distances)

    def is_found(weights: torch.Tensor) -> bool:
        small = float(relative_error(weights, new.weights)) <= 0.15
        return small and edge_auc(weights, edges) >= 0.98 and 0.1 <= float(density(weights).mean()) <= 0.7

    assert is_found(found)
    assert relative_error(found, new.weights) < relative_error(best_of_grid(new), new.weights)
    assert not is_found(torch.full_like(found, 2 / 19))
    assert not is_found(primal_dual(new.distances, gamma=0.02, steps=8))
    assert not is_found(primal_dual(new.distances / 10))


@pytest.fixture(scope="module")
def market() -> PlantedReturns:
    return planted_returns(16_000, seed=2, drift=0.06)


@pytest.fixture(scope="module")
def among(market: PlantedReturns) -> dict[str, Outcome]:
    """What is earned without learning a graph."""
    graphs = {
        "no graph": None,
        "uniform graph": GivenGraph(torch.ones(len(market.same))),
        "true graph": GivenGraph(torch.from_numpy(market.same).float()),
    }
    return {name: outcome(graph, market, market.expanding, steps=60) for name, graph in graphs.items()}


def test_momentum_is_worth_more_on_the_graph_learned_from_all_days_before(
    market: PlantedReturns, among: dict[str, Outcome]
) -> None:
    assert is_worth_learning(outcome(UnrolledGraph(), market, market.expanding, steps=60), among)
    assert is_worth_learning(among["true graph"], among)


def test_a_collapsed_graph_or_one_of_a_short_window_is_not_worth_it(
    market: PlantedReturns, among: dict[str, Outcome]
) -> None:
    complete = outcome(UnrolledGraph(alpha=30, beta=30), market, market.expanding, steps=20)
    recent = outcome(UnrolledGraph(), market, market.windowed, steps=40)

    assert complete.density == 1
    for mutant in (complete, recent, among["uniform graph"], among["no graph"]):
        assert not is_worth_learning(mutant, among)
