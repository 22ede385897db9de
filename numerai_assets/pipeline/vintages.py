"""Vintages: each method fitted on what was known at one past moment; the live model is the newest vintage."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_assets.eras import Wall, era_label, horizon_of
from numerai_assets.errors import MethodError, StoreError, WallError
from numerai_assets.methods.contract import Extensible, Method
from numerai_assets.panel.panel import EraPanel, reads_of
from numerai_assets.pipeline.block_columns import (
    BLOCKS_FOLDER,
    blocks_with,
    eras_learned_from,
    fitted_blocks,
    read_with,
    with_blocks,
    with_history,
)
from numerai_assets.pipeline.vintage_grid import history_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress
from numerai_assets.store.eras_used import eras_of, recorded
from numerai_assets.store.vintage_store import Vintage, seal
from numerai_assets.store.wall_crossings import crossings
from numerai_assets.trees.cluster import LOCAL


def fit_vintage(
    workspace: Workspace, method: str, vintage: int, log: Callable[[str], None], progress: Progress
) -> tuple[Vintage, pd.DataFrame]:
    """Fits one vintage on what is before its wall and keeps it; returns its facts and what mattered to it."""
    from numerai_assets.methods.registry import create_method

    settings, asked = workspace.settings.methods[method], made_with(workspace, method)
    before = base_of(workspace, method, vintage)
    if before is not None:
        _check_base(workspace, method, before, asked)
    estimator = create_method(method, settings) if before is None else load_vintage(workspace, method, before)
    wall = Wall(vintage, horizon_of(settings.target))
    if wall.horizon not in estimator.horizons:
        raise MethodError(f"{method}: cannot be fitted on {settings.target}; it serves horizons {estimator.horizons}")
    panel = workspace.store.fit_panel(
        wall,
        target=settings.target,
        auxiliary=getattr(estimator, "auxiliary_targets", ()),
        every=estimator.every_eras,
        features=feature_set(workspace, settings.feature_set),
    )
    wall.check_fit(panel.eras)
    # What goes on from a vintage sees the columns of that vintage's learned blocks.
    learned = (
        fitted_blocks(workspace, settings.blocks, vintage)
        if before is None
        else learned_blocks_of(workspace, method, before)
    )
    keys = [era_label(era) for era in panel.eras]
    panel = with_blocks(workspace, panel, keys, asked["blocks"], learned)
    panel = with_history(workspace, panel, keys, reads_of(estimator), asked["reads"])
    log(
        f"{method} {era_label(vintage)}: {panel.rows:,} rows x {len(panel.feature_names):,} features of {len(panel.eras)} eras"
        + ("" if before is None else f", going on from {era_label(before)}")
    )
    with workspace.vintages.writing(method, vintage) as folder:
        grow = estimator.extend if before is not None and isinstance(estimator, Extensible) else estimator.fit
        grow(panel, target=settings.target, seed=settings.seed, progress=progress).save(folder)
        # A vintage is whole in itself: what its learned blocks were stays with it.
        for name, place in learned.items():
            shutil.copytree(place, folder / BLOCKS_FOLDER / name)
        facts = seal(
            folder,
            method=method,
            vintage=vintage,
            first_fit_era=panel.eras[0],
            last_fit_era=panel.eras[-1],
            fit_eras=len(panel.eras),
            rows=panel.rows,
            features=len(panel.feature_names),
            uses=recorded(
                eras_used(estimator, panel, settings.target)
                | (
                    eras_learned_from(workspace, settings.blocks, vintage)
                    if before is None
                    else _eras_of_blocks(workspace, method, before)
                )
            ),
            continued_from=before,
            **asked,
        )
        crossed = crossings(facts)
        if crossed:
            raise WallError("; ".join(map(str, crossed)))
        # What an earlier fit of this vintage predicted is no longer what the vintage predicts.
        workspace.predictions.forget(method, vintage)
    return facts, estimator.explain(panel)


def base_of(workspace: Workspace, method: str, vintage: int) -> int | None:
    """The vintage of history that a rolled one goes on from; None for one that is fitted anew."""
    if not workspace.settings.methods[method].rolled:
        return None
    base = history_vintage(workspace.settings.retrain, vintage, last_train_era=workspace.last_train_era())
    return None if base == vintage else base


def _check_base(workspace: Workspace, method: str, base: int, asked: dict[str, Any]) -> None:
    """Raises MethodError for a base that is not held as is asked for, for a method that cannot go on, and for a cluster."""
    from numerai_assets.methods.registry import method_class

    settings = workspace.settings.methods[method]
    if settings.compute != LOCAL:
        raise MethodError(
            f"{method}: what goes on from an earlier vintage is grown on this machine, not on {settings.compute}; set "
            f'methods.{method}.compute = "local" or rolled = false'
        )
    if not issubclass(method_class(method), Extensible):
        raise MethodError(f"{method}: cannot go on from an earlier vintage; set methods.{method}.rolled = false")
    if not workspace.vintages.holds(method, base, **asked):
        raise MethodError(
            f"{method}: vintage {era_label(base)}, which is to be gone on from, is not held as the settings ask for it; "
            "fit it first"
        )


def load_vintage(workspace: Workspace, method: str, vintage: int) -> Method:
    """The fitted estimator of a vintage, its files compared with their checksums.

    Raises StoreError for a damaged one, which is kept aside for a look and, being absent then, fitted anew when due.
    """
    from numerai_assets.methods.registry import method_class

    try:
        place = workspace.vintages.verified(method, vintage)
    except StoreError as error:
        if not workspace.vintages.holds(method, vintage):
            raise
        kept = workspace.vintages.set_aside(method, vintage)
        workspace.alert(f"{method} {era_label(vintage)} damaged", f"{error}. It is kept in {kept}")
        raise StoreError(f"{error}. It is kept in {kept}") from None
    return method_class(method).load(place)


def model_digest(workspace: Workspace, method: str, vintage: int) -> str:
    """Of a vintage's files: one that was fitted anew with other settings is another model."""
    files = json.dumps(workspace.vintages.facts(method, vintage).files, sort_keys=True)
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def _eras_of_blocks(workspace: Workspace, method: str, vintage: int) -> dict[str, Sequence[int]]:
    """Eras whose targets the learned blocks saw that a vintage was fitted with, as it records them."""
    uses = workspace.vintages.facts(method, vintage).uses
    return {use: eras_of(runs) for use, runs in uses.items() if use.partition(":")[0] in ("features", "selection")}


