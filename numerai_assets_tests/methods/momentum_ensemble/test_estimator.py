"""Forests and boosting on one set of bins: deterministic, blended by rank, and honest about the eras that it used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from scipy.stats import spearmanr

from numerai_assets.errors import MethodError
from numerai_assets.methods.momentum_ensemble.estimator import PARTS, MomentumEnsemble
from numerai_assets.methods.momentum_ensemble.representative_eras import representative_eras
from numerai_assets.methods.rank_blend import learned_weights
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.methods.retargeted import TARGET, with_target

MakePanel = Callable[..., EraPanel]
ERAS = [10, 11, 12, 13]
LAWFUL = settings(deadline=None, max_examples=30)


def small(**parameters: object) -> MomentumEnsemble:
    """Few, quick trees that may use half of the features each."""
    few = {"n_estimators": 20, "learning_rate": 0.1, "max_depth": 3, "forest_trees": 20, "forest_leaves": 8}
    return MomentumEnsemble.of_profile("quick", **few | {"colsample_bytree": 0.5} | parameters)


def saved(tmp_path: Path, method: MomentumEnsemble, name: str = "model") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    method.save(folder)
    return folder


def test_a_hyperparameter_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(MethodError, match=r"momentum_ensemble: no hyperparameter 'trees'; it has .*forest_trees"):
        MomentumEnsemble.of_profile("quick", trees=7)


def test_it_learns_a_planted_signal_with_each_of_its_parts(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(list(range(10, 18)), rows=100), target=TARGET, seed=0)
    unseen = make_panel([40], rows=500)

    assert spearmanr(fitted.predict(unseen), unseen.target(TARGET)).statistic > 0.5
    for booster in fitted.boosters_:
        assert spearmanr(booster.predict(unseen.features), unseen.features[:, 0]).statistic > 0.8


def test_the_prediction_is_the_mean_rank_of_the_three_ranked_again(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(ERAS), target=TARGET, seed=0)
    unseen = make_panel([40, 41])

    prediction = fitted.predict(unseen)

    for era in unseen.eras:
        rows = unseen.era == era
        ranks = [np.argsort(np.argsort(b.predict(unseen.features[rows]), kind="stable")) for b in fitted.boosters_]
        assert prediction.dtype == np.float32
        assert prediction[rows].mean() == pytest.approx(0.5, abs=1e-5)
        # Ties share their rank in the prediction and not here, so the order is the same up to these.
        assert spearmanr(prediction[rows], np.mean(ranks, axis=0)).statistic > 0.98


def test_only_the_order_of_the_target_within_its_era_counts(make_panel: MakePanel) -> None:
    panel, unseen = make_panel(ERAS), make_panel([40])
    stretched = panel.target(TARGET) ** 3 * (panel.era - 9) + panel.era

    fitted, same = (small().fit(p, target=TARGET, seed=0) for p in (panel, with_target(panel, stretched)))

    np.testing.assert_array_equal(fitted.predict(unseen), same.predict(unseen))


def test_an_era_counts_as_much_as_another_of_ten_times_the_rows(make_panel: MakePanel) -> None:
    # The first feature pays in one era and costs as much in the other, which is longer.
    long, short = make_panel([10], rows=2000), make_panel([11], rows=200)
    both = EraPanel(
        (4 - long.blocks[0], short.blocks[0]),
        long.feature_names,
        (10, 11),
        (long.ids, short.ids),
        {TARGET: (long.target(TARGET), short.target(TARGET))},
    )

    fitted = small(n_estimators=1, learning_rate=1.0, max_depth=1, num_leaves=2, colsample_bytree=1.0).fit(
        both, target=TARGET, seed=0
    )

    of_level = fitted.boosters_[2].predict(np.repeat(np.arange(5)[:, None], 8, axis=1))
    assert np.ptp(of_level) < 0.2


def test_the_same_seed_gives_the_same_models_and_another_seed_others(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = make_panel(ERAS)

    models = []
    for seed, threads in ((3, 1), (3, 2), (4, 1)):
        fitted = small().run_on(threads=threads).fit(panel, target=TARGET, seed=seed)
        models.append([booster.dump_model()["tree_info"] for booster in fitted.boosters_])

    assert models[0] == models[1]
    assert all(one != other for one, other in zip(models[0], models[2], strict=True))


def test_the_parts_draw_rows_and_columns_of_their_own() -> None:
    assert len({small()._training_parameters(part, 0)["seed"] for part in PARTS}) == len(PARTS)


def test_the_order_of_rows_changes_nothing_but_theirs(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(ERAS), target=TARGET, seed=0)
    unseen, order = make_panel([40]), np.random.default_rng(0).permutation(50)

    prediction = fitted.predict(replace(unseen, blocks=(unseen.blocks[0][:, order],)))

    np.testing.assert_array_equal(prediction, fitted.predict(unseen)[order])


def test_a_saved_model_predicts_as_before_and_keeps_its_parameters(make_panel: MakePanel, tmp_path: Path) -> None:
    panel, unseen = make_panel(list(range(10, 40))), make_panel([60, 61])
    fitted = small(blending_eras=8).fit(panel, target=TARGET, seed=0)

    loaded = MomentumEnsemble.load(saved(tmp_path, fitted))

    np.testing.assert_array_equal(loaded.predict(unseen), fitted.predict(unseen))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.explain(panel).equals(fitted.explain(panel))


def test_nothing_saved_is_a_pickle(make_panel: MakePanel, tmp_path: Path) -> None:
    folder = saved(tmp_path, small().fit(make_panel(ERAS), target=TARGET, seed=0))

    files = {path.name: path.read_bytes() for path in folder.rglob("*")}
    assert set(files) == {*(f"{part}.txt" for part in PARTS), "about.json"}
    for content in files.values():
        content.decode("utf-8")


def test_a_loaded_model_refuses_features_that_are_not_those_fitted(make_panel: MakePanel, tmp_path: Path) -> None:
    loaded = MomentumEnsemble.load(saved(tmp_path, small().fit(make_panel(ERAS), target=TARGET, seed=0)))
    panel = make_panel([40])

    with pytest.raises(MethodError, match="momentum_ensemble: fitted on 8 features, given 7"):
        loaded.predict(panel.with_features(panel.feature_names[1:]))
    with pytest.raises(MethodError, match="in another order"):
        loaded.predict(panel.with_features(panel.feature_names[::-1]))


@pytest.mark.parametrize("value", [np.nan, 0.5])
def test_a_target_that_varies_in_no_era_is_refused_by_name(make_panel: MakePanel, value: float) -> None:
    panel = make_panel([10, 11])

    with pytest.raises(MethodError, match=f"no era of .*10.*11.* has a {TARGET} that varies"):
        small().fit(with_target(panel, np.full(panel.rows, value)), target=TARGET, seed=0)


def test_weights_are_learned_on_eras_that_a_purge_parts_from_those_fitted(make_panel: MakePanel) -> None:
    panel = make_panel(list(range(10, 50)))
    told: list[str] = []

    fitted = small(blending_eras=5).fit(
        panel, target=TARGET, seed=0, progress=lambda stage, done, total: told.append(stage)
    )

    assert list(fitted.eras_used_["blending"]) == [45, 46, 47, 48, 49]
    assert fitted.weights_.sum() == pytest.approx(1) and (fitted.weights_ >= 0).all()
    # What was fitted before the weights saw eras 10 to 28 alone: 44 less the purge of 16.
    early = small().fit(panel.with_eras(range(10, 29)), target=TARGET, seed=0)
    late = panel.with_eras(range(45, 50))
    ranks = early._ranks(early.boosters_, late)
    weights = learned_weights(zip(ranks, late.targets_of_block[TARGET], strict=True))
    np.testing.assert_array_equal(fitted.weights_, weights)
    # And what predicts was fitted on all.
    whole = small().fit(panel, target=TARGET, seed=0)
    assert [b.model_to_string() for b in fitted.boosters_] == [b.model_to_string() for b in whole.boosters_]
    assert told.count("boosting trees") == 40


def test_weights_that_leave_no_era_to_fit_on_are_refused_with_the_target(make_panel: MakePanel) -> None:
    panel = make_panel(list(range(10, 30)))

    with pytest.raises(MethodError, match=rf"{TARGET} is known in 20 eras, 10..29: .* up to era 9,"):
        small(blending_eras=4).fit(panel, target=TARGET, seed=0)


def test_it_can_be_fitted_on_representative_eras_alone_and_tells_which_it_chose_from(make_panel: MakePanel) -> None:
    panel, unseen = make_panel(list(range(10, 30))), make_panel([60])

    fitted = small(eras_sampled=6).fit(panel, target=TARGET, seed=0)

    assert list(fitted.eras_used_["selection"]) == list(panel.eras)
    chosen = panel.with_eras(representative_eras(panel, TARGET, 6))
    np.testing.assert_array_equal(fitted.predict(unseen), small().fit(chosen, target=TARGET, seed=0).predict(unseen))


def test_asking_for_more_eras_than_there_are_takes_all(make_panel: MakePanel) -> None:
    panel, unseen = make_panel(ERAS), make_panel([60])

    fitted, whole = (small(eras_sampled=count).fit(panel, target=TARGET, seed=0) for count in (9, 0))

    np.testing.assert_array_equal(fitted.predict(unseen), whole.predict(unseen))


def test_it_tells_how_far_it_is(make_panel: MakePanel) -> None:
    told: list[tuple[str, int, int]] = []
    small().fit(make_panel(ERAS), target=TARGET, seed=0, progress=lambda *step: told.append(step))

    assert told[0] == ("features binned", 1, 8)
    for part in PARTS:
        assert [step for step in told if step[0] == f"{part} trees"][-1] == (f"{part} trees", 20, 20)
