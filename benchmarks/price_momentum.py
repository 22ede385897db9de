"""Price momentum of a panel of daily bars, compared with pandas' groupby with rolling and exponential windows.

    python -m benchmarks.price_momentum --stocks 755 --days 3800

Ours computes all 21 indicators in one pass over the stocks; the peer computes the 12 that need no TA-Lib and then selects the
dates. The tables at the Fridays are compared.
"""

import argparse
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.features.prices.indicators import RETURN_DAYS, TRENDS
from numerai_assets.features.prices.momentum import price_features


def panel(stocks: int, days: int, seed: int = 0) -> pd.DataFrame:
    """Random walks without breaks, with a trade every day."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, (stocks, days)), axis=1)).ravel()
    return pd.DataFrame(
        {
            "ticker": np.repeat([f"T{stock:04d}" for stock in range(stocks)], days),
            "date": np.tile(np.busday_offset(np.datetime64("2003-01-01"), np.arange(days), roll="forward"), stocks),
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": rng.integers(1_000, 1_000_000, stocks * days),
        }
    )


def by_pandas(bars: pd.DataFrame, fridays: pd.DatetimeIndex) -> pd.DataFrame:
    """The indicators that need no TA-Lib, at the Fridays."""
    ticker = bars["ticker"]

    def each(values: pd.Series) -> Any:
        return values.groupby(ticker, sort=False)

    def flat(windowed: Any) -> Any:
        return windowed.droplevel(0)

    close, found = bars["close"], {}
    daily = each(close).pct_change()
    sigma = flat(each(daily).ewm(span=60, min_periods=60).std())
    for days in RETURN_DAYS:
        moved = each(close).pct_change(days)
        found[f"return_{days}"] = moved / (sigma * np.sqrt(days))
    for short, long in TRENDS:
        score = flat(each(close).ewm(alpha=1 / short).mean()) - flat(each(close).ewm(alpha=1 / long).mean())
        score /= flat(each(close).rolling(63).std())
        found[f"trend_{short}_{long}"] = score / flat(each(score).rolling(252).std())
    logs = np.log(bars["volume"])
    volume = each(logs).rolling(63)
    found["volume_z_63"] = (logs - flat(volume.mean())) / flat(volume.std(ddof=0))
    for_money = daily.abs() / (close * bars["volume"] / 1e6)
    found["amihud_21"] = np.log(flat(each(for_money).rolling(21).mean()))
    found["high_ratio_252"] = close / flat(each(bars["high"]).rolling(252).max())
    chosen = bars["date"].isin(fridays)
    index = [ticker[chosen], bars.loc[chosen, "date"]]
    return pd.DataFrame({name: values[chosen] for name, values in found.items()}).astype(np.float32).set_index(index)


def measure(quick: bool, *, stocks: int | None = None, days: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ by more than float32 precision."""
    stocks, days = stocks or (40 if quick else 755), days or (1000 if quick else 3800)
    bars = panel(stocks, days)
    table = pa.Table.from_pandas(bars, preserve_index=False)
    fridays = pd.DatetimeIndex(bars["date"].unique())[2::5]
    dates = fridays.to_numpy().astype("datetime64[D]")
    theirs = by_pandas(bars, fridays)
    ours = price_features(table, list(dates))[theirs.columns].reindex(theirs.index)
    # The warm-up differs by one bar if a window contains the first return.
    both = ours.notna() & theirs.notna()
    apart = float(np.nanmax(((ours - theirs).abs() / (1 + theirs.abs())).to_numpy()))
    if not apart < 1e-5 or both.to_numpy().mean() < 0.6:
        raise RuntimeError(f"values differ by {apart:.2g}, {both.to_numpy().mean():.0%} of them compared")
    return [
        Row(
            f"21 price indicators, {stocks} stocks x {days:,} days",
            timed(lambda: price_features(table, list(dates)), repeats=3 if quick else 1),
            f"{package('pandas')} groupby.rolling, 12 of them",
            timed(lambda: by_pandas(bars, fridays), repeats=3 if quick else 1),
        )
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("stocks", 755), ("days", 3800)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
