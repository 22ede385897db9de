"""Vintages: each method fitted on what was known at one past moment; the live model is the newest vintage."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from numerai_assets.eras import Wall, era_label, horizon_of
from numerai_assets.errors import ComputeError, FeatureError, MethodError, StoreError, WallError
from numerai_assets.execution import LOCAL, threads_limited
from numerai_assets.features.contract import FittedBlock, features_of
from numerai_assets.features.registry import create_fitted_block, learned
from numerai_assets.methods.contract import Extensible, Method
from numerai_assets.methods.registry import create_method, method_class
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.block_columns import BLOCKS_FOLDER, eras_learned_from, folders_of
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.vintage_grid import history_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.eras_used import eras_of, recorded
from numerai_assets.store.vintage_store import Refusal, Vintage, VintageStore, seal
from numerai_assets.store.wall_crossings import crossings

EraUses = Mapping[str, Sequence[int]]
"""Eras whose targets each use saw, by the names of `store.eras_used.USES`."""


def fit_vintage(
    workspace: Workspace, method: str, vintage: int, log: Callable[[str], None], progress: Progress
) -> tuple[Vintage, pd.DataFrame]:
    """Fits one vintage of a method on the eras before its wall and stores it; its record and its feature importance.

    A vintage that cannot be fitted is recorded with the reason. Raises MethodError, FeatureError or WallError then.
    """
    settings, spec = workspace.settings.methods[method], workspace.specs.method(method)
    base = base_of(workspace, method, vintage)
    if base is not None:
        _check_base(workspace, method, base, spec)
    estimator = create_method(method, settings) if base is None else load_vintage(workspace, method, base)
    with _recording_refusal(workspace.vintages, workspace.store, method, vintage, spec):
        if horizon_of(spec.target) not in estimator.horizons:
            raise MethodError(f"{method}: cannot be fitted on {spec.target}; it serves horizons {estimator.horizons}")
        panel = training_panel(workspace, spec, vintage, estimator)
        # A warm start sees the columns of the learned blocks of the vintage that it starts from.
        if base is None:
            folders = folders_of(workspace.fitted_blocks, spec.blocks, vintage)
            learned_from = eras_learned_from(workspace.fitted_blocks, spec.blocks, vintage)
        else:
            folders = learned_blocks_of(workspace.vintages, method, base)
            learned_from = _eras_of_blocks(workspace.vintages, method, base)
        keys, columns = [era_label(era) for era in panel.eras], workspace.block_columns()
        panel = columns.with_blocks(panel, keys, spec.blocks, folders)
        panel = columns.with_history(panel, keys, estimator.reads, spec.reads)
        log(
            f"{method} {era_label(vintage)}: {panel.rows:,} rows x {len(panel.feature_names):,} features of "
            f"{len(panel.eras)} eras" + ("" if base is None else f", warm start from {era_label(base)}")
        )
        grow = estimator.extend if base is not None and isinstance(estimator, Extensible) else estimator.fit
        with threads_limited(settings.execution.cores):
            grow(panel, target=spec.target, seed=spec.seed, progress=progress)
        with workspace.vintages.writing(method, vintage) as folder:
            estimator.save(folder)
            # A vintage is complete in itself: it keeps a copy of its learned blocks.
            for name, place in folders.items():
                shutil.copytree(place, folder / BLOCKS_FOLDER / name)
            uses = {**eras_used(estimator, panel, spec.target), **learned_from}
            record = _seal(folder, method, vintage, panel, spec, uses, warm_started_from=base)
            # Predictions of an earlier fit of this vintage are no longer its predictions.
            workspace.predictions.forget(method, vintage)
    return record, estimator.explain(panel)


def fit_block(workspace: Workspace, name: str, vintage: int, progress: Progress) -> tuple[Vintage, FittedBlock]:
    """Fits one vintage of a learned block on the eras before its wall and stores it. Records and raises as `fit_vintage`."""
    settings, spec = workspace.settings.features[name], workspace.specs.block(name)
    if not isinstance(spec, VintageSpec):
        raise FeatureError(f"{name}: is computed once per era and has no vintages")
    block = create_fitted_block(name, settings.parameters, settings.execution)
    with _recording_refusal(workspace.fitted_blocks, workspace.store, name, vintage, spec):
        panel = training_panel(workspace, spec, vintage, block)
        keys = [era_label(era) for era in panel.eras]
        panel = workspace.block_columns().with_history(panel, keys, block.reads, spec.reads)
        with threads_limited(settings.execution.cores):
            block.fit(panel, target=spec.target, seed=spec.seed, progress=progress)
        with workspace.fitted_blocks.writing(name, vintage) as folder:
            block.save(folder)
            record = _seal(folder, name, vintage, panel, spec, {"fit": panel.eras})
    return record, block


def training_panel(workspace: Workspace, spec: VintageSpec, vintage: int, estimator: Method | FittedBlock) -> EraPanel:
    """The eras before a vintage's wall that an estimator is fitted on, with the features of its set and its targets.

    Raises WallError when there is no such era, and MethodError or FeatureError when there are fewer than it needs.
    """
    is_method = isinstance(estimator, Method)
    wall = Wall(vintage, horizon_of(spec.target))
    panel = workspace.store.fit_panel(
        wall,
        target=spec.target,
        auxiliary=estimator.auxiliary_targets if is_method else (),
        every=estimator.every_eras if is_method else 1,
        features=features_of(workspace.feature_sets(), spec.feature_set),
    )
    wall.check_fit(panel.eras)
    if len(panel.eras) < estimator.least_eras:
        raise (MethodError if is_method else FeatureError)(
            f"{estimator.name} {era_label(vintage)}: {len(panel.eras)} training eras, expected at least "
            f"{estimator.least_eras}; start the grid later (retrain.first_vintage) or change its parameters"
        )
    return panel


def is_current(vintages: VintageStore, method: str, vintage: int, spec: VintageSpec) -> bool:
    """True when the vintage is stored and was fitted by that spec."""
    return vintages.holds(method, vintage) and VintageSpec.of_vintage(vintages.facts(method, vintage)) == spec


def is_refused(vintages: VintageStore, store: EraStore, method: str, vintage: int, spec: VintageSpec) -> bool:
    """True when the vintage could not be fitted and neither its spec nor its data have changed since."""
    found = vintages.refusal(method, vintage)
    return found is not None and (found.spec, found.data) == (spec.digest, training_data(store, vintage))


def refused_vintages(workspace: Workspace) -> list[Refusal]:
    """Vintages of the active methods and learned blocks that cannot be fitted as the settings and the data are now."""
    specs, store = workspace.specs, workspace.store
    blocks = [(workspace.fitted_blocks, specs.block, name) for name in learned(workspace.settings.active_blocks)]
    methods = [(workspace.vintages, specs.method, name) for name in workspace.settings.active_methods]
    return [
        refusal
        for vintages, spec_of, name in [*blocks, *methods]
        for refusal in vintages.refusals(name)
        if isinstance(spec := spec_of(name), VintageSpec) and is_refused(vintages, store, name, refusal.vintage, spec)
    ]


def training_data(store: EraStore, vintage: int) -> str:
    """16 hexadecimal digits of all that could be fitted on at a vintage: its eras, their features, the resolved targets."""
    records = {key: record for key, record in store.records().items() if key.isdigit() and int(key) <= vintage}
    state = [(key, record.cleaned_sha256, sorted(record.resolved)) for key, record in records.items()]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def base_of(workspace: Workspace, method: str, vintage: int) -> int | None:
    """The vintage of history that a rolled one warm-starts from; None for one that is trained from scratch."""
    if not workspace.settings.methods[method].rolled:
        return None
    base = history_vintage(workspace.settings.retrain, vintage, last_train_era=workspace.last_train_era())
    return None if base == vintage else base


def load_vintage(workspace: Workspace, method: str, vintage: int) -> Method:
    """The fitted estimator of a vintage, its files compared with their checksums.

    Raises StoreError for a damaged one. It is set aside, so that it counts as missing and is fitted again when due.
    """
    settings = workspace.settings.methods.get(method)
    try:
        place = workspace.vintages.verified(method, vintage)
    except StoreError as error:
        if not workspace.vintages.holds(method, vintage):
            raise
        kept = workspace.vintages.set_aside(method, vintage)
        workspace.alert(f"{method} {era_label(vintage)} damaged", f"{error}. It is kept in {kept}")
        raise StoreError(f"{error}. It is kept in {kept}") from None
    estimator = method_class(method, settings.source if settings else None).load(place)
    if settings is not None:
        estimator.execution = settings.execution
    return estimator


def model_digest(vintages: VintageStore, method: str, vintage: int) -> str:
    """Digest of a vintage's files: a vintage that was fitted again with other settings is another model."""
    files = json.dumps(vintages.facts(method, vintage).files, sort_keys=True)
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def learned_blocks_of(vintages: VintageStore, method: str, vintage: int) -> dict[str, Path]:
    """Folders of the learned blocks that a vintage was fitted with, by name."""
    folder = vintages.place(method, vintage) / BLOCKS_FOLDER
    return {path.name: path for path in sorted(folder.glob("*")) if path.is_dir()}


