"""A factor economy of persistent stocks, exact enough that the best possible prediction is known.

Every characteristic of a stock is a standard Gaussian AR(1) from Friday to Friday,
    x(t+1) = rho x(t) + sqrt(1 - rho^2) e,
with innovations that share latent factors within a group. Return of a stock on one weekday of the week after Friday t:
    market + sum_k z_k(t) factor_k + mu(t) + noise,
where z are risk exposures (the accumulated group factors, never published, neutralised away by the main target)
and the expected specific part is
    mu(t) = sum_e p_e(t) h_e(x(t)) + sum_e r_e(regime(t)) h_e(x(t)) + s * leaders(t) + path(t).
h are Hermite forms { x_i, (x_i^2 - 1)/sqrt(2), x_i x_j  (i, j of one group) }; premia p decay and wander, premia r
belong to a hidden Markov regime and are zero on average over regimes; leaders is an exponential mean of the recent
specific returns of the stock's leaders in a hidden network; path is an AR(1) of the stock itself. `Dials` set the size
of each. Under the AR(1), E[h(x(t+k)) | x(t)] = r^k h(x(t)) up to a constant common to all stocks, with r =
rho_i, rho_i^2 and rho_i rho_j: so the conditional expectation over any window is a weighted sum (`oracle`), and targets
of neighbouring eras overlap because their returns do.
"""

import datetime as dt
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_on, friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market import motion, network
from numerai_assets.sandbox.market.beliefs import WEEK, update_path, update_regime
from numerai_assets.sandbox.market.climate import Climate
from numerai_assets.sandbox.market.economy import (
    MOMENTUM_PHI,
    PATH_PHI,
    REGIMES,
    Dials,
    Economy,
    draw_economy,
    premia,
)
from numerai_assets.sandbox.market.oracle import expected_returns, known_of
from numerai_assets.sandbox.market.protocol import Snapshot
from numerai_assets.sandbox.published.files import load_arrays, save_arrays
from numerai_assets.sandbox.published.names import GROUP_SIZES
from numerai_assets.sandbox.published.sizes import Extent

LAST_ERA = 3000
SKIPPED_WEEKDAYS = 2

# A stock exists twelve years on average.
_EXIT_RATE = 1 / (12 * 52)
_CHECKPOINT_EVERY = 8
_CHECKPOINTS_KEPT = 6
_STATES_KEPT = 4
_THINNESS = 0x632BE59BD9B4E019

# Streams of the generator: one per purpose and era, so that no result depends on the order of calls.
_INNOVATIONS, _RETURNS, _BRIDGE = 11, 12, 13


@dataclass(frozen=True)
class _State:
    """Friday's close.

    stocks (n,), x (n, d), z (n, k).  leaders (n, LEADERS): numbers of a follower's leaders.  momentum (n,): exponential
    mean of weekly specific returns, of unit variance.  path (n,): the stock's own expected return a weekday.
    path_mean, path_variance (n,), chances (REGIMES,): estimates of path and regime from past returns.
    next_stock (1,): the next newcomer's number.
    """

    era: int
    stocks: NDArray[np.int64]
    x: NDArray[np.float32]
    z: NDArray[np.float32]
    leaders: NDArray[np.int64]
    momentum: NDArray[np.float64]
    path: NDArray[np.float64]
    path_mean: NDArray[np.float64]
    path_variance: NDArray[np.float64]
    chances: NDArray[np.float64]
    next_stock: NDArray[np.int64]


@dataclass(frozen=True)
class _Week:
    """Returns (5, n) of the five weekdays after a Friday, of stocks (n,) that live through the week."""

    stocks: NDArray[np.int64]
    returns: NDArray[np.float32]


