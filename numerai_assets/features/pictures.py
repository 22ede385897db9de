"""The look that pictures of feature blocks share, as PNG bytes small enough to stand in the metadata of an asset."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#c8553d", "#e9a03b", "#4c9f70", "#7d5ba6", "#7fb2e5", "#a3a3a3", "#3d3d3d")


def side_by_side(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with a title and as many plain axes beside each other."""
    figure = Figure(figsize=(4.6 * panels, 3.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
