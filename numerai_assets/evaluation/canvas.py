"""PNG figures in the shared look, small enough for the metadata of a Dagster asset."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from numerai_assets.evaluation.look import GRID, INK, LABEL_SIZE, LINE, SOFT, TICK_SIZE, TITLE_SIZE


def side_by_side(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with a title and `panels` axes in one row."""
    figure, axes = empty_axes(1, panels, height=3.6, width=4.6 * panels)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_SIZE, color=INK)
    return figure, axes


def titled_axes(title: str, *, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure of one panel with a title and horizontal grid lines."""
    figure, (axes,) = empty_axes(1, 1, height=height)
    axes.set_title(title, loc="left")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def empty_axes(
    rows: int, columns: int, *, height: float, width: float = 8.0, **layout: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches with rows x columns axes, in reading order; needs no screen.

    layout: keywords of `Figure.subplots`, such as `width_ratios`.
    """
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes: list[Axes] = list(np.ravel(figure.subplots(rows, columns, squeeze=False, **layout)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(LINE)
        axis.tick_params(labelsize=TICK_SIZE, color=LINE, labelcolor=SOFT)
    return figure, axes


def colour_bar(figure: Figure, drawn: ScalarMappable, axes: Axes, **shape: Any) -> Colorbar:
    """A frameless colour bar beside the axes. shape: keywords of `Figure.colorbar`, such as `shrink`."""
    bar = figure.colorbar(drawn, ax=axes, **shape)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=TICK_SIZE, color=LINE, labelcolor=SOFT)
    return bar


def legend_below(figure: Figure) -> None:
    """A legend of all axes below them, where it hides no line."""
    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(frameon=False, loc="outside lower center", ncols=2)


def png(figure: Figure) -> bytes:
    """The figure as a PNG, with titles, labels and legends set in the shared typography."""
    for axes in figure.axes:
        for place in ("left", "center"):
            if title := axes.get_title(loc=place):
                axes.set_title(title, loc=place, fontsize=TITLE_SIZE, color=INK)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(fontsize=LABEL_SIZE, color=SOFT)
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    for text in (text for legend in legends if legend is not None for text in legend.get_texts()):
        text.set(fontsize=TICK_SIZE, color=INK)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
