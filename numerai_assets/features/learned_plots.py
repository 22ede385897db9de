"""Pictures of what was learned of features, as PNG bytes small enough to stand in the metadata of an asset."""

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from numerai_assets.features.plots import png

_FITTED, _UNSEEN, _OTHER = "#7fb2e5", "#c8553d", "#1f5fa8"


def mixing_picture(
    curves: NDArray[np.float32], correlations: NDArray[np.float32], agreement: NDArray[np.float32], target: str
) -> bytes:
    """Training of mixers and what came of it.

    curves: (folds, epochs, 2) correlation with the target in fitted and in unseen eras, NaN where there are none.
    correlations: (M, M) between the columns. agreement: (M,) between the folds, NaN where there is one.
    """
    figure = _figure(8.0, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    epochs = np.arange(1, curves.shape[1] + 1)
    for fold, curve in enumerate(curves):
        left.plot(epochs, curve[:, 0], color=_FITTED, label=None if fold else "fitted eras")
        if not np.isnan(curve[:, 1]).all():
            left.plot(epochs, curve[:, 1], color=_UNSEEN, label=None if fold else "eras of the fold itself, unseen")
    left.axhline(0, color="0.5", linewidth=0.8)
    left.set_title(f"{len(correlations)} mixers, {target}", loc="left", fontsize=11)
    left.set_xlabel("epoch")
    left.set_ylabel("mean correlation with the target")
    left.legend(frameon=False, fontsize=9)
    left.spines[["top", "right"]].set_visible(False)
    image = right.imshow(correlations, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    agreed = "" if np.isnan(agreement).all() else f"; folds agree {np.nanmean(agreement):+.2f}"
    right.set_title(f"columns with columns{agreed}", loc="left", fontsize=11)
    figure.colorbar(image, ax=right, shrink=0.85)
    return png(figure)


def payoffs_picture(
    eras: NDArray[np.intp], earned: NDArray[np.float64], path: NDArray[np.float64], feature: str, target: str
) -> bytes:
    """What forecasts of payoffs were worth. earned: (3, E) by forecast, trailing and mean payoffs. path: (2, E) forecast
    and realised payoff of one feature."""
    figure = _figure(9.0, 3.6)
    left, right = figure.subplots(1, 2)
    left.plot(eras, path[1], color="0.75", linewidth=0.8, label="paid")
    left.plot(eras, path[0], color=_OTHER, linewidth=1.4, label="forecast, before it had resolved")
    left.set_title(f"{feature[:40]}, the best forecast", loc="left", fontsize=10)
    left.set_ylabel(f"correlation with {target}")
    for name, colour, score in zip(
        ("forecast", "trailing mean", "mean"), (_OTHER, _UNSEEN, _FITTED), earned, strict=True
    ):
        mean = np.nanmean(score) if np.isfinite(score).any() else np.nan
        right.plot(eras, np.nancumsum(score), color=colour, label=f"{name}, {mean:+.4f} an era")
    right.set_title("paid to features weighed by payoffs, summed", loc="left", fontsize=10)
    for axes in (left, right):
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set_xlabel("era")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def selection_picture(table: pd.DataFrame, most: int = 25) -> bytes:
    """The best features of `FeatureSelection.table_` with how much each matters, and how stably."""
    best = table[table["redundant_with"] == ""].head(most)[::-1]
    figure = _figure(8.0, 1.2 + 0.19 * max(len(best), 4))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.4, 1))
    places = np.arange(len(best))
    left.barh(places, best["permutation"], color=_OTHER)
    left.set_yticks(places, [name if len(name) < 44 else f"{name[:41]}..." for name in best["feature"]], fontsize=7)
    left.set_title("CORR lost when permuted", loc="left", fontsize=10)
    right.plot(best["held"], places, "o", color=_FITTED, markersize=4, label="judged eras in which it helps")
    right.plot(best["frequency"], places, "x", color=_UNSEEN, markersize=4, label="half samples that pick it")
    right.set_xlim(-0.03, 1.03)
    right.set_title("stability", loc="left", fontsize=10)
    right.legend(frameon=False, fontsize=7, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(0, color="0.5", linewidth=0.8)
    return png(figure)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
