"""The benchmark: Numerai's parameters, the same trees for the same seed, and nothing lost on the way through Arrow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from scipy.stats import spearmanr

from numerai_assets.errors import MethodError
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.methods.retargeted import TARGET, with_target

MakePanel = Callable[..., EraPanel]
ERAS = [10, 11, 12, 13]


def small(**parameters: object) -> Benchmark:
    """A benchmark of few, quick trees that may use half of the features each."""
    settings = {"n_estimators": 20, "learning_rate": 0.1, "colsample_bytree": 0.5, "max_depth": 3}
    return Benchmark.of_profile("quick", **settings | parameters)


def folder_of(tmp_path: Path, method: Benchmark, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    method.save(folder)
    return folder


def test_quick_is_the_example_model_of_numerai() -> None:
    method = Benchmark.of_profile("quick")

    assert (method.n_estimators, method.learning_rate) == (2000, 0.01)
    assert (method.max_depth, method.num_leaves, method.colsample_bytree) == (5, 31, 0.1)
    assert method.every_eras == 4


def test_full_has_the_deep_parameters_of_the_benchmark_models() -> None:
    method = Benchmark.of_profile("full")

    assert (method.n_estimators, method.learning_rate) == (30_000, 0.001)
    assert (method.max_depth, method.num_leaves, method.colsample_bytree) == (10, 1024, 0.1)
    assert method.min_data_in_leaf == 10_000
    assert method.every_eras == 1


def test_a_hyperparameter_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(MethodError, match=r"benchmark: no hyperparameter 'n_estimator'; it has .*n_estimators"):
        Benchmark.of_profile("quick", n_estimator=7)


@pytest.mark.parametrize("horizon", [20, 60])
def test_it_serves_both_horizons(horizon: int) -> None:
    assert horizon in Benchmark.horizons


def test_it_learns_a_planted_signal(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(list(range(10, 18)), rows=100), target=TARGET, seed=0)
    unseen = make_panel([40], rows=500)

    prediction = fitted.predict(unseen)

    assert spearmanr(prediction, unseen.target(TARGET)).statistic > 0.5
    assert spearmanr(prediction, unseen.features[:, 0]).statistic > 0.9


def test_predictions_are_ranks_within_each_era(make_panel: MakePanel) -> None:
    panel = make_panel(ERAS)
    fitted = small().fit(panel, target=TARGET, seed=0)

    prediction = fitted.predict(panel)

    assert prediction.shape == (panel.rows,)
    assert prediction.dtype == np.float32
    assert ((prediction > 0) & (prediction < 1)).all()
    for era in ERAS:
        np.testing.assert_allclose(prediction[panel.era == era].mean(), 0.5, rtol=1e-5)


@pytest.mark.parametrize("missing", [False, True])
def test_fitting_over_arrow_equals_fitting_a_float_matrix(make_panel: MakePanel, missing: bool) -> None:
    # Eras of different lengths: the chunks of the Arrow columns do not line up with anything.
    parts = [make_panel([era], rows=40 + 17 * i) for i, era in enumerate(ERAS)]
    blocks = [part.blocks[0] for part in parts]
    if missing:
        blocks = [
            np.where(np.random.default_rng(i).random(b.shape) < 0.1, -1, b).astype(np.int8)
            for i, b in enumerate(blocks)
        ]
    panel = EraPanel(
        tuple(blocks),
        parts[0].feature_names,
        tuple(ERAS),
        tuple(part.ids for part in parts),
        {TARGET: tuple(part.target(TARGET) for part in parts)},
    )
    method = small(n_estimators=40, min_data_in_leaf=5)

    ours = method.fit(panel, target=TARGET, seed=7).predict(panel)

    matrix = np.ascontiguousarray(panel.features, np.float32)
    parameters = {
        "objective": "regression",
        "learning_rate": method.learning_rate,
        "max_depth": method.max_depth,
        "num_leaves": method.num_leaves,
        "colsample_bytree": method.colsample_bytree,
        "min_data_in_leaf": method.min_data_in_leaf,
        "min_data_in_bin": 1,
        "seed": 7,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    theirs = lgb.train(parameters, lgb.Dataset(matrix, panel.target(TARGET)), num_boost_round=method.n_estimators)
    np.testing.assert_allclose(ours, rank_within_eras(theirs.predict(matrix), panel.rows_of_era), atol=1e-6)
    np.testing.assert_allclose(method.booster_.predict(matrix), theirs.predict(matrix), rtol=1e-9)


def test_the_same_seed_writes_the_same_model_and_another_seed_another(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = make_panel(ERAS)

    first, again, other = (small().fit(panel, target=TARGET, seed=seed) for seed in (3, 3, 4))

    models = [(folder_of(tmp_path, m, str(i)) / "model.txt").read_bytes() for i, m in enumerate((first, again, other))]
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_a_saved_model_predicts_as_before_and_keeps_its_parameters(make_panel: MakePanel, tmp_path: Path) -> None:
    panel, unseen = make_panel(ERAS), make_panel([40, 41])
    fitted = small().fit(panel, target=TARGET, seed=0)

    loaded = Benchmark.load(folder_of(tmp_path, fitted, "model"))

    np.testing.assert_array_equal(loaded.predict(unseen), fitted.predict(unseen))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.explain(panel).equals(fitted.explain(panel))


def test_nothing_saved_is_a_pickle(make_panel: MakePanel, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, small().fit(make_panel(ERAS), target=TARGET, seed=0), "model")

    files = {path.name: path.read_bytes() for path in folder.rglob("*")}
    assert set(files) == {"model.txt", "about.json"}
    for content in files.values():
        content.decode("utf-8")


def test_a_loaded_model_refuses_what_the_fitted_one_would(make_panel: MakePanel, tmp_path: Path) -> None:
    loaded = Benchmark.load(folder_of(tmp_path, small().fit(make_panel(ERAS), target=TARGET, seed=0), "model"))

    with pytest.raises(MethodError, match="fitted on 8 features, given 7"):
        loaded.predict(make_panel([40], features=7))


@pytest.mark.parametrize("features", [7, 9])
def test_other_features_are_refused(make_panel: MakePanel, features: int) -> None:
    fitted = small().fit(make_panel(ERAS), target=TARGET, seed=0)

    with pytest.raises(MethodError, match=f"fitted on 8 features, given {features}"):
        fitted.predict(make_panel([40], features=features))


def test_the_same_features_in_another_order_are_refused(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(ERAS), target=TARGET, seed=0)
    panel = make_panel([40])

    with pytest.raises(MethodError, match="in another order"):
        fitted.predict(panel.with_features(panel.feature_names[::-1]))


def test_what_stands_in_rows_without_a_target_changes_nothing(make_panel: MakePanel) -> None:
    panel = make_panel(ERAS)
    values = panel.target(TARGET).copy()
    values[::7] = np.nan
    rows_without = np.split(np.isnan(values), np.cumsum(panel.rows_of_era)[:-1])
    changed = tuple(
        np.where(gone, 4 - b, b).astype(np.int8) for b, gone in zip(panel.blocks, rows_without, strict=True)
    )

    fitted = small().fit(with_target(panel, values), target=TARGET, seed=0)
    other = small().fit(replace(with_target(panel, values), blocks=changed), target=TARGET, seed=0)

    unseen = make_panel([40])
    np.testing.assert_array_equal(fitted.predict(unseen), other.predict(unseen))


def test_a_panel_without_any_target_is_refused(make_panel: MakePanel) -> None:
    panel = make_panel([10, 11])

    with pytest.raises(MethodError, match=f"no row of eras .*10.*11.* has {TARGET}"):
        small().fit(with_target(panel, np.full(panel.rows, np.nan)), target=TARGET, seed=0)


def test_it_tells_how_far_it_is(make_panel: MakePanel) -> None:
    told: list[tuple[str, int, int]] = []
    small().fit(make_panel(ERAS), target=TARGET, seed=0, progress=lambda *step: told.append(step))

    assert told[0] == ("features binned", 1, 8)
    assert ("features binned", 8, 8) in told
    assert told[-20:] == [("trees", tree, 20) for tree in range(1, 21)]
