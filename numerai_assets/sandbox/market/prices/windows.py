"""Trailing windows of daily bars, and their statistics over several look-backs.

All arrays are float32 with days down the rows, oldest first, and stocks across the columns. A statistic over look-backs
takes (days, n) and returns one row per look-back: (len(spans), n), in the order of `spans`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

YEAR = 252
DAYS = YEAR + 1
LONG_DAYS = 5 * YEAR + 1

# One wrongly adjusted split (a "return" of +900 %) must not move the market of a whole day.
_LARGEST_MARKET_VOTE = np.float32(0.5)


@dataclass(frozen=True)
class Window:
    """Data of n stocks at the close of one trading day, the last row of each array.

    weekdays: (DAYS,) int64, Monday = 0.
    open, high, low: (DAYS, n), NaN on a day without a consistent quote.  close, volume: (DAYS, n), finite; on a day
        without a trade the last close is carried and the volume is 0.
    long_close: (LONG_DAYS, n), its last DAYS rows are `close`; NaN before a stock's first trade.
    """

    weekdays: NDArray[np.int64]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    long_close: Array

    @classmethod
    def without_stocks(cls) -> "Window":
        """A window without stocks, enough to get the names of all characteristics."""
        empty = np.empty((DAYS, 0), dtype=np.float32)
        long_close = np.empty((LONG_DAYS, 0), dtype=np.float32)
        return cls(np.arange(DAYS) % 5, empty, empty, empty, empty, empty, long_close)

    @cached_property
    def returns(self) -> Array:
        """(DAYS - 1, n) simple returns from close to close."""
        growth: Array = self.close[1:] / self.close[:-1]
        return growth - 1

    @cached_property
    def log_close(self) -> Array:
        """(DAYS, n) log of the close over today's close: centred, so that float32 sums stay exact."""
        logs: Array = np.log(self.close / self.close[-1])
        return logs

    @cached_property
    def log_volume(self) -> Array:
        """(DAYS, n) log(1 + volume), less its mean over the window."""
        logs: Array = np.log1p(self.volume)
        centred: Array = logs - logs.mean(axis=0)
        return centred

    @cached_property
    def dollar_volume(self) -> Array:
        """(DAYS, n) in millions."""
        return self.close * self.volume * np.float32(1e-6)

    @cached_property
    def market(self) -> Array:
        """(DAYS - 1, 1) equal-weight mean of the returns."""
        votes: Array = np.clip(self.returns, -_LARGEST_MARKET_VOTE, _LARGEST_MARKET_VOTE)
        mean: Array = votes.sum(axis=1, keepdims=True) / np.float32(max(votes.shape[1], 1))
        return mean

    @cached_property
    def top(self) -> Array:
        """(DAYS, n) highest known price of each day, never NaN."""
        return np.fmax(self.high, self.close)

    @cached_property
    def bottom(self) -> Array:
        """(DAYS, n) lowest known price of each day, never NaN."""
        return np.fmin(self.low, self.close)

    @cached_property
    def log_range(self) -> Array:
        """(DAYS - 1, n) log(high / low), NaN without a quote."""
        return np.log(self.high[1:] / self.low[1:])

    @cached_property
    def true_range(self) -> Array:
        """(DAYS - 1, n) range of the day, yesterday's close included, over yesterday's close."""
        before = self.close[:-1]
        return (np.maximum(self.top[1:], before) - np.minimum(self.bottom[1:], before)) / before

    @cached_property
    def overnight(self) -> Array:
        """(DAYS - 1, n) log return from yesterday's close to today's open, NaN without a quote."""
        return np.log(self.open[1:] / self.close[:-1])

    @cached_property
    def intraday(self) -> Array:
        """(DAYS - 1, n) log return from today's open to today's close, NaN without a quote."""
        return np.log(self.close[1:] / self.open[1:])

    @cached_property
    def close_location(self) -> Array:
        """(DAYS, n) position of the close in the day's range: -1 at the low, 1 at the high, 0 without a range."""
        day_range = self.top - self.bottom
        return (2 * self.close - self.top - self.bottom) / np.where(day_range > 0, day_range, np.float32(1))

    @cached_property
    def highest(self) -> Array:
        """(DAYS, n) row L - 1 is the highest price of the last L days."""
        return np.maximum.accumulate(self.top[::-1])

    @cached_property
    def lowest(self) -> Array:
        """(DAYS, n) row L - 1 is the lowest price of the last L days."""
        return np.minimum.accumulate(self.bottom[::-1])


def sums(x: Array, spans: Sequence[int]) -> Array:
    """Sum over the last `span` days, for each of the ascending `spans`."""
    days = len(x)
    assert spans[-1] <= days, f"a look-back of {spans[-1]} days does not fit into {days}"
    edges = (0, *spans)
    parts = [x[days - far : days - near].sum(axis=0) for near, far in zip(edges, spans, strict=False)]
    return np.cumsum(np.stack(parts), axis=0)


