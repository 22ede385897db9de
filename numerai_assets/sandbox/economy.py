"""The fixed parameters of a synthetic economy: who moves with whom, how fast, and what pays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.sandbox.names import GROUP_SIZES, GROUPS, shares

NOISE_VOL = 0.02
"""Specific volatility of one weekday."""
SIGNAL = 0.038
"""Standard deviation of the expected specific return of a weekday, in units of the noise's."""
EFFECT_PHI = 0.9
"""Weekly persistence of the premia's drift: half of it is gone after six and a half eras."""

_DRIFT_SIZE = 0.5
# Shares of the expected return's variance: less than half of it is linear.
_LINEAR, _QUADRATIC, _PAIRS = 0.40, 0.25, 0.35
# How many effects there are of each kind, as a share of the characteristics, and the least number.
_EFFECTS = {"linear": (0.06, 6), "square": (0.03, 3), "pairs": (0.03, 3)}
_FACTOR_RHO = 0.985
# Variance of a day's factor return, in units of the noise's variance, summed over a group's factors.
_STRONG_GROUPS = {"constitution": 0.27, "charisma": 0.27, "sunshine": 0.27, "rain": 0.27}
_WEAK_GROUP = 0.02
# How many of a group's characteristics are slow, middle and fast.
_SPEEDS = {
    "slow": (0.75, 0.25, 0.0),
    "middle": (0.4, 0.5, 0.1),
    "fast": (0.2, 0.4, 0.4),
}
_SPEED_OF_GROUP = {
    "intelligence": "slow",
    "constitution": "slow",
    "wisdom": "slow",
    "strength": "slow",
    "serenity": "slow",
    "charisma": "middle",
    "dexterity": "middle",
    "sunshine": "middle",
    "faith": "middle",
    "quantum": "middle",
    "agility": "fast",
    "rain": "fast",
    "midnight": "fast",
}
_RHO_RANGES = ((0.97, 0.995), (0.86, 0.94), (0.3, 0.7))
# Share of the stocks that lack a group's characteristics: thin stocks lack many groups at once.
_COVERAGE = {"faith": 0.10, "midnight": 0.06, "quantum": 0.08, "sunshine": 0.05, "dexterity": 0.03, "wisdom": 0.03}
_LATE_SHARE = 0.06
_LATE_WITHIN_ERAS = 60


@dataclass(frozen=True)
class Economy:
    """Parameters of d characteristics, k factors and e effects.

    rho (d,), factor_rho (k,): weekly persistence.  loadings (k, d), own (d,): innovations of the characteristics from
    those of the factors and their own.  factor_own, factor_common: parts of a factor's innovation.
    factor_vol (k,): standard deviation of a weekday's factor return.
    linear (l,), square (q,), pairs (p, 2): characteristics behind the e = l + q + p effects.
    strength (e,): premium of each effect at the start, in return a weekday.  half_life (e,): eras until it has halved.
    effect_rho (e,): weekly persistence of the effect's form.
    starts (d,): first era of a characteristic.  coverage (d,): share of stocks that lack it.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    exposure_groups: tuple[str, ...]
    first_era: int
    rho: NDArray[np.float32]
    factor_rho: NDArray[np.float32]
    loadings: NDArray[np.float32]
    own: NDArray[np.float32]
    factor_own: np.float32
    factor_common: np.float32
    factor_vol: NDArray[np.float64]
    noise_vol: float
    linear: NDArray[np.intp]
    square: NDArray[np.intp]
    pairs: NDArray[np.intp]
    strength: NDArray[np.float64]
    half_life: NDArray[np.float64]
    effect_rho: NDArray[np.float64]
    starts: NDArray[np.int64]
    coverage: NDArray[np.float64]

    def forms(self, x: NDArray[np.float32], square: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, e) the Hermite forms of (n, d) x, given (x^2 - 1)/sqrt(2) as `square`."""
        first, second = self.pairs.T
        return np.concatenate([x[:, self.linear], square[:, self.square], x[:, first] * x[:, second]], axis=1)


