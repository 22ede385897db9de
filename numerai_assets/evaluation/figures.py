"""Interactive figures of scores for the report: frames in, plotly figures out. The page sets the colours of text and grid.

Names of methods, slots and features are shown verbatim: plotly reads a few HTML tags in text, so they are escaped.
"""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from numerai_assets.evaluation import figure_data
from numerai_assets.evaluation.breakdowns import HEADLINES, Scores
from numerai_assets.evaluation.figure_data import Line
from numerai_assets.evaluation.look import DIVERGING, PALETTE, REFERENCE, SCORE_NAMES, SEQUENTIAL

_CLEAR = "rgba(0,0,0,0)"
_BAND = "rgba(128,128,128,0.18)"
# With more columns the cells are too small for numbers; these then show under the pointer.
_NUMBERED_COLUMNS = 14


def cumulative(scores: Scores, names: Sequence[str] = HEADLINES) -> go.Figure:
    """Cumulative per-era scores of each method in their 90 % band, one panel a score.

    Methods and scores without an era are left out.
    """
    figure = _panels([SCORE_NAMES.get(name, name) for name in names])
    for method, colour, frame in _coloured(scores):
        for name, line in figure_data.cumulative_series(frame, names).items():
            row = list(names).index(name) + 1
            outline = {
                "x": _dates(line),
                "mode": "lines",
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
            figure.add_scatter(**outline, y=line.high, legendgroup=method, row=row, col=1)
            figure.add_scatter(
                **outline, y=line.low, fill="tonexty", fillcolor=_faint(colour), legendgroup=method, row=row, col=1
            )
            _add_line(figure, line, method, colour, row, width=2)
    return styled(figure, height=190 * len(names) + 110)


def drawdowns(scores: Scores, name: str = "payout") -> go.Figure:
    """How far the cumulative score of each method lies below its earlier peak, over time."""
    figure = _panels([""])
    for method, colour, frame in _coloured(scores):
        for line in figure_data.drawdown_series(frame, [name]).values():
            _add_line(figure, line, method, colour, 1, fill="tozeroy", fillcolor=_faint(colour))
    figure.update_yaxes(title=f"below the peak<br>{SCORE_NAMES.get(name, name)}")
    return styled(figure, height=300)


def over_eras(scores: Scores, names: Sequence[str]) -> go.Figure:
    """Per-era values as they are, one panel a name, one line a method."""
    figure = _panels([SCORE_NAMES.get(name, name) for name in names])
    for method, colour, frame in _coloured(scores):
        for name, line in figure_data.era_series(frame, names).items():
            _add_line(figure, line, method, colour, list(names).index(name) + 1)
    return styled(figure, height=170 * len(names) + 110)


def heat_map(
    table: pd.DataFrame, *, greatest: float | None = None, is_signed: bool = True, digits: int = 2
) -> go.Figure:
    """A table as coloured cells, empty where there is no value; arguments as in `figure_data.heat_table`."""
    cells = figure_data.heat_table(table, greatest=greatest, is_signed=is_signed)
    figure = go.Figure(
        go.Heatmap(
            z=cells.values,
            x=[_label(name) for name in cells.columns],
            y=[_label(name) for name in cells.rows],
            zmin=cells.least,
            zmax=cells.greatest,
            colorscale=DIVERGING if is_signed else SEQUENTIAL,
            hoverongaps=False,
            xgap=1,
            ygap=1,
            texttemplate=f"%{{z:.{digits}f}}" if len(cells.columns) <= _NUMBERED_COLUMNS else "",
            hovertemplate="%{y}<br>%{x}<br>%{z:.4f}<extra></extra>",
            colorbar={"thickness": 12, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(type="category", showgrid=False, tickangle=-30)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return styled(figure, height=120 + 30 * max(len(table), 3))


def tracking(live: pd.DataFrame, validation: pd.DataFrame) -> go.Figure:
    """Live scores of one slot by round, inside the band that holds nine of ten eras of validation.

    Arguments as in `figure_data.live_tracks`. The dotted line is the mean of validation.
    """
    tracks = figure_data.live_tracks(live, validation)
    figure = _panels([SCORE_NAMES.get(name, name) for name in tracks], spacing=0.1)
    for row, track in enumerate(tracks.values(), start=1):
        figure.add_scatter(
            x=track.rounds,
            y=track.values,
            mode="lines+markers",
            line={"color": PALETTE[0], "width": 1},
            marker={"color": np.where(track.is_outside, PALETTE[1], PALETTE[0]), "size": 7},
            hovertemplate="round %{x}<br>%{y:.4f}<extra></extra>",
            row=row,
            col=1,
        )
        # After the points: plotly draws no band into an empty panel.
        if track.low <= track.high:
            figure.add_hrect(y0=track.low, y1=track.high, fillcolor=_BAND, line_width=0, layer="below", row=row, col=1)
            figure.add_hline(y=track.mean, line={"color": REFERENCE, "dash": "dot"}, row=row, col=1)
    figure.update_xaxes(title="round", row=max(len(tracks), 1), col=1)
    figure.update_layout(showlegend=False)
    return styled(figure, height=170 * max(len(tracks), 1) + 110)


def importance(table: pd.DataFrame) -> go.Figure:
    """Gain, permutation with two standard errors, and mean |SHAP| of features, side by side.

    table: rows of `importance.importances`, drawn from the top. Measures without a value are left out.
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
    return styled(figure, height=110 + 20 * max(len(table), 3))


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
    return styled(figure, height=320)


def drift(shares: Mapping[str, float], limit: float) -> go.Figure:
    """Share of features that drifted in each round, with the limit of the gate."""
    figure = go.Figure(
        go.Bar(
            x=[_label(name) for name in shares],
            y=list(shares.values()),
            marker={"color": np.where(figure_data.above_limit(shares, limit), PALETTE[1], PALETTE[0])},
            hovertemplate="%{x}<br>%{y:.2%}<extra></extra>",
        )
    )
    figure.add_hline(y=limit, line={"color": REFERENCE, "dash": "dot"}, annotation_text="limit of the gate")
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=".1%", rangemode="tozero", title="features that drifted")
    return styled(figure, height=280)


def payouts(table: pd.DataFrame) -> go.Figure:
    """Cumulative payout over rounds, one line a slot. table: columns slot, round and payout."""
    figure = go.Figure()
    for place, (slot, rows) in enumerate(table.sort_values("round").groupby("slot", sort=False)):
        figure.add_scatter(
            x=rows["round"],
            y=rows["payout"].cumsum(),
            mode="lines+markers",
            line={"color": PALETTE[place % len(PALETTE)], "width": 1.5},
            name=_label(str(slot)),
            hovertemplate="round %{x}<br>%{y:.4f}",
        )
    figure.update_xaxes(title="round")
    figure.update_yaxes(title="cumulative payout")
    return styled(figure, height=300)


def styled(figure: go.Figure, *, height: int) -> go.Figure:
    """The figure in the shared look: palette, margins, legend, and a clear background for the page's light and dark."""
    figure.update_layout(
        template=None,
        colorway=PALETTE,
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


def _coloured(scores: Scores) -> list[tuple[str, str, pd.DataFrame]]:
    return [(method, PALETTE[place % len(PALETTE)], frame) for place, (method, frame) in enumerate(scores.items())]


def _panels(titles: Sequence[str], *, spacing: float = 0.06) -> go.Figure:
    return make_subplots(
        rows=max(len(titles), 1), shared_xaxes=True, vertical_spacing=spacing, subplot_titles=list(titles) or None
    )


def _add_line(
    figure: go.Figure, line: Line, method: str, colour: str, row: int, *, width: float = 1.5, **fill: str
) -> None:
    shown = {trace.name for trace in figure.data}
    figure.add_scatter(
        x=_dates(line),
        y=line.values,
        mode="lines",
        line={"color": colour, "width": width},
        name=_label(method),
        legendgroup=method,
        showlegend=_label(method) not in shown,
        customdata=line.eras,
        hovertemplate="era %{customdata}, %{x}<br>%{y:.3f}",
        row=row,
        col=1,
        **fill,
    )


def _dates(line: Line) -> list[str]:
    return [str(day) for day in line.days]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _label(name: str) -> str:
    return html.escape(name, quote=False)
