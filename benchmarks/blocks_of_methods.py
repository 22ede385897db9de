"""Gain of each feature block for a method, and the cost of the fits, on a market that `methods_on_markets` made.

    python -m benchmarks.methods_on_markets --folder DIR --market-seeds 0
    python -m benchmarks.blocks_of_methods --market DIR/market-0
    python -m benchmarks.blocks_of_methods --market DIR/prices --every-eras 156    # one vintage for all out-of-sample eras

Every vintage is fitted again for each variant, in a process of its own, and scored on the eras up to the next vintage, as in
the weekly job. Learned blocks are fitted for each vintage first, unless they are stored. If a block has too few eras for a
vintage, the variant skips that vintage's eras. The difference is to the method without blocks, era by era, with its
Newey-West error. CPU seconds and memory (peak, anonymous) are those of the last vintage's fit, with reading, without the
columns of blocks. Trees do not depend on --threads.

"example" is Numerai's own code: read the release's files into a frame, keep every fourth era, call LGBMRegressor.fit. Its
trees, and so its CORR, are those of `benchmark`.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import pandas as pd

from benchmarks.table import in_process
from numerai_assets.eras import PAYOUT_TARGET, Wall, era_label, horizon_of, resolved_through
from numerai_assets.errors import FeatureError
from numerai_assets.evaluation.comparison import compare
from numerai_assets.evaluation.metrics import corr
from numerai_assets.evaluation.uncertainty import estimate
from numerai_assets.features.registry import learned
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.registry import create_method, method_class
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.block_columns import folders_of
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.vintage_grid import vintages_due
from numerai_assets.pipeline.vintages import fit_block, is_current
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import silent
from numerai_assets.settings import SETTINGS_FILE_VARIABLE, MethodSettings, RetrainPolicy, load_settings
from numerai_assets.tournament.release import TRAIN, VALIDATION

_MIXER = ("mixing", "trajectory_mixer", "payoff_panel", "group_payoffs")
_MOMENTUM = ("target_momentum", "network_momentum", "trajectory_changes", "group_payoffs")
# These markets have too few eras for windows of one year of payoffs.
_PARAMETERS: dict[str, dict[str, Any]] = {"payoff_panel": {"length": 26}}


EXAMPLE = "example"


class Way(NamedTuple):
    """A method, its parameters besides those of `quick`, and its blocks."""

    method: str
    parameters: dict[str, Any]
    blocks: tuple[str, ...] = ()


def ways() -> dict[str, Way]:
    """Variants by name; the first of each method is the reference of the others."""
    found = {
        "benchmark": Way("benchmark", {}),
        EXAMPLE: Way("benchmark", {}),
        "benchmark, every era": Way("benchmark", {"every_eras": 1}),
    }
    for method, blocks in (("mixer_boosting", _MIXER), ("momentum_ensemble", _MOMENTUM)):
        found[method] = Way(method, {})
        found |= {f"{method} + {block}": Way(method, {}, (block,)) for block in blocks}
    # The payoff panel cannot be fitted at the first vintages.
    others = tuple(block for block in _MIXER if block != "payoff_panel")
    found["mixer_boosting + all but payoff_panel"] = Way("mixer_boosting", {}, others)
    found["momentum_ensemble + all"] = Way("momentum_ensemble", {}, _MOMENTUM)
    return found


def open_market(market: Path) -> Workspace:
    """The workspace of a market, with all blocks switched on."""
    os.environ[SETTINGS_FILE_VARIABLE] = str(market / "numerai.toml")
    on = {name: {"on": True, "parameters": _PARAMETERS.get(name, {})} for name in ("look_alikes", *_MIXER, *_MOMENTUM)}
    return Workspace(load_settings(home=market / "data", features=on))


def with_columns(workspace: Workspace, panel: EraPanel, blocks: Sequence[str], vintage: int) -> EraPanel:
    """The panel with the columns of the blocks; learned blocks are those of the vintage."""
    specs = {name: workspace.specs.block(name) for name in blocks}
    folders = folders_of(workspace.fitted_blocks, blocks, vintage)
    return workspace.block_columns().with_blocks(panel, list(map(era_label, panel.eras)), specs, folders)


def fit(market: Path, way: Way, vintage: int, threads: int, folder: Path) -> None:
    """Fits one variant for one vintage and saves it in `folder`."""
    workspace = open_market(market)
    estimator = create_method(way.method, MethodSettings(parameters=way.parameters, threads=threads))
    panel = workspace.store.fit_panel(
        Wall(vintage, horizon_of(PAYOUT_TARGET)),
        target=PAYOUT_TARGET,
        auxiliary=estimator.auxiliary_targets,
        every=estimator.every_eras,
        features=workspace.feature_sets()["all"],
    )
    panel = with_columns(workspace, panel, way.blocks, vintage)
    folder.mkdir(parents=True, exist_ok=True)
    estimator.fit(panel, target=PAYOUT_TARGET, seed=0).save(folder)


def fit_example(market: Path, way: Way, vintage: int, threads: int, folder: Path) -> None:
    """Numerai's example of hello_numerai on the training eras of `benchmark`, saved as a `Benchmark` in `folder`."""
    workspace, method = open_market(market), Benchmark(**way.parameters).run_on(threads=threads)
    names, wall = list(workspace.feature_sets()["all"]), Wall(vintage, horizon_of(PAYOUT_TARGET))
    files = [workspace.release.path(name) for name in (TRAIN, VALIDATION)]
    frame = pd.concat([pd.read_parquet(file, columns=["era", PAYOUT_TARGET, *names]) for file in files])
    eras = range(wall.last_fit_era, 0, -method.every_eras)
    frame = frame[frame["era"].isin(list(map(era_label, eras)))]
    model = lgb.LGBMRegressor(
        n_estimators=method.n_estimators,
        learning_rate=method.learning_rate,
        max_depth=method.max_depth,
        num_leaves=method.num_leaves,
        colsample_bytree=method.colsample_bytree,
        random_state=0,
        n_jobs=threads,
        verbosity=-1,
        deterministic=True,
        force_col_wise=True,
    )
    method.booster_ = model.fit(frame[names], frame[PAYOUT_TARGET]).booster_
    method.feature_names_ = tuple(names)
    folder.mkdir(parents=True, exist_ok=True)
    method.save(folder)


