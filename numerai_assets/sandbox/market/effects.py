"""Effects: functions of characteristics that earn a premium: linear, quadratic, and products within a group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("linear", "quadratic", "interactions")

# Linear share of the variance without interactions. Numerai's example models keep 60 to 100 % of their score when they
# are neutralised to the features that they use, so little of the expected return is linear.
_LINEAR = 0.20
# Std of the log of the premia.
_LOG_STD = 0.25
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
        """(e,) index in KINDS of each effect."""
        return np.repeat(np.arange(3), [len(self.linear), len(self.square), len(self.pairs)])

    def lasting(self) -> NDArray[np.float64]:
        """(e,) mean remaining share of each form over a 60-day window."""
        return np.asarray((self.rho[:, None] ** np.arange(_WINDOW_WEEKS)).mean(axis=1))

    def columns(self) -> NDArray[np.intp]:
        """(c,) ascending columns that any effect reads."""
        return np.unique(np.concatenate([self.linear, self.square, self.pairs.ravel()]))

    def among(self, columns: NDArray[np.intp]) -> "Effects":
        """The same effects on x[:, columns]; columns (c,) ascending, with all that an effect reads."""
        linear, square, pairs = (np.searchsorted(columns, read) for read in (self.linear, self.square, self.pairs))
        return Effects(linear, square, pairs, self.rho)

    def forms(self, x: NDArray[np.float32], square: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, e) the forms of (n, d) x, given square = (x^2 - 1)/sqrt(2); or of the expected values of both."""
        first, second = self.pairs.T
        return np.concatenate([x[:, self.linear], square[:, self.square], x[:, first] * x[:, second]], axis=1)


def draw_effects(groups: tuple[str, ...], rho: NDArray[np.float32], rng: np.random.Generator) -> Effects:
    """Effects on (d,) characteristics, most of them on persistent ones: quick ones pay little over weeks."""
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

    The expected return over 60 days has unit variance per day: the signal is equally strong whether the effects are on
    slow or on quick characteristics.
    """
    linear = (1 - interactions) * _LINEAR
    share = np.array([linear, 1 - interactions - linear, interactions])
    raw = rng.lognormal(0.0, _LOG_STD, len(effects.rho)) * rng.choice([-1.0, 1.0], len(effects.rho))
    # Effects that fade sooner pay more while they last; otherwise the slowest few would be the whole signal of 60 days.
    raw /= np.sqrt(effects.lasting())
    kinds = effects.kinds()
    total = np.bincount(kinds, (raw * effects.lasting()) ** 2, minlength=3)
    return np.asarray(raw * np.sqrt(share / total)[kinds])


def draw_regimes(
    effects: Effects, groups: tuple[str, ...], regimes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(regimes, e) premia of each regime: scaled as `draw_strengths` does, on average, and zero in the mean over regimes.

    The effects of a group change sign together from regime to regime, and one kind of effect dominates in each regime: a
    model learned over all regimes is worth nothing in any of them, as sign and shape both change.
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
