"""The look that pictures of feature blocks share, as PNG bytes small enough to stand in the metadata of an asset."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#c8553d", "#e9a03b", "#4c9f70", "#7d5ba6", "#7fb2e5", "#a3a3a3", "#3d3d3d")


def side_by_side(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with a title and as many plain axes beside each other."""
    figure, axes = empty_axes(1, panels, height=3.6, width=4.6 * panels)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure, axes


def empty_axes(rows: int, columns: int, *, height: float, width: float = 8.0) -> tuple[Figure, list[Axes]]:
    """A figure, in inches, with rows x columns plain axes, in reading order."""
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
