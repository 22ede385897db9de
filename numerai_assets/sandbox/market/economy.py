"""The fixed parameters of a synthetic economy: correlations, persistence and premia."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.effects import Effects, draw_effects, draw_regimes, draw_strengths
from numerai_assets.sandbox.published.names import GROUP_SIZES, GROUPS, shares

NOISE_VOL = 0.02
"""Specific volatility of one weekday."""
TILT_PHI = 0.85
"""Weekly persistence of the premia's deviations: half is left after four eras, as of Numerai's mean feature IC."""
TILT_COMMON = 0.5
"""Share of these deviations' variance that all premia share: good and bad months of all models together."""
REGIMES = 3
REGIME_STAYS = 1 - 1 / 40
"""Weekly probability that the regime is not redrawn."""
MOMENTUM_PHI = 0.85
"""Weekly persistence of the leaders' effect on their followers."""
PATH_PHI = 0.98
"""Weekly persistence of a stock's own expected return."""

# Eras until a premium has halved: real models lost two thirds of their score in eight years.
_HALF_LIFE = (250, 1500)
_TILT_SIZE = 0.6
_FACTOR_RHO = 0.985
_COMMON = np.float32(0.10)

# Style factors cut across groups: every characteristic has a small loading; some, mostly slow ones, a large one.
_STYLE = "style"
_STYLE_SHARES = (0.8, 0.1, 0.1)
_STYLES = len(_STYLE_SHARES)
_STYLE_LOADING = 0.20
_STYLED = {"slow": 0.26, "middle": 0.20, "fast": 0.18}
_STYLED_VARIANCE = (0.60, 0.95)
_MOST_LOADED = 0.95
# By group: range of the share of an innovation's variance that comes from the group's own factors, from which the mean
# correlation within the group follows; shares of slow, middle and fast characteristics.
_GROUP_TABLE = {
    group: tuple(map(float, numbers))
    for group, *numbers in map(
        str.split,
        """
        intelligence  0.10 0.45  0.80 0.20 0.00
        charisma      0.05 0.55  0.30 0.40 0.30
        strength      0.10 0.60  0.55 0.25 0.20
        dexterity     0.35 0.65  0.00 0.90 0.10
        constitution  0.10 0.60  0.60 0.30 0.10
        wisdom        0.70 0.95  0.85 0.15 0.00
        agility       0.40 0.75  0.00 0.10 0.90
        serenity      0.05 0.40  0.50 0.30 0.20
        sunshine      0.00 0.25  0.25 0.35 0.40
        rain          0.00 0.25  0.15 0.25 0.60
        midnight      0.10 0.70  0.10 0.25 0.65
        faith         0.05 0.50  0.25 0.35 0.40
        quantum       0.02 0.40  0.25 0.30 0.45
        """.strip().splitlines(),
    )
}
_ONE_FACTOR_UP_TO = 8
# Variance of a day's factor return, in units of the noise's variance, summed over the factors of a group.
_FACTOR_VARIANCE = {"constitution": 0.20, "charisma": 0.20, "sunshine": 0.20, "rain": 0.20, _STYLE: 0.32}
_WEAK_FACTOR = 0.005

# Weekly persistence of slow, middle and fast characteristics: a mixture with the autocorrelation of price characteristics
# over 1, 2, 4, 8 and 26 weeks (.79 .67 .54 .43 .29).
_RHO_RANGES = ((0.992, 0.998), (0.88, 0.95), (0.25, 0.87))
_KINSHIP = 3

# A thin stock lacks many characteristics at once. Every stock has a third of them; of the others, up to this share of the
# stocks lack one.
_ALWAYS_COVERED = 0.35
_LACKING = 0.14
_LATE_SHARE = 0.06
_LATE_WITHIN_ERAS = 60


@dataclass(frozen=True)
class Dials:
    """Size of each structure: standard deviation of a weekday's expected specific return, in units of the noise's.

    0 switches a structure off.
    effects: linear and quadratic effects and interactions, on average over 60 days at the premia of the first era.
    interactions: the interactions' share of that variance.
    regimes: effects that change sign and shape with a hidden market regime, on average over 60 days and regimes.
    spillover: effect of the leaders' recent returns on their followers.
    drift: a stock's own slowly changing expected return.
    """

    effects: float = 0.020
    interactions: float = 0.40
    regimes: float = 0.008
    spillover: float = 0.010
    drift: float = 0.012

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise SandboxError(f"dial {field.name}: {getattr(self, field.name)}, expected a number >= 0")
        if self.interactions > 1:
            raise SandboxError(f"dial interactions: {self.interactions} is a share of variance, expected 0..1")


