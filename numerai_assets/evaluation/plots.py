"""Pictures of scores, as PNG bytes small enough to stand in the metadata of an asset; the report has them as figures."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from numerai_assets.eras import friday_of
from numerai_assets.evaluation.breakdowns import validation_band

_COLOURS = {"corr60": "#1f5fa8", "corr20": "#7fb2e5", "mmc60": "#c8553d", "bmc60": "#e9a03b"}
_NAMES = {"corr60": "CORR, ender_60", "corr20": "CORR, ender_20", "mmc60": "MMC, ender_60", "bmc60": "BMC, ender_60"}
# Cells get their numbers where so many columns leave room for them.
_NUMBERED_COLUMNS = 12


def cumulative_scores(scores: pd.DataFrame, title: str) -> bytes:
    """Cumulative per-era scores (index era; the columns of `era_scores`) over time, with a mark at each new vintage."""
    figure, axes = _axes(title)
    days = _days(scores.index)
    for name, colour in _COLOURS.items():
        values = scores[name].dropna()
        if len(values):
            axes.plot(
                days[values.index], values.cumsum(), color=colour, label=f"{_NAMES[name]}  mean {values.mean():+.4f}"
            )
    starts = scores.index[scores["vintage"].ne(scores["vintage"].shift())]
    for era in starts:
        axes.axvline(days[era], color="0.85", linewidth=0.8, zorder=0)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_ylabel("cumulative score")
    return _png(figure, axes)


def drawdowns(scores: pd.DataFrame, title: str) -> bytes:
    """How far each cumulative score (columns of `era_scores`) lies below its earlier peak, over time."""
    figure, axes = _axes(title)
    days = _days(scores.index)
    for name, colour in _COLOURS.items():
        values = scores[name].dropna()
        if len(values):
            total = np.cumsum(values.to_numpy(float))
            below = total - np.maximum.accumulate(total)
            axes.plot(days[values.index], below, color=colour, label=f"{_NAMES[name]}  deepest {below.min():.3f}")
    axes.set_ylabel("below the peak")
    return _png(figure, axes)


def heat_map(table: pd.DataFrame, title: str, *, greatest: float | None = None, is_signed: bool = True) -> bytes:
    """Rows and columns of a table as cells, blue below 0 and red above; empty where there is no value.

    greatest: value of the deepest colour; without it, the largest there is.
    """
    values = table.to_numpy(float)
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    reach = largest if greatest is None else greatest
    figure, axes = _axes(title, height=1.6 + 0.3 * max(len(table), 3))
    drawn = axes.imshow(
        values, cmap="RdBu_r" if is_signed else "Reds", vmin=-reach if is_signed else 0, vmax=reach, aspect="auto"
    )
    axes.set_xticks(range(table.shape[1]), [str(name) for name in table.columns], rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(table)), [str(name) for name in table.index], fontsize=8)
    if table.shape[1] <= _NUMBERED_COLUMNS:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.6 * reach else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(drawn, ax=axes, fraction=0.04)
    return _png(figure, axes)


def calibration_curves(table: pd.DataFrame, title: str) -> bytes:
    """Mean target by slice of the prediction (index 1 for the lowest), one line a method."""
    figure, axes = _axes(title)
    for method in table.columns:
        axes.plot(table.index, table[method], marker="o", markersize=4, label=str(method))
    axes.set_xlabel("slice of the prediction, lowest to highest")
    axes.set_ylabel("mean target")
    return _png(figure, axes)


def tracking(live: pd.DataFrame, validation: pd.DataFrame, title: str) -> bytes:
    """Live scores by round (index round_number, a column a score) beside what nine of ten eras of validation scored."""
    figure, axes = _axes(title)
    for name in live.columns:
        colour, values = _COLOURS[name], live[name].dropna()
        low, high = validation_band(validation[name])
        axes.plot(values.index, values, color=colour, marker="o", markersize=4, label=_NAMES[name])
        if low <= high:
            axes.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_xlabel("round")
    return _png(figure, axes)


def drift(shares: Mapping[str, float], limit: float, title: str) -> bytes:
    """Share of features that drifted in each round, with the limit of the gate."""
    figure, axes = _axes(title)
    axes.bar(range(len(shares)), list(shares.values()), color="#1f5fa8")
    axes.axhline(limit, color="0.5", linestyle=":", label="limit of the gate")
    axes.set_xticks(range(len(shares)), list(shares), rotation=30, ha="right", fontsize=8)
    axes.set_ylabel("share of features that drifted")
    return _png(figure, axes)


def _axes(title: str, *, height: float = 3.6) -> tuple[Figure, Axes]:
    figure = empty_figure(8.0, height)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _days(eras: pd.Index) -> pd.Series:
    return pd.Series([friday_of(int(era)) for era in eras], index=eras)


def _png(figure: Figure, axes: Axes) -> bytes:
    if axes.get_legend_handles_labels()[0]:
        # Below the axes, where no line can be behind it.
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    return png(figure)


def empty_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
