"""Pictures of what matters to a method, as PNG bytes small enough to stand in the metadata of an asset."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.evaluation.plots import empty_figure, png

_BAR, _OTHER_BAR = "#1f5fa8", "#e9a03b"
_LONGEST = 34
# Points that lie in one such share of the axis are laid beside each other.
_BINS = 60


def beeswarm(parts: NDArray[np.float32], levels: NDArray[np.int8], features: Sequence[str], title: str) -> bytes:
    """One point a row and feature: how much the feature moved the row's raw score, coloured by the row's level of it.

    parts: (r, k). levels: (r, k). features: (k,), the first on top. Points that would hide each other are laid side by side.
    """
    figure = empty_figure(8.0, 1.3 + 0.27 * max(len(features), 3))
    axes = figure.subplots()
    for place, (column, level) in enumerate(zip(parts.T, levels.T, strict=True)):
        drawn = axes.scatter(
            column,
            -place + _aside(column, float(np.ptp(parts))),
            c=level,
            cmap="coolwarm",
            vmin=0,
            vmax=4,
            s=6,
            linewidths=0,
        )
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(-np.arange(len(features)), [_short(name) for name in features], fontsize=7)
    axes.set_ylim(-len(features) + 0.4, 0.6)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("part of the raw score", fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(features):
        bar = figure.colorbar(drawn, ax=axes, shrink=0.5, aspect=30, ticks=[0, 4])
        bar.ax.set_yticklabels(["level 0", "level 4"], fontsize=7)
        bar.outline.set_visible(False)
    return png(figure)


def group_bars(groups: pd.DataFrame, title: str) -> bytes:
    """Shares of gain and of mean |SHAP| of each group of `importance.by_group`, beside the group's share of all features."""
    shown = groups[::-1]
    figure = empty_figure(8.0, 1.2 + 0.3 * max(len(shown), 3))
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.barh(places + 0.2, shown["gain"], height=0.36, color=_BAR, label="gain")
    if shown["shap"].notna().any():
        axes.barh(places - 0.2, shown["shap"], height=0.36, color=_OTHER_BAR, label="mean |SHAP|")
    share = shown["features"] / shown["features"].sum()
    axes.plot(share, places, "|", color="black", markersize=14, label="share of the features")
    axes.set_yticks(places, [_short(name) for name in shown["group"]], fontsize=8)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("share", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def _aside(values: NDArray[np.float32], width: float) -> NDArray[np.float64]:
    """(r,) steps up and down that keep points of about one value apart, within the feature's own band."""
    cell = np.round(values / max(width, 1e-30) * _BINS)
    order = np.argsort(cell, kind="stable")
    _, starts, counts = np.unique(cell[order], return_index=True, return_counts=True)
    steps = np.empty(len(values))
    steps[order] = np.arange(len(values)) - np.repeat(starts + (counts - 1) / 2, counts)
    return np.asarray(steps * min(0.06, 0.8 / max(int(counts.max(initial=1)), 1)))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