def eras_used(estimator: Method, panel: EraPanel, target: str) -> dict[str, Sequence[int]]:
    """Eras whose targets each use saw: the whole panel for the fit, and what else the estimator reports.

    target: the vintage's own; of the panel's other targets the eras in which they are known.
    """
    reported = estimator.eras_used_
    others = {f"fit:{name}": panel.eras_with(name) for name in panel.targets_of_block if name != target}
    return {**others, **reported, "fit": [*panel.eras, *reported.get("fit", ())]}


def _seal(
    folder: Path,
    name: str,
    vintage: int,
    panel: EraPanel,
    spec: VintageSpec,
    uses: EraUses,
    *,
    warm_started_from: int | None = None,
) -> Vintage:
    """Writes the record of a fit into its folder. Raises WallError when a use of targets saw an era behind the wall."""
    record = seal(
        folder,
        method=name,
        vintage=vintage,
        first_fit_era=panel.eras[0],
        last_fit_era=panel.eras[-1],
        fit_eras=len(panel.eras),
        rows=panel.rows,
        features=len(panel.feature_names),
        uses=recorded(uses),
        continued_from=warm_started_from,
        **spec.as_json(),
    )
    if crossed := crossings(record):
        raise WallError("; ".join(map(str, crossed)))
    return record


