"""Parts of raw scores, and permuted features: the laws they keep, and that both find what was planted."""

from collections.abc import Callable

import numpy as np
import pytest
import xgboost as xgb
from scipy.stats import spearmanr

from numerai_assets.errors import MethodError
from numerai_assets.evaluation.permutation_importance import corr_lost
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.contract import Additive, Method, OfTrees
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.methods.mixer_boosting.estimator import MixerBoosting
from numerai_assets.methods.momentum_ensemble.estimator import MomentumEnsemble
from numerai_assets.methods.permuted_predictions import permuting
from numerai_assets.panel.panel import EraPanel

MakePanel = Callable[..., EraPanel]
TARGET = "target_ender_60"
ALL_METHODS = (Benchmark, ExternalBoosting)


def fitted(method: type[Benchmark] | type[ExternalBoosting], panel: EraPanel, trees: int = 30) -> Method:
    few = method.of_profile("quick", n_estimators=trees, learning_rate=0.1, colsample_bytree=0.5)
    return few.fit(panel, target=TARGET, seed=0)


def raw_scores(method: Method, panel: EraPanel) -> np.ndarray:
    if isinstance(method, Benchmark):
        return np.asarray(method.booster_.predict(panel.features, num_threads=1))
    assert isinstance(method, ExternalBoosting)
    return np.asarray(method.booster_.predict(xgb.DMatrix(np.ascontiguousarray(panel.features), missing=-1)))


@pytest.mark.parametrize("kind", ALL_METHODS)
def test_parts_and_the_expected_score_sum_to_the_raw_score(
    make_panel: MakePanel, kind: type[Benchmark] | type[ExternalBoosting]
) -> None:
    method, unseen = fitted(kind, make_panel(list(range(10, 16)), rows=100)), make_panel([40], rows=80)
    assert isinstance(method, Additive)
    rows = np.array([3, 70, 11])

    parts = method.contributions(unseen, rows)

    assert parts.shape == (3, 8)
    assert parts.dtype == np.float32
    expected = raw_scores(method, unseen)[rows] - parts.sum(axis=1)
    np.testing.assert_allclose(expected, expected[0], rtol=1e-5)


@pytest.mark.parametrize("kind", ALL_METHODS)
def test_other_features_have_no_parts(make_panel: MakePanel, kind: type[Benchmark] | type[ExternalBoosting]) -> None:
    method = fitted(kind, make_panel([10, 11]), trees=3)
    assert isinstance(method, Additive)

    with pytest.raises(MethodError, match="fitted on 8 features, given 7"):
        method.contributions(make_panel([40], features=7), np.array([0]))


def test_permuting_a_feature_that_no_tree_asks_for_loses_exactly_nothing(make_panel: MakePanel) -> None:
    panel = make_panel(list(range(10, 14)))
    blocks = tuple(np.concatenate([block, np.ones((1, block.shape[1]), np.int8)]) for block in panel.blocks)
    names = (*panel.feature_names, "constant")
    panel = EraPanel(blocks, names, panel.eras, panel.ids_of_block, panel.targets_of_block)
    method = fitted(Benchmark, panel)
    unseen = panel.with_eras([13])

    lost = corr_lost(permuting(method)(unseen, [0, 8], np.random.default_rng(0)), unseen.target(TARGET))

    assert lost[0] > 0.1
    assert lost[1] == 0


def test_asking_a_method_anew_loses_what_its_trees_say_is_lost(make_panel: MakePanel) -> None:
    panel, unseen = make_panel(list(range(10, 16))), make_panel([40], rows=3000)

    of_trees, other = fitted(Benchmark, panel), fitted(ExternalBoosting, panel)
    assert isinstance(of_trees, OfTrees) and not isinstance(other, OfTrees)

    through_trees, asked_anew = (
        corr_lost(permuting(method)(unseen, range(8), np.random.default_rng(0)), unseen.target(TARGET))
        for method in (of_trees, other)
    )

    assert through_trees[0] == pytest.approx(asked_anew[0], rel=0.1)
    np.testing.assert_allclose(through_trees[1:], asked_anew[1:], atol=0.02)


def test_permuting_leaves_the_panel_as_it_was(make_panel: MakePanel) -> None:
    panel = make_panel([10, 11])
    before = [block.copy() for block in panel.blocks]
    era = panel.with_eras([11])

    for kind in ALL_METHODS:
        list(permuting(fitted(kind, panel, 3))(era, range(8), np.random.default_rng(0)))

    for block, kept in zip(panel.blocks, before, strict=True):
        np.testing.assert_array_equal(block, kept)


def test_parts_rise_with_the_level_of_the_planted_feature(make_panel: MakePanel) -> None:
    method, unseen = fitted(Benchmark, make_panel(list(range(10, 16)))), make_panel([40])
    assert isinstance(method, Additive)

    parts = method.contributions(unseen, np.arange(unseen.rows))

    assert spearmanr(parts[:, 0], unseen.features[:, 0]).statistic > 0.95
    assert np.abs(parts).mean(axis=0).argmax() == 0


@pytest.mark.parametrize("kind", [MixerBoosting, MomentumEnsemble])
def test_parts_of_an_ensemble_go_where_its_members_go(
    make_panel: MakePanel, kind: type[MixerBoosting] | type[MomentumEnsemble]
) -> None:
    few = {"n_estimators": 20, "colsample_bytree": 0.5}
    more = (
        {"boosters": ["gbdt", "xgboost"], "phases": 2, "extra_targets": []}
        if kind is MixerBoosting
        else {"forest_trees": 20, "every_eras": 1}
    )
    method = kind.of_profile("quick", **few | more).fit(
        make_panel(list(range(10, 18)), rows=100), target=TARGET, seed=0
    )
    unseen = make_panel([40], rows=300)
    assert isinstance(method, Additive)

    parts = method.contributions(unseen, np.arange(unseen.rows))

    assert parts.shape == (300, 8)
    # Blended are ranks, so the sums follow the prediction and are not it.
    assert spearmanr(parts.sum(axis=1), method.predict(unseen)).statistic > 0.95
    assert np.abs(parts).mean(axis=0).argmax() == 0
    some = np.array([7, 123])
    np.testing.assert_allclose(method.contributions(unseen, some), parts[some], atol=1e-5)
