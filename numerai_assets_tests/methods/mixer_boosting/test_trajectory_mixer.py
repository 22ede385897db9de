"""Mixers over trajectories find what only the past of look-alikes tells, from resolved targets alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numerai_assets.errors import FeatureError, StoreError
from numerai_assets.methods.mixer_boosting.trajectory_mixer import TrajectoryMixer
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets_tests.features.paid_trajectories import LAGS, SETS, paid_trajectories, turned, with_targets
from numerai_assets_tests.features.planted import TARGET
from numerai_assets_tests.methods.mixer_boosting.columns import columns, corr_of_trees, mean_corr

GROUPS = tuple(SETS)
FITTED, LATER = list(range(11, 132, 2)), list(range(140, 171, 2))


@pytest.fixture(scope="module")
def world() -> EraPanel:
    return paid_trajectories()


def small(**parameters: Any) -> TrajectoryMixer:
    usual: dict[str, Any] = {"lags": LAGS, "groups": GROUPS, "targets": (TARGET,), "mixers": 2, "steps": 2, "width": 4}
    return TrajectoryMixer(**usual | {"hidden": 8, "epochs": 1} | parameters)


def fitted(panel: EraPanel, **parameters: Any) -> TrajectoryMixer:
    return small(**parameters).fit(panel.with_eras(FITTED[:16]), target=TARGET, seed=1)


def test_trees_with_the_columns_beat_trees_without_where_the_past_of_look_alikes_pays(world: EraPanel) -> None:
    seen, later = world.with_eras(FITTED), world.with_eras(LATER)

    block = small(epochs=4, learning_rate=0.01).fit(seen, target=TARGET, seed=1)

    for panel in (seen, later):
        assert mean_corr(columns(block, panel).mean(axis=1), panel) > 0.15
    assert block.agreement_.min() > 0.5
    assert corr_of_trees(seen, later, block, trees=60) > corr_of_trees(seen, later, trees=60) + 0.1


def test_shuffled_targets_teach_nothing(world: EraPanel) -> None:
    rng = np.random.default_rng(0)
    aims = dict(zip(world.eras, world.targets_of_block[TARGET], strict=True))
    shuffled = with_targets(world, {era: rng.permutation(aim) for era, aim in aims.items()})
    seen, later = shuffled.with_eras(FITTED), shuffled.with_eras(LATER)

    block = small(epochs=4, learning_rate=0.01).fit(seen, target=TARGET, seed=1)

    for panel in (seen, later):
        assert abs(mean_corr(columns(block, panel).mean(axis=1), panel)) < 3 / np.sqrt(panel.rows)


def test_targets_that_had_not_resolved_change_no_bit(world: EraPanel) -> None:
    block, rng = fitted(world), np.random.default_rng(0)
    for era in (60, 150):
        # A target of 20 days resolves 5 eras later.
        poison = {later: rng.random(120).astype(np.float32) for later in range(era - 4, era + 5)}
        poison[era - 1] = np.full(120, np.nan, np.float32)
        other = {era - 5: rng.random(120).astype(np.float32)}

        before = block.transform(world.with_eras([era]))

        np.testing.assert_array_equal(block.transform(with_targets(world, poison).with_eras([era])), before)
        assert not np.array_equal(block.transform(with_targets(world, other).with_eras([era])), before)


def test_an_era_s_columns_do_not_depend_on_its_own_or_its_neighbours_targets(world: EraPanel) -> None:
    rng = np.random.default_rng(0)
    # Eras 11 to 25 are a fold; its nets are fitted on the others, which look back to era 30 and not to these.
    eras = [*range(11, 26), *range(40, 55)]
    changed = with_targets(world, {era: rng.permutation(120).astype(np.float32) / 119 for era in range(11, 30)})

    before, after = (small().fit(panel.with_eras(eras), target=TARGET, seed=1) for panel in (world, changed))

    for era in (11, 15):
        np.testing.assert_array_equal(before.transform(world.with_eras([era])), after.transform(world.with_eras([era])))
    later = world.with_eras([54])
    assert not np.array_equal(before.transform(later), after.transform(later))


def test_the_order_of_rows_changes_nothing_but_theirs(world: EraPanel) -> None:
    block = fitted(world)
    moved, orders = turned(world, seed=3)

    for era in (60, 150):
        found = block.transform(world.with_eras([era])).astype(float)
        np.testing.assert_allclose(
            block.transform(moved.with_eras([era])).astype(float), found[:, orders[era]], atol=5e-3
        )


def test_columns_are_standardised_within_the_era(world: EraPanel) -> None:
    found = fitted(world).transform(world.with_eras([150]))

    assert (found.dtype, found.shape) == (np.float16, (2, 120))
    np.testing.assert_allclose(found.astype(float).mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(found.astype(float).std(axis=1), 1, atol=1e-3)


def test_the_same_seed_gives_the_same_columns_and_another_gives_others(world: EraPanel) -> None:
    seen, panel = world.with_eras(FITTED[:16]), world.with_eras([150])

    one, same, other = (small().fit(seen, target=TARGET, seed=seed).transform(panel) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_what_was_saved_is_what_is_loaded_and_holds_no_pickle(world: EraPanel, tmp_path: Path) -> None:
    block = fitted(world)

    block.save(tmp_path)
    loaded = TrajectoryMixer.load(tmp_path)

    assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}
    assert json.loads((tmp_path / "about.json").read_text(encoding="utf-8"))["target"] == TARGET
    assert (loaded.names_, loaded.feature_names_, loaded.reads) == (
        ("trajectory_0", "trajectory_1"),
        tuple(f"f{place:02d}" for place in range(10)),
        Reads(10, (TARGET,), ("look_alikes",)),
    )
    for era in (11, 41, 150):
        panel = world.with_eras([era])
        np.testing.assert_array_equal(loaded.transform(panel), block.transform(panel))
    assert loaded.picture() == block.picture()
    assert loaded.picture().startswith(b"\x89PNG\r\n\x1a\n")


def test_what_cannot_be_fitted_is_refused_with_the_reason(world: EraPanel) -> None:
    panel = world.with_eras(FITTED[:16])

    with pytest.raises(FeatureError, match="target_ender_60 resolves after 13 eras, look-alikes reach 10 eras back"):
        small(targets=("target_ender_60",)).fit(panel, target=TARGET, seed=1)
    with pytest.raises(FeatureError, match="feature set 'magic' is not in"):
        small(groups=("magic",)).fit(panel, target=TARGET, seed=1)
    with pytest.raises(FeatureError, match=r"device 'tpu': expected 'cpu' or 'cuda'"):
        elsewhere = small()
        elsewhere.run_on(device="tpu")
        elsewhere.fit(panel, target=TARGET, seed=1)
    with pytest.raises(FeatureError, match="one era at a time, found 16"):
        fitted(world).transform(panel)
    with pytest.raises(StoreError, match="carries no history"):
        small().fit(EraPanel(**{**vars(panel), "history_of": None}), target=TARGET, seed=1)