@contextmanager
def _recording_refusal(
    vintages: VintageStore, store: EraStore, name: str, vintage: int, spec: VintageSpec
) -> Iterator[None]:
    try:
        yield
    except ComputeError:
        # Nothing is wrong with the vintage; the next run tries again.
        raise
    except (MethodError, FeatureError, WallError) as error:
        vintages.refuse(Refusal(name, vintage, str(error), spec.digest, training_data(store, vintage)))
        raise


def _check_base(workspace: Workspace, method: str, base: int, spec: VintageSpec) -> None:
    """Raises MethodError unless the method can warm-start from `base`, here, and `base` is stored as the settings ask."""
    settings = workspace.settings.methods[method]
    if settings.compute != LOCAL:
        raise MethodError(
            f"{method}: a warm start runs on this machine, not on {settings.compute}; set "
            f'methods.{method}.compute = "local" or rolled = false'
        )
    if not issubclass(method_class(method, settings.source), Extensible):
        raise MethodError(f"{method}: cannot warm-start from an earlier vintage; set methods.{method}.rolled = false")
    if not is_current(workspace.vintages, method, base, spec):
        raise MethodError(
            f"{method}: base vintage {era_label(base)} is missing or was trained with other settings; run "
            f"`numerai backfill --vintages {era_label(base)}` first"
        )


def _eras_of_blocks(vintages: VintageStore, method: str, vintage: int) -> dict[str, Sequence[int]]:
    """Eras whose targets were seen by the learned blocks that a vintage was fitted with, from the vintage's record."""
    uses = vintages.facts(method, vintage).uses
    return {use: eras_of(runs) for use, runs in uses.items() if use.partition(":")[0] in ("features", "selection")}
