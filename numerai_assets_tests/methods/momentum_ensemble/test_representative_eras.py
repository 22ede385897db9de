"""Eras that stand for all: as many as asked for, spread over time, distributed like all, and the same each time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import MethodError
from numerai_assets.methods.momentum_ensemble.representative_eras import (
    distances,
    era_summaries,
    representative_eras,
    support_points,
)
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import normal_scores

MakePanel = Callable[..., EraPanel]
TARGET = "target_ender_60"
LAWFUL = settings(deadline=None, max_examples=40)


def energy_distance(points: np.ndarray, kept: list[int]) -> float:
    """From the kept points to all, by its definition."""
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    return float(2 * apart[kept].mean() - apart[np.ix_(kept, kept)].mean() - apart.mean())


@st.composite
def points_and_count(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    points = rng.normal(size=(draw(st.integers(1, 25)), draw(st.integers(1, 6))))
    return points, draw(st.integers(1, len(points)))


@given(drawn=points_and_count())
@LAWFUL
def test_each_run_keeps_one(drawn: tuple[np.ndarray, int]) -> None:
    points, count = drawn

    kept = support_points(points, count)

    runs = np.array_split(np.arange(len(points)), count)
    assert all(place in run for place, run in zip(kept, runs, strict=True))


@given(drawn=points_and_count())
@LAWFUL
def test_no_exchange_within_a_run_brings_the_distance_down(drawn: tuple[np.ndarray, int]) -> None:
    points, count = drawn

    kept = support_points(points, count)

    least = energy_distance(points, kept)
    for place, run in enumerate(np.array_split(np.arange(len(points)), count)):
        for other in run:
            assert energy_distance(points, [*kept[:place], int(other), *kept[place + 1 :]]) > least - 1e-9


@given(drawn=points_and_count())
@LAWFUL
def test_they_are_nearer_to_all_than_the_middles_of_the_runs(drawn: tuple[np.ndarray, int]) -> None:
    points, count = drawn
    middles = [int(run[len(run) // 2]) for run in np.array_split(np.arange(len(points)), count)]

    assert energy_distance(points, support_points(points, count)) <= energy_distance(points, middles) + 1e-9


def test_two_kinds_of_eras_are_kept_in_their_proportion() -> None:
    # Every fourth era is of the other kind; the middles of runs of four are all of one.
    points = np.where(np.arange(64)[:, None] % 4 == 3, 5.0, 0.0) + np.zeros((64, 3))

    kept = support_points(points, 16)

    assert sum(place % 4 == 3 for place in kept) == 4


def test_distances_are_euclidean() -> None:
    points = np.random.default_rng(0).normal(size=(7, 4))

    np.testing.assert_allclose(distances(points), np.linalg.norm(points[:, None] - points, axis=2), atol=1e-7)


def test_a_summary_is_payoff_mean_and_dispersion_of_each_feature(make_panel: MakePanel) -> None:
    panel = make_panel([10, 11])

    found = era_summaries(panel, TARGET).reshape(2, 3, 8)

    for era, summary in zip(panel.each_era(), found, strict=True):
        levels = era.features / 2**0.5
        aim = normal_scores(era.target(TARGET), era.rows_of_era)
        np.testing.assert_allclose(summary[0], [np.corrcoef(column, aim)[0, 1] for column in levels.T], atol=1e-5)
        np.testing.assert_allclose(summary[1], levels.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(summary[2], levels.std(axis=0), atol=1e-5)


def test_features_past_what_is_held_at_once_are_summarised_alike(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make_panel([10, 11, 12])
    at_once = era_summaries(panel, TARGET)

    monkeypatch.setattr("numerai_assets.methods.momentum_ensemble.representative_eras._FEATURES", 3)

    np.testing.assert_allclose(era_summaries(panel, TARGET), at_once, atol=1e-6)


def test_a_missing_value_stands_in_the_middle_and_a_constant_feature_pays_nothing(make_panel: MakePanel) -> None:
    panel = make_panel([10])
    block = panel.blocks[0].copy()
    block[0], block[1] = MISSING, 4

    payoff, mean, dispersion = era_summaries(replace(panel, blocks=(block,)), TARGET).reshape(3, 8)

    np.testing.assert_allclose(payoff[:2], 0)
    np.testing.assert_allclose(mean[:2], [2**0.5, 2 * 2**0.5], rtol=1e-6)
    np.testing.assert_allclose(dispersion[:2], 0, atol=1e-6)


def test_they_are_eras_of_the_panel_the_same_each_time_whatever_the_order_of_rows(make_panel: MakePanel) -> None:
    panel = make_panel(list(range(10, 50, 2)))
    order = np.random.default_rng(1).permutation(50)
    shuffled = replace(
        panel,
        blocks=tuple(block[:, order] for block in panel.blocks),
        targets_of_block={TARGET: tuple(values[order] for values in panel.targets_of_block[TARGET])},
    )

    kept = representative_eras(panel, TARGET, 5)

    assert len(kept) == 5 and set(kept) <= set(panel.eras) and kept == sorted(kept)
    assert kept == representative_eras(panel, TARGET, 5) == representative_eras(shuffled, TARGET, 5)
    assert representative_eras(panel, TARGET, 20) == list(panel.eras)


@pytest.mark.parametrize("count", [0, 5])
def test_more_than_there_are_or_none_is_refused(make_panel: MakePanel, count: int) -> None:
    with pytest.raises(MethodError, match=f"asked for {count} of 4"):
        representative_eras(make_panel([1, 2, 3, 4]), TARGET, count)
