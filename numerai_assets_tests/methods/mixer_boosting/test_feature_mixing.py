"""Mixers find what trees do not, in eras that they did not see, and nothing where there is nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone

from numerai_assets.eras import purge
from numerai_assets.errors import FeatureError, StoreError
from numerai_assets.features.fitting.cross_fitting import Run, cut_into_runs
from numerai_assets.methods.mixer_boosting.feature_mixing import FeatureMixing, dealt_features
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.features.planted import TARGET, interactions
from numerai_assets_tests.methods.mixer_boosting.columns import columns, corr_of_trees, mean_corr

LAWFUL = settings(deadline=None, max_examples=60)
GROUPS = {"a": ["f00", "f01", "f02", "f03"], "b": ["f04", "f05", "f06", "f07"], "c": ["f08", "f09", "f10", "f11"]}
FITTED, LATER = list(range(1, 97, 4)), list(range(120, 200, 4))


def small(**parameters: Any) -> FeatureMixing:
    usual: dict[str, Any] = {"mixers": 3, "tokens": 3, "channels": 4, "groups": GROUPS, "epochs": 2, "rows": 300}
    return FeatureMixing(**usual | parameters)


def learning(folds: int) -> FeatureMixing:
    """Mixers that learn the planted products, and the noise of the eras that they see."""
    return small(folds=folds, epochs=25, learning_rate=0.01, dropout=0.0)


def test_trees_with_the_columns_beat_trees_without_but_not_when_the_columns_have_seen_their_targets() -> None:
    fitted, later = interactions(FITTED), interactions(LATER)

    crossed = learning(4).fit(fitted, target=TARGET, seed=1)
    knowing = learning(1).fit(fitted, target=TARGET, seed=1)

    without, with_crossed = corr_of_trees(fitted, later), corr_of_trees(fitted, later, crossed)
    assert with_crossed > without + 0.01
    assert with_crossed > corr_of_trees(fitted, later, knowing) + 0.01
    assert mean_corr(columns(crossed, fitted)[:, 0], fitted) < 0.5 * mean_corr(columns(knowing, fitted)[:, 0], fitted)


def test_shuffled_targets_teach_nothing() -> None:
    fitted, later = interactions(FITTED, shuffled=True), interactions(LATER, shuffled=True)

    block = small(folds=2, epochs=8, learning_rate=0.01).fit(fitted, target=TARGET, seed=1)

    # Three standard errors of a mean CORR over 20 eras of 300 rows, and over 24.
    for panel in (later, fitted):
        assert abs(mean_corr(columns(block, panel).mean(axis=1), panel)) < 3 / np.sqrt(panel.rows)
    assert np.abs(block.agreement_).mean() < 0.2


def test_two_folds_agree_on_predictions_as_far_as_they_learned_and_on_aligned_units_even_where_there_is_nothing() -> (
    None
):
    unseen = interactions(LATER)
    agreements = {}
    for shuffled in (False, True):
        block = small(epochs=10, learning_rate=0.01).fit(
            interactions(FITTED, rows=400, noise=3, shuffled=shuffled), target=TARGET, seed=1
        )
        levels = [era.with_features(block.feature_names_).blocks[0] for era in unseen.each_era()]
        one, two = (
            np.concatenate([bank.units(block._scaled(some)).detach().numpy() for some in levels], axis=2)
            for bank in block.banks_
        )
        half = one.shape[2] // 2
        aligned = []
        for mine, theirs in zip(one - one.mean(2, keepdims=True), two - two.mean(2, keepdims=True), strict=True):
            turn, _ = orthogonal_procrustes(mine[:, :half].T, theirs[:, :half].T)
            pairs = zip((mine.T @ turn)[half:].T, theirs[:, half:], strict=True)
            aligned.append(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))
        predicted = [
            np.concatenate([block._predictions(bank, some) for some in levels], axis=1) for bank in block.banks_
        ]
        agreed = [np.corrcoef(mine, theirs)[0, 1] for mine, theirs in zip(*predicted, strict=True)]
        agreements[shuffled] = float(np.mean(agreed)), float(np.mean(aligned))

    assert agreements[False][0] > agreements[False][1]
    assert agreements[True][0] < 0.1 < agreements[True][1]


def test_an_era_s_columns_do_not_depend_on_its_own_or_its_neighbours_targets() -> None:
    panel = interactions(list(range(1, 60)))
    other = interactions(list(range(1, 60)), shuffled=True)
    (last,) = [run for run in cut_into_runs(panel.eras, 2, block="mixing") if run.last == 59]
    changed = [
        theirs if era >= last.first - purge(20) else ours
        for era, ours, theirs in zip(
            panel.eras, panel.targets_of_block[TARGET], other.targets_of_block[TARGET], strict=True
        )
    ]
    altered = EraPanel(panel.blocks, panel.feature_names, panel.eras, panel.ids_of_block, {TARGET: tuple(changed)})

    before, after = (small().fit(each, target=TARGET, seed=1) for each in (panel, altered))

    for era in (last.first, 45, 59):
        one = panel.with_eras([era])
        np.testing.assert_array_equal(before.transform(one), after.transform(one))
    assert not np.array_equal(before.transform(panel.with_eras([3])), after.transform(panel.with_eras([3])))


def test_later_eras_get_the_mean_of_the_folds_and_skipped_ones_the_fold_of_their_run() -> None:
    block = small().fit(interactions(FITTED), target=TARGET, seed=1)
    skipped, later = interactions([50]), interactions([120])

    def alone(fold: int, panel: EraPanel) -> np.ndarray:
        only = clone(block)
        vars(only).update({**vars(block), "runs_": [Run(1, 93)], "banks_": [block.banks_[fold]]})
        return only.transform(panel).astype(np.float64)

    assert block.runs_ == [Run(1, 45), Run(46, 93)]
    np.testing.assert_array_equal(block.transform(skipped), alone(1, skipped))
    mean = alone(0, later) + alone(1, later)
    np.testing.assert_allclose(block.transform(later), mean / mean.std(axis=1, keepdims=True), atol=5e-3)


def test_columns_are_standardised_in_the_era_and_follow_its_rows() -> None:
    block = small().fit(interactions(FITTED), target=TARGET, seed=1)
    panel = interactions([120])
    order = np.random.default_rng(0).permutation(panel.rows)
    turned = EraPanel((panel.blocks[0][:, order],), panel.feature_names, panel.eras, (panel.ids[order],))

    found = block.transform(panel)

    assert (found.dtype, found.shape) == (np.float16, (3, panel.rows))
    np.testing.assert_allclose(found.astype(float).mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(found.astype(float).std(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(block.transform(turned).astype(float), found[:, order].astype(float), atol=4e-3)


def test_the_same_seed_gives_the_same_columns_and_another_gives_others() -> None:
    fitted, panel = interactions(FITTED), interactions([120])

    one, same, other = (small().fit(fitted, target=TARGET, seed=seed).transform(panel) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_what_was_saved_is_what_is_loaded_and_holds_no_pickle(tmp_path: Path) -> None:
    block = small(blocks=2).fit(interactions(FITTED), target=TARGET, seed=1)

    block.save(tmp_path)
    loaded = FeatureMixing.load(tmp_path)

    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    assert json.loads((tmp_path / "about.json").read_text(encoding="utf-8"))["target"] == TARGET
    assert (loaded.get_params(), loaded.names_, loaded.feature_names_) == (
        block.get_params(),
        ("mixer_00", "mixer_01", "mixer_02"),
        block.feature_names_,
    )
    for era in (1, 93, 120):
        np.testing.assert_array_equal(loaded.transform(interactions([era])), block.transform(interactions([era])))
    assert loaded.picture() == block.picture()


@pytest.mark.parametrize("folds", [1, 2])
def test_the_picture_is_a_small_png(folds: int) -> None:
    picture = small(folds=folds).fit(interactions(FITTED), target=TARGET, seed=1).picture()

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 100_000


def test_without_groups_features_that_correlate_make_them() -> None:
    block = small(groups=None, channels=3).fit(interactions(FITTED), target=TARGET, seed=1)

    assert block.members_.shape == (3, 3, 3)
    assert block.transform(interactions([120])).shape == (3, 300)


@given(
    sizes=st.lists(st.integers(3, 9), min_size=2, max_size=6),
    mixers=st.integers(1, 9),
    tokens=st.integers(1, 2),
    channels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@LAWFUL
def test_features_are_dealt_evenly_from_as_many_groups_as_asked(
    sizes: list[int], mixers: int, tokens: int, channels: int, seed: int
) -> None:
    groups = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    group_of = np.repeat(np.arange(len(sizes)), sizes)

    dealt = dealt_features(groups, mixers, tokens, channels, np.random.default_rng(seed))

    assert dealt.shape == (mixers, tokens, channels)
    for mixer in dealt:
        assert len(set(mixer.ravel())) == tokens * channels
        assert all(len(set(group_of[token])) == 1 for token in mixer)
        assert len(set(group_of[mixer[:, 0]])) == tokens
    for group in groups:
        times = [int((dealt == feature).sum()) for feature in group]
        assert max(times) - min(times) <= 1


def test_missing_cells_count_as_the_middle() -> None:
    block = small().fit(interactions(FITTED), target=TARGET, seed=1)
    panel = interactions([120])
    gaps = np.where(panel.blocks[0] == 2, np.int8(-1), panel.blocks[0])

    missing = EraPanel((gaps,), panel.feature_names, panel.eras, panel.ids_of_block)

    np.testing.assert_array_equal(block.transform(missing), block.transform(panel))


def test_what_cannot_be_fitted_is_refused_with_the_reason() -> None:
    panel = interactions(list(range(1, 11)))

    with pytest.raises(FeatureError, match=r"nothing to fit the mixers of eras 1\.\.5 on: .* within 8 eras"):
        small().fit(panel, target=TARGET, seed=1)
    with pytest.raises(FeatureError, match=r"3 groups, the smallest of 4 features; .* 5 features of each of 3"):
        small(folds=1, channels=5).fit(panel, target=TARGET, seed=1)
    with pytest.raises(FeatureError, match=r"device 'tpu': expected 'cpu' or 'cuda'"):
        elsewhere = small(folds=1)
        elsewhere.run_on(device="tpu")
        elsewhere.fit(panel, target=TARGET, seed=1)
    with pytest.raises(StoreError, match="no target"):
        small().fit(panel, target="target_other_20", seed=1)
    with pytest.raises(FeatureError, match="one era at a time, found 10"):
        small(folds=1).fit(panel, target=TARGET, seed=1).transform(panel)
