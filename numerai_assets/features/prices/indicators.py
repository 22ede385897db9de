"""Momentum, volatility and volume of one stock's daily bars: a value at a bar is computed from it and earlier ones.

Classic indicators come from TA-Lib, on arrays without gaps. The trend signals and normalised returns are those of Baz
et al. (2015, "Dissecting investment strategies in the cross section and time series") in the form that Lim, Zohren and
Roberts (2019) and the Momentum Transformer (Wood et al. 2022) use; illiquidity is Amihud's (2002), the 52-week high
ratio that of George and Hwang (2004). Values in units of money are divided by the close, so that they are comparable across
stocks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from numerai_assets.errors import FeatureError

Array = NDArray[np.float64]

RETURN_DAYS = (1, 5, 21, 63, 126, 252)
TRENDS = ((8, 24), (16, 48), (32, 96))
NAMES = (
    "rsi_14",
    "macd_12_26",
    "macd_signal_9",
    "macd_histogram",
    *(f"trend_{short}_{long}" for short, long in TRENDS),
    "stochastic_k",
    "stochastic_d",
    "roc_10",
    *(f"return_{days}" for days in RETURN_DAYS),
    "atr_14",
    "volume_z_63",
    "obv_slope_21",
    "amihud_21",
    "high_ratio_252",
)
MOMENTUM_NAMES = (
    *(f"return_{days}" for days in RETURN_DAYS if days != 5),
    *(f"trend_{short}_{long}" for short, long in TRENDS),
)

_OSCILLATOR_DAYS = 14
_VOLATILITY_SPAN = 60
_PRICE_DAYS, _TREND_DAYS = 63, 252
_MONTH, _QUARTER, _YEAR = 21, 63, 252
# A tenth of a basis point per day: a smaller std of returns is rounding of a constant price.
_LEAST_VOLATILITY = 1e-5


@dataclass(frozen=True)
class Bars:
    """Consecutive daily bars of one stock without a break, (t,) float64 each.

    close: > 0. high, low: around the close, equal to it if the bar has no usable range. has_range: whether it has one.
    volume: shares, 0 for a quote without a trade.
    """

    high: Array
    low: Array
    close: Array
    volume: Array
    has_range: NDArray[np.bool_]


def indicators(bars: Bars) -> Array:
    """(t, k) float64 of `NAMES` at each bar; NaN before a window is full and where a measure is undefined.

    Undefined are: RSI of a constant price; the stochastic oscillator of a range of zero; the stochastic oscillator and ATR
    while a bar without a usable range is in their window; normalised returns and trends of a constant price; volume
    measures if fewer than half of the bars in the window have a trade, and the volume score at a bar without a trade.
    Raises FeatureError if TA-Lib is not installed.
    """
    talib = _talib()
    close = bars.close
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    slow_k, slow_d = _stochastic(talib, bars)
    columns = [
        _relative_strength(talib, close),
        macd / close,
        signal / close,
        histogram / close,
        *trends(close),
        slow_k,
        slow_d,
        talib.ROC(close, 10),
        *normalised_returns(close),
        np.where(
            _held(~bars.has_range, _OSCILLATOR_DAYS + 1), np.nan, talib.ATR(bars.high, bars.low, close, 14) / close
        ),
        volume_score(bars.volume),
        _volume_slope(talib, bars),
        illiquidity(close, bars.volume),
        close / talib.MAX(bars.high, _YEAR),
    ]
    return np.stack(columns, axis=1)


def weighted_mean(values: Array, alpha: float) -> Array:
    """(t,) mean of all values so far with weights (1 - alpha)^age."""
    steps = np.arange(1, len(values) + 1)
    return np.asarray(alpha * lfilter([1.0], [1.0, alpha - 1.0], values) / (1 - (1 - alpha) ** steps))


def volatility(returns: Array) -> Array:
    """(t,) exponentially weighted standard deviation of daily returns, span 60, unbiased; NaN before 60 of them."""
    alpha = 2 / (_VOLATILITY_SPAN + 1)
    mean = weighted_mean(returns, alpha)
    spread = np.maximum(weighted_mean(returns**2, alpha) - mean**2, 0)
    # Sum of squared weights over squared sum of weights: the bias of a weighted variance.
    faded = (1 - alpha) ** np.arange(1, len(returns) + 1)
    concentration = alpha / (2 - alpha) * (1 + faded) / (1 - faded)
    out = np.full(len(returns), np.nan)
    full = slice(_VOLATILITY_SPAN - 1, None)
    out[full] = np.sqrt(spread[full] / (1 - concentration[full]))
    out[out < _LEAST_VOLATILITY] = np.nan
    return out


def normalised_returns(close: Array) -> list[Array]:
    """(t,) for each of RETURN_DAYS: return over that many bars, in standard deviations of as many independent days."""
    daily = np.full(len(close), np.nan)
    daily[1:] = volatility(close[1:] / close[:-1] - 1)
    out = []
    for days in RETURN_DAYS:
        scaled = np.full(len(close), np.nan)
        scaled[days:] = (close[days:] / close[:-days] - 1) / (daily[days:] * np.sqrt(days))
        out.append(scaled)
    return out


def trends(close: Array) -> list[Array]:
    """(t,) for each of TRENDS: difference of two exponential means of the price, over the price's 63-day deviation,
    over the 252-day deviation of that.

    A scale S means weights (1 - 1/S)^age. NaN before 314 bars and while the price is constant.
    """
    spread = rolling_deviation(close, _PRICE_DAYS)
    moves = spread > _LEAST_VOLATILITY * close
    out = []
    for short, long in TRENDS:
        crossing = weighted_mean(close, 1 / short) - weighted_mean(close, 1 / long)
        score = _ratio(crossing, spread, moves)
        own = rolling_deviation(score, _TREND_DAYS)
        out.append(_ratio(score, own, own > _LEAST_VOLATILITY))
    return out


def momentum_features(closes: Array) -> Array:
    """(t, n, 8), MOMENTUM_NAMES, of closes (t, n): normalised returns over 1, 21, 63, 126 and 252 bars and the three trends.

    The inputs of momentum networks (Wood et al. 2022; Pu et al. 2023, L2GMOM). NaN before 314 bars.
    """
    without_week = [place for place, days in enumerate(RETURN_DAYS) if days != 5]
    columns = []
    for close in closes.T:
        returns = normalised_returns(close)
        columns.append(np.stack([*(returns[place] for place in without_week), *trends(close)], axis=1))
    return np.stack(columns, axis=1)


def rolling_deviation(values: Array, days: int) -> Array:
    """(t,) standard deviation (ddof 1) of the last `days` values; NaN before there are as many, and if one of them is NaN."""
    gaps = np.isnan(values)
    # Sums begin at each stretch and are of differences to its first value. Sums over a whole history, or of the plain
    # values, lose all digits after a price that was once a hundred thousand times higher.
    stretches = _stretches(np.where(gaps, 0.0, values), days)
    away = stretches - stretches[:, :1]
    square = _of_windows(away**2, len(values)) - _of_windows(away, len(values)) ** 2 / days
    variance = np.maximum(square, 0) / (days - 1)
    whole = rolling_sum(gaps.astype(np.float64), days) == 0
    return np.sqrt(np.where(whole, variance, np.nan))


def rolling_sum(values: Array, days: int) -> Array:
    """(t,) sum of the last `days` values; NaN before there are as many values."""
    return _of_windows(_stretches(values, days), len(values))


def volume_score(volume: Array) -> Array:
    """(t,) z-score (ddof 0) of the log volume among the last 63 bars, of which only those with a trade count."""
    traded = volume > 0
    logs = np.log(np.where(traded, volume, 1.0))
    count = rolling_sum(traded.astype(np.float64), _QUARTER)
    enough = count >= _QUARTER // 2
    mean = _ratio(rolling_sum(logs, _QUARTER), count, enough)
    square = _ratio(rolling_sum(logs**2, _QUARTER), count, enough)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return _ratio(logs - mean, spread, traded & (spread > _LEAST_VOLATILITY))


def illiquidity(close: Array, volume: Array) -> Array:
    """(t,) log of the mean |return| per million of money traded, over those of the last 21 bars that have a trade."""
    moved = np.full(len(close), np.nan)
    moved[1:] = np.abs(close[1:] / close[:-1] - 1)
    traded = (volume > 0) & ~np.isnan(moved)
    ratio = np.divide(moved, close * volume / 1e6, out=np.zeros(len(close)), where=traded)
    count = rolling_sum(traded.astype(np.float64), _MONTH)
    total = rolling_sum(ratio, _MONTH)
    known = (count >= _MONTH // 2) & (total > 0)
    mean = np.divide(total, count, out=np.ones(len(close)), where=known)
    return np.where(known, np.log(mean), np.nan)


def _relative_strength(talib: Any, close: Array) -> Array:
    strength: Array = talib.RSI(close, _OSCILLATOR_DAYS)
    # TA-Lib returns 0, the most oversold value, for a price that has never moved.
    return np.where(np.maximum.accumulate(close) == np.minimum.accumulate(close), np.nan, strength)


def _stochastic(talib: Any, bars: Bars) -> tuple[Array, Array]:
    """%K and %D of 14, 3 and 3 bars."""
    slow_k, slow_d = talib.STOCH(bars.high, bars.low, bars.close, _OSCILLATOR_DAYS, 3, 0, 3, 0)
    highest, lowest = talib.MAX(bars.high, _OSCILLATOR_DAYS), talib.MIN(bars.low, _OSCILLATOR_DAYS)
    undefined = (highest == lowest) | _held(~bars.has_range, _OSCILLATOR_DAYS)
    # Rounding may put a close at the edge of its range slightly outside.
    slow_k, slow_d = np.clip(slow_k, 0, 100), np.clip(slow_d, 0, 100)
    return np.where(_held(undefined, 3), np.nan, slow_k), np.where(_held(undefined, 5), np.nan, slow_d)


def _volume_slope(talib: Any, bars: Bars) -> Array:
    """Daily slope of on-balance volume over 21 bars, in units of their mean daily volume."""
    balance = talib.OBV(bars.close, bars.volume)
    mean = rolling_sum(bars.volume, _MONTH) / _MONTH
    enough = rolling_sum((bars.volume > 0).astype(np.float64), _MONTH) >= _MONTH // 2
    slope = talib.LINEARREG_SLOPE(balance, _MONTH)
    return _ratio(slope, mean, enough)


def _held(flags: NDArray[np.bool_], days: int) -> NDArray[np.bool_]:
    """(t,) True if one of the last `days` flags is set."""
    since = np.arange(len(flags)) - np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -days))
    return np.asarray(since < days)


def _stretches(values: Array, days: int) -> Array:
    """(s, 2 days) stretches that begin every `days` values; each contains all windows that begin in its first half."""
    count = max(-(-(len(values) - days + 1) // days), 0)
    padded = np.zeros(max(count + 1, 2) * days)
    padded[: len(values)] = values[: len(padded)]
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * days)[::days][:count]


def _of_windows(stretches: Array, length: int) -> Array:
    """(length,) sum of each window of half a stretch, at the window's end; NaN before the first."""
    days = stretches.shape[1] // 2
    out = np.full(length, np.nan)
    total = np.zeros((len(stretches), 2 * days))
    np.cumsum(stretches[:, :-1], axis=1, out=total[:, 1:])
    out[days - 1 :] = (total[:, days:] - total[:, :days]).ravel()[: max(length - days + 1, 0)]
    return out


def _ratio(above: Array, below: Array, defined: NDArray[np.bool_]) -> Array:
    """(t,) above / below where `defined`, else NaN."""
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=defined))


def _talib() -> Any:
    try:
        import talib
    except ImportError:
        raise FeatureError(
            "technical indicators of prices need TA-Lib, which is not installed: pip install numerai-assets[prices]"
        ) from None
    return talib
