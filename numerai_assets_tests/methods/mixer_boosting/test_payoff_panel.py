"""The payoff panel forecasts what features pay from what was known, and from nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from benchmarks.payoff_world import CONSTANT, LAG, TARGET, World, made, remembering, scored
from numerai_assets.errors import FeatureError, StoreError
from numerai_assets.methods.mixer_boosting.payoff_panel import SCORES, PayoffPanel, most_reliable, scores
from numerai_assets.panel.panel import EraPanel, Reads

WORLD = World(features=6, rows=60, eras=270, fitted=250)


@pytest.fixture(scope="module")
def panel() -> EraPanel:
    return made(WORLD, 0).panel


@pytest.fixture(scope="module")
def block(panel: EraPanel) -> PayoffPanel:
    return fitted(panel)


def fitted(panel: EraPanel, last: int = WORLD.fitted, **parameters: Any) -> PayoffPanel:
    usual: dict[str, Any] = {"length": 8, "folds": 2, "channels": 4, "hidden": 4, "epochs": 2}
    eras = [era for era in panel.eras if era <= last]
    return PayoffPanel(**usual | parameters).fit(panel.with_eras(eras), target=TARGET, seed=0)


def columns(block: PayoffPanel, panel: EraPanel, era: int) -> NDArray[np.float16]:
    return block.transform(panel.with_eras([era]))


def altered(
    panel: EraPanel,
    change: Callable[[int, EraPanel, np.random.Generator], tuple[NDArray[np.int8], NDArray[np.float32]]],
) -> EraPanel:
    """The panel with the block and target that `change` gives for each era, and a history of these."""
    changed = [change(one.eras[0], one, np.random.default_rng(one.eras[0])) for one in panel.each_era()]
    return remembering(
        replace(
            panel,
            blocks=tuple(block for block, _ in changed),
            targets_of_block={TARGET: tuple(target for _, target in changed)},
            digests=(),
        )
    )


def test_forecasts_of_payoffs_beat_their_mean_where_payoffs_move() -> None:
    """C6, small; benchmarks/payoff_world.py has the whole."""
    world = World(eras=740, fitted=600)
    found = [scored(world, seed, PayoffPanel(folds=1, epochs=15)) for seed in (0, 1)]

    forecast, least_squares, oracle = (
        np.concatenate([one[name] for one in found]) for name in ("forecast", "least squares", "oracle")
    )
    assert forecast.mean() > 1.3 * least_squares.mean()
    assert forecast.mean() > 0.4 * oracle.mean()
    assert ttest_1samp(forecast - least_squares, 0).statistic > 3


def test_where_payoffs_stay_the_same_little_is_lost() -> None:
    world = World(CONSTANT, rows=500, eras=500, fitted=400)
    found = scored(world, 0, PayoffPanel(folds=1, epochs=8))

    assert found["forecast"].mean() > 0.85 * found["least squares"].mean()


@pytest.mark.parametrize("era", [100, WORLD.fitted + 12])
def test_what_had_not_resolved_changes_no_bit(panel: EraPanel, block: PayoffPanel, era: int) -> None:
    def permuted(one: int, was: EraPanel, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        levels = rng.permuted(was.blocks[0], axis=1) if one > era else was.blocks[0]
        return levels, rng.permutation(was.target(TARGET)) if one > era - LAG else was.target(TARGET)

    def poisoned(one: int, was: EraPanel, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        target = was.target(TARGET)
        return was.blocks[0], np.full_like(target, np.nan) if one > era - LAG else target

    here = columns(block, panel, era)
    np.testing.assert_array_equal(columns(block, altered(panel, permuted), era), here)
    np.testing.assert_array_equal(columns(block, altered(panel, poisoned), era), here)


def test_what_speaks_for_a_run_has_not_seen_its_targets(panel: EraPanel, block: PayoffPanel) -> None:
    run = block.folds_[1].run

    def permuted(one: int, was: EraPanel, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        return was.blocks[0], rng.permutation(was.target(TARGET)) if one >= run.first else was.target(TARGET)

    other = altered(panel, permuted)
    refitted = fitted(other)

    # From the next era on, a payoff of the run itself has resolved.
    for era in range(run.first, run.first + LAG):
        np.testing.assert_array_equal(columns(refitted, other, era), columns(block, panel, era))
    assert (columns(refitted, other, WORLD.fitted + 20) != columns(block, panel, WORLD.fitted + 20)).any()


def test_the_order_of_rows_changes_nothing_but_theirs(panel: EraPanel, block: PayoffPanel) -> None:
    orders = {era: np.random.default_rng(era).permutation(WORLD.rows) for era in panel.eras}

    def reordered(one: int, was: EraPanel, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        return np.ascontiguousarray(was.blocks[0][:, orders[one]]), was.target(TARGET)[orders[one]]

    other = altered(panel, reordered)
    refitted = fitted(other)

    for era in (60, WORLD.eras):
        np.testing.assert_array_equal(columns(refitted, other, era), columns(block, panel, era)[:, orders[era]])


def test_what_was_saved_gives_the_same_columns_without_a_pickle(
    panel: EraPanel, block: PayoffPanel, tmp_path: Path
) -> None:
    block.save(tmp_path)
    loaded = PayoffPanel.load(tmp_path)

    for era in (60, WORLD.eras):
        np.testing.assert_array_equal(columns(loaded, panel, era), columns(block, panel, era))
    assert loaded.get_params() == block.get_params()
    assert (loaded.names_, loaded.feature_names_, loaded.reads) == (SCORES, block.feature_names_, block.reads)
    assert loaded.picture() == block.picture()
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".npz", ".json"}


def test_it_reads_as_far_back_as_a_late_release_needs_and_in_its_fit_only_its_panel(block: PayoffPanel) -> None:
    assert PayoffPanel().reads == Reads()
    assert block.reads == Reads(look_back=8 - 1 + LAG + 2, targets=(TARGET,))


def test_an_era_whose_past_is_too_short_has_no_columns(panel: EraPanel, block: PayoffPanel) -> None:
    first = 8 + LAG

    assert np.isnan(columns(block, panel, first - 1)).all()
    assert not np.isnan(columns(block, panel, first)).any()


@pytest.mark.parametrize("late", [1, 2, 3])
def test_a_late_release_is_forecast_across_until_it_is_too_late(panel: EraPanel, block: PayoffPanel, late: int) -> None:
    era = WORLD.eras
    behind = replace(panel, history_of=lambda one: replace(panel.history(one), newest_release=era - late))

    if late > 2:
        with pytest.raises(FeatureError, match="reach 7 eras, not 8"):
            columns(block, behind, era)
    else:
        found = columns(block, behind, era)
        assert not np.isnan(found).any()
        assert (found[0] != columns(block, panel, era)[0]).any()


def test_too_few_eras_are_told_with_how_many_would_do(panel: EraPanel) -> None:
    with pytest.raises(FeatureError, match=r"50 eras make 36 windows of 15 .* 54 consecutive eras are enough"):
        fitted(panel, 50, folds=1)

    fitted(panel, 54, folds=1, epochs=1)


def test_a_target_that_should_have_resolved_and_is_unknown_is_an_error(panel: EraPanel, block: PayoffPanel) -> None:
    def lost(one: int, was: EraPanel, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        target = was.target(TARGET)
        return was.blocks[0], np.full_like(target, np.nan) if one == 258 else target

    with pytest.raises(FeatureError, match="target_ender_20 of era 0258 has no value"):
        columns(block, altered(panel, lost), 265)


def test_several_eras_at_once_and_a_panel_without_history_are_errors(panel: EraPanel, block: PayoffPanel) -> None:
    with pytest.raises(FeatureError, match="one era at a time, found 2"):
        block.transform(panel.with_eras([100, 101]))
    with pytest.raises(StoreError, match="history"):
        columns(block, replace(panel, history_of=None), 100)


def test_channels_are_the_features_whose_mean_payoff_is_surest() -> None:
    rng = np.random.default_rng(0)
    paid = rng.normal(size=(200, 5)) * [1, 1, 5, 1, 1] + [0, 0.5, 1, -0.8, 0]
    paid[:, 4] = np.nan

    assert most_reliable(paid, 2).tolist() == [1, 3]
    assert most_reliable(paid, 9).tolist() == [0, 1, 2, 3]


def test_scores_are_weighted_sums_of_standardised_features() -> None:
    rng = np.random.default_rng(0)
    block, weights = rng.integers(0, 5, (600, 50), dtype=np.int8), rng.normal(size=(2, 600))
    standardised = (block - block.mean(axis=1, keepdims=True)) / block.std(axis=1, keepdims=True)

    np.testing.assert_allclose(scores(block, weights), weights @ standardised, atol=1e-10)


def test_the_picture_is_a_png(block: PayoffPanel) -> None:
    assert block.picture().startswith(b"\x89PNG")
