"""The look that all plots share, in the report (plotly) and in Dagster (matplotlib): palette, typography, names of scores.

Constants only, so that the command line can import the names without a figure library.
"""

# Okabe and Ito, without black and with a lighter blue: distinct for colour-blind readers, legible on white and on black.
PALETTE = ("#1B87C9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A00")
# Means, limits and other lines that are no data.
REFERENCE = "#808080"
DIVERGING, SEQUENTIAL = "RdBu_r", "Reds"

# Text, secondary text, axes and grid on a light page; the report has the same in its style sheet, beside the dark ones.
INK, SOFT, LINE, GRID = "#24292f", "#5b646e", "#d5dae0", "#e6e9ed"
FONT = "system-ui, sans-serif"
FONT_SIZE = 12
# Points, in PNG files.
TITLE_SIZE, LABEL_SIZE, TICK_SIZE, SMALL_SIZE = 11, 9, 8, 7

SCORE_COLOURS = {"corr60": PALETTE[0], "corr20": PALETTE[5], "mmc60": PALETTE[1], "bmc60": PALETTE[4]}
SCORE_NAMES = {
    "corr60": "CORR ender_60",
    "spearman60": "Spearman ender_60",
    "mmc60": "MMC ender_60",
    "bmc60": "BMC ender_60",
    "corr20": "CORR ender_20",
    "spearman20": "Spearman ender_20",
    "mmc20": "MMC ender_20",
    "bmc20": "BMC ender_20",
    "fnc60": "FNC ender_60",
    "payout": "payout 3 CORR + 15 MMC",
    "largest_exposure": "largest exposure to a feature",
    "mean_exposure": "mean exposure to all features",
}

_LONGEST_NAME = 34


def shortened(name: str, most: int = _LONGEST_NAME) -> str:
    """The name, cut to `most` characters with an ellipsis."""
    return name if len(name) <= most else f"{name[: most - 3]}..."
