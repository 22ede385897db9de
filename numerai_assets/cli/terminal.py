"""Output of the command line: tables and lines for a terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from numerai_assets.evaluation.look import SCORE_NAMES
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.receipt import Receipt

console = Console(highlight=False)


def show_validation(method: str, validation: pd.DataFrame, *, first_era: int, last_era: int, vintages: int) -> None:
    """The validation table of one method: means with their standard errors."""
    table = _table(
        f"{method}: out of sample, eras {first_era:04d}-{last_era:04d}, {vintages} vintages",
        ["score"],
        ["eras", "mean", "± se", "std", "Sharpe", "max drawdown"],
    )
    for row in validation.to_dict("records"):
        table.add_row(
            SCORE_NAMES.get(row["score"], row["score"]),
            str(row["eras"]),
            f"{row['mean']:+.4f}",
            f"{row['se']:.4f}",
            f"{row['std']:.4f}",
            f"{row['sharpe']:+.2f}",
            f"{row['max_drawdown']:.3f}",
        )
    console.print(table)


def show_receipts(receipts: Sequence[Receipt]) -> None:
    """Submissions and their states."""
    table = _table("Submissions", ["round", "slot", "method", "vintage", "rung"], ["rows"])
    for name in ("state", "when (UTC)", "submission id"):
        table.add_column(name)
    for receipt in receipts:
        table.add_row(
            str(receipt.round_number),
            receipt.slot,
            receipt.method,
            f"{receipt.vintage:04d}",
            receipt.rung,
            f"{receipt.rows:,}",
            f"{receipt.step.value}, late" if receipt.is_late else receipt.step.value,
            receipt.history[-1][1][:19],
            receipt.submission_id or "",
        )
    console.print(table)


def show_scores(scores: pd.DataFrame) -> None:
    """Newest live scores, one row per slot and round."""
    table = _table("Live scores", ["slot"], ["round", *map(str, scores.columns)])
    for (slot, number), *values in scores.itertuples():
        table.add_row(str(slot), str(number), *("" if pd.isna(value) else f"{value:+.4f}" for value in values))
    console.print(table)


def show_row(title: str, contributions: pd.DataFrame) -> None:
    """Features of one row (columns feature and group first) and their contributions to its prediction, with a sign."""
    names = list(map(str, contributions.columns))
    table = _table(title, names[:2], names[2:])
    for row in contributions.itertuples(index=False):
        table.add_row(*(f"{value:+.4f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)


def describe_round(current: Round) -> str:
    """A round as one phrase: number, era, closing time."""
    return f"round {current.number} (era {current.era:04d}), open until {current.closes:%a %Y-%m-%d %H:%M} UTC"


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """An empty table with columns of text on the left and of numbers, aligned right, behind them."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in texts:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
