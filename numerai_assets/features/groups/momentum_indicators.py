"""Momentum of many regular series at once: one value an era, oldest first, a series a column.

Returns r (eras, n) give the price p (eras + 1, n) that starts at 0: p_t = r_1 + ... + r_t. An indicator of a series that is
too short for it is NaN; it is never computed from fewer eras.
"""

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

FLAT = 1e-4
"""A series with a standard deviation below this, in units of the target, counts as constant."""


def prices(returns: Series) -> Series:
    """(eras + 1, n) running sums of the returns (eras, n), from 0."""
    return np.concatenate([np.zeros((1, returns.shape[1])), np.cumsum(returns, axis=0)])


def scaled_return(returns: Series, look_back: int, overlap: int) -> Series:
    """(n,) return over the last `look_back` eras over its own volatility; NaN for a series that does not vary.

    Moskowitz, Ooi & Pedersen (2012), "Time series momentum", eq. 1 and 5: past return over the volatility of an equally
    long time. overlap: eras that one value of the series spans, h. The mean of the last L values is 1 / h of the return of
    an h-era average of the price, and their standard deviation sigma is sqrt(h) times that of one era; so the quotient
    is mean / sigma x sqrt(L / h).
    """
    if len(returns) < look_back:
        return np.full(returns.shape[1], np.nan)
    return _over(returns[-look_back:].mean(axis=0) * np.sqrt(look_back / overlap), returns.std(axis=0))


def macd(price: Series, short: int, long: int, volatility: int) -> Series:
    """(n,) short less long exponential mean of the price, over the price's standard deviation in its last eras.

    Baz et al. (2015), "Dissecting investment strategies in the cross section and time series": the mean of scale S has
    decay 1 - 1/S, that is TA-Lib's EMA of 2 S - 1 periods. Theirs begins long before; here the weights of the available
    eras sum to 1, so no first value has a special weight. Their second scaling, by a year's deviation of the signal itself,
    needs more eras than look-alikes reach, and is left out. NaN for fewer than `long` prices.
    """
    eras = len(price)
    if eras < max(long, volatility):
        return np.full(price.shape[1], np.nan)
    weights = _decaying(eras, short) - _decaying(eras, long)
    # A sum along the eras: the last bit of a matrix product may depend on the position of a series in the matrix.
    return _over((weights[:, None] * price).sum(axis=0), price[-volatility:].std(axis=0))


def rsi(returns: Series, period: int) -> Series:
    """(n,) relative strength index, 0..100; 50 without any move.

    Wilder (1978), "New concepts in technical trading systems": 100 x gains / (gains + losses), each a mean of the first
    `period` moves that then follows avg <- avg + (move - avg) / period. TA-Lib's RSI of the price, except that
    TA-Lib returns 0 without any move.
    """
    if len(returns) < period:
        return np.full(returns.shape[1], np.nan)
    gains, losses = np.maximum(returns, 0), np.maximum(-returns, 0)
    gain, loss = gains[:period].mean(axis=0), losses[:period].mean(axis=0)
    for era in range(period, len(returns)):
        gain, loss = gain + (gains[era] - gain) / period, loss + (losses[era] - loss) / period
    return _share(gain, gain + loss)


def stochastic(price: Series, period: int, smooth: int) -> Series:
    """(2, n) stochastic oscillator %K and %D, 0..100; 50 for a price that did not move.

    Lane (1984), "Lane's stochastics": %K is the position of the price between the lowest and highest of the last
    `period` prices, %D the mean of the last `smooth` %K. With one price an era, high, low and close are equal: this is
    TA-Lib's STOCHF with the price three times.
    """
    found = np.full((2, price.shape[1]), np.nan)
    if len(price) < period + smooth - 1:
        return found
    ends = range(len(price) - smooth + 1, len(price) + 1)
    fast = [_position(price[end - period : end]) for end in ends]
    found[0], found[1] = fast[-1], np.mean(fast, axis=0)
    return found


def _position(price: Series) -> Series:
    low = price.min(axis=0)
    return _share(price[-1] - low, price.max(axis=0) - low)


def _share(part: Series, whole: Series) -> Series:
    """100 x part / whole; 50 where the whole is 0."""
    return np.asarray(100 * np.divide(part, whole, out=np.full(part.shape, 0.5), where=whole > 0))


def _over(value: Series, deviation: Series) -> Series:
    return np.asarray(np.divide(value, deviation, out=np.full(value.shape, np.nan), where=deviation > FLAT))


def _decaying(eras: int, scale: int) -> Series:
    """(eras,) weights of sum 1, each 1 - 1/scale of the one after it."""
    weights = (1 - 1 / scale) ** np.arange(eras - 1, -1, -1.0)
    return np.asarray(weights / weights.sum())
