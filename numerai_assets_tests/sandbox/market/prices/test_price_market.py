"""A market of real stocks: reading the panel, the universe of a day, returns ahead, and never a look ahead."""

import datetime as dt
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.prices.price_market import COMPONENTS, PriceMarket, principal_exposures

STOCKS, DAYS = 60, 400
IPO, DELISTED, ILLIQUID = "T07", "T03", "T11"
IPO_DAY, DELISTED_DAY = 120, 330
NASDAQ = "us_equities_nasdaq_2003_2017.parquet"

SaveAs = Callable[[pd.DataFrame], Path]


def make_bars() -> pd.DataFrame:
    """Random walks on 400 trading days, some weekdays being holidays; one IPO, one delisting, one stock hardly traded."""
    rng = np.random.default_rng(3)
    weekdays = pd.bdate_range("2012-01-02", periods=DAYS + 12)
    days = weekdays.delete(np.arange(20, 20 + 12 * 32, 32))
    shape = (DAYS, STOCKS)
    close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, shape) + rng.normal(0, 0.01, (DAYS, 1)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.01, shape))
    bars = pd.DataFrame(
        {
            "ticker": np.tile([f"T{i:02d}" for i in range(STOCKS)], DAYS),
            "date": np.repeat(days, STOCKS),
            "open": opened.ravel(),
            "high": (np.maximum(opened, close) * np.exp(rng.exponential(0.01, shape))).ravel(),
            "low": (np.minimum(opened, close) * np.exp(-rng.exponential(0.01, shape))).ravel(),
            "close": close.ravel(),
            "volume": rng.lognormal(13, 0.5, shape).round().ravel(),
        }
    )
    day = np.repeat(np.arange(DAYS), STOCKS)
    gone = ((bars.ticker == IPO) & (day < IPO_DAY)) | ((bars.ticker == DELISTED) & (day >= DELISTED_DAY))
    bars.loc[bars.ticker == ILLIQUID, "volume"] = 100
    return bars[~gone].sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return make_bars()


@pytest.fixture(scope="module")
def days(bars: pd.DataFrame) -> list[dt.date]:
    return [day.date() for day in sorted(bars["date"].unique())]