class SyntheticMarket:
    """The Market protocol over a seeded economy. folder: stores checkpoints from which later runs continue.

    Weekly states follow from one another by per-era seeds; only the last few are in memory. An economy continued later is
    therefore the same as one run longer at once.
    """

    def __init__(
        self,
        size: Extent,
        seed: int,
        folder: Path | None = None,
        *,
        dials: Dials | None = None,
        begins: int | None = None,
        group_sizes: Mapping[str, int] = GROUP_SIZES,
    ) -> None:
        """begins: first era of the market, if later than the size's; premia have decayed since the size's first era.

        group_sizes: the proportions of the groups among the characteristics.
        """
        self._size = size
        self._seed = seed
        self._folder = folder
        self._economy: Economy = draw_economy(size.characteristics, size.first_era, seed, dials, group_sizes)
        # The columns that pay, a fifth of all, and the economy restricted to them, so that the rest need not be read.
        self._paying = np.union1d(self._economy.effects.columns(), self._economy.local.columns())
        self._payer = replace(
            self._economy,
            effects=self._economy.effects.among(self._paying),
            local=self._economy.local.among(self._paying),
        )
        self._climate = Climate(len(self._economy.strength), size.first_era, seed)
        self._states: OrderedDict[int, _State] = OrderedDict()
        self._weeks: OrderedDict[int, _Week] = OrderedDict()
        self.characteristics = self._economy.names
        self.groups = self._economy.groups
        self.exposure_groups = self._economy.exposure_groups
        self.first_era = size.first_era if begins is None else begins
        self.last_era = LAST_ERA

    def snapshot(self, day: dt.date) -> Snapshot:
        """Stocks as known at the close of `day` (a weekend means its Friday). SandboxError outside the market."""
        stocks, x, z = self._stand(day)
        return Snapshot(stocks, self._as_known(stocks, x, self._place(day)[0]), z)

    def forward_returns(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> NDArray[np.float32]:
        """(n,) total return over `weekdays` weekdays after the two skipped ones; NaN for a stock that left in between."""
        era, weekday = self._place(day)
        total = np.zeros(len(stocks), dtype=np.float64)
        for k, slots in _window(weekday, weekdays):
            if era + k > LAST_ERA + 14:
                raise SandboxError(f"returns of the {weekdays} weekdays after {day} lie past the market's end")
            week = self._week(era + k)
            at = np.minimum(np.searchsorted(week.stocks, stocks), len(week.stocks) - 1)
            summed = week.returns[slots].sum(axis=0, dtype=np.float64)[at]
            total += np.where(week.stocks[at] == stocks, summed, np.nan)
        return total.astype(np.float32)

    def oracle(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> dict[str, NDArray[np.float32]]:
        """By component: (n,) expected specific return over the same window, as module `oracle` defines it.

        On a weekday, network, paths and regime are those of the last Friday.
        """
        return self.oracles(day, stocks, (weekdays,))[weekdays]

    def oracles(
        self, day: dt.date, stocks: NDArray[np.int64], horizons: Sequence[int]
    ) -> dict[int, dict[str, NDArray[np.float32]]]:
        """`oracle` by horizon in weekdays."""
        era, weekday = self._place(day)
        economy, columns, state = self._payer, self._paying, self._state(era)
        everyone, x, _ = self._stand(day)
        at = np.searchsorted(everyone, stocks)
        in_state = np.searchsorted(state.stocks, stocks)
        known = known_of(
            economy,
            self._as_known(stocks, x[np.ix_(at, columns)], era, columns),
            np.where(era < economy.starts, 1.0, economy.coverage)[columns],
        )
        tilt, led = self._climate.at(era).tilt, self._led(state)[in_state]
        path = state.path_mean[in_state]
        return {
            horizon: expected_returns(
                economy,
                known,
                era,
                weekday / WEEK,
                [(k, len(slots)) for k, slots in _window(weekday, horizon)],
                tilt,
                state.chances,
                led,
                path,
            )
            for horizon in horizons
        }

    def _place(self, day: dt.date) -> tuple[int, int]:
        """Era of the Friday on or before `day`, and weekdays (0..4) since."""
        era = era_on(day)
        if not self.first_era <= era <= self.last_era:
            raise SandboxError(
                f"{day}: the market has eras {self.first_era}..{self.last_era} "
                f"({friday_of(self.first_era)} to {friday_of(self.last_era)})"
            )
        since = (day - friday_of(era)).days
        return era, max(0, since - 2)

    def _stand(self, day: dt.date) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Stocks (n,), x (n, d) and z (n, k) at the close of `day`."""
        era, weekday = self._place(day)
        state = self._state(era)
        if weekday == 0:
            return state.stocks, state.x, state.z
        return self._bridge(state, self._state(era + 1), weekday)

    def _as_known(
        self,
        stocks: NDArray[np.int64],
        x: NDArray[np.float32],
        era: int,
        columns: NDArray[np.intp] | slice = slice(None),
    ) -> NDArray[np.float32]:
        """(n, c) x of `columns` with NaN where a thin stock is not covered or a characteristic does not exist yet."""
        thin = network.unit_hash(self._seed, _THINNESS, stocks)
        missing = thin[:, None] < self._economy.coverage[None, columns]
        missing |= era < self._economy.starts[None, columns]
        return np.where(missing, np.float32(np.nan), x)

    def _bridge(
        self, before: _State, after: _State, weekday: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Stocks, x and z between two Fridays: an Ornstein-Uhlenbeck bridge with separate noise for each day."""
        economy = self._economy
        rng = self._rng(_BRIDGE, before.era, weekday)
        stocks = before.stocks[np.isin(before.stocks, after.stocks)]
        left, right = np.searchsorted(before.stocks, stocks), np.searchsorted(after.stocks, stocks)
        f = motion.factor_innovations(economy, len(stocks), rng)
        e = motion.innovations(economy, f, rng)
        x = motion.between(before.x[left], after.x[right], e, economy.rho, weekday / WEEK)
        z = motion.between(before.z[left], after.z[right], f, economy.factor_rho, weekday / WEEK)
        return stocks, x, z

    def _state(self, era: int) -> _State:
        if era in self._states:
            self._states.move_to_end(era)
            return self._states[era]
        state = self._nearest(era)
        while state.era < era:
            state = self._step(state)
        return self._hold(state)

    def _nearest(self, era: int) -> _State:
        """The newest state at or before `era` in memory or on disk; else the first one."""
        newest = max((e for e in self._states if e <= era), default=0)
        if self._folder is not None:
            stored = [e for e in (int(p.stem.split("_")[1]) for p in self._folder.glob("state_*.npz")) if e <= era]
            if stored and max(stored) > newest:
                arrays = load_arrays(self._folder / f"state_{max(stored):04d}.npz")
                return _State(max(stored), **arrays)
        return self._states[newest] if newest else self._first_state()

    def _hold(self, state: _State) -> _State:
        self._states[state.era] = state
        while len(self._states) > _STATES_KEPT:
            self._states.popitem(last=False)
        return state

    def _first_state(self) -> _State:
        economy, stocks = self._economy, np.arange(self._size.stocks_in(self.first_era), dtype=np.int64)
        rng = self._rng(_INNOVATIONS, self.first_era)
        x, z = motion.newcomers(economy, len(stocks), rng)
        state = _State(
            era=self.first_era,
            stocks=stocks,
            x=x,
            z=z,
            leaders=self._rewired(np.full((len(stocks), network.LEADERS), network.NOBODY), stocks, x, rng),
            momentum=rng.standard_normal(len(stocks)),
            path=economy.path_vol * rng.standard_normal(len(stocks)),
            path_mean=np.zeros(len(stocks)),
            path_variance=np.full(len(stocks), economy.path_vol**2),
            chances=np.full(REGIMES, 1 / REGIMES),
            next_stock=np.array([len(stocks)]),
        )
        return self._hold(state)

    def _step(self, state: _State) -> _State:
        """The next Friday's state; also draws and stores the week's returns."""
        economy, era = self._economy, state.era + 1
        rng = self._rng(_INNOVATIONS, era)
        stays = rng.random(len(state.stocks)) >= _EXIT_RATE
        specific, chances, path_mean, path_variance = self._live_through_week(state, stays)
        stocks = state.stocks[stays]
        entries = max(0, self._size.stocks_in(era) - len(stocks))
        f = motion.factor_innovations(economy, len(stocks), rng)
        x = np.empty((len(stocks) + entries, state.x.shape[1]), dtype=np.float32)
        motion.live_on(economy, state.x, np.flatnonzero(stays), f, rng, out=x)
        x[len(stocks) :], new_z = motion.newcomers(economy, entries, rng)
        first = int(state.next_stock[0])
        all_stocks = np.concatenate([stocks, np.arange(first, first + entries)])
        leaders = np.concatenate([state.leaders[stays], np.full((entries, network.LEADERS), network.NOBODY)])
        momentum = MOMENTUM_PHI * state.momentum[stays]
        momentum += np.sqrt(1 - MOMENTUM_PHI**2) * specific / (economy.noise_vol * np.sqrt(WEEK))
        path = PATH_PHI * state.path[stays]
        path += np.sqrt(1 - PATH_PHI**2) * economy.path_vol * rng.standard_normal(len(stocks))
        following = _State(
            era=era,
            stocks=all_stocks,
            x=x,
            z=np.concatenate([motion.onward(state.z[stays], f, economy.factor_rho), new_z]),
            leaders=self._rewired(leaders, all_stocks, x, rng),
            momentum=np.concatenate([momentum, rng.standard_normal(entries)]),
            path=np.concatenate([path, economy.path_vol * rng.standard_normal(entries)]),
            path_mean=np.concatenate([path_mean, np.zeros(entries)]),
            path_variance=np.concatenate([path_variance, np.full(entries, economy.path_vol**2)]),
            chances=chances,
            next_stock=np.array([first + entries]),
        )
        self._checkpoint(following)
        return self._hold(following)

    def _rewired(
        self,
        leaders: NDArray[np.int64],
        stocks: NDArray[np.int64],
        x: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        leading = network.leads(self._seed, stocks)
        return network.rewire(leaders, stocks, leading, x[:, self._economy.kinship], rng)

    def _led(self, state: _State) -> NDArray[np.float64]:
        """(n,) expected return of followers from their leaders, per weekday of the coming week."""
        return self._economy.spillover * network.mean_of_leaders(state.leaders, state.stocks, state.momentum)

    def _live_through_week(
        self, state: _State, stays: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Draw and store the returns of the week after `state`, for the stocks that stay.

        Returns specific returns (n,), and updated estimates of regime (REGIMES,) and paths (mean and variance, (n,)).
        """
        economy, weather = self._payer, self._climate.at(state.era)
        rng = self._rng(_RETURNS, state.era)
        x = state.x[np.ix_(stays, self._paying)]
        square = (x * x - 1) / np.float32(np.sqrt(2))
        by_regime = economy.local.forms(x, square) @ economy.regime_strength.T
        regime, path = by_regime[:, weather.regime], state.path[stays]
        rest = economy.effects.forms(x, square) @ premia(economy, state.era, weather.tilt) + self._led(state)[stays]
        factors = rng.standard_normal((WEEK, len(economy.factor_vol))) * economy.factor_vol
        market = 0.0003 + 0.01 * rng.standard_normal((WEEK, 1))
        # Student's t with five degrees of freedom, scaled to unit variance: single days have heavy tails.
        noise = economy.noise_vol * rng.standard_t(5, size=(WEEK, len(x))) * np.sqrt(3 / 5)
        specific = rest + regime + path + noise
        returns = market + factors @ state.z[stays].T.astype(np.float64) + specific
        self._hold_week(state.era, _Week(state.stocks[stays], returns.astype(np.float32)))
        total = specific.sum(axis=0)
        chances = update_regime(state.chances, total - WEEK * (rest + path), by_regime, economy.noise_vol)
        mean, variance = update_path(
            state.path_mean[stays],
            state.path_variance[stays],
            total - WEEK * (rest + regime),
            economy.path_vol,
            economy.noise_vol,
        )
        return total, chances, mean, variance

    def _week(self, era: int) -> _Week:
        if era in self._weeks:
            return self._weeks[era]
        if self._folder is not None and (path := self._folder / f"week_{era:04d}.npz").exists():
            arrays = load_arrays(path)
            self._weeks[era] = _Week(arrays["stocks"], arrays["returns"])
        else:
            self._step(self._state(era))
        return self._weeks[era]

    def _hold_week(self, era: int, week: _Week) -> None:
        self._weeks[era] = week
        if self._folder is None:
            return
        path = self._folder / f"week_{era:04d}.npz"
        if not path.exists():
            save_arrays(path, stocks=week.stocks, returns=week.returns)
        while len(self._weeks) > 40:
            self._weeks.popitem(last=False)

    def _checkpoint(self, state: _State) -> None:
        if self._folder is None or state.era % _CHECKPOINT_EVERY:
            return
        path = self._folder / f"state_{state.era:04d}.npz"
        if path.exists():
            return
        save_arrays(path, **{name: value for name, value in vars(state).items() if name != "era"})
        for old in sorted(self._folder.glob("state_*.npz"))[:-_CHECKPOINTS_KEPT]:
            old.unlink()

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self._seed, *key]))


def _window(weekday: int, weekdays: int) -> list[tuple[int, NDArray[np.intp]]]:
    """The window as (weeks after the Friday, slots of that week's five weekdays) pairs."""
    days = np.arange(weekday + SKIPPED_WEEKDAYS, weekday + SKIPPED_WEEKDAYS + weekdays)
    return [(int(k), days[days // WEEK == k] % WEEK) for k in np.unique(days // WEEK)]