def means(x: Array, spans: Sequence[int]) -> Array:
    """Mean of the values that are not NaN; NaN if half or more of a look-back is NaN."""
    missing = np.isnan(x)
    if not missing.any():
        return sums(x, spans) / _column(spans)
    counts = _column(spans) - sums(missing.astype(np.float32), spans)
    totals = sums(np.where(missing, np.float32(0), x), spans)
    return totals / np.where(counts * 2 > _column(spans), counts, np.float32(np.nan))


def mean_ratio(x: Array, y: Array, spans: Sequence[int]) -> Array:
    """Sum of x over the sum of y."""
    return sums(x, spans) / sums(y, spans)


def variances(x: Array, spans: Sequence[int]) -> Array:
    """Unbiased variance; x finite, with a mean that is not large against its std."""
    size = _column(spans)
    total = sums(x, spans)
    return np.maximum(sums(x * x, spans) - total * total / size, 0) / (size - 1)


def deviations(x: Array, spans: Sequence[int]) -> Array:
    """Standard deviation, as `variances`."""
    return np.sqrt(variances(x, spans))


def covariances(x: Array, y: Array, spans: Sequence[int]) -> Array:
    """Unbiased covariance; conditions as for `variances`. Columns of x and y broadcast."""
    size = _column(spans)
    return (sums(x * y, spans) - sums(x, spans) * sums(y, spans) / size) / (size - 1)


def correlations(x: Array, y: Array, spans: Sequence[int]) -> Array:
    """Pearson correlation over days on which both are known; NaN where either does not vary."""
    x = x - means(x, (len(x),))
    y = y - means(y, (len(y),))
    mean_x, mean_y = means(x, spans), means(y, spans)
    spread_x = _spread(means(x * x, spans), mean_x)
    spread_y = _spread(means(y * y, spans), mean_y)
    return np.clip((means(x * y, spans) - mean_x * mean_y) / np.sqrt(spread_x * spread_y), -1, 1)


def autocorrelations(x: Array, lag: int, spans: Sequence[int]) -> Array:
    """Correlation of each day's value with that `lag` days before; the last `span` pairs."""
    return correlations(x[lag:], x[:-lag], spans)


def trends(x: Array, spans: Sequence[int]) -> tuple[Array, Array, Array]:
    """Least-squares line through the last `span` values: (slope a day, R squared, last value's error / its std)."""
    slopes, fits, errors = [], [], []
    for span in spans:
        values = x[-span:] - x[-span:].mean(axis=0)
        time = np.arange(span, dtype=np.float32) - np.float32((span - 1) / 2)
        squared_time = (time * time).sum()
        slope = combine(time[None], values)[0] / squared_time
        total = np.einsum("ij,ij->j", values, values)
        explained = slope * slope * squared_time
        slopes.append(slope)
        fits.append(np.clip(explained / total, 0, 1))
        errors.append(
            (values[-1] - slope * time[-1]) / np.sqrt(np.maximum(total - explained, 0) / np.float32(span - 2))
        )
    return np.stack(slopes), np.stack(fits), np.stack(errors)


@lru_cache(maxsize=64)
def exponential_kernel(days: int, alpha: float) -> Array:
    """(days,) weights of an exponential mean, newest last, that sum to 1: pandas' ewm(alpha=...) on the window."""
    weights = (1 - alpha) ** np.arange(days - 1, -1, -1)
    kernel: Array = (weights / weights.sum()).astype(np.float32)
    return kernel


@lru_cache(maxsize=16)
def macd_kernels(days: int, fast: int, slow: int, signal: int) -> Array:
    """(2, days) weights on log prices of the MACD line and of the line less its signal."""
    line = exponential_kernel(days, 2 / (fast + 1)) - exponential_kernel(days, 2 / (slow + 1))
    smoothing = exponential_kernel(days, 2 / (signal + 1))[::-1]
    smoothed = np.convolve(line[::-1], smoothing)[:days][::-1]
    return np.stack([line, line - smoothed]).astype(np.float32)


def exponential_means(x: Array, alphas: Sequence[float]) -> Array:
    """Exponentially weighted mean of all days for each alpha; x finite."""
    return combine(np.stack([exponential_kernel(len(x), alpha) for alpha in alphas]), x)


def combine(weights: Array, x: Array) -> Array:
    """(m, n) weighted sums of the days of x; weights: (m, days).

    Not BLAS: at these sizes its threads cost more than they save, and results would depend on their number.
    """
    combined: Array = np.einsum("ij,jk->ik", weights, x)
    return combined


def _column(spans: Sequence[int]) -> Array:
    return np.array(spans, dtype=np.float32)[:, None]


def _spread(mean_square: Array, mean: Array) -> Array:
    """Variance, or NaN if it is only rounding error."""
    variance = mean_square - mean * mean
    return np.where(variance > 1e-5 * mean_square, variance, np.float32(np.nan))