@pytest.fixture(scope="module")
def market(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> PriceMarket:
    path = tmp_path_factory.mktemp("panel") / "bars.parquet"
    bars.to_parquet(path)
    return PriceMarket(path)


@pytest.fixture
def save(tmp_path: Path) -> SaveAs:
    numbers = itertools.count()

    def save_as(frame: pd.DataFrame) -> Path:
        path = tmp_path / f"{next(numbers)}.parquet"
        frame.to_parquet(path)
        return path

    return save_as


def test_a_snapshot_has_the_shapes_of_the_contract(market: PriceMarket, days: list[dt.date]) -> None:
    snapshot = market.snapshot(days[300])
    n, d, k = len(snapshot.stocks), len(market.characteristics), len(market.exposure_groups)
    assert d == len(market.groups) == len(set(market.characteristics)) >= 300
    assert snapshot.stocks.dtype == np.int64 and (np.diff(snapshot.stocks) > 0).all()
    assert snapshot.characteristics.shape == (n, d) and snapshot.characteristics.dtype == np.float32
    assert not np.isinf(snapshot.characteristics).any()
    assert snapshot.exposures.shape == (n, k) and snapshot.exposures.dtype == np.float32
    assert np.isfinite(snapshot.exposures).all()
    assert 20 <= k <= 26 and set(market.exposure_groups) == set(market.groups)


def test_values_belong_to_the_stock_of_their_row(market: PriceMarket, bars: pd.DataFrame, days: list[dt.date]) -> None:
    snapshot = market.snapshot(days[310])
    close = bars.pivot(index="date", columns="ticker", values="close")
    tickers = [market.tickers[stock] for stock in snapshot.stocks]
    expected = (close.iloc[310] / close.iloc[310 - 63] - 1)[tickers]
    column = market.characteristics.index("momentum_63")
    np.testing.assert_allclose(snapshot.characteristics[:, column], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("at", [256, 300, 340])
def test_nothing_in_a_snapshot_depends_on_later_days(
    market: PriceMarket, bars: pd.DataFrame, days: list[dt.date], save: SaveAs, at: int
) -> None:
    later = bars["date"] > pd.Timestamp(days[at])
    changed = bars.copy()
    factors = np.random.default_rng(0).uniform(0.5, 2, later.sum())
    for name in ("open", "high", "low", "close", "volume"):
        changed.loc[later, name] *= factors
    other = PriceMarket(save(changed)).snapshot(days[at])
    snapshot = market.snapshot(days[at])
    np.testing.assert_array_equal(snapshot.stocks, other.stocks)
    np.testing.assert_array_equal(snapshot.characteristics, other.characteristics)
    np.testing.assert_array_equal(snapshot.exposures, other.exposures)


def test_a_snapshot_is_the_same_before_later_days_were_added(
    market: PriceMarket, bars: pd.DataFrame, days: list[dt.date], save: SaveAs
) -> None:
    shorter = PriceMarket(save(bars[bars["date"] <= pd.Timestamp(days[345])]))
    for at in (260, 345):
        np.testing.assert_array_equal(
            market.snapshot(days[at]).characteristics, shorter.snapshot(days[at]).characteristics
        )


def test_snapshots_do_not_depend_on_what_was_asked_before(market: PriceMarket, days: list[dt.date]) -> None:
    first = market.snapshot(days[300])
    market.snapshot(days[350])
    np.testing.assert_array_equal(first.exposures, market.snapshot(days[300]).exposures)


def test_a_holiday_shows_the_trading_day_before(market: PriceMarket, days: list[dt.date]) -> None:
    holiday = next(day for day in holidays(days) if day > days[260])
    before = max(day for day in days if day < holiday)
    np.testing.assert_array_equal(market.snapshot(holiday).characteristics, market.snapshot(before).characteristics)


def test_a_stock_enters_after_a_year_and_leaves_when_it_stops_trading(market: PriceMarket, days: list[dt.date]) -> None:
    def has(ticker: str, at: int) -> bool:
        return market.tickers.index(ticker) in market.snapshot(days[at]).stocks

    assert not has(IPO, IPO_DAY + 251) and has(IPO, IPO_DAY + 252)
    assert has(DELISTED, DELISTED_DAY + 3) and not has(DELISTED, DELISTED_DAY + 4)
    assert not has(ILLIQUID, 300)


def test_forward_returns_skip_two_weekdays_and_step_back_from_holidays(market: PriceMarket, bars: pd.DataFrame) -> None:
    close = bars.pivot(index="date", columns="ticker", values="close")
    stocks = np.arange(STOCKS)
    for era in range(market.first_era, market.last_era + 1):
        day = friday_of(era)
        for weekdays in (1, 20, 60):
            start, end = (np.busday_offset(day, 2 + ahead).astype(object) for ahead in (0, weekdays))
            expected = close.asof(pd.Timestamp(end)) / close.asof(pd.Timestamp(start)) - 1
            if end < dt.date(2013, 4, 1):  # before the delisting
                returns = market.forward_returns(day, stocks, weekdays)
                known = np.isfinite(returns)
                assert known.sum() >= STOCKS - 1
                np.testing.assert_allclose(returns[known], expected[known], rtol=1e-4, atol=1e-6)


def test_forward_returns_of_a_delisted_stock_are_nan(market: PriceMarket, days: list[dt.date]) -> None:
    stocks = np.array([market.tickers.index(DELISTED), market.tickers.index("T20")])
    returns = market.forward_returns(days[DELISTED_DAY - 10], stocks, 60)
    assert np.isnan(returns[0]) and np.isfinite(returns[1])
    assert returns.dtype == np.float32


def test_all_eras_between_first_and_last_have_snapshots_and_sixty_days_of_returns(
    market: PriceMarket, days: list[dt.date]
) -> None:
    assert market.first_era < market.last_era
    for era in (market.first_era, market.last_era):
        snapshot = market.snapshot(friday_of(era))
        assert np.isfinite(market.forward_returns(friday_of(era), snapshot.stocks, 60)).mean() > 0.95
    assert friday_of(market.first_era - 1) < days[252]
    with pytest.raises(SandboxError, match="outside the panel"):
        market.forward_returns(friday_of(market.last_era + 1), snapshot.stocks, 60)


def test_a_day_outside_the_panel_is_refused(market: PriceMarket, days: list[dt.date]) -> None:
    for day in (days[0] - dt.timedelta(days=1), days[-1] + dt.timedelta(days=1)):
        with pytest.raises(SandboxError, match="outside the panel"):
            market.snapshot(day)


def test_a_day_without_a_year_before_it_has_no_universe(market: PriceMarket, days: list[dt.date]) -> None:
    with pytest.raises(SandboxError, match="0 stocks on"):
        market.snapshot(days[100])


def test_nobody_is_told_the_expected_return(market: PriceMarket, days: list[dt.date]) -> None:
    assert market.oracle(days[300], np.arange(3), 20) is None


def test_exposures_explain_most_of_what_a_group_has_in_common() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2, 300))
    rows = (rng.normal(size=(20, 2)) @ factors + 0.1 * rng.normal(size=(20, 300))).astype(np.float32)
    rows[3, :40] = np.nan
    exposures = principal_exposures(rows, [np.arange(20)])
    assert exposures.shape == (300, COMPONENTS)
    np.testing.assert_allclose(exposures.std(axis=0), 1, rtol=1e-4)
    fitted = exposures @ np.linalg.lstsq(exposures, factors.T, rcond=None)[0]
    assert 1 - ((factors.T - fitted) ** 2).sum() / (factors**2).sum() > 0.9


def test_exposures_of_characteristics_that_do_not_exist_are_zero() -> None:
    assert (principal_exposures(np.full((5, 80), np.nan, dtype=np.float32), [np.arange(5)]) == 0).all()


