"""Daily bars of made-up stocks, and their features by date."""

from typing import Any

import numpy as np
import pandas as pd

from numerai_assets.features.prices.momentum import price_features

FIRST = np.datetime64("2015-01-01")


def weekdays(count: int) -> np.ndarray[Any, Any]:
    return np.busday_offset(FIRST, np.arange(count), roll="forward").astype("datetime64[D]")


def stock(days: int = 600, *, seed: int = 0, ticker: str = "AAA") -> pd.DataFrame:
    """Bars of a seeded random walk."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, days)))
    reach = close * rng.uniform(0.001, 0.02, (2, days))
    return pd.DataFrame(
        {
            "ticker": ticker,
            "date": weekdays(days),
            "open": close,
            "high": close + reach[0],
            "low": close - reach[1],
            "close": close,
            "volume": rng.integers(1_000, 100_000, days),
        }
    )


def rising(days: int = 600, *, growth: float = 0.001) -> pd.DataFrame:
    close = 10 * (1 + growth) ** np.arange(days)
    return stock(days).assign(open=close, high=close, low=close, close=close)


def of(bars: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Features at every day of the first ticker, by date."""
    return price_features(bars, bars["date"].to_numpy(), **options).xs(bars["ticker"].iloc[0], level="ticker")
