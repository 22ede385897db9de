"""A factor economy of persistent stocks, exact enough that the best possible prediction is known.

Every characteristic of a stock is a standard Gaussian AR(1) from Friday to Friday,
    x(t+1) = rho x(t) + sqrt(1 - rho^2) e,
with innovations that share latent factors within a group. Return of a stock on one weekday of the week after Friday t:
    market + sum_k z_k(t) factor_k + mu(t) + noise,
where z are risk exposures (the accumulated group factors, published to nobody, neutralised away by the main target)
and the expected specific part is a sum of Hermite forms with slowly drifting premia:
    mu(t) = sum_e p_e(t) h_e(x(t)),   h in { x_i,  (x_i^2 - 1)/sqrt(2),  x_i x_j  (i, j of one group) }.
Under the AR(1), E[h(x(t+k)) | x(t)] = r^k h(x(t)) up to a constant common to all stocks, with r = rho_i, rho_i^2 and
rho_i rho_j: so the conditional expectation over any window is a weighted sum, and targets of neighbouring eras overlap
because their returns do.
"""

import datetime as dt
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_on, friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.economy import EFFECT_PHI, Economy, draw_economy, premia, thinness
from numerai_assets.sandbox.files import load_arrays, save_arrays
from numerai_assets.sandbox.market import Snapshot
from numerai_assets.sandbox.sizes import Size

LAST_ERA = 3000
SKIPPED_WEEKDAYS = 2
WEEK = 5

# A stock lives twelve years on average.
_EXIT_RATE = 1 / (12 * 52)
_CHECKPOINT_EVERY = 8
_CHECKPOINTS_KEPT = 6
_STATES_KEPT = 4
_QUINTILES = np.array([-0.8416212, -0.2533471, 0.2533471, 0.8416212])

# Streams of the generator: one per purpose and era, so that no result depends on the order of calls.
_INNOVATIONS, _RETURNS, _BRIDGE = 11, 12, 13


@dataclass(frozen=True)
class _State:
    """Friday's close: stocks (n,), x (n, d), z (n, k), drift (e,) of the premia, and the next new stock's number."""

    era: int
    stocks: NDArray[np.int64]
    x: NDArray[np.float32]
    z: NDArray[np.float32]
    drift: NDArray[np.float64]
    next_stock: int


@dataclass(frozen=True)
class _Week:
    """Returns (5, n) of the five weekdays after a Friday, of stocks (n,) that live through the week."""

    stocks: NDArray[np.int64]
    returns: NDArray[np.float32]