def judge(workspace: Workspace, way: Way, folder: Path, vintage: int, eras: Sequence[int]) -> pd.Series:
    """CORR of each era."""
    estimator, keys = method_class(way.method).load(folder), list(map(era_label, eras))
    panel = workspace.store.panel(keys, targets=[PAYOUT_TARGET], features=workspace.feature_sets()["all"])
    panel = with_columns(workspace, panel, way.blocks, vintage)
    cuts = panel.edges[1:-1]
    both = zip(np.split(estimator.predict(panel), cuts), np.split(panel.target(PAYOUT_TARGET), cuts), strict=True)
    return pd.Series([float(corr(prediction[:, None], target)[0]) for prediction, target in both], index=list(eras))


def is_held(workspace: Workspace, name: str, vintage: int) -> bool:
    """True if a block is there for the vintage, fitted now if need be; False if it has too few eras before the wall."""
    spec = workspace.specs.block(name)
    if isinstance(spec, VintageSpec) and not is_current(workspace.fitted_blocks, name, vintage, spec):
        try:
            fit_block(workspace, name, vintage, silent)
        except FeatureError as error:
            print(f"{name}, vintage {era_label(vintage)}: {error}", flush=True)
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--market", type=Path, required=True)
    parser.add_argument("--every-eras", type=int, default=RetrainPolicy().history_every_eras, help="between vintages")
    parser.add_argument("--threads", type=int, default=2, help="of a fit")
    parser.add_argument("--only", choices=list(ways()), nargs="*", default=list(ways()))
    options = parser.parse_args()
    market: Path = options.market.resolve()
    workspace, asked = open_market(market), {name: way for name, way in ways().items() if name in options.only}
    resolved = resolved_through(workspace.store.newest_era(), horizon_of(PAYOUT_TARGET))
    policy = RetrainPolicy(every_eras=options.every_eras, history_every_eras=options.every_eras)
    vintages = vintages_due(policy, last_train_era=workspace.last_train_era(), newest_era=resolved)
    needed = {name for way in asked.values() for name in learned(way.blocks)}
    held = {(name, vintage) for name in sorted(needed) for vintage in vintages if is_held(workspace, name, vintage)}

    print(f"{'way':<40}{'eras':>6}{'CORR60':>9}{'+-':>8}{'difference':>12}{'+-':>8}{'CPU s':>8}{'MB':>6}")
    alone: dict[str, pd.Series] = {}
    for name, way in asked.items():
        scores, of_vintages = [], learned(way.blocks)
        for vintage, end in zip(vintages, [*(v + 1 for v in vintages[1:]), resolved + 1], strict=True):
            if not all((block, vintage) in held for block in of_vintages):
                continue
            with tempfile.TemporaryDirectory() as place:
                fitting = fit_example if name == EXAMPLE else fit
                cost = in_process(fitting, market, way, vintage, options.threads, Path(place))
                scores.append(judge(workspace, way, Path(place), vintage, range(vintage + 1, end)))
        found = pd.concat(scores)
        base = alone.setdefault(way.method, found)
        own = estimate(found.to_numpy(float), horizon=60, eras=found.index)
        # If a block can only be fitted for the newest vintage, there are few out-of-sample eras.
        against = None if found is base else compare(found, base.loc[found.index], horizon=60, seed=0, least_eras=26)
        shown = f"{against.difference.mean:>+12.4f}{against.difference.error:>8.4f}" if against else " " * 20
        print(
            f"{name:<40}{len(found):>6}{own.mean:>+9.4f}{own.error:>8.4f}{shown}"
            f"{cost.cpu_seconds:>8.1f}{cost.anonymous / 1e6:>6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
