"""XGBoost from disk: the same trees as from memory, eras as they come, nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from scipy.stats import spearmanr

from numerai_assets.errors import MethodError
from numerai_assets.methods.boosted_trees import xgboost_parameters
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.trees.gapped import TARGET, with_gaps

MakePanel = Callable[..., EraPanel]
ERAS = [10, 11, 12, 13]


def small(**parameters: object) -> ExternalBoosting:
    settings = {"n_estimators": 15, "learning_rate": 0.1, "colsample_bytree": 0.5, "max_depth": 3}
    return ExternalBoosting.of_profile("quick", **settings | {"min_data_in_leaf": 5} | parameters)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_trees_are_those_of_xgboost_in_memory(make_panel: MakePanel, share: float) -> None:
    panel = with_gaps(make_panel(ERAS, rows=80), share)
    method = small().fit(panel, target=TARGET, seed=2)
    label = panel.target(TARGET)
    known = ~np.isnan(label)
    matrix = np.ascontiguousarray(panel.features)

    data = xgb.QuantileDMatrix(matrix[known], label[known], missing=-1, max_bin=5, nthread=1)
    booster = xgb.train(xgboost_parameters(method, 2), data, num_boost_round=method.n_estimators)

    expected = rank_within_eras(booster.inplace_predict(matrix, missing=-1), panel.rows_of_era)
    np.testing.assert_allclose(method.predict(panel), expected, atol=1e-6)


def test_it_learns_a_planted_signal(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(list(range(10, 18)), rows=100), target=TARGET, seed=0)
    unseen = make_panel([40], rows=500)

    assert spearmanr(fitted.predict(unseen), unseen.features[:, 0]).statistic > 0.9
    assert fitted.explain(unseen)["feature"][0] == "feature_0"
    assert fitted.explain(unseen)["gain"].sum() == pytest.approx(1)


def test_the_same_seed_makes_the_same_predictions_and_another_seed_others(make_panel: MakePanel) -> None:
    panel = make_panel(ERAS)
    first, again, other = (small().fit(panel, target=TARGET, seed=seed).predict(panel) for seed in (3, 3, 4))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_saved_model_predicts_as_before_and_no_file_is_a_pickle(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = make_panel(ERAS)
    fitted = small(n_estimators=7).fit(panel, target=TARGET, seed=0)
    fitted.save(tmp_path)

    loaded = ExternalBoosting.load(tmp_path)

    np.testing.assert_array_equal(loaded.predict(panel), fitted.predict(panel))
    assert loaded.get_params() == fitted.get_params()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["about.json", "model.ubj"]
    with pytest.raises(MethodError, match="some of them others or in another order"):
        loaded.predict(panel.with_features(panel.feature_names[::-1]))


def test_a_target_that_no_row_has_is_refused_with_the_eras(make_panel: MakePanel) -> None:
    with pytest.raises(MethodError, match=r"external_boosting: no row of eras \(10,\)..\(13,\) has target_ender_60"):
        small().fit(with_gaps(make_panel(ERAS), 1.0), target=TARGET, seed=0)


def test_it_tells_how_far_it_is(make_panel: MakePanel) -> None:
    told: list[tuple[str, int, int]] = []
    small().fit(make_panel(ERAS), target=TARGET, seed=0, progress=lambda *step: told.append(step))

    assert told[:4] == [("reading 1 of the eras", era, 4) for era in range(1, 5)]
    assert told[-15:] == [("trees", tree, 15) for tree in range(1, 16)]
