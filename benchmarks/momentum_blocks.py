"""Feature blocks of look-alikes and of payoffs of groups, compared with the same in pandas.

    python -m benchmarks.momentum_blocks --rows 6000 --features 3555

One era at a time, as in a run over history: both sides have cached the results of earlier eras, and the newest era is new.
Costs of a few eras are extrapolated to 100; memory is the peak allocation of one era. The peer merges a long frame of
look-alikes with frames of exposures and targets, and applies groupby, rolling and ewm.
"""

import argparse
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.tsa.seasonal import STL

from benchmarks.table import Cost, Row, package, print_rows, timed
from numerai_assets.eras import resolve_lag, resolved_through
from numerai_assets.features.contract import Columns, FeatureBlock, History
from numerai_assets.features.groups.exposures import OLDEST_GROUPS
from numerai_assets.features.per_era.group_payoffs import GroupPayoffs
from numerai_assets.features.per_era.target_momentum import TargetMomentum
from numerai_assets.features.per_era.trajectory_changes import LEVEL, TrajectoryChanges
from numerai_assets.features.trajectories.neighbours import LAGS, Trajectories
from numerai_assets.panel.panel import EraPanel

ERAS = 100
_TARGETS = {20: "target_ender_20", 60: "target_ender_60"}
_K = 8
# Eras differ in their targets and digests; there are few different blocks, because a hundred would not fit into memory.
_BLOCKS = 4
# Share of features in each group, as in v5.3.
_SHARES = dict(zip(OLDEST_GROUPS, (0.0816, 0.0098, 0.038, 0.0143, 0.0942, 0.0394, 0.0408, 0.0267), strict=True))


class Past:
    """Random eras from 1 on, features of every group, and the same look-alikes for every era."""

    def __init__(self, rows: int, features: int) -> None:
        self.rows, rng = rows, np.random.default_rng(0)
        self.names = tuple(f"feature_{place}" for place in range(features))
        mixed = iter(rng.permutation(features))
        self.sets = {
            group: tuple(self.names[place] for place in itertools.islice(mixed, max(1, int(share * features))))
            for group, share in _SHARES.items()
        }
        self.blocks = [rng.integers(0, 5, (features, rows), dtype=np.int8) for _ in range(_BLOCKS)]
        self.ids = np.array([f"n{row:015x}" for row in range(rows)], object)
        distances = np.sort(rng.uniform(1, 2, (len(LAGS), _K, rows)), axis=1).astype(np.float32)
        found = rng.integers(0, rows, distances.shape).astype(np.int16)
        self.columns: Columns = Trajectories(LAGS, found, distances).as_columns()

        self.panels: dict[int, EraPanel] = {}

    def panel(self, era: int) -> EraPanel:
        if era not in self.panels:
            self.panels[era] = self._made(era)
        return self.panels[era]

    def _made(self, era: int) -> EraPanel:
        rng = np.random.default_rng(era)
        levels = np.array([0, 0.25, 0.5, 0.5, 0.75, 1], np.float32)
        targets: dict[str, tuple[NDArray[np.float32], ...]] = {
            name: (rng.choice(levels, self.rows),) for name in _TARGETS.values()
        }
        block = self.blocks[era % _BLOCKS]
        return EraPanel((block,), self.names, (era,), (self.ids,), targets, (f"era {era}",))

    def columns_of(self, block: FeatureBlock, era: int) -> Columns:
        history = History(era, 1, block.look_back, tuple(block.targets), self.sets, self.panel, lambda _: self.columns)
        return block.compute(self.panel(era), history)


