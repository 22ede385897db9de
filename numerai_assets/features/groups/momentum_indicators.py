"""Momentum of regular series, many at once: one value an era, oldest first, a series a column.

Returns r (eras, n) make the price p (eras + 1, n) that starts at 0: p_t = r_1 + ... + r_t. A series too short for what
is asked of it has none of it (NaN), rather than something from fewer eras under the same name.
"""

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

FLAT = 1e-4
"""A standard deviation below this, in units of the target, is that of a series that does not vary."""


def prices(returns: Series) -> Series:
    """(eras + 1, n) running sums of the returns (eras, n), from 0."""
    return np.concatenate([np.zeros((1, returns.shape[1])), np.cumsum(returns, axis=0)])


def scaled_return(returns: Series, look_back: int, overlap: int) -> Series:
    """(n,) return over the last `look_back` eras over its own volatility; NaN for a series that does not vary.

    Moskowitz, Ooi & Pedersen (2012), "Time series momentum", eq. 1 and 5: past return over the volatility of as long a
    time. overlap: eras that one value of the series spans, h. The mean of the last L values is 1 / h of the return of
    an h-era average of the price, and their standard deviation sigma is sqrt(h) times that of one era; so the quotient
    is mean / sigma x sqrt(L / h).
    """
    if len(returns) < look_back:
        return np.full(returns.shape[1], np.nan)
    return _over(returns[-look_back:].mean(axis=0) * np.sqrt(look_back / overlap), returns.std(axis=0))


def macd(price: Series, short: int, long: int, volatility: int) -> Series:
    """(n,) short less long exponential mean of the price, over the price's standard deviation in its last eras.

    Baz et al. (2015), "Dissecting investment strategies in the cross section and time series": the mean of scale S has
    decay 1 - 1/S, that is TA-Lib's EMA of 2 S - 1 periods. Theirs begins long before; ours weighs the eras there are
    so that the weights sum to 1, and nothing hangs on a first value. Their second scaling, by a year's deviation of the
    signal itself, asks for more eras than look-alikes reach, and is left out. NaN for fewer than `long` prices.
    """
    eras = len(price)
    if eras < max(long, volatility):
        return np.full(price.shape[1], np.nan)
    weights = _decaying(eras, short) - _decaying(eras, long)
    # Summed along the eras and not as a matrix product, whose last bit may hang on where in the matrix a series stands.
    return _over((weights[:, None] * price).sum(axis=0), price[-volatility:].std(axis=0))


def rsi(returns: Series, period: int) -> Series:
    """(n,) relative strength index, 0..100; 50 where there was no move at all.

    Wilder (1978), "New concepts in technical trading systems": 100 x gains / (gains + losses), each a mean of the first
    `period` moves that then follows avg <- avg + (move - avg) / period. TA-Lib's RSI of the price, but for the case of
    no move, which it calls 0.
    """
    if len(returns) < period:
        return np.full(returns.shape[1], np.nan)
    gains, losses = np.maximum(returns, 0), np.maximum(-returns, 0)
    gain, loss = gains[:period].mean(axis=0), losses[:period].mean(axis=0)
    for era in range(period, len(returns)):
        gain, loss = gain + (gains[era] - gain) / period, loss + (losses[era] - loss) / period
    return _share(gain, gain + loss)


def stochastic(price: Series, period: int, smooth: int) -> Series:
    """(2, n) stochastic oscillator %K and %D, 0..100; 50 for a price that stood still.

    Lane (1984), "Lane's stochastics": %K is where the price stands between the lowest and highest of the last `period`
    prices, %D the mean of the last `smooth` %K. There is one price an era, so it is its own high and low: TA-Lib's
    STOCHF of the price three times.
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