def draw_economy(characteristics: int, first_era: int, seed: int) -> Economy:
    """The economy of `seed`."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 10]))
    counts = shares(GROUP_SIZES, characteristics, least=2)
    groups = tuple(group for group in GROUPS for _ in range(counts[group]))
    names = tuple(f"{group}_{i}" for group in GROUPS for i in range(counts[group]))
    exposure_groups = tuple(group for group in GROUPS for _ in range(2 if counts[group] > 3 else 1))
    rho = _draw_rho(groups, rng)
    loadings = _draw_loadings(groups, exposure_groups, rng)
    variance = np.array([_STRONG_GROUPS.get(g, _WEAK_GROUP) / exposure_groups.count(g) for g in exposure_groups])
    linear, square, pairs = _draw_effects(groups, rho, rng)
    rho64 = rho.astype(np.float64)
    effect_rho = np.concatenate([rho64[linear], rho64[square] ** 2, rho64[pairs[:, 0]] * rho64[pairs[:, 1]]])
    common = np.float32(0.22)
    return Economy(
        names=names,
        groups=groups,
        exposure_groups=exposure_groups,
        first_era=first_era,
        rho=rho,
        factor_rho=np.full(len(exposure_groups), _FACTOR_RHO, dtype=np.float32),
        loadings=loadings,
        own=np.sqrt(1 - _loaded_variance(loadings, common)).astype(np.float32),
        factor_own=np.sqrt(1 - common**2),
        factor_common=common,
        factor_vol=NOISE_VOL * np.sqrt(variance),
        noise_vol=NOISE_VOL,
        linear=linear,
        square=square,
        pairs=pairs,
        strength=_draw_strengths((len(linear), len(square), len(pairs)), rng),
        half_life=rng.uniform(500, 3000, size=len(effect_rho)),
        effect_rho=effect_rho,
        starts=_draw_starts(len(groups), first_era, rng),
        coverage=np.array([_COVERAGE.get(group, 0.0) for group in groups]) * rng.uniform(0.5, 1.5, len(groups)),
    )


def premia(economy: Economy, era: int, drift: NDArray[np.float64]) -> NDArray[np.float64]:
    """(e,) premium of each effect in the week after era `era`, given the (e,) drift of that week."""
    decay = 0.5 ** ((era - economy.first_era) / economy.half_life)
    return np.asarray(economy.strength * decay * (1 + _DRIFT_SIZE * drift))


def thinness(seed: int, stocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) uniform in [0, 1), the same for a stock at every date: a splitmix64 hash of its number."""
    h = stocks.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return np.asarray((h >> np.uint64(11)).astype(np.float64) / 2**53)


def _draw_rho(groups: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    rho = np.empty(len(groups))
    for i, group in enumerate(groups):
        low, high = _RHO_RANGES[rng.choice(3, p=_SPEEDS[_SPEED_OF_GROUP[group]])]
        rho[i] = rng.uniform(low, high)
    return rho.astype(np.float32)


def _draw_loadings(
    groups: tuple[str, ...], exposure_groups: tuple[str, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(k, d) loadings, only on the factors of the own group: 15 to 60 % of an innovation's variance."""
    angle = rng.standard_normal((len(exposure_groups), len(groups)))
    angle *= np.array(exposure_groups)[:, None] == np.array(groups)[None, :]
    angle /= np.sqrt((angle**2).sum(axis=0, keepdims=True))
    return np.asarray(angle * np.sqrt(rng.uniform(0.15, 0.6, len(groups))), dtype=np.float32)


def _loaded_variance(loadings: NDArray[np.float32], common: np.float32) -> NDArray[np.float64]:
    """(d,) variance that the factors bring to each characteristic, given what they have in common."""
    covariance = np.full((len(loadings), len(loadings)), float(common) ** 2)
    np.fill_diagonal(covariance, 1.0)
    return np.asarray(np.einsum("kd,kl,ld->d", loadings, covariance, loadings))


def _draw_effects(
    groups: tuple[str, ...], rho: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Characteristics of the effects. Quick ones pay little over weeks: most effects sit on what persists."""
    d = len(groups)
    weight = np.where(rho > 0.8, 1.0, 0.15)
    weight /= weight.sum()
    count = {kind: max(least, round(d * share)) for kind, (share, least) in _EFFECTS.items()}
    linear = np.sort(rng.choice(d, size=count["linear"], replace=False, p=weight))
    square = np.sort(rng.choice(d, size=count["square"], replace=False, p=weight))
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < count["pairs"]:
        first = int(rng.choice(d, p=weight))
        others = [i for i, group in enumerate(groups) if group == groups[first] and i != first]
        chance = weight[others] / weight[others].sum()
        second = int(rng.choice(others, p=chance))
        pairs.add((min(first, second), max(first, second)))
    return linear.astype(np.intp), square.astype(np.intp), np.array(sorted(pairs), dtype=np.intp)


def _draw_strengths(counts: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(e,) signed premia, log-normal in size, that share the variance of the signal out over the three kinds."""
    parts = []
    for count, share in zip(counts, (_LINEAR, _QUADRATIC, _PAIRS), strict=True):
        raw = rng.lognormal(0.0, 0.5, count) * rng.choice([-1.0, 1.0], count)
        parts.append(raw * np.sqrt(share / (raw**2).sum()))
    return np.concatenate(parts) * SIGNAL * NOISE_VOL


def _draw_starts(d: int, first_era: int, rng: np.random.Generator) -> NDArray[np.int64]:
    starts = np.full(d, first_era, dtype=np.int64)
    late = rng.choice(d, size=max(2, int(_LATE_SHARE * d)), replace=False)
    starts[late] += rng.integers(5, _LATE_WITHIN_ERAS, size=len(late))
    return starts
