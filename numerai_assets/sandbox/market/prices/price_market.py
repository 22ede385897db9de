"""A market of real stocks, read from a user's panel of daily bars.

Every characteristic is computed from the bars up to its day. Survivorship bias, dividends and wrong bars are those of the
panel: suited to compare methods on the same data, not to estimate profits.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import ndtri
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from numerai_assets.eras import era_on, friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.prices.characteristics import characterise, groups_of
from numerai_assets.sandbox.market.prices.windows import DAYS, LONG_DAYS, Array, Window, combine
from numerai_assets.sandbox.market.protocol import Snapshot

PRICES = ("open", "high", "low", "close")
COLUMNS = ("ticker", "date", *PRICES, "volume")
LAG_WEEKDAYS = 2
HORIZON_WEEKDAYS = 60
LEAST_DAYS = 300
LEAST_STOCKS = 50
COMPONENTS = 2

_STALE_DAYS = 5
_LEAST_PRICE = 1.0
_LEAST_DOLLAR_VOLUME = 100_000.0
_DOLLAR_VOLUME_DAYS = 60
# Vendors write 0 for "no quote". With more than this share of zeros, the file is not a panel of daily bars.
_LARGEST_ABSENT_SHARE = 0.01
# Longer than any exchange was closed in recent decades: rows are missing.
_LONGEST_GAP = np.timedelta64(14, "D")
_QUOTE_TOLERANCE = np.float32(1e-4)


@dataclass(frozen=True)
class Panel:
    """Daily bars of all stocks.

    tickers: sorted, (n,).  days: (t,) datetime64[D], the trading days, ascending.
    open, high, low: (t, n) float32, NaN without a trade and where the bar contradicts itself.
    close: (t, n) float32, NaN without a trade.  volume: (t, n) float32, 0 without a trade.
    """

    tickers: tuple[str, ...]
    days: NDArray[np.datetime64]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def read_panel(path: Path) -> Panel:
    """The panel in the Parquet file `path`: one row per stock and day, columns as in COLUMNS, in any order.

    A price of 0 or null means that there was no quote, as vendors write it; a day whose close is missing is a day
    without a trade. Where open, high and low contradict each other or the close, only the close is kept.
    Raises SandboxError for a file that cannot be read, missing columns, negative or infinite numbers, more than 1 % of
    missing prices, a repeated (ticker, date), days on a weekend, a hole of weeks, and fewer than 300 days or 50 stocks.
    """
    table = _read_table(path)
    tickers, column = _sorted_codes(table["ticker"])
    days, row = _sorted_days(table["date"])
    if len(days) < LEAST_DAYS or len(tickers) < LEAST_STOCKS:
        raise SandboxError(
            f"{path}: {len(days)} trading days of {len(tickers)} stocks; a market needs at least "
            f"{LEAST_DAYS} days and {LEAST_STOCKS} stocks. Give a longer or wider panel"
        )
    _check_days(path, days)
    cell = row * len(tickers) + column
    _check_unique(path, cell, table)
    for name in (*PRICES, "volume"):
        _check_numbers(path, name, table)

    def pivot(name: str) -> Array:
        wide = np.full(len(days) * len(tickers), np.nan, dtype=np.float32)
        wide[cell] = table[name].to_numpy()
        return wide.reshape(len(days), len(tickers))

    wide = {name: pivot(name) for name in (*PRICES, "volume")}
    for name in PRICES:
        wide[name][wide[name] == 0] = np.nan
    traded = np.isfinite(wide["close"])
    wide["volume"] = np.where(traded, np.nan_to_num(wide["volume"]), np.float32(0))
    above, below = 1 + _QUOTE_TOLERANCE, 1 - _QUOTE_TOLERANCE
    body_top, body_bottom = np.maximum(wide["open"], wide["close"]), np.minimum(wide["open"], wide["close"])
    # A comparison with NaN is false, so a day that lacks any of the four is dropped with the contradictory ones.
    consistent = (wide["high"] >= body_top * below) & (wide["low"] <= body_bottom * above)
    for name in ("open", "high", "low"):
        wide[name][~consistent] = np.nan
    return Panel(tickers=tickers, days=days, **wide)


class PriceMarket:
    """The Market of a panel of daily bars (see `read_panel`). Stock numbers are positions among the sorted tickers.

    The universe of a day: a year of history, traded within the last five trading days, a close above 1, and a
    median dollar volume over 60 days above 100,000.
    """

    def __init__(self, panel: Path) -> None:
        self._path = panel
        self._panel = read_panel(panel)
        self.tickers = self._panel.tickers
        named = groups_of()
        self.characteristics: tuple[str, ...] = tuple(named)
        self.groups: tuple[str, ...] = tuple(named.values())
        self._members = {group: np.flatnonzero(np.array(self.groups) == group) for group in dict.fromkeys(self.groups)}
        self.exposure_groups: tuple[str, ...] = tuple(group for group in self._members for _ in range(COMPONENTS))
        self._carry_closes()
        self.first_era, self.last_era = self._find_eras()

    def snapshot(self, day: dt.date) -> Snapshot:
        """Stocks as known at the close of `day`, or of the last trading day before it.

        Raises SandboxError outside the panel and on a day with fewer than 50 stocks in the universe.
        """
        at = self._trading_day(day)
        stocks = self._universe(at)
        if len(stocks) < LEAST_STOCKS:
            raise SandboxError(
                f"{self._path}: {len(stocks)} stocks on {day}, expected at least {LEAST_STOCKS} with a year of history, "
                f"a price above {_LEAST_PRICE} and a median dollar volume above {_LEAST_DOLLAR_VOLUME:,.0f}"
            )
        found = characterise(self._window(at, stocks))
        rows = np.stack([found[name] for name in self.characteristics])
        rows[~np.isfinite(rows)] = np.nan
        exposures = principal_exposures(rows, list(self._members.values()))
        return Snapshot(stocks=stocks, characteristics=np.ascontiguousarray(rows.T), exposures=exposures)

    def forward_returns(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> Array:
        """(n,) float32 return from the close 2 weekdays after `day` to the close `weekdays` weekdays later.

        On a holiday the close of the trading day before is used. NaN for a stock that has not traded within five
        trading days of either end. Raises SandboxError outside the panel.
        """
        start = self._trading_day(_weekdays_after(day, LAG_WEEKDAYS))
        end = self._trading_day(_weekdays_after(day, LAG_WEEKDAYS + weekdays))
        returns = self._carried[end, stocks] / self._carried[start, stocks] - 1
        is_priced = self._is_fresh(start)[stocks] & self._is_fresh(end)[stocks]
        return np.where(is_priced, returns, np.float32(np.nan)).astype(np.float32)

    def oracle(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> None:
        """None: the expected returns of a real market are unknown."""

    def _carry_closes(self) -> None:
        """Last close on or before each day, and the day of each stock's last trade."""
        close = self._panel.close
        position = np.arange(len(close), dtype=np.int32)[:, None]
        priced = np.maximum.accumulate(np.where(np.isfinite(close), position, np.int32(-1)))
        self._carried: Array = np.take_along_axis(close, np.maximum(priced, 0), axis=0)
        # A padding row of a delisted stock has a close but no volume.
        self._last_trade = np.maximum.accumulate(np.where(self._panel.volume > 0, position, np.int32(-1)))
        self._first_price = np.where(np.isfinite(close).any(axis=0), np.isfinite(close).argmax(axis=0), len(close))

    def _find_eras(self) -> tuple[int, int]:
        days = self._panel.days
        last = era_on(days[-1].item()) if days[-1] >= np.datetime64(friday_of(1)) else 0
        while last >= 1 and _weekdays_after(friday_of(last), LAG_WEEKDAYS + HORIZON_WEEKDAYS) > days[-1].item():
            last -= 1
        earliest = days[min(DAYS - 1, len(days) - 1)].item()
        first = max(era_on(earliest), 1) if earliest >= friday_of(1) else 1
        while first <= last and not self._has_universe(friday_of(first)):
            first += 1
        if first > last:
            raise SandboxError(
                f"{self._path}: no Friday from {friday_of(1)} on has both {DAYS - 1} trading days and {LEAST_STOCKS} liquid "
                f"stocks before it and {LAG_WEEKDAYS + HORIZON_WEEKDAYS} weekdays after it within "
                f"{days[0]}..{days[-1]}; give a longer or wider panel"
            )
        return first, last

    def _has_universe(self, friday: dt.date) -> bool:
        return len(self._universe(self._trading_day(friday))) >= LEAST_STOCKS

    def _trading_day(self, day: dt.date) -> int:
        """Position of the last trading day on or before `day`."""
        days = self._panel.days
        if not days[0] <= np.datetime64(day) <= days[-1]:
            raise SandboxError(f"{self._path}: {day} is outside the panel, which spans {days[0]}..{days[-1]}")
        return int(np.searchsorted(days, np.datetime64(day), side="right")) - 1

    def _is_fresh(self, at: int) -> NDArray[np.bool_]:
        last = self._last_trade[at]
        fresh: NDArray[np.bool_] = (last >= 0) & (at - last < _STALE_DAYS)
        return fresh

    def _universe(self, at: int) -> NDArray[np.int64]:
        """(n,) numbers of the stocks in the universe of a trading day, ascending."""
        eligible = self._is_fresh(at) & (at - self._first_price >= DAYS - 1) & (self._carried[at] > _LEAST_PRICE)
        stocks = np.flatnonzero(eligible)
        days = slice(max(at - _DOLLAR_VOLUME_DAYS + 1, 0), at + 1)
        dollars = self._carried[days][:, stocks] * self._panel.volume[days][:, stocks]
        if len(stocks):
            stocks = stocks[np.median(dollars, axis=0) > _LEAST_DOLLAR_VOLUME]
        return stocks.astype(np.int64)

    def _window(self, at: int, stocks: NDArray[np.int64]) -> Window:
        days = slice(at - DAYS + 1, at + 1)
        long_close = np.full((LONG_DAYS, len(stocks)), np.nan, dtype=np.float32)
        reach = min(LONG_DAYS, at + 1)
        long_close[-reach:] = np.take(self._carried[at + 1 - reach : at + 1], stocks, axis=1)
        panel = self._panel
        return Window(
            # 1970-01-01 was a Thursday.
            weekdays=(panel.days[days].astype(np.int64) + 3) % 7,
            open=np.take(panel.open[days], stocks, axis=1),
            high=np.take(panel.high[days], stocks, axis=1),
            low=np.take(panel.low[days], stocks, axis=1),
            close=long_close[-DAYS:],
            volume=np.take(panel.volume[days], stocks, axis=1),
            long_close=long_close,
        )