class Notebook:
    """The same past as frames."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self.frames = [pd.DataFrame(block.T, columns=list(past.names)) for block in past.blocks]
        self.means = [self.exposures(place) for place in range(_BLOCKS)]
        alikes = Trajectories.of_columns(LAGS, past.columns)
        lag, _, row = np.indices(alikes.rows.shape)
        self.alikes = pd.DataFrame(
            {
                "row": row.ravel(),
                "lag": np.array(LAGS)[lag.ravel()],
                "alike": alikes.rows.ravel().astype(np.int64),
                "weight": alikes.weights().ravel(),
            }
        )

    def exposures(self, era: int) -> pd.DataFrame:
        frame = self.frames[era % _BLOCKS]
        sets = {**self.past.sets, LEVEL: self.past.names}
        return pd.DataFrame({group: frame[list(names)].mean(axis=1) - 2 for group, names in sets.items()})

    def along_look_alikes(self, values: dict[int, pd.DataFrame]) -> pd.DataFrame:
        """Weighted means of the columns of the given frames by lag: index (lag, row)."""
        long = pd.concat(values, names=["lag", "alike"]).reset_index()
        merged = self.alikes.merge(long, on=["lag", "alike"])
        names = list(next(iter(values.values())))
        weighted = merged[names].mul(merged["weight"], axis=0)
        return weighted.groupby([merged["lag"], merged["row"]]).sum()

    def changes(self, era: int, block: TrajectoryChanges) -> NDArray[np.float64]:
        now = self.exposures(era)
        used = [lag for lag in LAGS if lag <= block.look_back]
        means = self.along_look_alikes({lag: self.means[(era - lag) % _BLOCKS] for lag in used})
        found = []
        for group in now:
            path = held(means[group].unstack("lag"))
            change = [now[group] - path[-lag] for lag in block.changes]
            short, long = (path.iloc[:, -eras:].mean(axis=1) for eras in (block.short, block.long))
            volatility = (path.diff(axis=1) ** 2).mean(axis=1) ** 0.5
            found += [*change, short, now[group] - short, long, now[group] - long, volatility]
        return np.array(found)

    def momentum(self, era: int, block: TargetMomentum) -> NDArray[np.float64]:
        found = []
        for horizon, target in _TARGETS.items():
            lags = [lag for lag in LAGS if lag >= resolve_lag(horizon)]
            values = {lag: pd.DataFrame({target: self.past.panel(era - lag).target(target) - 0.5}) for lag in lags}
            path = held(self.along_look_alikes(values)[target].unstack("lag")).T
            price = pd.concat([path.iloc[:1] * 0, path.cumsum()], ignore_index=True)
            sigma, spread = path.std(ddof=0), price.rolling(block.volatility).std(ddof=0).iloc[-1]
            found += [path.tail(eras).mean() * (eras / (horizon / 5)) ** 0.5 / sigma for eras in block.returns]
            found += [
                (price.ewm(alpha=1 / short).mean().iloc[-1] - price.ewm(alpha=1 / long).mean().iloc[-1]) / spread
                for short, long in block.trends
            ]
            gain, loss = (self._wilder(path.mul(sign).clip(lower=0), block.strength) for sign in (1, -1))
            found.append(100 * gain / (gain + loss))
            low, high = price.rolling(block.oscillator).min(), price.rolling(block.oscillator).max()
            fast = 100 * (price - low) / (high - low)
            found += [fast.iloc[-1], fast.rolling(block.smooth).mean().iloc[-1]]
        return np.array(found)

    def payoffs(self, era: int, block: GroupPayoffs, paid: pd.DataFrame) -> NDArray[np.float64]:
        """paid: payoffs of the groups by era, all but the newest."""
        now = self.exposures(era).drop(columns=LEVEL)
        newest = resolved_through(era, 60)
        paid = pd.concat([paid, self.paid(newest).to_frame(newest).T])
        score = (now - now.mean()) / now.std(ddof=0)
        found = []
        for group in now:
            steady = {"seasonal": 10 * len(paid) + 1, "seasonal_deg": 0, "trend_deg": 0}
            whole = STL(paid[group].to_numpy(), period=block.period, robust=True, **steady).fit()
            found += [score[group] * part[-1] for part in (whole.trend, whole.seasonal, whole.resid)]
        return np.array(found)

    def paid(self, era: int) -> "pd.Series[float]":
        target = pd.Series(self.past.panel(era).target(_TARGETS[60]))
        return self.means[era % _BLOCKS].drop(columns=LEVEL).corrwith(target)

    @staticmethod
    def _wilder(moves: pd.DataFrame, period: int) -> "pd.Series[float]":
        seeded = moves.iloc[period - 1 :].copy()
        seeded.iloc[0] = moves.iloc[:period].mean()
        return seeded.ewm(alpha=1 / period, adjust=False).mean().iloc[-1]


def held(path: pd.DataFrame) -> pd.DataFrame:
    """(rows, eras) from (rows, lags): columns -oldest ... -newest, each the newest at or before it."""
    lags = [int(lag) for lag in path.columns]
    path.columns = pd.Index([-lag for lag in lags])
    return path.reindex(columns=range(-max(lags), -min(lags) + 1)).ffill(axis=1)


def measure(quick: bool, *, rows: int | None = None, features: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ by more than float16 precision."""
    rows, features = rows or 6000, features or (1000 if quick else 3555)
    past = Past(rows, features)
    notebook = Notebook(past)
    changes, momentum, payoffs = TrajectoryChanges(), TargetMomentum(), GroupPayoffs()
    start = 120
    resolved = range(start - payoffs.look_back, resolved_through(start, 60))
    paid = pd.DataFrame({era: notebook.paid(era) for era in resolved}).T
    ways: list[tuple[FeatureBlock, str, Callable[[int], NDArray[np.float64]]]] = [
        (changes, "trajectory changes", lambda era: notebook.changes(era, changes)),
        (momentum, "momentum of look-alikes", lambda era: notebook.momentum(era, momentum)),
        (payoffs, "payoffs of groups", lambda era: notebook.payoffs(era, payoffs, paid)),
    ]
    repeats, table = 2 if quick else 4, []
    for block, what, peer in ways:
        mine, theirs = past.columns_of(block, start).astype(np.float64), peer(start)
        apart = float((np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1)).max())
        if not apart < 2e-3:
            raise RuntimeError(f"{what}: values differ by {apart:.2g}")
        ours = _of_many(partial(_next_era, past, block, itertools.count(start + 1)), repeats)
        theirs_cost = _of_many(partial(peer, start), repeats)
        size = f"{ERAS} eras x {rows:,} x {features:,} (extrapolated from {repeats})"
        libraries = f"{package('pandas')} merge" + (f", {package('statsmodels')}" if block is payoffs else "")
        table.append(Row(f"{what}, {size}", ours, libraries, theirs_cost))
    return table


def _next_era(past: Past, block: FeatureBlock, eras: Iterator[int]) -> Columns:
    return past.columns_of(block, next(eras))


def _of_many(work: Callable[[], object], repeats: int) -> Cost:
    """Cost of one era, extrapolated to many; memory is the peak of one era, as NumPy and pandas report it."""
    cost = timed(work, repeats=repeats)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Cost(cost.seconds * ERAS, cost.cpu_seconds * ERAS, peak, peak)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 6000), ("features", 3555)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
