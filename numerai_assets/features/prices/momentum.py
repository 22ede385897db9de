"""Price momentum of the user's own stocks: technical indicators of a panel of daily bars, keyed by ticker and date.

A value at a date is computed from the bars up to and including that date and from nothing later. It does not depend on
other stocks, unless ranks are requested. A panel is processed one stock at a time, so memory beyond the panel itself
holds only the result and one stock's windows.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.plots import COLOURS, empty_axes, png
from numerai_assets.features.prices.indicators import NAMES, TRENDS, Bars, indicators
from numerai_assets.progress import Progress, silent

COLUMNS = ("ticker", "date", "high", "low", "close", "volume")
"""Columns that are read; other columns of a panel, such as open, are ignored."""

_QUOTES = ("high", "low", "close")
# Vendors write 0 for "no quote". With a larger share of zeros the panel is not one of daily bars.
_LARGEST_ABSENT_SHARE = 0.01
# Vendors round adjusted prices, which may put a close slightly outside its own range.
_QUOTE_TOLERANCE = 1e-4

Days = NDArray[np.datetime64]
Places = NDArray[np.int64]
Values = NDArray[np.float64]
Measure = Callable[[Bars], Values]
"""(t, k) values of the bars of an unbroken run; a value at a bar is computed from that bar and earlier ones."""


@dataclass(frozen=True)
class Continuity:
    """Rules for breaks in a stock's history. After a break, windows fill again; measures are NaN until they are full.

    gap_days: smallest number of calendar days between two bars that counts as a suspension. greatest_move: smallest ratio
    of neighbouring closes, up or down, that counts as an unadjusted split. stale_days: calendar days after its last bar
    during which a stock still has values.
    """

    gap_days: int = 15
    greatest_move: float = 1.9
    stale_days: int = 7

    def __post_init__(self) -> None:
        if not (self.gap_days > 0 and self.greatest_move > 1 and self.stale_days > 0):
            raise FeatureError(f"days must be positive and the greatest move above 1, found {self}")


def price_features(
    bars: pa.Table | pd.DataFrame,
    dates: Sequence[object],
    *,
    continuity: Continuity | None = None,
    ranked: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Indicators (`indicators.NAMES`) of every stock at each of `dates`: float32, index (ticker, date).

    bars: columns COLUMNS; the rows of a ticker are contiguous and its dates ascend. A price of 0 or null means that there
    was no quote. A bar without a close is ignored; of a bar whose high and low are missing or contradict its close, only
    the close is used. dates: anything that numpy reads as days, e.g. the Fridays of eras; the values at a date are those
    of the newest bar on or before it. The result has a row for each stock with a bar by then, sorted by date, then ticker.
    Values are NaN if there are too few bars (`Continuity`, `indicators`). ranked: rank within the date, in (0, 1),
    instead of the value.
    Raises FeatureError for missing columns or columns of another type, rows out of order or repeated, negative or infinite
    numbers, more than 1 % of missing prices, invalid dates, and if TA-Lib is not installed.
    """
    features = values_at(bars, dates, indicators, NAMES, continuity=continuity, progress=progress)
    return ranked_by_date(features) if ranked else features