def principal_exposures(rows: Array, members: list[NDArray[np.intp]]) -> Array:
    """(n, COMPONENTS * groups) float32: the first principal components of each group of characteristics, unit variance.

    rows: (d, n), NaN allowed.  members: row numbers of each group.
    Rows are ranked to a Gaussian first, NaN at the mean. A component's sign makes its largest loading positive.
    """
    gaussian = _gaussian_ranks(rows)
    correlations = [np.einsum("ik,jk->ij", gaussian[group], gaussian[group]).astype(np.float64) for group in members]
    # For such small matrices LAPACK's threads mostly wait for each other: ten times slower on busy cores.
    with _blas().limit(limits=1, user_api="blas"):
        loadings = [np.linalg.eigh(matrix)[1][:, : -COMPONENTS - 1 : -1].T for matrix in correlations]
    exposures = np.zeros((len(members) * COMPONENTS, rows.shape[1]), dtype=np.float32)
    for number, (group, loading) in enumerate(zip(members, loadings, strict=True)):
        largest = np.abs(loading).argmax(axis=1)
        signs = np.sign(loading[np.arange(COMPONENTS), largest])[:, None]
        scores = combine((loading * signs).astype(np.float32), gaussian[group])
        std = scores.std(axis=1, keepdims=True)
        rows_of_group = slice(number * COMPONENTS, (number + 1) * COMPONENTS)
        exposures[rows_of_group] = scores / np.where(std > 0, std, np.float32(1))
    return np.ascontiguousarray(exposures.T)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _gaussian_ranks(rows: Array) -> Array:
    """(d, n) each row ranked (ties share their mean rank), to Gaussian quantiles, standardised; NaN becomes 0."""
    count = np.isfinite(rows).sum(axis=1, keepdims=True)
    size = rows.shape[1]
    order = np.argsort(rows, axis=1)  # NaN last
    ordered = np.take_along_axis(rows, order, axis=1)
    position = np.broadcast_to(np.arange(size, dtype=np.int32), rows.shape)
    is_new = np.ones(rows.shape, dtype=np.bool_)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(is_new, position, np.int32(0)), axis=1)
    is_last = np.ones(rows.shape, dtype=np.bool_)
    is_last[:, :-1] = is_new[:, 1:]
    last = np.minimum.accumulate(np.where(is_last, position, np.int32(size))[:, ::-1], axis=1)[:, ::-1]
    # Twice the mean rank, 1 .. 2n - 1, looked up on a grid of that many: exact for a row without NaN.
    doubled_rank = (first + last + 1) * (np.float32(size) / np.maximum(count, 1).astype(np.float32))
    grid = ndtri(np.arange(2 * size + 1, dtype=np.float32) / np.float32(max(2 * size, 1)))
    quantile = grid[np.clip(np.rint(doubled_rank).astype(np.int32), 1, 2 * size - 1)]
    quantile[position >= count] = 0
    gaussian = np.empty_like(rows)
    np.put_along_axis(gaussian, order, quantile.astype(np.float32), axis=1)
    std = np.sqrt(np.einsum("ij,ij->i", gaussian, gaussian) / size)[:, None]
    return gaussian / np.where(std > 0, std, np.float32(1))


