"""Search of a method's hyperparameters with Optuna, fold by fold, on eras that no vintage is validated on.

A trial takes hyperparameters from the method's own `search_space`, trains on each fold's training eras and scores its
validation eras (by default forward chaining: training eras, the purge, validation eras). After each fold it reports its value
so far, and is pruned where it lies below the median of the others (Optuna's MedianPruner).

The study is one sqlite file. The hyperparameters of a trial depend only on the seed and the trials that ended before it, so a
search that was interrupted or killed continues as if it had not been; the trial it was in counts as failed.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.evaluation.era_series import sharpe
from numerai_assets.evaluation.metrics import Score, score_eras
from numerai_assets.evaluation.payout import SINCE_1343
from numerai_assets.evaluation.score_summary import deflated_sharpe_of
from numerai_assets.evaluation.seed_spread import SeedSpread, seed_spread
from numerai_assets.evaluation.splits import Fold, Splits, splitter_of
from numerai_assets.methods.contract import Method, Suggests
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

if TYPE_CHECKING:
    import optuna

Metric = Literal["corr", "mmc", "payout-sharpe"]
Space = Callable[[Suggests], dict[str, Any]]

_SERIES = "scores"
# Pruning begins after so many trials.
_TRIALS_BEFORE_PRUNING = 5


@dataclass(frozen=True)
class Objective:
    """The value of hyperparameters on folds of a panel.

    create: makes an unfitted estimator with the given hyperparameters. meta_model: (n,) of the panel's rows, NaN where it is
    not stored; every metric but "corr" needs it. folds: eras of the panel; the meta model covers the validation eras.
    panels: of each fold, its eras with the fold's own columns; empty where all folds have the columns of the panel.
    """

    create: Callable[..., Method]
    panel: EraPanel
    target: str
    seed: int
    metric: Metric
    folds: tuple[Fold, ...]
    meta_model: NDArray[np.floating] | None = None
    panels: tuple[EraPanel, ...] = ()

    def scores(self, parameters: Mapping[str, Any], progress: Progress = silent) -> Iterator[dict[int, float]]:
        """Score, or return of a stake, of each validation era, fold by fold; 0 for a constant prediction."""
        for fold, panel in zip(self.folds, self.panels or [self.panel] * len(self.folds), strict=True):
            estimator = self.create(**parameters)
            estimator.fit(panel.with_eras(fold.fit), target=self.target, seed=self.seed, progress=progress)
            judged = panel.with_eras(fold.judged)
            found = self._series(estimator.predict(judged), judged)
            yield dict(zip(judged.eras, np.nan_to_num(found).tolist(), strict=True))

    def worth(self, folds: Sequence[Mapping[int, float]]) -> float:
        """Mean of the scores of the folds' eras, or the Sharpe ratio of the returns.

        Where folds share eras, as combinatorial ones do, each path through the eras has a value of its own; their mean counts.
        """
        paths = [np.array(list(path.values())) for path in paths_of(folds)]
        if self.metric == "payout-sharpe":
            return float(np.mean([np.nan_to_num(sharpe(path)) for path in paths]))
        return float(np.mean([path.mean() for path in paths]))

    def _series(self, prediction: NDArray[np.float32], judged: EraPanel) -> NDArray[np.float64]:
        target, wanted = judged.target(self.target), {}
        if self.metric != "mmc":
            wanted["corr60"] = Score(target)
        if self.metric != "corr":
            assert self.meta_model is not None
            wanted["mmc60"] = Score(target, reference=self.meta_model[np.isin(self.panel.era, judged.eras)])
        scores = {
            name: of_eras[:, 0] for name, of_eras in score_eras(prediction[:, None], judged.rows_of_era, wanted).items()
        }
        return SINCE_1343.payouts(scores) if self.metric == "payout-sharpe" else next(iter(scores.values()))


def paths_of(folds: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
    """Scores by era, one path for each time that an era was validated on: the j-th takes the j-th score of each era."""
    paths: list[dict[int, float]] = []
    for fold in folds:
        for era, score in fold.items():
            path = next((path for path in paths if era not in path), None)
            if path is None:
                paths.append(path := {})
            path[era] = score
    return paths


def covered_folds(
    panel: EraPanel,
    *,
    horizon: int,
    count: int,
    splits: Splits = "forward",
    meta_model: NDArray[np.floating] | None = None,
) -> tuple[Fold, ...]:
    """Purged folds; with a meta model, their validation eras are those that it covers.

    count: as in `splitter_of`. Raises MethodError for a fold without such an era, SplitError for too few eras.
    """
    folds = splitter_of(splits, panel.eras, count=count, horizon=horizon).era_folds(panel.eras)
    if meta_model is None:
        return tuple(folds)
    held = set(np.unique(panel.era[~np.isnan(meta_model)]).tolist())
    covered = tuple(Fold(fold.fit, [era for era in fold.judged if era in held]) for fold in folds)
    for fold, of_all in zip(covered, folds, strict=True):
        if not fold.judged:
            raise MethodError(
                f"search: the meta model covers none of the validation eras {of_all.judged[0]:04d}-{of_all.judged[-1]:04d} "
                f"of a fold ({len(held)} eras in all); use --metric corr, or set retrain.first_vintage to a later era"
            )
    return covered


def mean_scores(folds: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """By era, the mean score over the folds that have it."""
    paths = paths_of(folds)
    return {era: float(np.mean([path[era] for path in paths if era in path])) for era in (paths[0] if paths else ())}


@dataclass(frozen=True)
class Found:
    """The best trial of a study.

    scores: by validation era, the mean over the folds that have it. deflated_sharpe: probability of a true Sharpe ratio above
    0, given that it was the best of all trials, the pruned ones included.
    """

    trial: int
    worth: float
    parameters: dict[str, Any]
    scores: dict[int, float]
    complete: int
    pruned: int
    failed: int
    deflated_sharpe: float


def search(
    study: "optuna.Study",
    objective: Objective,
    space: Space,
    *,
    trials: int,
    horizon: int,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress = silent,
) -> Found:
    """Continues the study up to `trials` complete or pruned trials and returns the best.

    No trial begins after `seconds`. Raises MethodError without a complete trial. Any error in a trial, an interruption too,
    marks the trial as failed and is raised.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    began, ended = clock(), (TrialState.COMPLETE, TrialState.PRUNED)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    while (done := len(study.get_trials(deepcopy=False, states=ended))) < trials and clock() - began < seconds:
        progress("trials", done, trials)
        study.sampler = TPESampler(seed=int(np.random.SeedSequence([objective.seed, done]).generate_state(1)[0]))
        _try(study, objective, space, progress)
        progress("trials", done + 1, trials)
    return best_of(study, horizon=horizon)


