"""A search of hyperparameters: purged, pruned, seeded, and the same after any interruption."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.eras import purge
from numerai_assets.errors import MethodError
from numerai_assets.evaluation.metrics import contribution, corr
from numerai_assets.evaluation.payout import SINCE_1343
from numerai_assets.evaluation.score_summary import deflated_sharpe_of
from numerai_assets.methods.registry import METHODS, method_class
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.study import (
    Found,
    Metric,
    Objective,
    covered_folds,
    kept_study,
    mean_scores,
    paths_of,
    search,
    spread_of_seeds,
    study_page,
)
from numerai_assets.progress import Progress, silent
from numerai_assets_tests.methods.dial import Dial

MakePanel = Callable[..., EraPanel]
TARGET = "target_ender_60"


def objective_on(
    panel: EraPanel, create: Callable[..., Any] = Dial, metric: Metric = "corr", seed: int = 0
) -> Objective:
    rng = np.random.default_rng(5)
    meta_model = rng.random(panel.rows)
    folds = covered_folds(panel, horizon=60, count=3)
    return Objective(create, panel, TARGET, seed, metric, folds, meta_model)


def searched(path: Path, objective: Objective, trials: int = 8) -> tuple[Found, list[dict[str, float]]]:
    """What was found, and what the trials that ended tried, in their order."""
    from optuna.trial import TrialState

    with kept_study(path) as study:
        found = search(study, objective, Dial.search_space, trials=trials, horizon=60)
        return found, [trial.params for trial in study.trials if trial.state != TrialState.FAIL]


@pytest.fixture
def panel(make_panel: MakePanel) -> EraPanel:
    return make_panel(list(range(1, 101)), rows=30, features=2)


def test_it_finds_what_the_target_follows_from(panel: EraPanel, tmp_path: Path) -> None:
    found, _ = searched(tmp_path / "a.db", objective_on(panel), trials=25)

    assert abs(found.parameters["angle"]) < 0.5
    assert found.pruned > 0
    assert found.complete + found.pruned == 25
    assert found.worth == pytest.approx(np.mean(list(found.scores.values())))


def test_the_same_seed_tries_the_same_and_another_seed_other_values(panel: EraPanel, tmp_path: Path) -> None:
    first, again, other = (
        searched(tmp_path / f"{name}.db", objective_on(panel, seed=seed))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )

    assert first == again
    assert first[1] != other[1]


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(panel: EraPanel, tmp_path: Path) -> None:
    made: list[Dial] = []

    def interrupted(**parameters: float) -> Dial:
        made.append(Dial(**parameters))
        if len(made) == 11:
            raise KeyboardInterrupt
        return made[-1]

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "a.db", objective_on(panel, interrupted))
    resumed, tried = searched(tmp_path / "a.db", objective_on(panel))

    whole, tried_in_one_go = searched(tmp_path / "b.db", objective_on(panel))
    assert tried == tried_in_one_go
    assert (resumed.failed, whole.failed) == (1, 0)
    assert (resumed.parameters, resumed.worth, resumed.scores) == (whole.parameters, whole.worth, whole.scores)


def test_a_killed_search_goes_on_as_if_it_had_not_been(panel: EraPanel, tmp_path: Path) -> None:
    made: list[Dial] = []

    def killed(**parameters: float) -> Dial:
        made.append(Dial(**parameters))
        if len(made) == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return made[-1]

    process = multiprocessing.get_context("fork").Process(
        target=searched, args=(tmp_path / "a.db", objective_on(panel, killed))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed, tried = searched(tmp_path / "a.db", objective_on(panel))

    whole, tried_in_one_go = searched(tmp_path / "b.db", objective_on(panel))
    assert tried == tried_in_one_go
    assert resumed.failed == 1
    assert (resumed.parameters, resumed.scores) == (whole.parameters, whole.scores)


def test_a_search_that_is_complete_only_tells_what_it_found(panel: EraPanel, tmp_path: Path) -> None:
    found, tried = searched(tmp_path / "a.db", objective_on(panel))

    again, tried_again = searched(tmp_path / "a.db", objective_on(panel))

    assert (again, tried_again) == (found, tried)


def test_every_trial_that_ended_counts_for_the_deflated_sharpe_ratio(panel: EraPanel, tmp_path: Path) -> None:
    found, tried = searched(tmp_path / "a.db", objective_on(panel))

    scores = np.array(list(found.scores.values()))
    assert found.deflated_sharpe == deflated_sharpe_of(list(found.scores), scores, horizon=60, trials=len(tried))


def test_no_trial_is_begun_when_time_is_over(panel: EraPanel, tmp_path: Path) -> None:
    times = iter([0.0, 1.0, 2.0, 3.0, 11.0])
    with kept_study(tmp_path / "a.db") as study:
        found = search(
            study, objective_on(panel), Dial.search_space, trials=9, horizon=60, seconds=10, clock=lambda: next(times)
        )

    assert found.complete + found.pruned == 3


def test_a_search_without_a_complete_trial_says_so(panel: EraPanel, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="no trial is complete yet"):
        searched(tmp_path / "a.db", objective_on(panel), trials=0)


def test_two_searches_do_not_share_a_study(panel: EraPanel, tmp_path: Path) -> None:
    with kept_study(tmp_path / "a.db"), pytest.raises(MethodError, match="another search uses this study"):
        searched(tmp_path / "a.db", objective_on(panel))


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_suggests_are_hyperparameters_of_its_own_that_it_can_be_fitted_with(
    name: str, panel: EraPanel, tmp_path: Path
) -> None:
    method: Any = method_class(name)
    with kept_study(tmp_path / "a.db") as study:
        suggested = method.search_space(study.ask())

    assert method.of_profile("quick", **suggested).get_params().items() >= suggested.items()
    few = {key: 2 for key in ("n_estimators", "forest_trees") if key in method().get_params()}
    alone = {"extra_targets": []} if name == "mixer_boosting" else {}
    method.of_profile("quick", **suggested | few | alone).fit(panel, target=TARGET, seed=0)
    assert 4 <= suggested["n_estimators"] * suggested["learning_rate"] <= 61


@given(
    st.sets(st.integers(1, 300), min_size=150, max_size=250),
    st.sampled_from([20, 60]),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_what_is_judged_comes_after_what_is_fitted_and_the_purge(
    numbers: set[int], horizon: int, count: int, gap: int
) -> None:
    eras = tuple(sorted(numbers))
    block, ids = np.zeros((1, 2), np.int8), np.array(["a", "b"], object)
    panel = EraPanel((block,) * len(eras), ("f",), eras, (ids,) * len(eras))
    meta_model = np.where(panel.era % 10 == gap, np.nan, 0.5)

    for reference in (None, meta_model):
        for fold in covered_folds(panel, horizon=horizon, count=count, meta_model=reference):
            assert min(fold.judged) - max(fold.fit) > purge(horizon)
            assert reference is None or not any(era % 10 == gap for era in fold.judged)


def test_folds_that_the_meta_model_does_not_cover_are_refused(panel: EraPanel) -> None:
    meta_model = np.where(panel.era > 60, 0.5, np.nan)

    with pytest.raises(
        MethodError, match=r"the meta model covers none of the validation eras 0026-0050 of a fold \(40 eras"
    ):
        covered_folds(panel, horizon=20, count=3, meta_model=meta_model)


@pytest.mark.parametrize("metric", ["corr", "mmc", "payout-sharpe"])
def test_worth_is_the_declared_metric_of_the_judged_eras(make_panel: MakePanel, metric: Metric) -> None:
    # So little is told of the target that no return is clipped.
    panel = make_panel(list(range(1, 101)), rows=200, features=2, signal=0.0)
    objective = objective_on(panel, metric=metric)
    assert objective.meta_model is not None

    folds = list(objective.scores({"angle": 0.4}))
    scores = mean_scores(folds)

    prediction, by_era = Dial(angle=0.4).predict(panel)[:, None], []
    for era in scores:
        here = panel.era == era
        target = panel.target(TARGET)[here]
        corr60 = float(corr(prediction[here], target)[0])
        mmc60 = float(contribution(prediction[here], objective.meta_model[here], target)[0])
        paid = float(SINCE_1343.payouts({"corr60": np.array(corr60), "mmc60": np.array(mmc60)}))
        by_era.append({"corr": corr60, "mmc": mmc60, "payout-sharpe": paid}[metric])
    np.testing.assert_allclose(list(scores.values()), by_era, atol=1e-12)
    expected = np.mean(by_era) / (np.std(by_era) if metric == "payout-sharpe" else 1)
    assert objective.worth(folds) == pytest.approx(expected)


def test_folds_that_share_eras_are_worth_the_mean_over_their_paths(panel: EraPanel) -> None:
    folds = [{1: 0.1, 2: 0.3}, {1: 0.2, 3: 0.5}, {2: 0.4, 3: 0.1}]

    assert paths_of(folds) == [{1: 0.1, 2: 0.3, 3: 0.5}, {1: 0.2, 2: 0.4, 3: 0.1}]
    assert mean_scores(folds) == pytest.approx({1: 0.15, 2: 0.35, 3: 0.3})
    first, second = np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.4, 0.1])
    assert objective_on(panel).worth(folds) == pytest.approx((first.mean() + second.mean()) / 2)
    expected = (first.mean() / first.std() + second.mean() / second.std()) / 2
    assert objective_on(panel, metric="payout-sharpe").worth(folds) == pytest.approx(expected)


def test_other_seeds_are_fitted_with_the_same_hyperparameters(panel: EraPanel) -> None:
    class Seeded(Dial):
        def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> "Seeded":
            self.angle += 0.1 * seed
            super().fit(panel, target=target, seed=seed)
            return self

    objective = objective_on(panel, Seeded)

    found = spread_of_seeds(objective, {"angle": 0.4}, 3, horizon=60)

    means = [
        np.mean(list(mean_scores(list(objective_on(panel, Dial).scores({"angle": 0.4 + 0.1 * seed}))).values()))
        for seed in range(3)
    ]
    assert found.mean == pytest.approx(np.mean(means))
    assert found.between_seeds == pytest.approx(np.std(means, ddof=1))


def test_a_constant_prediction_is_worth_nothing_and_does_not_stop_the_search(panel: EraPanel, tmp_path: Path) -> None:
    class Constant(Dial):
        def predict(self, panel: EraPanel) -> NDArray[np.float32]:
            return np.full(panel.rows, 0.5, np.float32)

    found, _ = searched(tmp_path / "a.db", objective_on(panel, Constant), trials=2)

    assert found.worth == 0


def test_the_page_asks_for_nothing(panel: EraPanel, tmp_path: Path) -> None:
    with kept_study(tmp_path / "a.db") as study:
        search(study, objective_on(panel), Dial.search_space, trials=6, horizon=60)
        page = study_page(study, "dial, corr")

    assert "<title>dial, corr</title>" in page
    assert page.count('<div class="figure"') >= 3
    assert 'src="http' not in page
