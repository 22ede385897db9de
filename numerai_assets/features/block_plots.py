"""Axes to draw a feature block on, and the PNG they become: small enough to stand in the metadata of an asset."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def empty_axes(rows: int, columns: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """A figure 8 inches wide and `height` inches high with rows x columns plain axes, in reading order."""
    figure = Figure(figsize=(8.0, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def png_of(figure: Figure) -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
