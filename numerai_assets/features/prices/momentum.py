"""Price momentum of the user's own stocks: technical indicators of a panel of daily bars, keyed by ticker and date.

A value at a date follows from the bars up to and including that date and from nothing later; nor does it depend on
other stocks, unless ranks are asked for. A panel is worked through one stock at a time, so beyond the panel itself
only the answer and one stock's windows are held.
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
"""What is read of a panel; other columns, such as open, are not."""

_QUOTES = ("high", "low", "close")
# Vendors write 0 for "no quote". More than this share of it and the panel is not one of daily bars.
_LARGEST_ABSENT_SHARE = 0.01
# Vendors round adjusted prices, which may put a close a little outside of its own range.
_QUOTE_TOLERANCE = 1e-4

Days = NDArray[np.datetime64]
Places = NDArray[np.int64]
Values = NDArray[np.float64]
Measure = Callable[[Bars], Values]
"""(t, k) of the bars of a run without a break; a value at a bar follows from it and earlier ones."""


@dataclass(frozen=True)
class Continuity:
    """What breaks a stock's history. After a break, windows fill anew and their measures are NaN until they are full.

    gap_days: calendar days between two bars from which on the stock was suspended. greatest_move: ratio of neighbouring
    closes, either way, from which on a split was not adjusted for. stale_days: calendar days after its last bar from
    which on a stock has no values.
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
    """Indicators (`price_indicators.NAMES`) of every stock at each of `dates`: float32, index (ticker, date).

    bars: columns COLUMNS; the rows of a ticker together and its dates ascending. A price of 0 or null means that there
    was no quote; a bar without a close is none, and one whose high and low are missing or contradict its close is worth
    its close alone. dates: what numpy reads as days, e.g. the Fridays of eras; each is answered from the newest bar on
    or before it. Rows are those of stocks with a bar by then, by date, then ticker; their values are NaN where the bars
    do not suffice (`Continuity`, `indicators`). ranked: rank within the date instead of the value, in (0, 1).
    Raises FeatureError for missing columns and those of another type, rows out of order or twice, negative or infinite
    numbers, more than 1 % of missing prices, dates that are none, and without TA-Lib.
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
    """What a measure of `names` is worth for every stock at each of `dates`, as `price_features` has it of indicators."""
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
    """Of all stocks' bars; no time (NaT) where there are none. Raises FeatureError for missing columns."""
    days = _columns(bars)["date"].to_numpy().astype("datetime64[D]")
    return days.min() if len(days) else np.datetime64("NaT", "D")


def ranked_by_date(features: pd.DataFrame) -> pd.DataFrame:
    """Each value's rank among those of its date, (rank - 0.5) / count in (0, 1), ties shared; NaN stays NaN. float32."""
    groups = features.groupby(level="date", observed=True)
    ranked: pd.DataFrame = ((groups.rank() - 0.5) / groups.transform("count")).astype(np.float32)
    return ranked


def price_picture(bars: pa.Table | pd.DataFrame, features: pd.DataFrame, ticker: str) -> bytes:
    """A PNG: price, RSI and trend of one stock over the dates of `features`, and the newest date's cross-section.

    features: unranked, as `price_features` made them of `bars`, and any columns beside them. Raises FeatureError for a
    stock that is not in them.
    """
    if ticker not in features.index.get_level_values("ticker"):
        raise FeatureError(f"ticker {ticker!r}: not among the stocks that there are features of")
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
    """Places in `asked` of the dates with a bar by then, and (dates, k) values there."""
    newest = np.searchsorted(days, asked, side="right") - 1
    known = np.flatnonzero(newest >= 0)
    newest = newest[known]
    values = np.full((len(known), width), np.nan, np.float32)
    fresh = (asked[known] - days[newest]).astype(int) <= rules.stale_days
    for start, stop in _unbroken(days, numbers["close"], rules):
        wanted = np.flatnonzero(fresh & (newest >= start) & (newest < stop))
        if len(wanted):
            # Not a bar behind the last date asked for: what is not read cannot leak.
            read = slice(start, int(newest[wanted].max()) + 1)
            values[wanted] = measure(_bars(numbers, read))[newest[wanted] - start]
    return known, values


def _unbroken(days: Days, close: Values, rules: Continuity) -> list[tuple[int, int]]:
    """First and one behind the last bar of each run without a break."""
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
    # Places among the sorted tickers, so that rows of a date stand in the order of their names.
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
    """Ascending, each once. Raises FeatureError for what is no day."""
    try:
        asked = np.unique(np.asarray(dates, "datetime64[D]"))
    except ValueError as error:
        raise FeatureError(f"dates to answer for: expected days such as 2015-01-02: {error}") from None
    if np.isnat(asked).any():
        raise FeatureError("dates to answer for: one of them is missing")
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
    """Names in the order of the rows and (names + 1,) where their rows begin and end."""
    if column.null_count:
        raise FeatureError(f"price panel: {column.null_count:,} rows without a ticker")
    coded = column.combine_chunks().cast(pa.string()).dictionary_encode()
    codes = coded.indices.to_numpy()
    edges = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1], True]) if len(codes) else np.zeros(1, np.int64)
    names = [coded.dictionary[int(codes[edge])].as_py() for edge in edges[:-1]]
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise FeatureError(f"price panel: the rows of {twice} stand in more than one place; sort it by ticker, date")
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
        what = "is there twice" if days[row] == days[row - 1] else f"comes after {days[row - 1]}"
        raise FeatureError(
            f"price panel: {_owner(names, edges, row)}, {days[row]} {what}; {len(wrong):,} such rows. A stock has one bar "
            "a day, in order: sort it by ticker, date"
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
                f"{_owner(names, edges, row)} on {days[row]}; expected prices but for {_LARGEST_ABSENT_SHARE:.0%} at most"
            )


def _owner(names: Sequence[str], edges: Places, row: int) -> str:
    return names[int(np.searchsorted(edges, row, side="right")) - 1]
