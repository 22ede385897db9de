"""Pictures of scores, as PNG bytes small enough to stand in the metadata of an asset."""

import io

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from numerai_assets.eras import friday_of

_COLOURS = {"corr60": "#1f5fa8", "corr20": "#7fb2e5", "mmc60": "#c8553d", "bmc60": "#e9a03b"}
_NAMES = {"corr60": "CORR, ender_60", "corr20": "CORR, ender_20", "mmc60": "MMC, ender_60", "bmc60": "BMC, ender_60"}


def cumulative_scores(scores: pd.DataFrame, title: str) -> bytes:
    """Cumulative per-era scores (index era; the columns of `era_scores`) over time, with a mark at each new vintage."""
    figure = empty_figure(8.0, 3.6)
    axes = figure.subplots()
    days = pd.Series([friday_of(int(era)) for era in scores.index], index=scores.index)
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
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_ylabel("cumulative score")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="upper left")
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
