"""Searches of hyperparameters over a workspace: which eras they may see, and where their studies lie.

A search sees the eras before the wall of the first vintage of the grid, and no other. Every vintage is judged on eras after
that one, so what is found here has seen nothing of what judges it: the holdout ledger, which counts looks at judged eras,
has nothing to write down. A learned block is fitted once for each fold, as of a vintage between what the fold is fitted on
and what it judges.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.eras import era_label, first_vintage_with, horizon_of
from numerai_assets.errors import FeatureError, MethodError, WallError
from numerai_assets.evaluation.seed_spread import SeedSpread
from numerai_assets.evaluation.splits import Fold, Splits
from numerai_assets.methods.contract import Method
from numerai_assets.methods.registry import create_method, method_class
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.block_columns import folders_of
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.study import (
    Found,
    Metric,
    Objective,
    Space,
    covered_folds,
    kept_study,
    search,
    spread_of_seeds,
    study_page,
)
from numerai_assets.pipeline.vintages import fit_block, is_current, training_panel
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress, silent
from numerai_assets.store.atomic import replacing_file, write_json
from numerai_assets.store.cache import content_key
from numerai_assets.tournament.release import META_MODEL, Release


@dataclass(frozen=True)
class Searched:
    """Result of a search. page: its plots as HTML. parameters: all beside the profile's, the found ones last.

    seeds: the best hyperparameters with further seeds; None where none were asked for.
    """

    found: Found
    page: Path
    first_judged: int
    last_judged: int
    parameters: dict[str, Any]
    seeds: SeedSpread | None


def search_method(
    workspace: Workspace,
    method: str,
    *,
    metric: Metric = "corr",
    trials: int,
    folds: int = 4,
    splits: Splits = "forward",
    seeds: int = 1,
    seconds: float = float("inf"),
    progress: Progress = silent,
) -> Searched:
    """Searches the hyperparameters of a method of the settings, or continues a search; stores the study and its plots.

    splits, folds: as in `splitter_of`. seeds: number of seeds with which the best hyperparameters are trained.
    Raises MethodError for a method that declares no space, for a learned block that a fold has too few eras for or that would
    be fitted on validation eras, and for a metric that is not available.
    """
    settings = workspace.settings.methods[method]
    horizon, space = horizon_of(settings.target), space_of(method, settings.source)
    # A fold is fitted on the auxiliary targets too: its validation eras lie behind the wall of the longest.
    longest = max(map(horizon_of, (settings.target, *create_method(method, settings).auxiliary_targets)))
    panel = search_panel(workspace, method)
    meta_model = None if metric == "corr" else meta_model_of(workspace.release, panel)
    if metric == "payout-sharpe" and horizon != 60:
        raise MethodError(f"search: {metric} is of 60-day scores, {method} is fitted on {settings.target}")

    def create(**parameters: Any) -> Method:
        return create_method(method, settings.model_copy(update={"parameters": settings.parameters | parameters}))

    covered = covered_folds(panel, horizon=longest, count=folds, splits=splits, meta_model=meta_model)
    objective = Objective(
        create=create,
        panel=panel,
        target=settings.target,
        seed=settings.seed,
        metric=metric,
        folds=covered,
        meta_model=meta_model,
        panels=fold_panels(workspace, method, panel, covered, longest, progress),
    )
    # Trials are comparable while all this is the same; else the search is another one.
    key = content_key(
        metric=metric,
        folds=objective.folds,
        digests=panel.digests,
        profile=settings.profile,
        **({} if splits == "forward" else {"splits": splits}),
        **workspace.specs.method(method).as_json(),
    )
    label = f"{method}-{metric}" if splits == "forward" else f"{method}-{metric}-{splits}"
    path = workspace.folder / "searches" / f"{label}-{key[:12]}.db"
    with kept_study(path) as study:
        found = search(study, objective, space, trials=trials, horizon=horizon, seconds=seconds, progress=progress)
        with replacing_file(path.with_suffix(".html")) as aside:
            aside.write_text(study_page(study, f"{method}, {metric}"), encoding="utf-8")
    spread = None
    if seeds > 1:
        spread = spread_of_seeds(objective, found.parameters, seeds, horizon=horizon, progress=progress)
        write_json(
            path.with_suffix(".seeds.json"), {"search": label, "trial": found.trial, "metric": metric} | asdict(spread)
        )
    return Searched(
        found=found,
        page=path.with_suffix(".html"),
        first_judged=min(found.scores),
        last_judged=max(found.scores),
        parameters=settings.parameters | found.parameters,
        seeds=spread,
    )


def space_of(method: str, source: str | None = None) -> Space:
    """The search space that a method declares. Raises MethodError when it declares none."""
    found = method_class(method, source)
    if not found.declares_space():
        raise MethodError(f"{method}: declares no search_space(trial), so there is nothing to search")
    return found.search_space


def search_panel(workspace: Workspace, method: str) -> EraPanel:
    """The eras a search may see: those that a fit of the first vintage of the grid does. Without the columns of blocks."""
    vintage = min(_first_vintage(workspace), workspace.store.newest_era())
    estimator = create_method(method, workspace.settings.methods[method])
    return training_panel(workspace, workspace.specs.method(method), vintage, estimator)


def fold_panels(
    workspace: Workspace, method: str, panel: EraPanel, folds: Sequence[Fold], horizon: int, progress: Progress
) -> tuple[EraPanel, ...]:
    """Of each fold its eras with the columns of the method's blocks and what it reads.

    A learned block is as of the vintage that lies the purge of `horizon` after the fold's last fitted era, and before all
    of the fold's validation eras; it is fitted unless it is stored. Raises MethodError where a fold has too few eras for it.
    """
    spec, columns, found = workspace.specs.method(method), workspace.block_columns(), []
    reads = create_method(method, workspace.settings.methods[method]).reads
    for fold in folds:
        vintage = first_vintage_with(fold.fit[-1], horizon)
        for name, block in spec.blocks.items():
            if not isinstance(block, VintageSpec):
                continue
            if vintage >= fold.judged[0]:
                raise MethodError(
                    f"search: {name} is learned from all eras before a vintage, and a fold trains on eras after those it "
                    "validates on; use --splits forward, rolling or official"
                )
            if not is_current(workspace.fitted_blocks, name, vintage, block):
                _fit_for_fold(workspace, name, vintage, fold, progress)
        eras = panel.with_eras([*fold.fit, *fold.judged])
        keys, folders = list(map(era_label, eras.eras)), folders_of(workspace.fitted_blocks, spec.blocks, vintage)
        given = columns.with_blocks(eras, keys, spec.blocks, folders)
        found.append(columns.with_history(given, keys, reads, spec.reads))
    return tuple(found)


def _fit_for_fold(workspace: Workspace, name: str, vintage: int, fold: Fold, progress: Progress) -> None:
    try:
        fit_block(workspace, name, vintage, progress)
    except (FeatureError, WallError) as error:
        raise MethodError(
            f"search: {name} cannot be fitted for the fold that judges eras {era_label(fold.judged[0])}-"
            f"{era_label(fold.judged[-1])}: {error}. Search with fewer --folds, or without {name}"
        ) from None


def _first_vintage(workspace: Workspace) -> int:
    first = workspace.settings.retrain.first_vintage
    return workspace.last_train_era() if first is None else first


def meta_model_of(release: Release, panel: EraPanel) -> NDArray[np.float64]:
    """(n,) the meta model's predictions of the panel's rows, NaN where it has none. Raises MethodError without its file."""
    path = release.path(META_MODEL)
    if not path.is_file():
        raise MethodError(f"search: {path} is not there; run `numerai weekly`, or search by --metric corr")
    frame = pq.read_table(path, columns=["id", "numerai_meta_model"]).to_pandas()
    frame = frame.set_index("id") if "id" in frame else frame
    return np.asarray(frame["numerai_meta_model"].reindex(panel.ids), np.float64)