def values_at(
    bars: pa.Table | pd.DataFrame,
    dates: Sequence[object] | Days,
    measure: Measure,
    names: Sequence[str],
    *,
    continuity: Continuity | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Values `names` of a measure for every stock at each of `dates`; the other arguments are those of `price_features`."""
    rules = continuity or Continuity()
    asked = asked_days(dates)
    columns = _columns(bars)
    tickers, edges = _tickers(columns["ticker"])
    days = columns["date"].to_numpy().astype("datetime64[D]")
    _check_order(tickers, edges, days)
    _check_numbers(tickers, edges, days, columns)
    numbers = {name: columns[name].to_numpy() for name in (*_QUOTES, "volume")}
    stocks, moments, values = [], [], [np.empty((0, len(names)), np.float32)]
    for stock, (start, stop) in enumerate(itertools.pairwise(edges)):
        progress("indicators", stock, len(tickers))
        rows = slice(int(start), int(stop))
        of_stock = {name: np.nan_to_num(column[rows].astype(np.float64)) for name, column in numbers.items()}
        quoted = of_stock["close"] > 0
        of_day = days[rows][quoted]
        there = {name: of_stock[name][quoted] for name in of_stock}
        known, found = _at_dates(of_day, there, asked, rules, measure, len(names))
        stocks.append(np.full(len(known), stock))
        moments.append(known)
        values.append(found)
    progress("indicators", len(tickers), len(tickers))
    return _table(tickers, asked, stocks, moments, values, names)


def first_day(bars: pa.Table | pd.DataFrame) -> np.datetime64:
    """First day of all bars; NaT if there are none. Raises FeatureError for missing columns."""
    days = _columns(bars)["date"].to_numpy().astype("datetime64[D]")
    return days.min() if len(days) else np.datetime64("NaT", "D")


def ranked_by_date(features: pd.DataFrame) -> pd.DataFrame:
    """Rank of each value within its date, (rank - 0.5) / count in (0, 1), ties averaged; NaN stays NaN. float32."""
    groups = features.groupby(level="date", observed=True)
    ranked: pd.DataFrame = ((groups.rank() - 0.5) / groups.transform("count")).astype(np.float32)
    return ranked


def price_picture(bars: pa.Table | pd.DataFrame, features: pd.DataFrame, ticker: str) -> bytes:
    """A PNG: price, RSI and trend of one stock over the dates of `features`, and the newest date's cross-section.

    features: the unranked result of `price_features` for `bars`, with or without further columns. Raises FeatureError for
    a stock that is not in it.
    """
    if ticker not in features.index.get_level_values("ticker"):
        raise FeatureError(f"ticker {ticker!r}: not among the stocks with features")
    own = features.xs(ticker, level="ticker")
    columns = _columns(bars)
    rows = columns.filter(pc.equal(columns["ticker"].cast(pa.string()), ticker))
    price = np.nan_to_num(rows["close"].to_numpy().astype(np.float64))
    newest = features.index.get_level_values("date").max()
    ranks = ranked_by_date(features.loc[features.index.get_level_values("date") == newest]).sort_values("trend_16_48")
    figure, (top, middle, bottom, cross) = empty_axes(
        4, 1, height=7.2, width=9.0, height_ratios=(2, 1, 1, 0.115 * ranks.shape[1])
    )
    top.plot(rows["date"].to_numpy(), np.where(price > 0, price, np.nan), color=COLOURS[0], linewidth=0.9)
    top.set_yscale("log")
    top.set_title(f"{ticker}: close, log scale", loc="left", fontsize=10)
    middle.plot(own.index, own["rsi_14"], color=COLOURS[0], linewidth=0.7)
    middle.axhspan(30, 70, color="0.93", zorder=0)
    middle.set_title("RSI 14", loc="left", fontsize=10)
    for (short, long), shade in zip(TRENDS, (COLOURS[5], COLOURS[0], COLOURS[1]), strict=True):
        bottom.plot(own.index, own[f"trend_{short}_{long}"], color=shade, linewidth=0.8, label=f"{short} / {long}")
    bottom.axhline(0, color="0.5", linewidth=0.6)
    bottom.set_title("trend", loc="left", fontsize=10)
    bottom.legend(frameon=False, fontsize=8, ncols=3, loc="lower right")
    for axes in (middle, bottom):
        axes.sharex(top)
    drawn = cross.imshow(ranks.to_numpy().T, aspect="auto", cmap="RdBu_r", vmin=0, vmax=1, interpolation="nearest")
    cross.set_yticks(range(ranks.shape[1]), list(ranks.columns), fontsize=6)
    cross.set_title(
        f"ranks on {newest:%Y-%m-%d}: {len(ranks)} stocks, ordered by trend 16 / 48", loc="left", fontsize=10
    )
    cross.set_xticks([])
    figure.colorbar(drawn, ax=cross, pad=0.01)
    return png(figure)


def _at_dates(
    days: Days, numbers: dict[str, Values], asked: Days, rules: Continuity, measure: Measure, width: int
) -> tuple[Places, NDArray[np.float32]]:
    """Indices into `asked` of the dates with a bar by then, and (dates, k) values at these dates."""
    newest = np.searchsorted(days, asked, side="right") - 1
    known = np.flatnonzero(newest >= 0)
    newest = newest[known]
    values = np.full((len(known), width), np.nan, np.float32)
    fresh = (asked[known] - days[newest]).astype(int) <= rules.stale_days
    for start, stop in _unbroken(days, numbers["close"], rules):
        wanted = np.flatnonzero(fresh & (newest >= start) & (newest < stop))
        if len(wanted):
            # No bar after the last date is read, so none can leak.
            read = slice(start, int(newest[wanted].max()) + 1)
            values[wanted] = measure(_bars(numbers, read))[newest[wanted] - start]
    return known, values


def _unbroken(days: Days, close: Values, rules: Continuity) -> list[tuple[int, int]]:
    """Start and stop of the bars of each unbroken run."""
    gap = np.diff(days).astype(int) >= rules.gap_days
    jump = np.abs(np.diff(np.log(close))) >= np.log(rules.greatest_move)
    edges = [0, *(np.flatnonzero(gap | jump) + 1).tolist(), len(close)]
    return list(itertools.pairwise(edges))


def _bars(numbers: dict[str, Values], rows: slice) -> Bars:
    high, low, close = (numbers[name][rows] for name in _QUOTES)
    above, below = 1 + _QUOTE_TOLERANCE, 1 - _QUOTE_TOLERANCE
    usable = (low > 0) & (high >= close * below) & (low <= close * above)
    return Bars(
        high=np.where(usable, np.maximum(high, close), close),
        low=np.where(usable, np.minimum(low, close), close),
        close=close,
        volume=numbers["volume"][rows],
        has_range=usable,
    )


def _table(
    tickers: Sequence[str],
    asked: Days,
    stocks: list[Places],
    moments: list[Places],
    values: list[NDArray[np.float32]],
    names: Sequence[str],
) -> pd.DataFrame:
    # Positions among the sorted tickers, so that the rows of a date are sorted by name.
    order = np.argsort(np.array(tickers, object), kind="stable")
    place = np.empty(len(tickers), np.int64)
    place[order] = np.arange(len(tickers))
    stock = place[np.concatenate([np.empty(0, np.int64), *stocks])]
    moment = np.concatenate([np.empty(0, np.int64), *moments])
    rows = np.lexsort([stock, moment])
    index = pd.MultiIndex.from_arrays(
        [
            pd.Categorical.from_codes(stock[rows], categories=pd.Index([tickers[i] for i in order])),
            asked[moment[rows]].astype("datetime64[s]"),
        ],
        names=["ticker", "date"],
    )
    return pd.DataFrame(np.concatenate(values)[rows], index=index, columns=list(names))


def asked_days(dates: Sequence[object] | Days) -> Days:
    """The dates as days, ascending, without repeats. Raises FeatureError for an invalid one."""
    try:
        asked = np.unique(np.asarray(dates, "datetime64[D]"))
    except ValueError as error:
        raise FeatureError(f"dates: expected days such as 2015-01-02: {error}") from None
    if np.isnat(asked).any():
        raise FeatureError("dates: one of them is missing")
    return asked


def _columns(bars: pa.Table | pd.DataFrame) -> pa.Table:
    there = bars.column_names if isinstance(bars, pa.Table) else list(bars.columns)
    missing = [name for name in COLUMNS if name not in there]
    if missing:
        raise FeatureError(f"price panel: no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}, found {there}")
    if isinstance(bars, pa.Table):
        table = bars.select(COLUMNS)
    else:
        table = pa.Table.from_pandas(bars[list(COLUMNS)], preserve_index=False)
    for name in (*_QUOTES, "volume"):
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise FeatureError(f"price panel: {name} is {kind}, expected integers or floats")
    kind = table.schema.field("date").type
    if not pa.types.is_date(kind) and not pa.types.is_timestamp(kind):
        raise FeatureError(f"price panel: date is {kind}, expected dates or timestamps")
    return table


def _tickers(column: pa.ChunkedArray) -> tuple[list[str], Places]:
    """Names in the order of the rows, and (names + 1,) the edges of their rows."""
    if column.null_count:
        raise FeatureError(f"price panel: {column.null_count:,} rows without a ticker")
    coded = column.combine_chunks().cast(pa.string()).dictionary_encode()
    codes = coded.indices.to_numpy()
    edges = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1], True]) if len(codes) else np.zeros(1, np.int64)
    names = [coded.dictionary[int(codes[edge])].as_py() for edge in edges[:-1]]
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise FeatureError(f"price panel: the rows of {twice} are not contiguous; sort the panel by ticker, date")
    return names, edges


def _check_order(names: Sequence[str], edges: Places, days: Days) -> None:
    if np.isnat(days).any():
        row = int(np.flatnonzero(np.isnat(days))[0])
        raise FeatureError(f"price panel: a row of {_owner(names, edges, row)} has no date")
    later = days[1:] > days[:-1]
    later[edges[1:-1] - 1] = True
    wrong = np.flatnonzero(~later)
    if len(wrong):
        row = int(wrong[0]) + 1
        what = "occurs twice" if days[row] == days[row - 1] else f"comes after {days[row - 1]}"
        raise FeatureError(
            f"price panel: {_owner(names, edges, row)}, {days[row]} {what}; {len(wrong):,} such rows. Expected one bar "
            "per stock and day: sort the panel by ticker, date"
        )


def _check_numbers(names: Sequence[str], edges: Places, days: Days, columns: pa.Table) -> None:
    for name in (*_QUOTES, "volume"):
        values = columns[name].to_numpy()
        wrong = np.flatnonzero((values < 0) | np.isinf(values))
        if len(wrong):
            row = int(wrong[0])
            raise FeatureError(
                f"price panel: {_owner(names, edges, row)}, {days[row]}: {name} {values[row]:g}, expected a number >= 0; "
                f"{len(wrong):,} such rows"
            )
        absent = np.flatnonzero(~(values > 0))
        if name != "volume" and len(absent) > _LARGEST_ABSENT_SHARE * len(values):
            row = int(absent[0])
            raise FeatureError(
                f"price panel: {len(absent) / len(values):.1%} of {name} is 0 or missing, the first of "
                f"{_owner(names, edges, row)} on {days[row]}; at most {_LARGEST_ABSENT_SHARE:.0%} may be"
            )


def _owner(names: Sequence[str], edges: Places, row: int) -> str:
    return names[int(np.searchsorted(edges, row, side="right")) - 1]
