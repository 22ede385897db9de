"""On a market where followers take over what their leaders earned, groups found where returns spill over carry it."""

from dataclasses import replace

from benchmarks.network_momentum import SPILLOVER_ALONE, Outcome, outcome, world
from numerai_assets.features.learned.network_momentum import NetworkMomentum


def momentum(spillover: float, eras: int, judged: int) -> tuple[Outcome, Outcome]:
    """Of groups found on all features, and of groups found where returns spill over."""
    made = world(300, eras, replace(SPILLOVER_ALONE, spillover=spillover), seed=1)
    of_look_alikes, of_groups = (outcome(made, NetworkMomentum(found_on=count), judged) for count in (0, 4))
    return of_look_alikes, of_groups


def test_momentum_of_peer_groups_beats_that_of_look_alikes_where_returns_spill_over() -> None:
    of_look_alikes, of_groups = momentum(0.3, eras=300, judged=100)

    gain, error = of_groups.over("own", of_look_alikes.corr["own"])

    assert gain > 2 * error
    assert of_groups.corr["network"].mean() > 0.02
    assert 0.05 < of_groups.block.density < 0.7


def test_it_does_not_where_nothing_spills_over() -> None:
    of_look_alikes, of_groups = momentum(0.0, eras=180, judged=60)

    gain, error = of_groups.over("own", of_look_alikes.corr["own"])

    assert gain < 2 * error
    assert abs(of_groups.corr["network"].mean()) < 0.02
