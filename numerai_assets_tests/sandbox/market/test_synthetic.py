"""The synthetic economy keeps the laws that its docstring states."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.eras import friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.oracle import COMPONENTS
from numerai_assets.sandbox.market.protocol import Market
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published.sizes import SIZES

SIZE = replace(SIZES["tiny"], characteristics=40, stocks=60)
BROAD = replace(SIZES["tiny"], stocks=4000, stocks_per_era=0.0)
FIRST = SIZE.first_era


def test_it_is_a_market() -> None:
    market: Market = SyntheticMarket(SIZE, 0)
    d = len(market.characteristics)
    assert d == len(set(market.characteristics)) == len(market.groups) == 40
    snapshot = market.snapshot(friday_of(FIRST + 3))
    n = len(snapshot.stocks)
    assert snapshot.characteristics.shape == (n, d) and snapshot.characteristics.dtype == np.float32
    assert snapshot.exposures.shape == (n, len(market.exposure_groups)) and np.isfinite(snapshot.exposures).all()
    assert (np.diff(snapshot.stocks) > 0).all()


def test_a_market_continued_later_is_the_one_that_ran_at_once(tmp_path: Path) -> None:
    at_once = SyntheticMarket(SIZE, 5)
    SyntheticMarket(SIZE, 5, tmp_path).snapshot(friday_of(FIRST + 20))
    continued = SyntheticMarket(SIZE, 5, tmp_path)
    for day in (friday_of(FIRST + 33), friday_of(FIRST + 19) + dt.timedelta(days=5)):
        one, other = at_once.snapshot(day), continued.snapshot(day)
        np.testing.assert_array_equal(one.stocks, other.stocks)
        np.testing.assert_array_equal(one.characteristics, other.characteristics)
        np.testing.assert_array_equal(one.exposures, other.exposures)
        np.testing.assert_array_equal(
            at_once.forward_returns(day, one.stocks, 60), continued.forward_returns(day, one.stocks, 60)
        )


def test_an_older_day_looks_the_same_after_the_market_went_on() -> None:
    market, day = SyntheticMarket(SIZE, 2), friday_of(FIRST + 4)
    before = market.snapshot(day)
    market.snapshot(friday_of(FIRST + 40))
    np.testing.assert_array_equal(market.snapshot(day).characteristics, before.characteristics)


def test_returns_of_adjoining_windows_add_up() -> None:
    market, friday = SyntheticMarket(SIZE, 1), friday_of(FIRST + 2)
    stocks = market.snapshot(friday_of(FIRST + 8)).stocks
    stocks = stocks[np.isin(stocks, market.snapshot(friday).stocks)]
    # Seven days later the window begins five weekdays later.
    first, rest = market.forward_returns(friday, stocks, 5), market.forward_returns(friday_of(FIRST + 3), stocks, 12)
    np.testing.assert_allclose(first + rest, market.forward_returns(friday, stocks, 17), atol=1e-6)
    tuesday = market.forward_returns(friday + dt.timedelta(days=4), stocks, 3)
    np.testing.assert_allclose(
        tuesday + rest,
        market.forward_returns(friday, stocks, 17) - market.forward_returns(friday, stocks, 2),
        atol=1e-6,
    )


def test_a_stock_that_left_has_no_return() -> None:
    market = SyntheticMarket(SIZE, 0)
    stocks = market.snapshot(friday_of(FIRST)).stocks
    gone = ~np.isin(stocks, market.snapshot(friday_of(FIRST + 13)).stocks)
    assert gone.any()
    assert np.isnan(market.forward_returns(friday_of(FIRST), stocks, 60))[gone].all()


def test_characteristics_are_standard_normal_and_persist_as_the_economy_says() -> None:
    market = SyntheticMarket(BROAD, 0)
    one, other = market._state(FIRST), market._state(FIRST + 3)
    kept = np.isin(one.stocks, other.stocks)
    x, y = one.x[kept], other.x[np.isin(other.stocks, one.stocks)]
    assert np.abs(x.std(axis=0) - 1).max() < 0.06 and np.abs(y.std(axis=0) - 1).max() < 0.06
    np.testing.assert_allclose((x * y).mean(axis=0), market._economy.rho**3, atol=0.08)


def test_midweek_lies_between_its_fridays() -> None:
    market, friday = SyntheticMarket(BROAD, 0), friday_of(FIRST + 1)
    rho = market._economy.rho
    midweek = market.snapshot(friday + dt.timedelta(days=5))
    at = np.isin(market.snapshot(friday).stocks, midweek.stocks)
    left = market.snapshot(friday).characteristics[at]
    right = midweek.characteristics
    exists = np.isfinite(left).any(axis=0)
    together = np.asarray(np.nanmean(left[:, exists] * right[:, exists], axis=0))
    np.testing.assert_allclose(together, np.power(rho[exists], 0.6), atol=0.08)
    assert np.abs(np.asarray(np.nanstd(right[:, exists], axis=0)) - 1).max() < 0.06


def test_groups_move_together_and_apart_from_each_other() -> None:
    market = SyntheticMarket(BROAD, 0)
    correlation = np.asarray(np.corrcoef(market._state(FIRST).x.T))
    group = np.array(market.groups)
    same = (group[:, None] == group[None, :]) & ~np.eye(len(group), dtype=bool)
    within, across = np.abs(correlation[same]).mean(), np.abs(correlation[group[:, None] != group[None, :]]).mean()
    # Styles cut across groups, so that what is in different groups is not independent either.
    assert 0.02 < across < 0.09 and 1.5 * across < within < 0.3


def test_some_stocks_lack_much_and_some_characteristics_come_late() -> None:
    market = SyntheticMarket(BROAD, 0)
    early = np.isnan(market.snapshot(friday_of(FIRST)).characteristics)
    late = np.isnan(market.snapshot(friday_of(FIRST + 60)).characteristics)
    assert early.all(axis=0).sum() >= 2 and not late.all(axis=0).any()
    assert late.mean(axis=1).max() > 0.3 and np.median(late.mean(axis=1)) == 0


LOUD = {
    "linear": Dials(effects=0.08, interactions=0.0, regimes=0, spillover=0, drift=0),
    "quadratic": Dials(effects=0.08, interactions=0.0, regimes=0, spillover=0, drift=0),
    "interactions": Dials(effects=0.06, interactions=1.0, regimes=0, spillover=0, drift=0),
    "regimes": Dials(effects=0, regimes=0.06, spillover=0, drift=0),
    "spillover": Dials(effects=0, regimes=0, spillover=0.06, drift=0),
    "drift": Dials(effects=0, regimes=0, spillover=0, drift=0.05),
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_part_of_the_oracle_is_the_expected_return_of_what_its_dial_turns(component: str) -> None:
    market, gains = SyntheticMarket(BROAD, 0, dials=LOUD[component]), []
    for era in range(FIRST + 12, FIRST + 48, 3):
        day = friday_of(era)
        snapshot = market.snapshot(day)
        parts = market.oracle(day, snapshot.stocks, 20)
        returns = market.forward_returns(day, snapshot.stocks, 20).astype(float)
        known = np.isfinite(returns)
        columns = [part[known].astype(float) for part in parts.values() if np.ptp(part) > 0]
        at = [name for name, part in parts.items() if np.ptp(part) > 0].index(component)
        # Not given the exposures, which tell more of a characteristic than its bin does.
        design = np.column_stack([np.ones(known.sum()), *columns])
        gains.append(np.linalg.lstsq(design, returns[known], rcond=None)[0][1 + at])
    # Calibrated: a unit of expectation brings a unit of return.
    assert np.mean(gains) == pytest.approx(1.0, abs=0.25)


def test_a_dial_at_zero_switches_its_part_off() -> None:
    market = SyntheticMarket(SIZE, 0, dials=Dials(effects=0.03, regimes=0, spillover=0, drift=0))
    day = friday_of(FIRST + 20)
    parts = market.oracle(day, market.snapshot(day).stocks, 60)
    silent = {name for name, part in parts.items() if not part.any()}
    assert silent == {"regimes", "spillover", "drift"}


def test_dials_change_what_pays_and_not_what_is_published() -> None:
    day = friday_of(FIRST + 9)
    one, other = SyntheticMarket(SIZE, 0), SyntheticMarket(SIZE, 0, dials=Dials(spillover=0.05, drift=0.05))
    np.testing.assert_array_equal(one.snapshot(day).characteristics, other.snapshot(day).characteristics)
    stocks = one.snapshot(day).stocks
    assert (one.forward_returns(day, stocks, 20) != other.forward_returns(day, stocks, 20)).any()


@pytest.mark.parametrize("dials", [{"drift": -0.1}, {"interactions": 1.5}])
def test_dials_out_of_range_are_refused(dials: dict[str, float]) -> None:
    with pytest.raises(SandboxError, match=f"dial {next(iter(dials))}"):
        Dials(**dials)


def test_a_market_entered_late_has_the_same_climate_and_premia() -> None:
    late = SyntheticMarket(BROAD, 3, begins=FIRST + 30)
    early = SyntheticMarket(BROAD, 3)
    assert late.first_era == FIRST + 30
    np.testing.assert_array_equal(late._climate.at(FIRST + 40).tilt, early._climate.at(FIRST + 40).tilt)
    np.testing.assert_array_equal(late._economy.strength, early._economy.strength)
    with pytest.raises(SandboxError, match="the market has eras 561"):
        late.snapshot(friday_of(FIRST))


def test_characteristics_correlate_the_same_at_the_start_and_later() -> None:
    market = SyntheticMarket(BROAD, 0)
    start, later = (np.asarray(np.corrcoef(market._state(FIRST + k).x.T)) for k in (0, 60))
    # Sampling noise is 1/sqrt(4000) = .016 in each.
    assert np.abs(start - later).mean() < 0.03


def test_days_outside_the_market_are_refused() -> None:
    market = SyntheticMarket(SIZE, 0)
    with pytest.raises(SandboxError, match="the market has eras 531"):
        market.snapshot(friday_of(FIRST - 1))