def test_zero_prices_and_contradictory_bars_are_no_quotes(
    bars: pd.DataFrame, days: list[dt.date], save: SaveAs
) -> None:
    changed = bars.sort_values(["date", "ticker"]).reset_index(drop=True)
    changed.loc[(changed["date"] == pd.Timestamp(days[298])) & (changed.ticker == "T20"), ["open", "high", "low"]] = 0
    changed.loc[(changed["date"] == pd.Timestamp(days[299])) & (changed.ticker == "T20"), "high"] /= 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        changed_market = PriceMarket(save(changed))
        snapshot = changed_market.snapshot(days[300])
    row = np.flatnonzero(snapshot.stocks == changed_market.tickers.index("T20"))[0]
    recent = (
        bars[(bars.ticker == "T20")]
        .sort_values("date")
        .set_index("date")
        .iloc[281:301]
        .drop(index=[pd.Timestamp(d) for d in days[298:300]])
    )
    squared = np.log(recent["high"] / recent["low"]).tail(8) ** 2
    value = snapshot.characteristics[row, changed_market.characteristics.index("parkinson_volatility_10")]
    assert value == pytest.approx(np.sqrt(squared.mean() / (4 * np.log(2))), rel=1e-4)


def test_timestamps_and_categories_are_read_like_dates_and_text(
    market: PriceMarket, bars: pd.DataFrame, days: list[dt.date], save: SaveAs
) -> None:
    other = bars.assign(ticker=bars["ticker"].astype("category"), date=bars["date"] + pd.Timedelta(hours=16))
    found = PriceMarket(save(other)).snapshot(days[300])
    np.testing.assert_array_equal(found.characteristics, market.snapshot(days[300]).characteristics)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.drop(columns=["volume", "open"]), r"columns \['open', 'volume'\] are missing"),
        (lambda b: pd.concat([b, b.head(1)]), r"1 rows repeat a \(ticker, date\), first T\d\d on 201"),
        (lambda b: b.assign(close=b["close"].where(b.index != b.index[5], -1.0)), r"close is -1.0 for T\d\d on 201"),
        (lambda b: b.assign(high=np.inf), "high is inf"),
        (lambda b: b.assign(volume=-b["volume"]), "volume is -"),
        (lambda b: b.assign(open=0.0), r"open is 0 or absent in \d+ of \d+ rows; prices must be positive"),
        (lambda b: b.assign(low=np.nan), "low is 0 or absent"),
        (
            lambda b: b[b["date"] < b["date"].min() + pd.Timedelta(days=300)],
            "208 trading days of 60 stocks; a market needs",
        ),
        (lambda b: b[b["ticker"] < "T40"], "trading days of 40 stocks; a market needs"),
        (lambda b: b.head(0), "0 trading days of 0 stocks"),
        (lambda b: b.assign(ticker=b["ticker"].where(b["ticker"] != "T05")), "rows have no ticker"),
        (lambda b: b.assign(close="dear"), "cannot be read as a Parquet file of daily bars"),
        (lambda b: b.assign(date=b["date"] + pd.Timedelta(days=1)), "days lie on a weekend, first 2012-01-07"),
        (lambda b: b[(b["date"] < "2012-03-01") | (b["date"] > "2012-04-01")], "no rows between 2012-02-"),
        (lambda b: b[b["date"] < b["date"].min() + pd.Timedelta(days=432)], "no Friday from 2003-01-10 on has both"),
        (lambda b: b.assign(close=b["close"] / 1000, low=b["low"] / 1000), "no Friday from"),
        (lambda b: b.assign(date=b["date"] - pd.Timedelta(weeks=1000)), "no Friday from"),
    ],
)
def test_a_panel_that_cannot_be_used_is_refused_in_one_line(
    bars: pd.DataFrame, save: SaveAs, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = save(change(bars))
    with pytest.raises(SandboxError, match=message) as raised:
        PriceMarket(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"no parquet"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bars.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SandboxError, match=r"bars\.parquet: cannot be read"):
        PriceMarket(path)


def test_the_real_panel_gives_whole_snapshots_from_2004_on(shared_data: Path) -> None:
    if not (shared_data / NASDAQ).is_file():
        pytest.skip(f"{NASDAQ} is not in {shared_data}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        market = PriceMarket(shared_data / NASDAQ)
        early, middle, late = (market.snapshot(friday_of(era)) for era in (market.first_era, 400, market.last_era))
    assert friday_of(market.first_era) == dt.date(2004, 1, 2)
    assert market.last_era == 766
    for snapshot, largest_nan_share in ((early, 0.08), (middle, 0.01), (late, 0.01)):
        assert 400 <= len(snapshot.stocks) <= 755
        assert np.isnan(snapshot.characteristics).mean() < largest_nan_share
        assert np.isfinite(snapshot.exposures).all()
    returns = market.forward_returns(friday_of(market.last_era), late.stocks, 60)
    assert np.isfinite(returns).mean() > 0.98


def holidays(days: list[dt.date]) -> list[dt.date]:
    weekdays = pd.bdate_range(days[0], days[-1])
    return [day.date() for day in weekdays if day.date() not in set(days)]
