"""Functions of characteristics that pay: linear, quadratic, and products of two characteristics of one group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("linear", "quadratic", "interactions")

# Numerai's example models keep 60 to 100 % of their score when they are made neutral to the features they use: little of
# the expected return is linear. Of what is not an interaction, this share of the variance.
_LINEAR = 0.20
# Sizes of premia are log-normal with this spread.
_SPREAD = 0.25
# Weeks that a 60-day window touches.
_WINDOW_WEEKS = 13
# Effects of each kind as a share of the characteristics, and the least number.
_COUNTS = {"linear": (0.05, 4), "quadratic": (0.013, 3), "interactions": (0.016, 3)}


@dataclass(frozen=True)
class Effects:
    """e = l + q + p Hermite forms of d characteristics.

    linear (l,), square (q,), pairs (p, 2): columns of the characteristics.  rho (e,): weekly persistence of each form.
    """

    linear: NDArray[np.intp]
    square: NDArray[np.intp]
    pairs: NDArray[np.intp]
    rho: NDArray[np.float64]

    def kinds(self) -> NDArray[np.intp]:
        """(e,) place in KINDS of each effect."""
        return np.repeat(np.arange(3), [len(self.linear), len(self.square), len(self.pairs)])

    def lasting(self) -> NDArray[np.float64]:
        """(e,) share of each form that is left on average over a 60-day window."""
        return np.asarray((self.rho[:, None] ** np.arange(_WINDOW_WEEKS)).mean(axis=1))

    def columns(self) -> NDArray[np.intp]:
        """(c,) ascending columns that any effect reads."""
        return np.unique(np.concatenate([self.linear, self.square, self.pairs.ravel()]))

    def among(self, columns: NDArray[np.intp]) -> "Effects":
        """The same effects on x[:, columns]; columns (c,) ascending, none missing that an effect reads."""
        linear, square, pairs = (np.searchsorted(columns, read) for read in (self.linear, self.square, self.pairs))
        return Effects(linear, square, pairs, self.rho)

    def forms(self, x: NDArray[np.float32], square: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, e) the forms of (n, d) x, given (x^2 - 1)/sqrt(2), or what is expected of each, as `square`."""
        first, second = self.pairs.T
        return np.concatenate([x[:, self.linear], square[:, self.square], x[:, first] * x[:, second]], axis=1)


def draw_effects(groups: tuple[str, ...], rho: NDArray[np.float32], rng: np.random.Generator) -> Effects:
    """Effects on (d,) characteristics. Quick ones pay little over weeks: most effects sit on what persists."""
    d = len(groups)
    weight = np.where(rho > 0.8, 1.0, 0.1)
    weight /= weight.sum()
    count = {kind: max(least, round(d * share)) for kind, (share, least) in _COUNTS.items()}
    linear = np.sort(rng.choice(d, size=count["linear"], replace=False, p=weight))
    square = np.sort(rng.choice(d, size=count["quadratic"], replace=False, p=weight))
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < count["interactions"]:
        first = int(rng.choice(d, p=weight))
        others = [i for i, group in enumerate(groups) if group == groups[first] and i != first]
        chance = weight[others] / weight[others].sum()
        second = int(rng.choice(others, p=chance))
        pairs.add((min(first, second), max(first, second)))
    both = np.array(sorted(pairs), dtype=np.intp)
    rho64 = rho.astype(np.float64)
    persistence = np.concatenate([rho64[linear], rho64[square] ** 2, rho64[both[:, 0]] * rho64[both[:, 1]]])
    return Effects(linear.astype(np.intp), square.astype(np.intp), both, persistence)


def draw_strengths(effects: Effects, interactions: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(e,) signed premia, log-normal in size; `interactions` is their share of the variance.

    The return to be expected over 60 days has unit variance, per day: so that there is as much to find whether the
    effects happen to sit on slow characteristics or on quick ones.
    """
    linear = (1 - interactions) * _LINEAR
    share = np.array([linear, 1 - interactions - linear, interactions])
    raw = rng.lognormal(0.0, _SPREAD, len(effects.rho)) * rng.choice([-1.0, 1.0], len(effects.rho))
    # What fades sooner pays more while it lasts; else the few slowest effects would be all there is over 60 days.
    raw /= np.sqrt(effects.lasting())
    kinds = effects.kinds()
    total = np.bincount(kinds, (raw * effects.lasting()) ** 2, minlength=3)
    return np.asarray(raw * np.sqrt(share / total)[kinds])


def draw_regimes(
    effects: Effects, groups: tuple[str, ...], regimes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(regimes, e) premia of each regime: scaled as `draw_strengths` does, on average, and zero in the mean over regimes.

    A group's effects change their sign together from regime to regime, and one kind of effect leads in each regime: so
    what is learnt over all regimes is worth nothing in any, and both sign and shape change.
    """
    size = draw_strengths(effects, 1 / 3, rng)
    kinds = effects.kinds()
    column = np.concatenate([effects.linear, effects.square, effects.pairs[:, 0]])
    names = sorted(set(groups))
    sign = rng.choice([-1.0, 1.0], (regimes, len(names)))
    of_group = np.array([names.index(groups[i]) for i in column])
    leads = np.where(kinds[None, :] == (np.arange(regimes) % 3)[:, None], 1.0, 0.4)
    premia = sign[:, of_group] * leads * size
    premia -= premia.mean(axis=0)
    return np.asarray(premia / np.sqrt(((premia * effects.lasting()) ** 2).sum(axis=1).mean()))
