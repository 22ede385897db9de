"""What the command line shows: tables and lines for a person at a terminal."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from numerai_assets.tournament.client import Round
from numerai_assets.tournament.receipt import Receipt

console = Console(highlight=False)

_LABELS = {
    "corr60": "CORR ender_60",
    "spearman60": "Spearman ender_60",
    "mmc60": "MMC ender_60",
    "bmc60": "BMC ender_60",
    "corr20": "CORR ender_20",
    "spearman20": "Spearman ender_20",
    "mmc20": "MMC ender_20",
    "bmc20": "BMC ender_20",
    "fnc60": "FNC ender_60",
    "payout": "payout 3 CORR + 15 MMC",
}


def show_validation(method: str, validation: pd.DataFrame, *, first_era: int, last_era: int, vintages: int) -> None:
    """The validation table of one method: means with their standard errors."""
    table = Table(
        title=f"{method}: out of sample, eras {first_era:04d}-{last_era:04d}, {vintages} vintages",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("score")
    for name in ("eras", "mean", "± se", "std", "Sharpe", "max drawdown"):
        table.add_column(name, justify="right")
    for row in validation.to_dict("records"):
        table.add_row(
            _LABELS.get(row["score"], row["score"]),
            str(row["eras"]),
            f"{row['mean']:+.4f}",
            f"{row['se']:.4f}",
            f"{row['std']:.4f}",
            f"{row['sharpe']:+.2f}",
            f"{row['max_drawdown']:.3f}",
        )
    console.print(table)


def show_receipts(receipts: Sequence[Receipt]) -> None:
    """What was submitted, and how far it got."""
    table = Table(title="Submissions", title_justify="left", title_style="bold")
    for name in ("round", "slot", "method", "vintage", "rung"):
        table.add_column(name)
    table.add_column("rows", justify="right")
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
    """Newest live scores, a row a slot and round."""
    table = Table(title="Live scores", title_justify="left", title_style="bold")
    table.add_column("slot")
    table.add_column("round", justify="right")
    for name in scores.columns:
        table.add_column(str(name), justify="right")
    for (slot, number), *values in scores.itertuples():
        table.add_row(str(slot), str(number), *("" if pd.isna(value) else f"{value:+.4f}" for value in values))
    console.print(table)


def show_row(title: str, parts: pd.DataFrame) -> None:
    """Features of one row with what each did to its prediction; numbers carry their sign."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in parts.columns:
        table.add_column(str(name), justify="left" if name in ("feature", "group") else "right")
    for row in parts.itertuples(index=False):
        table.add_row(*(f"{value:+.4f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)


def describe_round(current: Round) -> str:
    """A round in words."""
    return f"round {current.number} (era {current.era:04d}), open until {current.closes:%a %Y-%m-%d %H:%M} UTC"