def learned_blocks_of(workspace: Workspace, method: str, vintage: int) -> dict[str, Path]:
    """Folders of the learned blocks that a vintage was fitted with, by name."""
    folder = workspace.vintages.place(method, vintage) / BLOCKS_FOLDER
    return {path.name: path for path in sorted(folder.glob("*")) if path.is_dir()}


def eras_used(estimator: Method, panel: EraPanel, target: str) -> dict[str, Sequence[int]]:
    """Eras whose targets each use saw: the whole panel for the fit, and what else the estimator tells of.

    target: the vintage's own; of the panel's others the eras that are known.
    """
    told: dict[str, Sequence[int]] = getattr(estimator, "eras_used_", {})
    others = {f"fit:{name}": panel.eras_with(name) for name in panel.targets_of_block if name != target}
    return {**others, **told, "fit": [*panel.eras, *told.get("fit", ())]}


def made_with(workspace: Workspace, method: str) -> dict[str, Any]:
    """What the settings ask of a method's vintages; one made with anything else is not the one asked for."""
    from numerai_assets.methods.registry import create_method

    settings = workspace.settings.methods[method]
    estimator = create_method(method, settings)
    return {
        "target": settings.target,
        "feature_set": settings.feature_set,
        "cleaning": workspace.settings.cleaning.missing,
        "parameters": estimator.get_params(),
        "seed": settings.seed,
        "rolled": settings.rolled,
        "blocks": blocks_with(workspace, settings.blocks),
        "reads": read_with(workspace, estimator),
    }


def feature_set(workspace: Workspace, name: str) -> list[str]:
    """Features of one set of features.json that the store holds. Raises MethodError, listing the sets, for an unknown one.

    A feature that a later release added is in no stored era; the check on the release tells of it.
    """
    sets, held = workspace.release.features(), set(workspace.store.feature_names)
    if name not in sets:
        raise MethodError(f"feature set {name!r} is not in features.json; it has {', '.join(sorted(sets))}")
    return [feature for feature in sets[name] if feature in held]
