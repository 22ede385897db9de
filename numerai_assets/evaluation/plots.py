"""Plots of scores as PNG bytes, small enough for the metadata of an asset; the report has the same as interactive figures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from numerai_assets.eras import friday_of
from numerai_assets.evaluation import figure_data
from numerai_assets.evaluation.canvas import colour_bar, empty_axes, legend_below, png, titled_axes
from numerai_assets.evaluation.figure_data import Line
from numerai_assets.evaluation.look import (
    DIVERGING,
    INK,
    PALETTE,
    REFERENCE,
    SCORE_COLOURS,
    SCORE_NAMES,
    SEQUENTIAL,
    SMALL_SIZE,
)

_DRAWN = tuple(SCORE_COLOURS)
# With more columns the cells are too small for numbers.
_NUMBERED_COLUMNS = 12


def cumulative_scores(scores: pd.DataFrame, title: str) -> bytes:
    """Cumulative per-era scores (index era; the columns of `era_scores`) over time, with a mark at each new vintage."""
    lines = figure_data.cumulative_series(scores, _DRAWN)
    labels = {name: f"{SCORE_NAMES[name]}  mean {line.mean:+.4f}" for name, line in lines.items()}
    return _lines(lines, labels, title, "cumulative score", _starts(scores))


def drawdowns(scores: pd.DataFrame, title: str) -> bytes:
    """How far each cumulative score (columns of `era_scores`) lies below its earlier peak, over time."""
    lines = figure_data.drawdown_series(scores, _DRAWN)
    labels = {name: f"{SCORE_NAMES[name]}  deepest {line.values.min():.3f}" for name, line in lines.items()}
    return _lines(lines, labels, title, "below the peak")


def heat_map(table: pd.DataFrame, title: str, *, greatest: float | None = None, is_signed: bool = True) -> bytes:
    """A table as coloured cells, empty where there is no value; arguments as in `figure_data.heat_table`."""
    cells = figure_data.heat_table(table, greatest=greatest, is_signed=is_signed)
    figure, axes = titled_axes(title, height=1.6 + 0.3 * max(len(table), 3))
    axes.grid(visible=False)
    drawn = axes.imshow(
        cells.values, cmap=DIVERGING if is_signed else SEQUENTIAL, vmin=cells.least, vmax=cells.greatest, aspect="auto"
    )
    axes.set_xticks(range(len(cells.columns)), cells.columns, rotation=30, ha="right")
    axes.set_yticks(range(len(cells.rows)), cells.rows)
    axes.tick_params(length=0)
    if len(cells.columns) <= _NUMBERED_COLUMNS:
        for (row, column), value in np.ndenumerate(cells.values):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.6 * cells.greatest else INK
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour)
    colour_bar(figure, drawn, axes, fraction=0.04)
    return png(figure)


def calibration_curves(table: pd.DataFrame, title: str) -> bytes:
    """Mean target by slice of the prediction (index 1 for the lowest), one line a method."""
    figure, axes = titled_axes(title)
    axes.set_prop_cycle(color=PALETTE)
    for method in table.columns:
        axes.plot(table.index, table[method], marker="o", markersize=4, label=str(method))
    axes.set_xlabel("slice of the prediction, lowest to highest")
    axes.set_ylabel("mean target")
    legend_below(figure)
    return png(figure)


def tracking(live: pd.DataFrame, validation: pd.DataFrame, title: str) -> bytes:
    """Live scores of one slot by round inside the band of validation, one panel a score.

    Arguments as in `figure_data.live_tracks`.
    """
    tracks = figure_data.live_tracks(live, validation)
    figure, panels = empty_axes(max(len(tracks), 1), 1, height=0.8 + 1.7 * max(len(tracks), 1), sharex=True)
    panels[0].set_title(title, loc="left")
    for axes, (name, track) in zip(panels, tracks.items(), strict=False):
        if track.low <= track.high:
            axes.axhspan(track.low, track.high, color=REFERENCE, alpha=0.15, linewidth=0)
            axes.axhline(track.mean, color=REFERENCE, linestyle=":", linewidth=1)
        axes.plot(track.rounds, track.values, color=PALETTE[0], linewidth=1)
        axes.scatter(track.rounds, track.values, c=np.where(track.is_outside, PALETTE[1], PALETTE[0]), s=18, zorder=3)
        axes.set_ylabel(SCORE_NAMES.get(name, name))
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlabel("round")
    return png(figure)


def drift(shares: Mapping[str, float], limit: float, title: str) -> bytes:
    """Share of features that drifted in each round, with the limit of the gate."""
    figure, axes = titled_axes(title)
    colours = np.where(figure_data.above_limit(shares, limit), PALETTE[1], PALETTE[0])
    axes.bar(range(len(shares)), list(shares.values()), color=colours)
    axes.axhline(limit, color=REFERENCE, linestyle=":", label="limit of the gate")
    axes.set_xticks(range(len(shares)), list(shares), rotation=30, ha="right")
    # A single bar is not drawn over the whole width.
    axes.set_xlim(-0.6, max(len(shares), 6) - 0.4)
    axes.yaxis.set_major_formatter("{x:.1%}")
    axes.set_ylabel("features that drifted")
    legend_below(figure)
    return png(figure)


def _lines(
    lines: Mapping[str, Line], labels: Mapping[str, str], title: str, ylabel: str, marks: ArrayLike = ()
) -> bytes:
    figure, axes = titled_axes(title)
    axes.vlines(marks, 0, 1, transform=axes.get_xaxis_transform(), color="0.85", linewidth=0.8, zorder=0)
    for name, line in lines.items():
        axes.plot(line.days, line.values, color=SCORE_COLOURS[name], linewidth=1.2, label=labels[name])
    axes.axhline(0, color=REFERENCE, linewidth=0.8)
    axes.set_ylabel(ylabel)
    legend_below(figure)
    return png(figure)


def _starts(scores: pd.DataFrame) -> NDArray[np.datetime64]:
    """Fridays of the first era of each vintage."""
    starts = scores.index[scores["vintage"].ne(scores["vintage"].shift())]
    return np.array([friday_of(int(era)) for era in starts], "datetime64[D]")
