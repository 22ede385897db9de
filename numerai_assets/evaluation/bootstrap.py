"""Bootstrap intervals of statistics of per-era scores.

Stationary bootstrap (Politis and Romano 1994): a resample consists of blocks of consecutive eras with random starts and
geometric lengths, which wrap around from the last era to the first, so that statistics that depend on the order of eras stay
meaningful. All columns of a table are resampled with the same eras, which keeps their dependence.

Means, sums and Sharpe ratios are studentised, each resample by its own error, as Ledoit and Wolf (2008) do for Sharpe
ratios: plain quantiles of a resampled mean are too narrow and contain the true mean in 67 of 100 series of 104 eras of the
60-day target, at a nominal 90. The drawdown has no such error; its interval has plain quantiles.

Missing eras between the first and the last are drawn like others and add nothing, so that eras do not become neighbours that
were not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_assets.eras import resolve_lag
from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.block_length import block_lengths
from numerai_assets.evaluation.uncertainty import bartlett_sums, calendar_grid

Array = NDArray[np.float64]

RESAMPLES = 1_000
STATISTICS = ("mean", "sum", "sharpe", "max_drawdown")

# Eras of resamples processed at once, to fit the cache of a core. Counted for one column, so that the results of a seed do
# not depend on the number of columns.
_ERAS_TOGETHER = 10_000
# Width of the studentising kernel in resolve lags: a kernel as wide as the overlap sees 2/3 of it, this one 5/6.
_KERNEL_LAGS = 2


@dataclass(frozen=True)
class Interval:
    """(m,) float64 each: the statistic of the eras, and the bounds of its interval."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class _Sample:
    """values: (span, ...) scores, 0 where missing. known: (span, ...) 1.0 where known, or (span, 1, ...) of all 1.0."""

    values: Array
    known: Array
    count: Array
    mean: Array

    @classmethod
    def of(cls, values: Array, known: Array) -> "_Sample":
        count = known.sum(axis=0)
        return cls(values, known, count, values.sum(axis=0) / count)

    def deviations(self) -> Array:
        return np.asarray((self.values - self.mean) * self.known)


def _mean(sample: _Sample, width: int) -> tuple[Array, Array]:
    return sample.mean, np.sqrt(bartlett_sums(sample.deviations(), width)) / sample.count


def _sharpe(sample: _Sample, width: int) -> tuple[Array, Array]:
    """Its error is that of the mean of its influence function, z - ratio (z^2 - 1) / 2."""
    z = sample.deviations()
    std = np.sqrt(np.einsum("i...,i...->...", z, z) / sample.count)
    std[std <= 1e-12 * np.abs(sample.values).max(axis=0)] = np.nan
    ratio = sample.mean / std
    z /= std
    influence = (z - ratio / 2 * (z * z - 1)) * sample.known
    return ratio, np.sqrt(bartlett_sums(influence, width)) / sample.count


def _max_drawdown(sample: _Sample) -> Array:
    total = np.cumsum(sample.values, axis=0)
    # A peak is the sum after some era; 0 before the first known era is no peak.
    peak = np.maximum.accumulate(np.where(np.cumsum(sample.known, axis=0) > 0, total, -np.inf), axis=0)
    return np.asarray(np.where(sample.known > 0, peak - total, 0.0).max(axis=0))


_STUDENTISED: Mapping[str, Callable[[_Sample, int], tuple[Array, Array]]] = MappingProxyType(
    {"mean": _mean, "sharpe": _sharpe}
)