def _weekdays_after(day: dt.date, weekdays: int) -> dt.date:
    return cast("dt.date", np.busday_offset(np.datetime64(day), weekdays, roll="backward").item())


def _read_table(path: Path) -> pa.Table:
    """The rows with text in ticker, days in date, float64 in the rest."""
    types = [pa.string(), pa.date32(), *[pa.float64()] * 5]
    try:
        missing = [name for name in COLUMNS if name not in pq.read_schema(path).names]
        if missing:
            raise SandboxError(f"{path}: columns {missing} are missing; expected {list(COLUMNS)}")
        read = pq.read_table(path, columns=list(COLUMNS))
        # A timestamp is cut to its day; anything else must fit.
        cast_columns = [
            pc.cast(read[name], kind, safe=name != "date") for name, kind in zip(COLUMNS, types, strict=True)
        ]
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SandboxError(
            f"{path}: cannot be read as a Parquet file of daily bars ({error}); expected text in ticker, dates in date, "
            f"numbers in {', '.join(COLUMNS[2:])}"
        ) from error
    table = pa.table(cast_columns, names=list(COLUMNS))
    for name in ("ticker", "date"):
        if table[name].null_count:
            raise SandboxError(f"{path}: {table[name].null_count} rows have no {name}; remove or complete them")
    return table


