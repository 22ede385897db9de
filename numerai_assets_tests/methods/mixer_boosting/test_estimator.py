"""The ensemble of boosted trees: members, what they share, how they are blended, grown further and kept."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from numerai_assets.errors import MethodError
from numerai_assets.methods.boosted_trees import lightgbm_parameters
from numerai_assets.methods.mixer_boosting import grown_trees
from numerai_assets.methods.mixer_boosting.estimator import BOOSTERS, Member, MixerBoosting
from numerai_assets.panel.panel import EraPanel
from numerai_assets.trees.lightgbm_bins import binned

MakePanel = Callable[..., EraPanel]
TARGET, EXTRA = "target_ender_60", "target_ender_20"
ERAS = list(range(10, 18))


def small(**parameters: object) -> MixerBoosting:
    settings = {"n_estimators": 8, "learning_rate": 0.2, "colsample_bytree": 0.5, "max_depth": 3}
    return MixerBoosting.of_profile("quick", **settings | {"phases": 2, "extra_targets": []} | parameters)


def with_extra(panel: EraPanel, unknown: tuple[int, ...] = ()) -> EraPanel:
    """The panel with a second target, of the second feature, NaN in some eras."""
    values = tuple(
        np.full(rows, np.nan, np.float32) if era in unknown else (block[1] / 4).astype(np.float32)
        for era, rows, block in zip(panel.eras, panel.rows_of_era, panel.blocks, strict=True)
    )
    return replace(panel, targets_of_block=panel.targets_of_block | {EXTRA: values})


def mean_corr(prediction: np.ndarray, panel: EraPanel) -> float:
    eras = np.split(prediction, panel.edges[1:-1])
    return float(np.mean([np.corrcoef(p, y)[0, 1] for p, y in zip(eras, panel.targets_of_block[TARGET], strict=True)]))


def test_members_are_targets_times_seeds_times_phases_times_boosters(make_panel: MakePanel) -> None:
    method = small(extra_targets=[EXTRA], seeds=2, phases=4, boosters=["gbdt", "goss"], n_estimators=1)

    fitted = method.fit(with_extra(make_panel(ERAS)), target=TARGET, seed=0)

    expected = itertools.product([TARGET, EXTRA], [0, 1], range(4), ["gbdt", "goss"])
    assert set(fitted.trees_) == {Member(*choice) for choice in expected}
    assert fitted.auxiliary_targets == (EXTRA,)
    np.testing.assert_allclose(fitted.weights_, 1 / 32)


def test_a_member_is_what_lightgbm_makes_of_the_eras_of_its_phase(make_panel: MakePanel) -> None:
    panel, unseen = make_panel(ERAS), make_panel([40])
    fitted = small().fit(panel, target=TARGET, seed=3)

    member = fitted.trees_[Member(TARGET, 0, 1, "gbdt")]

    odd = panel.with_eras([era for era in ERAS if era % 2 == 1])
    seed = member.parts[0].params["seed"]  # type: ignore[attr-defined]
    own = lgb.train(
        lightgbm_parameters(fitted, seed) | {"objective": "regression"},
        binned(odd, odd.target(TARGET), num_threads=1),
        num_boost_round=8,
    )
    np.testing.assert_array_equal(member.predict(unseen.blocks[0], 1), own.predict(unseen.features))


@pytest.mark.parametrize(("phases", "batches"), [(2, 1), (1, 2)])
def test_bins_are_made_once_for_all_members_and_of_some_eras_at_a_time(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch, phases: int, batches: int
) -> None:
    made: list[tuple[int, ...]] = []

    def counting(panel: EraPanel, *rest: object, **named: object) -> lgb.Dataset:
        made.append(panel.eras)
        return binned(panel, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(grown_trees, "binned", counting)
    members = {"extra_targets": [EXTRA], "seeds": 2, "boosters": ["gbdt", "dart", "goss"]}
    small(phases=phases, batches=batches, passes=1, **members).fit(with_extra(make_panel(ERAS)), target=TARGET, seed=0)

    assert made == [(10, 12, 14, 16), (11, 13, 15, 17)]


def test_a_target_that_is_unknown_for_some_rows_is_learned_from_the_others_alone(make_panel: MakePanel) -> None:
    panel = make_panel(ERAS)

    fitted = small(extra_targets=[EXTRA]).fit(with_extra(panel, unknown=(16, 17)), target=TARGET, seed=0)
    # Were the unknown eras looked at at all, other features would make other trees.
    flipped = replace(panel, blocks=tuple(4 - b if e > 15 else b for e, b in zip(ERAS, panel.blocks, strict=True)))
    other = small(extra_targets=[EXTRA]).fit(with_extra(flipped, unknown=(16, 17)), target=TARGET, seed=0)

    block = make_panel([40]).blocks[0]
    member, main = Member(EXTRA, 0, 0, "gbdt"), Member(TARGET, 0, 0, "gbdt")
    np.testing.assert_array_equal(fitted.trees_[member].predict(block, 1), other.trees_[member].predict(block, 1))
    assert not np.array_equal(fitted.trees_[main].predict(block, 1), other.trees_[main].predict(block, 1))
    assert other.eras_used_ == {"fit": ERAS, f"fit:{EXTRA}": ERAS[:6]}


@pytest.mark.parametrize("booster", BOOSTERS)
@pytest.mark.parametrize("objective", ["mse", "era_corr", "sharpe"])
def test_each_booster_learns_a_planted_signal_by_each_objective(
    make_panel: MakePanel, booster: str, objective: str
) -> None:
    fitted = small(boosters=[booster], objective=objective).fit(make_panel(ERAS), target=TARGET, seed=0)
    unseen = make_panel([40, 41], rows=300)

    assert spearmanr(fitted.predict(unseen), unseen.features[:, 0]).statistic > 0.85
    table = fitted.explain(unseen)
    assert table["feature"][0] == "feature_0"
    assert table["gain"].sum() == pytest.approx(1)
    assert table["splits"].sum() > 0


def test_members_are_blended_by_their_ranks_within_the_era(make_panel: MakePanel) -> None:
    fitted = small(ranks="uniform").fit(make_panel(ERAS), target=TARGET, seed=0)
    unseen = make_panel([40, 41])

    prediction = fitted.predict(unseen)

    for blended, block in zip(np.split(prediction, 2), unseen.blocks, strict=True):
        ranks = [rankdata(trees.predict(block, 1)) for trees in fitted.trees_.values()]
        assert spearmanr(blended, np.mean(ranks, axis=0)).statistic > 0.999


def test_weights_are_learned_on_the_newest_eras_from_members_fitted_before_the_purge(make_panel: MakePanel) -> None:
    eras = list(range(10, 40))
    panel = with_extra(make_panel(eras))
    # The extra target says nothing of the main one.
    fitted = small(extra_targets=[EXTRA], blending_eras=6).fit(panel, target=TARGET, seed=0)

    weight_of = dict(zip(fitted.trees_, fitted.weights_, strict=True))
    assert fitted.weights_.sum() == pytest.approx(1)
    assert min(w for m, w in weight_of.items() if m.target == TARGET) > 2 * max(
        w for m, w in weight_of.items() if m.target == EXTRA
    )
    assert fitted.eras_used_["blending"] == eras[-6:]
    assert fitted.eras_used_["fit"] == eras
    # What lies in the purge does not reach the weights.
    purged = [era for era in eras if eras[-6] - 16 <= era < eras[-6]]
    values = tuple(
        y[::-1].copy() if era in purged else y for era, y in zip(eras, panel.targets_of_block[TARGET], strict=True)
    )
    turned = replace(panel, targets_of_block=panel.targets_of_block | {TARGET: values})
    again = small(extra_targets=[EXTRA], blending_eras=6).fit(turned, target=TARGET, seed=0)
    np.testing.assert_array_equal(again.weights_, fitted.weights_)


@pytest.mark.parametrize("booster", ["gbdt", "xgboost"])
def test_batches_of_eras_make_an_ensemble_as_good_as_all_at_once(make_panel: MakePanel, booster: str) -> None:
    panel, unseen = make_panel(list(range(10, 18)), signal=0.3), make_panel(list(range(60, 90)), signal=0.3)

    whole, parts = (
        small(boosters=[booster], batches=batches, passes=3, phases=1, n_estimators=12).fit(
            panel, target=TARGET, seed=0
        )
        for batches in (1, 4)
    )

    corrs = [mean_corr(fitted.predict(unseen), unseen) for fitted in (whole, parts)]
    # The standard error of a mean correlation of 30 eras of 50 rows.
    assert abs(corrs[0] - corrs[1]) < 2 / np.sqrt(30 * 50)
    assert corrs[1] > 0.15


@pytest.mark.parametrize("booster", ["gbdt", "xgboost"])
def test_grown_on_with_new_eras_it_is_as_good_as_fitted_on_all(make_panel: MakePanel, booster: str) -> None:
    early, all_eras, unseen = (
        make_panel(eras, signal=0.3) for eras in (list(range(10, 14)), list(range(10, 18)), list(range(60, 90)))
    )
    choices = {"boosters": [booster], "phases": 1}

    whole = small(**choices, n_estimators=12).fit(all_eras, target=TARGET, seed=0)
    grown = small(**choices, n_estimators=6, extend_share=1.0).fit(early, target=TARGET, seed=0)
    before = mean_corr(grown.predict(unseen), unseen)
    grown.extend(all_eras, target=TARGET, seed=0)

    found, expected = (mean_corr(fitted.predict(unseen), unseen) for fitted in (grown, whole))
    # The standard error of a mean correlation of 30 eras of 50 rows.
    assert abs(found - expected) < 2 / np.sqrt(30 * 50)
    assert found > before


@pytest.mark.parametrize("objective", ["mse", "era_corr"])
@pytest.mark.parametrize("booster", ["gbdt", "dart", "xgboost"])
def test_extended_on_what_it_was_fitted_on_it_fits_that_better(
    make_panel: MakePanel, booster: str, objective: str
) -> None:
    panel = make_panel(ERAS, signal=0.3)
    method = small(boosters=[booster], objective=objective, extend_share=1.0, phases=1).fit(
        panel, target=TARGET, seed=0
    )
    before = mean_corr(method.predict(panel), panel)

    extended = method.extend(panel, target=TARGET, seed=0)

    assert extended is method
    assert mean_corr(method.predict(panel), panel) > before


def test_a_loaded_ensemble_is_extended_like_the_fitted_one(make_panel: MakePanel, tmp_path: Path) -> None:
    panel, later, unseen = make_panel(ERAS), make_panel([18, 19]), make_panel([40])
    fitted = small(boosters=["gbdt", "xgboost"], extend_share=0.5).fit(panel, target=TARGET, seed=0)
    fitted.save(tmp_path)
    loaded = MixerBoosting.load(tmp_path)

    for method in (fitted, loaded):
        method.extend(later, target=TARGET, seed=1)

    np.testing.assert_allclose(loaded.predict(unseen), fitted.predict(unseen), atol=1e-6)
    assert loaded.eras_used_ == fitted.eras_used_ == {"fit": [*ERAS, 18, 19]}


def test_it_is_not_extended_on_another_target_or_other_features(make_panel: MakePanel) -> None:
    fitted = small().fit(make_panel(ERAS), target=TARGET, seed=0)

    with pytest.raises(MethodError, match=f"fitted on {TARGET}, cannot be extended on {EXTRA}"):
        fitted.extend(with_extra(make_panel(ERAS)), target=EXTRA, seed=0)
    with pytest.raises(MethodError, match="fitted on 8 features, given 7"):
        fitted.extend(make_panel(ERAS, features=7), target=TARGET, seed=0)


def test_a_saved_ensemble_predicts_as_before_and_no_file_is_a_pickle(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = with_extra(make_panel(ERAS))
    fitted = small(boosters=["dart", "xgboost"], extra_targets=[EXTRA]).fit(panel, target=TARGET, seed=0)
    fitted.save(tmp_path)

    loaded = MixerBoosting.load(tmp_path)

    np.testing.assert_array_equal(loaded.predict(panel), fitted.predict(panel))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.explain(panel).equals(fitted.explain(panel))
    assert {path.suffix for path in tmp_path.iterdir()} == {".txt", ".ubj", ".json"}


def test_the_main_target_among_the_extra_ones_is_fitted_once(make_panel: MakePanel) -> None:
    panel, unseen = with_extra(make_panel(ERAS)), make_panel([40])

    fitted = small(extra_targets=[TARGET, EXTRA]).fit(panel, target=TARGET, seed=0)

    assert [member.target for member in fitted.trees_] == [TARGET, EXTRA] * 2
    assert set(fitted.eras_used_) == {"fit", f"fit:{EXTRA}"}
    once = small(extra_targets=[EXTRA]).fit(panel, target=TARGET, seed=0)
    np.testing.assert_array_equal(fitted.predict(unseen), once.predict(unseen))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"boosters": ["gbdt", "forest"]}, r"boosters \['forest'\], expected some of gbdt, dart, goss, xgboost"),
        ({"boosters": []}, r"boosters \[\], expected some of gbdt"),
        ({"objective": "mae"}, "objective .*expected some of mse, era_corr, sharpe"),
        ({"ranks": "dense"}, "ranks .*expected some of uniform, gaussian"),
        ({"every_eras": 4}, "every_eras is 4 and phases 2"),
        ({"seeds": 0}, "seeds is 0, expected at least 1"),
        ({"batches": 2, "passes": 5}, "8 trees to grow in 10 turns of batches"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(
    make_panel: MakePanel, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        small(**parameters).fit(make_panel(ERAS), target=TARGET, seed=0)


@pytest.mark.parametrize(
    ("parameters", "needed"),
    [({}, 2), ({"objective": "sharpe"}, 4), ({"batches": 2, "passes": 2}, 4), ({"phases": 4}, 4)],
)
def test_a_target_known_in_too_few_eras_is_named_with_how_many_are_needed(
    make_panel: MakePanel, parameters: dict[str, object], needed: int
) -> None:
    panel = with_extra(make_panel(ERAS), unknown=tuple(ERAS[needed - 1 :]))
    method = small(extra_targets=[EXTRA], **parameters)

    with pytest.raises(MethodError, match=rf"{EXTRA} is known in {needed - 1} eras .* need at least {needed}"):
        method.fit(panel, target=TARGET, seed=0)
    method.fit(with_extra(make_panel(ERAS), unknown=tuple(ERAS[needed:])), target=TARGET, seed=0)


def test_weights_that_leave_nothing_to_fit_before_the_purge_are_refused(make_panel: MakePanel) -> None:
    with pytest.raises(MethodError, match=f"{TARGET} is known in 8 eras .* need at least 19, 16 of them purged"):
        small(blending_eras=2).fit(make_panel(ERAS), target=TARGET, seed=0)


def test_it_tells_how_far_it_is(make_panel: MakePanel) -> None:
    told: list[tuple[str, int, int]] = []
    small(boosters=["gbdt", "xgboost"]).fit(
        make_panel(ERAS), target=TARGET, seed=0, progress=lambda *step: told.append(step)
    )

    assert [done for stage, done, _ in told if stage == "trees"] == list(range(1, 33))
    assert {total for stage, _, total in told if stage == "trees"} == {32}
