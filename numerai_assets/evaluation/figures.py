"""Interactive figures of scores, for the report: frames in, plotly figures out. Colours of text and grid are the page's.

Names of methods, slots and features are shown as they are: plotly reads a few HTML tags in text, so they are escaped.
"""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from numerai_assets.eras import friday_of
from numerai_assets.evaluation.breakdowns import (
    HEADLINES,
    Scores,
    horizon_of_score,
    validation_band,
)
from numerai_assets.evaluation.uncertainty import standard_error

# After Okabe and Ito, without black and with a lighter blue: apart for the colour-blind, legible on white and on black.
PALETTE = ("#1B87C9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A00")
_TITLES = {
    "corr60": "CORR, ender_60",
    "mmc60": "MMC, ender_60",
    "corr20": "CORR, ender_20",
    "payout": "payout of a stake",
}
# A normal variable lies within so many standard deviations with a probability of 90 %.
_NINETY = 1.645
_CLEAR = "rgba(0,0,0,0)"
_GREY = "rgba(128,128,128,0.18)"


def cumulative(scores: Scores, names: tuple[str, ...] = HEADLINES) -> go.Figure:
    """Cumulative per-era scores of each method, one panel a score, with the 90 % band of a method of its mean.

    The band of t eras is t times the mean, plus and minus 1.645 sqrt(n t) Newey-West standard errors of the mean of n:
    where a walk with this mean and spread would be. Methods and scores without an era are left out.
    """
    figure = make_subplots(
        rows=len(names), shared_xaxes=True, vertical_spacing=0.06, subplot_titles=[_TITLES.get(n, n) for n in names]
    )
    for place, (method, frame) in enumerate(scores.items()):
        colour = PALETTE[place % len(PALETTE)]
        for row, name in enumerate(names, start=1):
            values = frame[name].dropna().astype(float)
            if values.empty:
                continue
            days = _days(values)
            low, high = _walk_band(values, horizon_of_score(name))
            outline = {"x": days, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
            figure.add_scatter(**outline, y=high, legendgroup=method, row=row, col=1)
            figure.add_scatter(
                **outline, y=low, fill="tonexty", fillcolor=_faint(colour), legendgroup=method, row=row, col=1
            )
            figure.add_scatter(
                x=days,
                y=values.cumsum(),
                mode="lines",
                line={"color": colour, "width": 2},
                name=_label(method),
                legendgroup=method,
                showlegend=row == 1,
                customdata=values.index.astype(int),
                hovertemplate="era %{customdata}, %{x}<br>%{y:.3f}",
                row=row,
                col=1,
            )
    return _styled(figure, height=190 * len(names) + 110)


def drawdowns(scores: Scores, name: str = "payout") -> go.Figure:
    """How far the cumulative score of each method lies below its earlier peak, over time."""
    figure = go.Figure()
    for place, (method, frame) in enumerate(scores.items()):
        values = frame[name].dropna().astype(float)
        total = np.cumsum(values.to_numpy())
        below = total - np.maximum.accumulate(total)
        colour = PALETTE[place % len(PALETTE)]
        figure.add_scatter(
            x=_days(values),
            y=below,
            mode="lines",
            line={"color": colour, "width": 1.5},
            fill="tozeroy",
            fillcolor=_faint(colour),
            name=_label(method),
            hovertemplate="%{x}<br>%{y:.3f}",
        )
    figure.update_yaxes(title=f"below the peak, {_TITLES.get(name, name)}")
    return _styled(figure, height=300)


def heat_map(
    table: pd.DataFrame, *, greatest: float | None = None, is_signed: bool = True, digits: int = 2
) -> go.Figure:
    """Rows and columns of a table as cells, empty where there is no value.

    greatest: value of the deepest colour; without it, the largest there is. is_signed: blue below 0 and red above;
    otherwise values are 0 or more, and the more, the redder.
    """
    values = table.to_numpy(float)
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    reach = largest if greatest is None else greatest
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[_label(str(name)) for name in table.columns],
            y=[_label(str(name)) for name in table.index],
            zmin=-reach if is_signed else 0.0,
            zmax=reach,
            colorscale="RdBu_r" if is_signed else "Reds",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            # Cells too small for numbers have them under the pointer.
            texttemplate=f"%{{z:.{digits}f}}" if table.shape[1] <= 14 else "",
            hovertemplate="%{y}<br>%{x}<br>%{z:.4f}<extra></extra>",
            colorbar={"thickness": 12, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(type="category", showgrid=False, tickangle=-30)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return _styled(figure, height=120 + 30 * max(len(table), 3))


def tracking(live: pd.DataFrame, validation: pd.DataFrame) -> go.Figure:
    """Live scores of one slot by round (index round_number, a column a score) inside the band of validation.

    validation: `era_scores` of the slot's method. The band holds nine of ten of its eras; the line is their mean.
    """
    names = [name for name in live.columns if name in validation.columns]
    figure = make_subplots(
        rows=max(len(names), 1),
        shared_xaxes=True,
        vertical_spacing=0.1,
        subplot_titles=[_TITLES.get(name, name) for name in names] or None,
    )
    for row, name in enumerate(names, start=1):
        values = live[name].dropna().astype(float)
        low, high = validation_band(validation[name])
        outside = (values < low) | (values > high)
        figure.add_scatter(
            x=values.index.astype(int),
            y=values,
            mode="lines+markers",
            line={"color": PALETTE[0], "width": 1},
            marker={"color": np.where(outside, PALETTE[1], PALETTE[0]), "size": 7},
            hovertemplate="round %{x}<br>%{y:.4f}<extra></extra>",
            row=row,
            col=1,
        )
        # After the points: plotly draws no band into a panel that is empty.
        if low <= high:
            figure.add_hrect(y0=low, y1=high, fillcolor=_GREY, line_width=0, layer="below", row=row, col=1)
            figure.add_hline(y=float(validation[name].mean()), line={"color": "grey", "dash": "dot"}, row=row, col=1)
    figure.update_xaxes(title="round", row=max(len(names), 1), col=1)
    figure.update_layout(showlegend=False)
    return _styled(figure, height=170 * max(len(names), 1) + 110)


def importance(table: pd.DataFrame) -> go.Figure:
    """Gain, permutation with twice its standard error, and mean |SHAP| of features beside each other.

    table: rows of `importance.importances`, drawn from the top. Measures that the method does not have are left out.
    """
    titles = {"gain": "share of gain", "permutation": "CORR lost when permuted", "shap": "mean |SHAP|"}
    named = [name for name in titles if table[name].notna().any()]
    figure = make_subplots(
        cols=max(len(named), 1),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[titles[name] for name in named] or None,
    )
    for column, name in enumerate(named, start=1):
        errors = {"array": 2 * table["permutation_se"], "thickness": 1, "width": 2} if name == "permutation" else None
        figure.add_bar(
            x=table[name],
            y=[_label(feature) for feature in table["feature"]],
            orientation="h",
            error_x=errors,
            marker={"color": PALETTE[column - 1]},
            customdata=[_label(group) for group in table["group"]],
            hovertemplate="%{y}<br>%{customdata}<br>%{x:.4g}<extra></extra>",
            row=1,
            col=column,
        )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(showlegend=False)
    return _styled(figure, height=110 + 20 * max(len(table), 3))


def calibration_curves(table: pd.DataFrame) -> go.Figure:
    """Mean target by slice of the prediction (index 1 for the lowest), one line a method."""
    figure = go.Figure()
    for place, method in enumerate(table.columns):
        figure.add_scatter(
            x=table.index,
            y=table[method],
            mode="lines+markers",
            line={"color": PALETTE[place % len(PALETTE)]},
            name=_label(str(method)),
            hovertemplate="slice %{x}<br>%{y:.4f}",
        )
    figure.update_xaxes(title="slice of the prediction, lowest to highest", dtick=1)
    figure.update_yaxes(title="mean target")
    return _styled(figure, height=320)


def drift(shares: Mapping[str, float], limit: float) -> go.Figure:
    """Share of features that drifted in each round, with the limit of the gate."""
    values = list(shares.values())
    figure = go.Figure(
        go.Bar(
            x=[_label(name) for name in shares],
            y=values,
            marker={"color": [PALETTE[1] if value > limit else PALETTE[0] for value in values]},
            hovertemplate="%{x}<br>%{y:.2%}<extra></extra>",
        )
    )
    figure.add_hline(y=limit, line={"color": "grey", "dash": "dot"}, annotation_text="limit of the gate")
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=".1%", rangemode="tozero", title="features that drifted")
    return _styled(figure, height=280)


def _walk_band(values: pd.Series, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    error = standard_error(values.to_numpy(float), horizon=horizon, eras=values.index)
    steps = np.arange(1, len(values) + 1)
    middle, reach = float(values.mean()) * steps, _NINETY * error * np.sqrt(len(values) * steps)
    return middle - reach, middle + reach


def _days(values: pd.Series) -> list[str]:
    return [friday_of(int(era)).isoformat() for era in values.index]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _label(name: str) -> str:
    return html.escape(name, quote=False)


def _styled(figure: go.Figure, *, height: int) -> go.Figure:
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": 70, "r": 20, "t": 40, "b": 45},
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.03, "x": 1, "xanchor": "right"},
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
