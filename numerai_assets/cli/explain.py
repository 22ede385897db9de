"""`numerai explain`: the prediction of one row, feature by feature."""

import click

from numerai_assets.cli.guarded import guarded
from numerai_assets.errors import SettingsError
from numerai_assets.settings import load_settings


@click.command()
@click.argument("method")
@click.option("--round", "number", type=int, help="A round whose live rows are stored; by default the newest.")
@click.option("--era", help="A stored era, e.g. 0700; the newest vintage older than it is explained.")
@click.option("--id", "row_id", required=True, help="Id of the row.")
@click.option(
    "--top", type=click.IntRange(min=1), default=15, show_default=True, help="Number of features in each table."
)
@guarded
def explain(method: str, number: int | None, era: str | None, row_id: str, top: int) -> None:
    """Explain the prediction of METHOD for one row: SHAP, and a linear model around the row (LIME)."""
    from numerai_assets.cli import terminal
    from numerai_assets.eras import era_label, live_key, parse_era
    from numerai_assets.pipeline.row_explanation import explain_row
    from numerai_assets.pipeline.workspace import Workspace

    settings = load_settings()
    if method not in settings.methods:
        raise SettingsError(f"explain: no [methods.{method}] in the settings; there are {', '.join(settings.methods)}")
    if number is not None and era is not None:
        raise SettingsError("explain: --round and --era exclude each other")
    workspace = Workspace(settings)
    stored = [known for known in workspace.known_rounds() if workspace.store.holds(live_key(known))]
    if era is None and number is None and not stored:
        raise SettingsError("explain: no live round is stored; use --era, or run `numerai weekly` first")
    key = era_label(parse_era(era)) if era is not None else live_key(stored[-1] if number is None else number)
    found = explain_row(workspace, method, key, row_id)
    terminal.console.print(
        f"{method}, vintage {era_label(found.vintage)}: prediction of {row_id} in era {key}: {found.place:.3f}"
    )
    if found.parts is not None:
        terminal.show_row("SHAP: contributions to the raw score", found.parts.head(top))
    if found.local is not None:
        terminal.show_row(f"LIME: change of the rank in the era, R² {found.r2:.2f}", found.local.head(top))
    else:
        terminal.console.print(
            f"No LIME: {method} reads columns of blocks, which exist for stored rows only, not for altered ones."
        )
