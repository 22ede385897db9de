"""Plots of learned feature blocks, as PNG bytes small enough for the metadata of an asset."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from numerai_assets.evaluation.canvas import colour_bar, empty_axes, legend_below, png
from numerai_assets.evaluation.look import DIVERGING, PALETTE, REFERENCE, SMALL_SIZE, shortened

_TRAINING, _UNSEEN, _OTHER = PALETTE[5], PALETTE[1], PALETTE[0]


def mixing_picture(
    curves: NDArray[np.float32], correlations: NDArray[np.float32], agreement: NDArray[np.float32], target: str
) -> bytes:
    """Training curves of mixers and the correlations between their columns.

    curves: (folds, epochs, 2) correlation with the target in training and in unseen eras, NaN where there are none.
    correlations: (M, M) between the columns. agreement: (M,) between the folds, NaN for a single fold.
    """
    figure, (left, right) = empty_axes(1, 2, height=3.6, width_ratios=(1.25, 1))
    epochs = np.arange(1, curves.shape[1] + 1)
    for fold, curve in enumerate(curves):
        left.plot(epochs, curve[:, 0], color=_TRAINING, label=None if fold else "training eras")
        if not np.isnan(curve[:, 1]).all():
            left.plot(epochs, curve[:, 1], color=_UNSEEN, label=None if fold else "eras of the fold itself, unseen")
    left.axhline(0, color=REFERENCE, linewidth=0.8)
    left.set_title(f"{len(correlations)} mixers, {target}", loc="left")
    left.set_xlabel("epoch")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylabel("mean correlation with the target")
    left.legend(frameon=False)
    image = right.imshow(correlations, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
    agreed = "" if np.isnan(agreement).all() else f"; folds agree {np.nanmean(agreement):+.2f}"
    right.set_title(f"columns with columns{agreed}", loc="left")
    colour_bar(figure, image, right, shrink=0.85)
    return png(figure)


def payoffs_picture(
    eras: NDArray[np.intp], earned: NDArray[np.float64], path: NDArray[np.float64], feature: str, target: str
) -> bytes:
    """Scores of payoff forecasts, and the path of one feature.

    earned: (3, E) by forecast, trailing and mean payoffs. path: (2, E) forecast and realised payoff of one feature.
    """
    figure, (left, right) = empty_axes(1, 2, height=3.6, width=9.0)
    left.plot(eras, path[1], color="0.75", linewidth=0.8, label="realised")
    left.plot(eras, path[0], color=_OTHER, linewidth=1.4, label="forecast, made before the target resolved")
    left.set_title(f"{shortened(feature, 24)}, the best forecast", loc="left")
    left.set_ylabel(f"correlation with {target}")
    for name, colour, score in zip(
        ("forecast", "trailing mean", "mean"), (_OTHER, _UNSEEN, _TRAINING), earned, strict=True
    ):
        mean = np.nanmean(score) if np.isfinite(score).any() else np.nan
        right.plot(eras, np.nancumsum(score), color=colour, label=f"{name}, {mean:+.4f} an era")
    right.set_title("features weighted by payoffs, cumulative", loc="left")
    for axes in (left, right):
        axes.axhline(0, color=REFERENCE, linewidth=0.8)
        axes.set_xlabel("era")
        axes.legend(frameon=False)
    return png(figure)


def selection_picture(table: pd.DataFrame, most: int = 25) -> bytes:
    """Importance and stability of the best features of `FeatureSelection.table_`."""
    best = table[table["redundant_with"] == ""].head(most)[::-1]
    figure, (left, right) = empty_axes(1, 2, height=1.4 + 0.19 * max(len(best), 4), sharey=True, width_ratios=(1.4, 1))
    rows = np.arange(len(best))
    left.barh(rows, best["permutation"], color=_OTHER)
    left.set_yticks(rows, [shortened(name) for name in best["feature"]], fontsize=SMALL_SIZE)
    left.set_title("CORR lost when permuted", loc="left")
    right.plot(best["held"], rows, "o", color=_TRAINING, markersize=4, label="validation eras in which it helps")
    right.plot(best["frequency"], rows, "x", color=_UNSEEN, markersize=4, label="half samples that select it")
    right.set_xlim(-0.03, 1.03)
    right.set_title("stability", loc="left")
    legend_below(figure)
    for axes in (left, right):
        axes.axvline(0, color=REFERENCE, linewidth=0.8)
    return png(figure)