def _try(study: "optuna.Study", objective: Objective, space: Space, progress: Progress) -> None:
    """One trial; the study records how it ended."""
    from optuna.trial import TrialState

    trial = study.ask()
    try:
        scores: list[dict[int, float]] = []
        parameters = space(trial)
        trial.set_user_attr("parameters", parameters)
        for step, of_fold in enumerate(objective.scores(parameters, progress)):
            scores.append(of_fold)
            trial.report(objective.worth(scores), step)
            progress(f"trial {trial.number}, folds", step + 1, len(objective.folds))
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
        trial.set_user_attr(_SERIES, {str(era): score for era, score in mean_scores(scores).items()})
        study.tell(trial, objective.worth(scores))
    except BaseException:
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise


def best_of(study: "optuna.Study", *, horizon: int) -> Found:
    """The best complete trial. Raises MethodError while there is none."""
    from optuna.trial import TrialState

    counts = {
        state: len(study.get_trials(deepcopy=False, states=(state,)))
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    if not counts[TrialState.COMPLETE]:
        raise MethodError("search: no trial is complete yet; use more --trials or a longer --timeout")
    best = study.best_trial
    scores = {int(era): score for era, score in best.user_attrs[_SERIES].items()}
    return Found(
        trial=best.number,
        worth=float(study.best_value),
        parameters=best.user_attrs["parameters"],
        scores=scores,
        complete=counts[TrialState.COMPLETE],
        pruned=counts[TrialState.PRUNED],
        failed=counts[TrialState.FAIL],
        deflated_sharpe=deflated_sharpe_of(
            list(scores),
            np.array(list(scores.values())),
            horizon=horizon,
            trials=counts[TrialState.COMPLETE] + counts[TrialState.PRUNED],
        ),
    )


def spread_of_seeds(
    objective: Objective, parameters: Mapping[str, Any], seeds: int, *, horizon: int, progress: Progress = silent
) -> SeedSpread:
    """Mean score of hyperparameters over so many seeds (>= 2), and its errors: between eras and between seeds."""
    columns = {}
    for seed in range(objective.seed, objective.seed + seeds):
        columns[seed] = mean_scores(list(replace(objective, seed=seed).scores(parameters, progress)))
        progress("seeds", len(columns), seeds)
    table = pd.DataFrame(columns).sort_index()
    return seed_spread(table.to_numpy(np.float64), horizon=horizon, eras=table.index.to_numpy())


@contextmanager
def kept_study(path: Path) -> "Iterator[optuna.Study]":
    """The study in the file `path`, created where there is none, for one process at a time.

    Raises MethodError while another process uses it.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise MethodError(f"{path}: another search uses this study; wait for it, or stop it") from None
    try:
        yield optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=path.stem,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_TRIALS_BEFORE_PRUNING),
        )
    finally:
        lock.release()


def study_page(study: "optuna.Study", title: str) -> str:
    """One self-contained HTML page: trials over time, fold by fold, and by hyperparameter."""
    from optuna import visualization
    from optuna.trial import TrialState

    from numerai_assets.evaluation.figures import styled
    from numerai_assets.evaluation.report import Section, Shown, html_report

    figures = [visualization.plot_optimization_history(study), visualization.plot_intermediate_values(study)]
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) > 1:
        figures += [visualization.plot_slice(study), visualization.plot_param_importances(study)]
    # Optuna's own titles stand where the legend does; they become captions.
    captions = [figure.layout.title.text for figure in figures]
    shown = [
        Shown(styled(figure.update_layout(title=None), height=420), caption)
        for figure, caption in zip(figures, captions, strict=True)
    ]
    return html_report(f"{len(study.trials)} trials", [Section("Search", shown)], title=title)