@dataclass(frozen=True)
class Economy:
    """Parameters of d characteristics, k factors and e effects.

    rho (d,), factor_rho (k,): weekly persistence.  loadings (k, d), own (d,): weights of the factors' and of own
    innovations in the characteristics' ones.  factor_own, factor_common: weights in a factor's innovation.
    stationary (d + k, d + k): Cholesky factor of the stationary covariance of characteristics and factors.
    factor_vol (k,): std of a weekday's factor return.
    strength (e,): initial premium of each effect, in return per weekday.  half_life (e,): eras until it has halved.
    local, regime_strength (REGIMES, e'): effects with premia by regime.
    spillover, path_vol: std of these two expected returns, in return per weekday.
    kinship (c,): the characteristics that define similarity in the hidden network.
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
    stationary: NDArray[np.float32]
    factor_vol: NDArray[np.float64]
    noise_vol: float
    effects: Effects
    strength: NDArray[np.float64]
    half_life: NDArray[np.float64]
    local: Effects
    regime_strength: NDArray[np.float64]
    spillover: float
    path_vol: float
    kinship: NDArray[np.intp]
    starts: NDArray[np.int64]
    coverage: NDArray[np.float64]


def draw_economy(
    characteristics: int,
    first_era: int,
    seed: int,
    dials: Dials | None = None,
    group_sizes: Mapping[str, int] = GROUP_SIZES,
) -> Economy:
    """The economy of `seed`, with groups in the proportions of `group_sizes`.

    Dials change the size of a structure and nothing else.
    """
    dials = dials or Dials()
    rng = np.random.default_rng(np.random.SeedSequence([seed, 10]))
    counts = shares(group_sizes, characteristics, least=2)
    groups = tuple(group for group in GROUPS for _ in range(counts[group]))
    names = tuple(f"{group}_{i}" for group in GROUPS for i in range(counts[group]))
    of_groups = tuple(group for group in GROUPS for _ in range(2 if counts[group] > _ONE_FACTOR_UP_TO else 1))
    exposure_groups = of_groups + (_STYLE,) * _STYLES
    rho = _draw_rho(groups, rng)
    loadings = _draw_loadings(groups, exposure_groups, rho, rng)
    variance = np.array([_FACTOR_VARIANCE.get(g, _WEAK_FACTOR) / exposure_groups.count(g) for g in exposure_groups])
    effects, local = draw_effects(groups, rho, rng), draw_effects(groups, rho, rng)
    factor_rho = np.full(len(exposure_groups), _FACTOR_RHO, dtype=np.float32)
    own = np.sqrt(1 - _loaded_variance(loadings, _COMMON)).astype(np.float32)
    return Economy(
        names=names,
        groups=groups,
        exposure_groups=exposure_groups,
        first_era=first_era,
        rho=rho,
        factor_rho=factor_rho,
        loadings=loadings,
        own=own,
        factor_own=np.sqrt(1 - _COMMON**2),
        factor_common=_COMMON,
        stationary=_stationary(rho, factor_rho, loadings, own),
        factor_vol=NOISE_VOL * np.sqrt(variance),
        noise_vol=NOISE_VOL,
        effects=effects,
        strength=draw_strengths(effects, dials.interactions, rng) * dials.effects * NOISE_VOL,
        half_life=rng.uniform(*_HALF_LIFE, size=len(effects.rho)),
        local=local,
        regime_strength=draw_regimes(local, groups, REGIMES, rng) * dials.regimes * NOISE_VOL,
        spillover=dials.spillover * NOISE_VOL,
        path_vol=dials.drift * NOISE_VOL,
        kinship=np.argsort(-rho, kind="stable")[:_KINSHIP],
        starts=_draw_starts(len(groups), first_era, rng),
        coverage=np.where(rng.random(len(groups)) < _ALWAYS_COVERED, 0.0, rng.uniform(0, _LACKING, len(groups))),
    )


def premia(economy: Economy, era: int, tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """(e,) premium of each effect in the week after era `era`, given the (e,) tilt of that week."""
    decay = 0.5 ** ((era - economy.first_era) / economy.half_life)
    return np.asarray(economy.strength * decay * (1 + _TILT_SIZE * tilt))


def _draw_rho(groups: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    rho = np.empty(len(groups))
    for i, group in enumerate(groups):
        low, high = _RHO_RANGES[rng.choice(3, p=_GROUP_TABLE[group][2:])]
        rho[i] = rng.uniform(low, high)
    return rho.astype(np.float32)


def _draw_loadings(
    groups: tuple[str, ...], exposure_groups: tuple[str, ...], rho: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(k, d) loadings: on the factors of the own group, and on the styles."""
    own_group = np.array(exposure_groups)[:, None] == np.array(groups)[None, :]
    angle = rng.standard_normal((len(exposure_groups), len(groups))) * own_group
    angle /= np.sqrt((angle**2).sum(axis=0, keepdims=True))
    low, high = np.array([_GROUP_TABLE[group][:2] for group in groups]).T
    loadings = angle * np.sqrt(rng.uniform(low, high))
    styles = _STYLE_LOADING * rng.standard_normal((_STYLES, len(groups)))
    chance = np.select([rho > 0.97, rho > 0.87], [_STYLED["slow"], _STYLED["middle"]], _STYLED["fast"])
    styled = np.flatnonzero(rng.random(len(groups)) < chance)
    which = rng.choice(_STYLES, len(styled), p=_STYLE_SHARES)
    strong = np.sqrt(rng.uniform(*_STYLED_VARIANCE, len(styled)))
    styles[which, styled] = rng.choice([-1.0, 1.0], len(styled)) * strong
    # The styles' variance is taken from the group's.
    free = np.maximum(_MOST_LOADED - (styles**2).sum(axis=0), 0.0)
    loadings *= np.sqrt(np.minimum(1.0, free / np.maximum((loadings**2).sum(axis=0), 1e-9)))
    loadings[-_STYLES:] = styles
    too_much = np.sqrt((loadings**2).sum(axis=0) / _MOST_LOADED)
    return np.asarray(loadings / np.maximum(too_much, 1.0), dtype=np.float32)


