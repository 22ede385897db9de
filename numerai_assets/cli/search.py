"""`numerai search`: hyperparameters of a method, searched on eras before its first vintage."""

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from numerai_assets.cli.guarded import guarded
from numerai_assets.errors import SettingsError
from numerai_assets.settings import load_settings

if TYPE_CHECKING:
    from numerai_assets.evaluation.splits import Splits
    from numerai_assets.pipeline.study import Metric

METRICS = ("corr", "mmc", "payout-sharpe")
# Those of `evaluation.splits`, which is not imported for `--help`.
SPLITS = ("forward", "rolling", "k-fold", "combinatorial", "official")


@click.command("search")
@click.argument("method")
@click.option(
    "--trials", default=50, show_default=True, help="Trials of the study in total, those of earlier calls included."
)
@click.option("--metric", type=click.Choice(METRICS), default=METRICS[0], show_default=True, help="Score to maximise.")
@click.option(
    "--splits",
    type=click.Choice(SPLITS),
    default=SPLITS[0],
    show_default=True,
    help="forward: train on all eras before the validation eras. rolling: on a window of half of the eras. k-fold, "
    "combinatorial: also on eras after them. official: refit every 156 eras.",
)
@click.option(
    "--folds",
    default=4,
    show_default=True,
    help="Folds; for combinatorial, runs of eras, validated on in pairs. official ignores it.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train the best hyperparameters with this many seeds and report how much the seeds differ.",
)
@click.option("--timeout", type=float, help="Minutes after which no trial begins.")
@guarded
def search_command(
    method: str, trials: int, metric: "Metric", splits: "Splits", folds: int, seeds: int, timeout: float | None
) -> None:
    """Search hyperparameters of METHOD on eras before the first vintage.

    The same command continues an interrupted search.
    """
    from tqdm import tqdm

    from numerai_assets.pipeline.search import search_method
    from numerai_assets.pipeline.workspace import Workspace

    settings = load_settings()
    if method not in settings.methods:
        raise SettingsError(f"search: no [methods.{method}] in the settings; there are {', '.join(settings.methods)}")
    with tqdm(total=trials, desc=f"{method} trials", disable=not sys.stderr.isatty()) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "trials":
                bar.update(done - bar.n)
            else:
                bar.set_postfix_str(f"{stage} {done}/{total}")

        try:
            searched = search_method(
                Workspace(settings),
                method,
                metric=metric,
                trials=trials,
                folds=folds,
                splits=splits,
                seeds=seeds,
                seconds=math.inf if timeout is None else timeout * 60,
                progress=progress,
            )
        except KeyboardInterrupt:
            click.echo("numerai: interrupted; the same command continues with the trials that had ended", err=True)
            sys.exit(130)
    found = searched.found
    click.echo(
        f"{method}: {found.complete} trials complete, {found.pruned} pruned, {found.failed} failed; validated on eras "
        f"{searched.first_judged:04d}-{searched.last_judged:04d}, which no vintage is validated on\n"
        f"best: trial {found.trial}, {metric} {found.worth:+.4f}; probability of a true Sharpe ratio above 0, given "
        f"{found.complete + found.pruned} trials: {found.deflated_sharpe:.2f}"
    )
    if searched.seeds is not None:
        spread = searched.seeds
        click.echo(
            f"{spread.seeds} seeds: mean {spread.mean:+.4f}, standard error {spread.error:.4f} ({spread.era_error:.4f} between "
            f"eras, {spread.seed_error:.4f} between seeds); two fits differ by about {spread.between_seeds:.4f}"
        )
    click.echo(
        f"plots: {searched.page}\n\n[methods.{method}.parameters]\n"
        + "\n".join(f"{name} = {toml_of(value)}" for name, value in searched.parameters.items())
    )


def toml_of(value: Any) -> str:
    """A hyperparameter as TOML."""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else repr(value)
