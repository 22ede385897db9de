"""Every method of boosted trees fits without side effects, explains itself by gain, and passes its parameters on unchanged."""

from collections.abc import Callable

import numpy as np
import pytest

from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.boosted_trees import (
    DEEP,
    BoostedTrees,
    importance_table,
    lightgbm_parameters,
    xgboost_parameters,
)
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.methods.momentum_ensemble.estimator import MomentumEnsemble
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.methods.retargeted import TARGET, with_target

MakePanel = Callable[..., EraPanel]
ERAS = [10, 11, 12, 13]

Trees = BoostedTrees | MomentumEnsemble
of_each_method = pytest.mark.parametrize("kind", [Benchmark, ExternalBoosting, MomentumEnsemble])


def small(kind: type[Trees]) -> Trees:
    """Few, quick trees that may use half of the features each."""
    few = {"n_estimators": 20, "learning_rate": 0.1, "max_depth": 3, "colsample_bytree": 0.5}
    return kind.of_profile("quick", **few | ({"forest_trees": 20} if kind is MomentumEnsemble else {}))


@of_each_method
def test_fitting_changes_neither_the_panel_nor_the_parameters(make_panel: MakePanel, kind: type[Trees]) -> None:
    panel = make_panel(ERAS)
    blocks, target = [block.copy() for block in panel.blocks], panel.target(TARGET).copy()
    method = small(kind)
    before = method.get_params()

    assert method.fit(panel, target=TARGET, seed=0) is method

    assert method.get_params() == before
    np.testing.assert_array_equal(panel.target(TARGET), target)
    for block, kept in zip(panel.blocks, blocks, strict=True):
        np.testing.assert_array_equal(block, kept)


@of_each_method
def test_explanation_names_the_planted_feature_first(make_panel: MakePanel, kind: type[Trees]) -> None:
    panel = make_panel(ERAS, rows=100)

    table = small(kind).fit(panel, target=TARGET, seed=0).explain(panel)

    assert table.columns.tolist() == ["feature", "gain", "splits"]
    assert table["feature"][0] == "feature_0"
    assert sorted(table["feature"]) == sorted(panel.feature_names)
    assert table["gain"].is_monotonic_decreasing
    assert table["gain"].sum() == pytest.approx(1)
    assert table["splits"].sum() > 0


@of_each_method
def test_eras_that_come_later_do_not_change_earlier_predictions(make_panel: MakePanel, kind: type[Trees]) -> None:
    fitted = small(kind).fit(make_panel(ERAS), target=TARGET, seed=0)
    known = make_panel([40, 41])

    longer = fitted.predict(make_panel([40, 41, 42, 43]))

    np.testing.assert_array_equal(longer[: known.rows], fitted.predict(known))


@of_each_method
def test_eras_without_a_target_are_not_fitted_on(make_panel: MakePanel, kind: type[Trees]) -> None:
    panel, unseen = make_panel([10, 11, 12]), make_panel([40])
    values = panel.target(TARGET).copy()
    values[panel.era == 12] = np.nan

    fitted = small(kind).fit(with_target(panel, values), target=TARGET, seed=0)

    without = small(kind).fit(panel.with_eras([10, 11]), target=TARGET, seed=0)
    np.testing.assert_array_equal(fitted.predict(unseen), without.predict(unseen))


@of_each_method
def test_the_number_of_threads_does_not_change_the_predictions(make_panel: MakePanel, kind: type[Trees]) -> None:
    panel = make_panel(ERAS, rows=200)

    one, two = (small(kind).run_on(threads=n).fit(panel, target=TARGET, seed=3).predict(panel) for n in (1, 2))

    np.testing.assert_array_equal(one, two)


def test_a_table_of_importances_sorts_by_gain_and_shares_it_out_even_where_no_tree_splits() -> None:
    table = importance_table(("a", "b", "c"), np.array([1.0, 6.0, 1.0]), np.array([5, 2, 0]))

    assert table["feature"].tolist() == ["b", "a", "c"]
    assert table["gain"].tolist() == [0.75, 0.125, 0.125]
    assert table["splits"].tolist() == [2, 5, 0]
    assert importance_table(("a", "b"), np.zeros(2), np.zeros(2))["gain"].tolist() == [0, 0]


def test_both_libraries_are_given_the_same_shape_of_trees() -> None:
    method = Benchmark.of_profile("full", every_eras=2, colsample_bytree=0.3).run_on(threads=3)

    light, extreme = lightgbm_parameters(method, 7), xgboost_parameters(method, 7)

    names = {
        "num_threads": "nthread",
        "learning_rate": "learning_rate",
        "max_depth": "max_depth",
        "num_leaves": "max_leaves",
        "colsample_bytree": "colsample_bytree",
        "min_data_in_leaf": "min_child_weight",
        "seed": "seed",
    }
    assert {name: light[name] for name in names} == {name: extreme[theirs] for name, theirs in names.items()}
    assert (light["num_threads"], light["colsample_bytree"], light["seed"]) == (3, 0.3, 7)
    assert all(light[name] == value for name, value in DEEP.items() if name not in ("n_estimators", "every_eras"))