def _loaded_variance(loadings: NDArray[np.float32], common: np.float32) -> NDArray[np.float64]:
    """(d,) variance of each characteristic from the factors, given their common component."""
    covariance = np.full((len(loadings), len(loadings)), float(common) ** 2)
    np.fill_diagonal(covariance, 1.0)
    return np.asarray(np.einsum("kd,kl,ld->d", loadings, covariance, loadings))


def _stationary(
    rho: NDArray[np.float32], factor_rho: NDArray[np.float32], loadings: NDArray[np.float32], own: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(d + k, d + k) lower Cholesky factor of the stationary covariance of characteristics and factors.

    For AR(1)s with innovations of covariance C, entry ij is C_ij sqrt((1 - r_i^2)(1 - r_j^2)) / (1 - r_i r_j): at
    different speeds, characteristics correlate less than their innovations.
    """
    k = len(loadings)
    factors = np.full((k, k), float(_COMMON) ** 2)
    np.fill_diagonal(factors, 1.0)
    to_both = np.hstack([loadings.astype(np.float64), np.eye(k)])
    covariance = to_both.T @ factors @ to_both
    covariance[np.arange(len(rho)), np.arange(len(rho))] += own.astype(np.float64) ** 2
    r = np.concatenate([rho, factor_rho]).astype(np.float64)
    scale = np.sqrt(1 - r**2)
    covariance *= np.outer(scale, scale) / (1 - np.outer(r, r))
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float32)


def _draw_starts(d: int, first_era: int, rng: np.random.Generator) -> NDArray[np.int64]:
    starts = np.full(d, first_era, dtype=np.int64)
    late = rng.choice(d, size=max(2, int(_LATE_SHARE * d)), replace=False)
    starts[late] += rng.integers(5, _LATE_WITHIN_ERAS, size=len(late))
    return starts
