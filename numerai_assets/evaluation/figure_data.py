"""The numbers behind each figure, computed once for the report (plotly) and for Dagster (matplotlib)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import friday_of
from numerai_assets.evaluation.breakdowns import horizon_of_score, validation_band
from numerai_assets.evaluation.uncertainty import standard_error

Array = NDArray[np.float64]

# A normal variable lies within 1.645 standard deviations with a probability of 90 %.
_NINETY = 1.645


@dataclass(frozen=True)
class Line:
    """A curve over eras: eras, days (Fridays) and values, (n,) each, and the mean of the scores behind it.

    low, high: (n,) 90 % band of a random walk with the mean and standard error of these scores; empty where none is asked.
    """

    eras: NDArray[np.int64]
    days: NDArray[np.datetime64]
    values: Array
    mean: float
    low: Array
    high: Array


def era_series(scores: pd.DataFrame, names: Sequence[str]) -> dict[str, Line]:
    """Per-era scores (columns of `era_scores`, index era), by name; scores without an era are left out."""
    found = {}
    for name in names:
        known = scores[name].dropna().astype(float)
        if len(known):
            days = np.array([friday_of(int(era)) for era in known.index], "datetime64[D]")
            values = np.asarray(known, np.float64)
            found[name] = Line(
                known.index.to_numpy(np.int64), days, values, float(values.mean()), np.empty(0), np.empty(0)
            )
    return found


def cumulative_series(scores: pd.DataFrame, names: Sequence[str]) -> dict[str, Line]:
    """Cumulative sums of the per-era scores, each in the band of its mean.

    After t of n eras the band is t times the mean, plus and minus 1.645 sqrt(n t) Newey-West standard errors of the mean.
    """
    found = {}
    for name, line in era_series(scores, names).items():
        error = standard_error(line.values, horizon=horizon_of_score(name), eras=line.eras)
        steps = np.arange(1, len(line.values) + 1)
        middle, reach = line.mean * steps, _NINETY * error * np.sqrt(len(steps) * steps)
        found[name] = Line(
            line.eras, line.days, np.cumsum(line.values), line.mean, np.asarray(middle - reach), middle + reach
        )
    return found


def drawdown_series(scores: pd.DataFrame, names: Sequence[str]) -> dict[str, Line]:
    """Distance of each cumulative score below its earlier peak, 0 or less."""
    found = {}
    for name, line in era_series(scores, names).items():
        total = np.cumsum(line.values)
        below = total - np.maximum.accumulate(total)
        found[name] = Line(line.eras, line.days, below, line.mean, line.low, line.high)
    return found


@dataclass(frozen=True)
class HeatTable:
    """Cells of a heat map. values: (rows, columns), NaN where empty. least, greatest: ends of the colour scale."""

    rows: list[str]
    columns: list[str]
    values: Array
    least: float
    greatest: float


def heat_table(table: pd.DataFrame, *, greatest: float | None = None, is_signed: bool = True) -> HeatTable:
    """A table as cells. greatest: value of the deepest colour; None takes the largest absolute value.

    is_signed: the scale is symmetric around 0; otherwise it begins at 0.
    """
    values = table.to_numpy(float)
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    reach = largest if greatest is None else greatest
    rows, columns = ([str(name) for name in axis] for axis in (table.index, table.columns))
    return HeatTable(rows, columns, values, -reach if is_signed else 0.0, reach)


@dataclass(frozen=True)
class Track:
    """Live scores by round, (n,) each, beside nine of ten eras of validation: low, high and their mean.

    is_outside: (n,) rounds whose score lies outside the band. NaN bounds without validation.
    """

    rounds: NDArray[np.int64]
    values: Array
    is_outside: NDArray[np.bool_]
    low: float
    high: float
    mean: float


def live_tracks(live: pd.DataFrame, validation: pd.DataFrame) -> dict[str, Track]:
    """By score that both have. live: index round_number, a column a score. validation: `era_scores` of the method."""
    found = {}
    for name in live.columns.intersection(validation.columns, sort=False):
        known = live[name].dropna().astype(float)
        low, high = validation_band(validation[name])
        is_outside = ((known < low) | (known > high)).to_numpy()
        mean = float(validation[name].mean())
        found[str(name)] = Track(
            known.index.to_numpy(np.int64), np.asarray(known, np.float64), is_outside, low, high, mean
        )
    return found


def above_limit(shares: Mapping[str, float], limit: float) -> NDArray[np.bool_]:
    """(n,) rounds whose share of drifted features exceeds the limit of the gate."""
    return np.array(list(shares.values()), float) > limit