class SyntheticMarket:
    """The Market protocol over a seeded economy; `folder` (optional) keeps what later runs continue from.

    Weekly states are made one after the other from per-era seeds, and only the last few are held. So an economy
    continued later is the same as one run longer at once.
    """

    def __init__(self, size: Size, seed: int, folder: Path | None = None) -> None:
        self._size = size
        self._seed = seed
        self._folder = folder
        self._economy: Economy = draw_economy(size.characteristics, size.first_era, seed)
        self._states: OrderedDict[int, _State] = OrderedDict()
        self._weeks: OrderedDict[int, _Week] = OrderedDict()
        self.characteristics = self._economy.names
        self.groups = self._economy.groups
        self.exposure_groups = self._economy.exposure_groups
        self.first_era = size.first_era
        self.last_era = LAST_ERA

    def snapshot(self, day: dt.date) -> Snapshot:
        """Stocks as known at the close of `day` (a weekend means its Friday). SandboxError outside the market."""
        era, weekday = self._place(day)
        state = self._state(era)
        if weekday == 0:
            stocks, x, z = state.stocks, state.x, state.z
        else:
            stocks, x, z = self._bridge(state, self._state(era + 1), weekday)
        return Snapshot(stocks, self._as_known(stocks, x, era), z)

    def forward_returns(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> NDArray[np.float32]:
        """(n,) total return over `weekdays` weekdays after the two skipped ones; NaN for a stock that left meanwhile."""
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

    def oracle(self, day: dt.date, stocks: NDArray[np.int64], weekdays: int) -> NDArray[np.float32]:
        """(n,) expected specific return over the same window given the bins at `day` and the premia known by then.

        Each h(x) is replaced by its mean within the characteristic's quintile (a missing value counts as the middle
        one), features being taken as independent given their bins: the best prediction from the published data up to
        what neighbouring features tell about the place within a bin.
        """
        era, weekday = self._place(day)
        economy, state = self._economy, self._state(era)
        snapshot = self.snapshot(day)
        at = np.searchsorted(snapshot.stocks, stocks)
        known = snapshot.characteristics[at]
        quintile = np.where(np.isnan(known), 2, np.searchsorted(_QUINTILES, known))
        mean, square = _quintile_means()
        forms = economy.forms(mean[quintile], square[quintile])
        weight = np.zeros(len(economy.strength))
        for k, slots in _window(weekday, weekdays):
            elapsed = abs(k - weekday / WEEK)
            days = len(slots)
            weight += days * premia(economy, era + k, state.drift * EFFECT_PHI**k) * economy.effect_rho**elapsed
        return np.asarray(forms @ weight, dtype=np.float32)

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

    def _as_known(self, stocks: NDArray[np.int64], x: NDArray[np.float32], era: int) -> NDArray[np.float32]:
        """Characteristics with NaN where a thin stock is not covered or a characteristic does not exist yet."""
        thin = thinness(self._seed, stocks)
        missing = thin[:, None] < self._economy.coverage[None, :]
        missing |= era < self._economy.starts[None, :]
        return np.where(missing, np.float32(np.nan), x)

    def _bridge(
        self, before: _State, after: _State, weekday: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Stocks, x and z between two Fridays: an Ornstein-Uhlenbeck bridge with noise of its own for each day."""
        economy = self._economy
        rng = self._rng(_BRIDGE, before.era, weekday)
        stocks = before.stocks[np.isin(before.stocks, after.stocks)]
        left, right = np.searchsorted(before.stocks, stocks), np.searchsorted(after.stocks, stocks)
        e, f = _innovations(economy, len(stocks), rng)
        x = _between(before.x[left], after.x[right], e, economy.rho, weekday / WEEK)
        z = _between(before.z[left], after.z[right], f, economy.factor_rho, weekday / WEEK)
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
        """The newest state at or before `era` that is held, in memory or on disk; else the first one."""
        held = max((e for e in self._states if e <= era), default=0)
        if self._folder is not None:
            stored = [e for e in (int(p.stem.split("_")[1]) for p in self._folder.glob("state_*.npz")) if e <= era]
            if stored and max(stored) > held:
                arrays = load_arrays(self._folder / f"state_{max(stored):04d}.npz")
                return _State(
                    max(stored),
                    arrays["stocks"],
                    arrays["x"],
                    arrays["z"],
                    arrays["drift"],
                    int(arrays["next_stock"][0]),
                )
        return self._states[held] if held else self._first_state()

    def _hold(self, state: _State) -> _State:
        self._states[state.era] = state
        while len(self._states) > _STATES_KEPT:
            self._states.popitem(last=False)
        return state

    def _first_state(self) -> _State:
        economy, n = self._economy, self._size.stocks
        rng = self._rng(_INNOVATIONS, self.first_era)
        x, z = _innovations(economy, n, rng)
        drift = rng.standard_normal(len(economy.strength))
        return self._hold(_State(self.first_era, np.arange(n, dtype=np.int64), x, z, drift, n))

    def _step(self, state: _State) -> _State:
        """The next Friday's state; on the way the week's returns are made and kept."""
        economy, era = self._economy, state.era + 1
        rng = self._rng(_INNOVATIONS, era)
        stays = rng.random(len(state.stocks)) >= _EXIT_RATE
        stocks, x, z = state.stocks[stays], state.x[stays], state.z[stays]
        self._hold_week(state.era, _Week(stocks, self._week_returns(state.era, x, z, state.drift)))
        e, f = _innovations(economy, len(stocks), rng)
        x = _onward(x, e, economy.rho)
        z = _onward(z, f, economy.factor_rho)
        entries = max(0, self._stocks_wanted(era) - len(stocks))
        new_x, new_z = _innovations(economy, entries, rng)
        drift = EFFECT_PHI * state.drift + np.sqrt(1 - EFFECT_PHI**2) * rng.standard_normal(len(state.drift))
        following = _State(
            era,
            np.concatenate([stocks, np.arange(state.next_stock, state.next_stock + entries)]),
            np.concatenate([x, new_x]),
            np.concatenate([z, new_z]),
            drift,
            state.next_stock + entries,
        )
        self._checkpoint(following)
        return self._hold(following)

    def _stocks_wanted(self, era: int) -> int:
        return self._size.stocks + int(self._size.stocks_per_era * (era - self._size.first_era))

    def _week_returns(
        self, era: int, x: NDArray[np.float32], z: NDArray[np.float32], drift: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        economy = self._economy
        rng = self._rng(_RETURNS, era)
        expected = economy.forms(x, (x * x - 1) / np.float32(np.sqrt(2))) @ premia(economy, era, drift)
        factors = rng.standard_normal((WEEK, len(economy.factor_vol))) * economy.factor_vol
        market = 0.0003 + 0.01 * rng.standard_normal((WEEK, 1))
        # Student's t with five degrees of freedom, scaled to unit variance: single days have heavy tails.
        noise = rng.standard_t(5, size=(WEEK, len(x))) * np.sqrt(3 / 5)
        returns = market + factors @ z.T.astype(np.float64) + expected + economy.noise_vol * noise
        return np.asarray(returns, dtype=np.float32)

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
        save_arrays(
            path,
            stocks=state.stocks,
            x=state.x,
            z=state.z,
            drift=state.drift,
            next_stock=np.array([state.next_stock]),
        )
        for old in sorted(self._folder.glob("state_*.npz"))[:-_CHECKPOINTS_KEPT]:
            old.unlink()

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self._seed, *key]))


def _window(weekday: int, weekdays: int) -> list[tuple[int, NDArray[np.intp]]]:
    """The window as (weeks after the Friday, slots of that week's five weekdays) pairs."""
    days = np.arange(weekday + SKIPPED_WEEKDAYS, weekday + SKIPPED_WEEKDAYS + weekdays)
    return [(int(k), days[days // WEEK == k] % WEEK) for k in np.unique(days // WEEK)]


def _innovations(economy: Economy, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal innovations of (n, d) characteristics and of the (n, k) factors that they share."""
    k = len(economy.factor_vol)
    common = rng.standard_normal((n, 1), dtype=np.float32)
    factors = economy.factor_own * rng.standard_normal((n, k), dtype=np.float32) + economy.factor_common * common
    own = rng.standard_normal((n, len(economy.rho)), dtype=np.float32)
    return factors @ economy.loadings + economy.own * own, factors


def _onward(
    state: NDArray[np.float32], innovation: NDArray[np.float32], rho: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The AR(1) one week on."""
    return np.asarray(rho * state + np.sqrt(1 - rho**2) * innovation, dtype=np.float32)


def _between(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    noise: NDArray[np.float32],
    rho: NDArray[np.float32],
    f: float,
) -> NDArray[np.float32]:
    """State at fraction f of the week of an Ornstein-Uhlenbeck process pinned at both Fridays."""
    r = rho.astype(np.float64)
    a = (r**f - r ** (2 - f)) / (1 - r**2)
    b = (r ** (1 - f) - r ** (1 + f)) / (1 - r**2)
    spread = np.sqrt(np.maximum(1 - a * r**f - b * r ** (1 - f), 0))
    return np.asarray(a * left + b * right + spread * noise, dtype=np.float32)


def _quintile_means() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(5,) means of x and of (x^2 - 1)/sqrt(2) within each quintile of a standard normal x."""
    edge = np.concatenate([[-40.0], _QUINTILES, [40.0]])
    density = np.exp(-(edge**2) / 2) / np.sqrt(2 * np.pi)
    mean = 5 * (density[:-1] - density[1:])
    square = 5 * (edge[:-1] * density[:-1] - edge[1:] * density[1:]) / np.sqrt(2)
    return mean.astype(np.float32), square.astype(np.float32)
