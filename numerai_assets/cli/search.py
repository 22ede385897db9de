"""`numerai search`: hyperparameters of a method, found on eras before its first vintage."""

import sys
from typing import TYPE_CHECKING, Any

import click

from numerai_assets.cli.guarded import guarded
from numerai_assets.errors import SettingsError
from numerai_assets.settings import load_settings

if TYPE_CHECKING:
    from numerai_assets.pipeline.study import Metric


@click.command("search")
@click.argument("method")
@click.option("--trials", default=50, show_default=True, help="Trials of the study in all, those of earlier calls too.")
@click.option("--metric", type=click.Choice(["corr", "mmc", "payout-sharpe"]), default="corr", show_default=True)
@click.option("--folds", default=4, show_default=True, help="Runs of eras that are judged one after the other.")
@click.option("--timeout", type=float, help="Minutes after which no trial is begun.")
@guarded
def search_command(method: str, trials: int, metric: "Metric", folds: int, timeout: float | None) -> None:
    """Search hyperparameters on eras before the first vintage; interrupted, the same command goes on where it was."""
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
                seconds=float("inf") if timeout is None else timeout * 60,
                progress=progress,
            )
        except KeyboardInterrupt:
            click.echo("numerai: interrupted; the same command goes on with the trials that had ended", err=True)
            sys.exit(130)
    found = searched.found
    click.echo(
        f"{method}: {found.complete} trials complete, {found.pruned} ended early, {found.failed} failed; judged on eras "
        f"{searched.first_judged:04d}-{searched.last_judged:04d}, before any that a vintage is judged on\n"
        f"best: trial {found.trial}, {metric} {found.worth:+.4f}; probability of a true Sharpe ratio above 0, given "
        f"{found.complete + found.pruned} trials: {found.deflated_sharpe:.2f}\n"
        f"plots: {searched.page}\n\n[methods.{method}.parameters]\n"
        + "\n".join(f"{name} = {toml_of(value)}" for name, value in searched.parameters.items())
    )


def toml_of(value: Any) -> str:
    """A hyperparameter as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else repr(value)
