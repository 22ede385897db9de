"""Search of a method's hyperparameters with Optuna, fold by fold, on eras that nobody is judged on.

A trial takes hyperparameters from the method's own `search_space`, fits it on each fold's eras and judges it on the run
after them (forward chaining: what is fitted comes before what is judged, and the purge between). After each fold it is
told what it is worth so far, and ended where it lies below the median of the others (Optuna's MedianPruner).

The study lies in one sqlite file. What a trial tries follows from the seed and the trials that ended before it alone, so a
search that was interrupted, or killed, goes on as if it had not been; the trial it was in counts as failed.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from numerai_assets.errors import MethodError
from numerai_assets.evaluation.era_series import sharpe
from numerai_assets.evaluation.metrics import Score, score_eras
from numerai_assets.evaluation.payout import SINCE_1343
from numerai_assets.evaluation.score_summary import deflated_sharpe_of
from numerai_assets.evaluation.splits import Fold, ForwardChaining
from numerai_assets.methods.contract import Method, Suggests
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

if TYPE_CHECKING:
    import optuna

Metric = Literal["corr", "mmc", "payout-sharpe"]
Space = Callable[[Suggests], dict[str, Any]]

_SERIES = "scores"
# A trial is compared with the others once there are so many.
_TRIALS_BEFORE_PRUNING = 5


@dataclass(frozen=True)
class Objective:
    """What hyperparameters are worth on folds of a panel.

    create: an unfitted estimator with the given hyperparameters. meta_model: (n,) of the panel's rows, NaN where it is not
    held; wanted by every metric but "corr". folds: eras of the panel, of which the meta model covers the judged ones.
    panels: of each fold, its eras with columns that are its own; empty where all folds have those of the panel.
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
        """Of each fold in turn: the score, or return of a stake, of each era it judges; 0 for a constant prediction."""
        for fold, panel in zip(self.folds, self.panels or [self.panel] * len(self.folds), strict=True):
            estimator = self.create(**parameters)
            estimator.fit(panel.with_eras(fold.fit), target=self.target, seed=self.seed, progress=progress)
            judged = panel.with_eras(fold.judged)
            found = self._series(estimator.predict(judged), judged)
            yield dict(zip(judged.eras, np.nan_to_num(found).tolist(), strict=True))

    def worth(self, scores: Mapping[int, float]) -> float:
        """What these eras' scores amount to: their mean, or the Sharpe ratio of the returns."""
        values = np.array(list(scores.values()))
        return float(np.nan_to_num(sharpe(values))) if self.metric == "payout-sharpe" else float(values.mean())

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


def covered_folds(
    panel: EraPanel, *, horizon: int, count: int, meta_model: NDArray[np.floating] | None = None
) -> tuple[Fold, ...]:
    """Purged folds, each judging the eras of which the meta model, where one is wanted, is held.

    Raises MethodError for a fold that could judge none, SplitError for too few eras.
    """
    folds = ForwardChaining(n_splits=count, horizon=horizon).era_folds(panel.eras)
    if meta_model is None:
        return tuple(folds)
    held = set(np.unique(panel.era[~np.isnan(meta_model)]).tolist())
    covered = tuple(Fold(fold.fit, [era for era in fold.judged if era in held]) for fold in folds)
    for fold, of_all in zip(covered, folds, strict=True):
        if not fold.judged:
            raise MethodError(
                f"search: a fold judges eras {of_all.judged[0]:04d}-{of_all.judged[-1]:04d}, of which the meta model is not "
                f"held (of {len(held)} eras in all); search by --metric corr, or set retrain.first_vintage to a later era"
            )
    return covered


@dataclass(frozen=True)
class Found:
    """The best of a study. scores: of each judged era. deflated_sharpe: probability that its true Sharpe ratio is above 0,
    given that it was the best of all trials, those that were ended early among them."""

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
    """Goes on until the study has so many trials that ended by themselves or were pruned, or for so long; the best of them.

    No trial is begun after `seconds`. Raises MethodError when there is no complete trial; whatever ends a trial otherwise,
    an interruption too, leaves it failed in the study and is raised on.
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
    """One trial, told to the study however it ends."""
    from optuna.trial import TrialState

    trial = study.ask()
    try:
        scores: dict[int, float] = {}
        parameters = space(trial)
        trial.set_user_attr("parameters", parameters)
        for step, of_fold in enumerate(objective.scores(parameters, progress)):
            scores |= of_fold
            trial.report(objective.worth(scores), step)
            progress(f"trial {trial.number}, folds", step + 1, len(objective.folds))
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
        trial.set_user_attr(_SERIES, {str(era): score for era, score in scores.items()})
        study.tell(trial, objective.worth(scores))
    except BaseException:
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise


def best_of(study: "optuna.Study", *, horizon: int) -> Found:
    """The best complete trial and what it is worth after so many. Raises MethodError while there is none."""
    from optuna.trial import TrialState

    counts = {
        state: len(study.get_trials(deepcopy=False, states=(state,)))
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    if not counts[TrialState.COMPLETE]:
        raise MethodError("search: no trial is complete yet; give it more time or more trials")
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


@contextmanager
def kept_study(path: Path) -> "Iterator[optuna.Study]":
    """The study in the file `path`, for one process at a time; a new one where there is none.

    Raises MethodError while another process searches in it.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise MethodError(f"{path}: another search goes on in this study; wait for it, or end it") from None
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
