"""The interface of a stock market to the sandbox."""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Snapshot:
    """The cross-section at the close of one weekday.

    stocks: (n,) int64, ascending, persistent: a number is the same stock at every date. Never published.
    characteristics: (n, d) float32, NaN where a stock has no value; an all-NaN column is a characteristic that does
        not exist yet. Columns as in `Market.characteristics`.
    exposures: (n, k) float32, finite: risk exposures that targets are neutralised to. Columns as in
        `Market.exposure_groups`.
    """

    stocks: NDArray[np.int64]
    characteristics: NDArray[np.float32]
    exposures: NDArray[np.float32]


class Market(Protocol):
    """A market of persistent stocks, observable on any weekday."""

    characteristics: tuple[str, ...]
    """(d,) names of the characteristics."""
    groups: tuple[str, ...]
    """(d,) group of each characteristic."""
    exposure_groups: tuple[str, ...]
    """(k,) group that each risk exposure belongs to."""
    first_era: int
    """First era that has a snapshot."""
    last_era: int
    """Last era that has a snapshot and 60 weekdays of returns after it."""

    def snapshot(self, day: dt.date) -> Snapshot:
        """Stocks as known at the close of `day`; nothing in it depends on later days."""

    def forward_returns(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> NDArray[np.float32]:
        """(n,) total return of each stock over `weekdays` weekdays, starting two weekdays after `day`.

        NaN for a stock without a price. Raises SandboxError past the end of the market.
        """

    def oracle(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> dict[str, NDArray[np.float32]] | None:
        """By component: (n,) expected specific return over the same window given the information on `day`; None if unknown."""