def _sorted_codes(tickers: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct tickers, sorted, and the position of each row's ticker among them."""
    encoded = pc.dictionary_encode(tickers.combine_chunks())
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    position = np.empty(len(names), dtype=np.int64)
    position[order] = np.arange(len(names))
    return tuple(names[code] for code in order), position[encoded.indices.to_numpy()]


def _sorted_days(dates: pa.ChunkedArray) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """The distinct days, ascending, and the position of each row's day among them."""
    number = dates.combine_chunks().cast(pa.int32()).to_numpy()
    if not len(number):
        return np.empty(0, dtype="datetime64[D]"), np.empty(0, dtype=np.int64)
    is_day = np.bincount(number - number.min()) > 0
    days = (np.flatnonzero(is_day) + number.min()).astype("datetime64[D]")
    return days, (np.cumsum(is_day) - 1)[number - number.min()]


def _place(table: pa.Table, row: int) -> str:
    return f"{table['ticker'][row]} on {table['date'][row]}"


def _check_days(path: Path, days: NDArray[np.datetime64]) -> None:
    on_weekend = days[~np.is_busday(days)]
    if len(on_weekend):
        raise SandboxError(
            f"{path}: {len(on_weekend)} days lie on a weekend, first {on_weekend[0]}; expected weekdays only"
        )
    gaps = np.diff(days)
    if gaps.max() > _LONGEST_GAP:
        widest = int(gaps.argmax())
        raise SandboxError(f"{path}: no rows between {days[widest]} and {days[widest + 1]}; complete the panel")


def _check_unique(path: Path, cell: NDArray[np.int64], table: pa.Table) -> None:
    times = np.bincount(cell)
    if times.max() > 1:
        first, count = int(np.flatnonzero(times[cell] > 1)[0]), int(np.maximum(times - 1, 0).sum())
        raise SandboxError(
            f"{path}: {count} rows repeat a (ticker, date), first {_place(table, first)}; keep one of each"
        )


def _check_numbers(path: Path, name: str, table: pa.Table) -> None:
    values = table[name].to_numpy()
    wrong = np.flatnonzero((values < 0) | np.isinf(values))
    if len(wrong):
        raise SandboxError(
            f"{path}: {name} is {values[wrong[0]]} for {_place(table, wrong[0])} ({len(wrong)} such rows); expected a finite "
            f"{'price above' if name in PRICES else 'number from'} 0"
        )
    absent = int(((values == 0) | (np.isnan(values) & (table["close"].to_numpy() > 0))).sum())
    if name in PRICES and absent > _LARGEST_ABSENT_SHARE * len(values):
        raise SandboxError(
            f"{path}: {name} is 0 or absent in {absent} of {len(values)} rows; prices must be positive, and at most "
            f"{_LARGEST_ABSENT_SHARE:.0%} of them may be missing"
        )