def bootstrap_intervals(
    scores: Array,
    *,
    horizon: int,
    seed: int,
    eras: ArrayLike | None = None,
    statistics: Sequence[str] = STATISTICS,
    resamples: int = RESAMPLES,
    level: float = 0.9,
) -> dict[str, Interval]:
    """Value and interval of each statistic of each column of per-era scores (n, m), at the given level.

    sum: over the known eras. sharpe: mean over standard deviation (ddof 0), NaN without variation. max_drawdown: of the
    cumulative sum; its interval is for the drawdown of another such run of eras. The other intervals are symmetric, which has
    a smaller coverage error (Hall 1988). eras: (n,) ascending numbers; None for consecutive ones. NaN: a missing score.
    Intervals are NaN for fewer than two known scores and where a resample has no such statistic.
    Raises ScoringError for an unknown statistic, for a level outside 0..1, for fewer than one resample, and for eras
    that do not ascend or have another length than the scores.
    """
    unknown = sorted(set(statistics) - set(STATISTICS))
    if unknown:
        raise ScoringError(f"statistics {unknown}: expected some of {sorted(STATISTICS)}")
    if not 0 < level < 1 or resamples < 1:
        raise ScoringError(f"level {level}, {resamples} resamples: expected a level between 0 and 1, and one or more")
    grid = calendar_grid(scores, eras)
    count = (~np.isnan(grid)).sum(axis=0)
    some = count >= 2
    wanted = dict.fromkeys("mean" if name == "sum" else name for name in statistics)
    found = {
        name: Interval(_of_eras(name, grid), np.full(grid.shape[1], np.nan), np.full(grid.shape[1], np.nan))
        for name in wanted
    }
    if some.any():
        for name, (low, high) in _ranges(grid[:, some], list(wanted), horizon, seed, resamples, level).items():
            found[name].low[some], found[name].high[some] = low, high
    if "sum" in statistics:
        mean = found["mean"]
        found["sum"] = Interval(mean.value * count, mean.low * count, mean.high * count)
    return {name: found[name] for name in statistics}


def stationary_positions(rng: np.random.Generator, span: int, resamples: int, block: float) -> NDArray[np.intp]:
    """(span, resamples) positions 0..span-1: blocks of geometric length, `block` (>= 1) in the mean, on a circle."""
    begins = rng.random((span, resamples)) < 1 / block
    begins[0] = True
    steps = np.arange(span)[:, None]
    begun = np.maximum.accumulate(np.where(begins, steps, 0), axis=0)
    starts = rng.integers(span, size=(span, resamples))
    return np.asarray((np.take_along_axis(starts, begun, axis=0) + steps - begun) % span)


def _of_eras(name: str, grid: Array) -> Array:
    """(m,) statistic of the known eras of each column (span, m); NaN without any."""
    out = np.full(grid.shape[1], np.nan)
    known = ~np.isnan(grid)
    some = known.any(axis=0)
    sample = _Sample.of(np.where(known, grid, 0.0)[:, some], known[:, some].astype(np.float64))
    out[some] = _max_drawdown(sample) if name == "max_drawdown" else _STUDENTISED[name](sample, 1)[0]
    return out


def _ranges(
    grid: Array, statistics: list[str], horizon: int, seed: int, resamples: int, level: float
) -> dict[str, tuple[Array, Array]]:
    """Low and high (m,) of each statistic of a grid (span, m) with two known eras or more a column."""
    known = ~np.isnan(grid)
    whole = bool(known.all())
    values, weights = np.where(known, grid, 0.0), known.astype(np.float64)
    width = _KERNEL_LAGS * resolve_lag(horizon)
    block = float(block_lengths(grid, horizon=horizon).max())
    itself = _Sample.of(values, weights)
    centre = {name: _STUDENTISED[name](itself, width) for name in statistics if name in _STUDENTISED}
    drawn = {name: np.empty((resamples, grid.shape[1])) for name in statistics}
    rng = np.random.default_rng(seed)
    together = max(1, _ERAS_TOGETHER // len(grid))
    for first in range(0, resamples, together):
        rows = slice(first, min(first + together, resamples))
        positions = stationary_positions(rng, len(grid), rows.stop - first, block)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample of missing eras has no mean: NaN
            sample = _Sample.of(values[positions], np.ones((len(grid), 1, 1)) if whole else weights[positions])
            for name in statistics:
                if name in _STUDENTISED:
                    there, error = _STUDENTISED[name](sample, width)
                    drawn[name][rows] = _ratio(np.abs(there - centre[name][0]), error)
                else:
                    drawn[name][rows] = _max_drawdown(sample)
    out = {}
    for name in statistics:
        if name in centre:
            value, error = centre[name]
            # Not interpolated: a resample without an error makes the quantile infinite.
            reach = np.quantile(drawn[name], level, axis=0, method="higher") * error
            out[name] = value - reach, value + reach
        else:
            low, high = np.quantile(drawn[name], [(1 - level) / 2, (1 + level) / 2], axis=0)
            out[name] = low, high
    return out


def _ratio(distance: Array, error: Array) -> Array:
    """distance / error, and 0 where the distance is 0, as for constant scores."""
    return np.where(distance > 0, distance / error, distance)
