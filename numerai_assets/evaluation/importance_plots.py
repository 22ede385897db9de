"""Plots of feature importance as PNG bytes, small enough for the metadata of an asset."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.evaluation.canvas import colour_bar, legend_below, png, titled_axes
from numerai_assets.evaluation.look import INK, PALETTE, REFERENCE, SMALL_SIZE, TICK_SIZE, shortened

# Points in the same of so many equal shares of the axis are drawn side by side.
_BINS = 60


def beeswarm(
    contributions: NDArray[np.float32], levels: NDArray[np.int8], features: Sequence[str], title: str
) -> bytes:
    """One point a row and feature: contribution of the feature to the row's raw score, coloured by the row's bin of it.

    contributions: (r, k). levels: (r, k). features: (k,), the first on top. Points that would overlap are drawn side by side.
    """
    figure, axes = titled_axes(title, height=1.3 + 0.27 * max(len(features), 3))
    axes.grid(visible=False)
    for place, (column, level) in enumerate(zip(contributions.T, levels.T, strict=True)):
        drawn = axes.scatter(
            column,
            -place + _aside(column, float(np.ptp(contributions))),
            c=level,
            cmap="coolwarm",
            vmin=0,
            vmax=4,
            s=6,
            linewidths=0,
        )
    axes.axvline(0, color=REFERENCE, linewidth=0.8, zorder=0)
    axes.set_yticks(-np.arange(len(features)), [shortened(name) for name in features], fontsize=SMALL_SIZE)
    axes.set_ylim(-len(features) + 0.4, 0.6)
    axes.set_xlabel("contribution to the raw score")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(features):
        colour_bar(figure, drawn, axes, shrink=0.5, aspect=30, ticks=[0, 4]).ax.set_yticklabels(["bin 0", "bin 4"])
    return png(figure)


def group_bars(groups: pd.DataFrame, title: str) -> bytes:
    """Shares of gain and of mean |SHAP| of each group of `importance.by_group`, beside the group's share of all features."""
    shown = groups[::-1]
    figure, axes = titled_axes(title, height=1.4 + 0.3 * max(len(shown), 3))
    axes.grid(visible=False)
    places = np.arange(len(shown))
    axes.barh(places + 0.2, shown["gain"], height=0.36, color=PALETTE[0], label="gain")
    if shown["shap"].notna().any():
        axes.barh(places - 0.2, shown["shap"], height=0.36, color=PALETTE[4], label="mean |SHAP|")
    share = shown["features"] / shown["features"].sum()
    axes.plot(share, places, "|", color=INK, markersize=14, label="share of the features")
    axes.set_yticks(places, [shortened(name) for name in shown["group"]], fontsize=TICK_SIZE)
    axes.set_xlabel("share")
    legend_below(figure)
    return png(figure)


def _aside(values: NDArray[np.float32], width: float) -> NDArray[np.float64]:
    """(r,) vertical offsets that separate points of about the same value, within the feature's own band."""
    cell = np.round(values / max(width, 1e-30) * _BINS)
    order = np.argsort(cell, kind="stable")
    _, starts, counts = np.unique(cell[order], return_index=True, return_counts=True)
    steps = np.empty(len(values))
    steps[order] = np.arange(len(values)) - np.repeat(starts + (counts - 1) / 2, counts)
    return np.asarray(steps * min(0.06, 0.8 / max(int(counts.max(initial=1)), 1)))
