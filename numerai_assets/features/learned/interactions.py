"""Interactions of pairs of features: found on the earlier eras of a panel, kept if the later ones confirm them.

1. All pairs are searched by the products of their contrasts (`pair_search`) on the earlier half of the eras.
2. The best of them get a table of the target over their 5 x 5 levels, with the additive effects of both taken out. Each
   form (a product, a distance, a ratio or the table itself) is valued by the variance that it explains, less the variance
   that chance explains (Akaike: 2 a parameter). A pair takes its best form.
3. The later half of the eras, a purge away, confirms the effect of the form beyond additive ones. The test is so strict
   that a search through noise is expected to confirm `expected_false` pairs in total.

A pair is tested given only its own two features. Where both are proxies of a third feature, the square of the third looks
like their product and is confirmed as such. Numerai's targets have almost no such effects of single features.

The search is bounded by counts, never by a clock, so the same panel gives the same columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import norm
from scipy.stats import t as student

from numerai_assets.eras import first_era_after, horizon_of, purge, spanned_eras
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FittedBlock
from numerai_assets.features.fitting.levels import LEVELS
from numerai_assets.features.fitting.training_eras import eras_to_fit
from numerai_assets.features.learned.pair_search import (
    CELLS,
    EraCells,
    best_pairs,
    beyond_additive,
    cell_sums,
    cells_of,
)
from numerai_assets.features.per_era.aggregates import ranks_within
from numerai_assets.features.plots import empty_axes, png
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import standardised
from numerai_assets.progress import Progress, silent

Array = NDArray[np.float64]
Reader = Callable[[], EraCells]

_FIRST, _SECOND = (np.asarray(level.ravel(), np.float64) for level in np.divmod(np.arange(CELLS), LEVELS))
FORMS: dict[str, Array] = {
    "product": (_FIRST - 2) * (_SECOND - 2),
    # A difference is additive: a model that has both features has it. Its size is not.
    "distance": np.abs(_FIRST - _SECOND),
    "ratio": (_FIRST + 1) / (_SECOND + 1),
    "inverse_ratio": (_SECOND + 1) / (_FIRST + 1),
}
"""(25,) value of each form in each cell of a pair's table; the remaining form is "cells", the learned table."""
LEARNED = "cells"

_FREEDOM = (LEVELS - 1) ** 2
_FEWEST_STRETCHES = 3
_TABLES = "tables.npy"


@dataclass(kw_only=True, eq=False, repr=False)
class Interactions(FittedBlock):
    """Columns of confirmed pairs: rank of the pair's form in the era, mapped to (-1, 1), float16; NaN where one is missing.

    pairs: columns at most; fewer, even none, if fewer are confirmed. candidates: pairs that get a table. expected_false:
    mean number of pairs confirmed when no feature is related to the target. pairs_of_feature: columns that one feature may
    be in. every_eras: fit on every n-th era, counted back from the newest.
    """

    name: ClassVar[str] = "interactions"
    version: ClassVar[int] = 1

    pairs: int = 64
    candidates: int = 2048
    expected_false: float = 0.5
    pairs_of_feature: int = 4
    every_eras: int = 4

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Searches the panel's eras whose `target` is known. The fit is not random: `seed` changes nothing.

        Raises FeatureError when either half of the eras has fewer than three stretches that share no returns.
        """
        early, late = halves(eras_to_fit(panel, target, self.every_eras, block=self.name), horizon_of(target))
        to_find, to_confirm = (
            [[partial(_read, panel, target, era) for era in stretch] for stretch in half] for half in (early, late)
        )
        count = sum(map(len, early))
        steps = iter(range(1, count + 1))
        found = best_pairs(
            to_find,
            len(panel.feature_names),
            self.candidates,
            lambda: progress("eras searched for interactions", next(steps), count),
        )
        sums, rows = _tables(to_find, found, progress, "eras tabulated")
        forms, values, gains = _forms(sums.sum(axis=0), rows)
        sums, rows = _tables(to_confirm, found, progress, "eras to confirm")
        strength = _strength(sums, rows, values)
        level = norm.isf(self.expected_false / max(len(found), 1))
        confirmed = np.flatnonzero((strength > level) & (gains > 0))
        kept = self._spread(found, confirmed[np.argsort(-strength[confirmed], kind="stable")])
        self.tables_ = values[kept]
        self.strength_ = strength[kept]
        self.forms_ = tuple(forms[place] for place in kept)
        self._name(tuple(tuple(panel.feature_names[f] for f in pair) for pair in found[kept]))
        return self

    def transform(self, panel: EraPanel) -> Columns:
        """(k, n) float16 of a panel of one era with at least the features fitted on. StoreError for one it does not have."""
        places = np.array([panel.places_of(pair) for pair in self.pairs_], np.intp).reshape(-1, 2)
        cells = cells_of(panel.blocks[0], places)
        tables = np.hstack([self.tables_, np.full((len(places), 1), np.nan)])
        return ranks_within(np.take_along_axis(tables, cells.astype(np.intp), axis=1)).astype(np.float16)

    def save(self, folder: Path) -> None:
        """Writes the tables as .npy, parameters and pairs as about.json."""
        np.save(folder / _TABLES, self.tables_, allow_pickle=False)
        about = {
            "parameters": self.get_params(),
            "pairs": self.pairs_,
            "forms": self.forms_,
            "strength": self.strength_.tolist(),
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.tables_ = np.load(folder / _TABLES, allow_pickle=False)
        block.strength_ = np.array(about["strength"])
        block.forms_ = tuple(about["forms"])
        block._name(tuple(tuple(pair) for pair in about["pairs"]))
        return block

    def picture(self) -> bytes:
        """The value of each cell for the strongest dozen of pairs, with their z on the later eras."""
        shown = min(12, len(self.names_))
        if not shown:
            figure, (axis,) = empty_axes(1, 1, height=1.2)
            axis.set_axis_off()
            axis.text(0, 0.5, "no interaction was confirmed on the later eras", fontsize=10)
            return png(figure)
        figure, axes = empty_axes(-(-shown // 4), 4, height=2.8 * -(-shown // 4))
        for place, axis in enumerate(axes):
            if place >= shown:
                axis.set_axis_off()
                continue
            axis.imshow(self.tables_[place].reshape(LEVELS, LEVELS), cmap="RdBu_r", origin="lower")
            first, second = (feature.removeprefix("feature_") for feature in self.pairs_[place])
            axis.set_ylabel(first[:24], fontsize=7)
            axis.set_xlabel(second[:24], fontsize=7)
            axis.set_title(f"{self.forms_[place]}, z {self.strength_[place]:.1f}", loc="left", fontsize=8)
        return png(figure)

    def _name(self, pairs: tuple[tuple[str, ...], ...]) -> None:
        self.pairs_ = pairs
        self.names_ = tuple(f"{form}({'*'.join(pair)})" for form, pair in zip(self.forms_, pairs, strict=True))
        self.feature_names_ = tuple(dict.fromkeys(feature for pair in pairs for feature in pair))

    def _spread(self, found: NDArray[np.intp], order: NDArray[np.intp]) -> NDArray[np.intp]:
        """The first `pairs` indices of `order` that leave no feature in more than `pairs_of_feature` of them."""
        used: dict[int, int] = {}
        kept: list[int] = []
        for place in order:
            pair = found[place].tolist()
            if len(kept) < self.pairs and all(used.get(feature, 0) < self.pairs_of_feature for feature in pair):
                kept.append(int(place))
                used |= {feature: used.get(feature, 0) + 1 for feature in pair}
        return np.array(kept, np.intp)


def halves(eras: Sequence[int], horizon: int) -> tuple[list[list[int]], list[list[int]]]:
    """Stretches of the earlier and of the later half of `eras`, a purge apart.

    A stretch is as many calendar eras as a target of `horizon` weekdays spans, so that two stretches share returns of
    their targets at their edges at most. Raises FeatureError for fewer than three in a half.
    """
    middle = len(eras) // 2
    early = list(eras[:middle])
    late = [era for era in eras[middle:] if early and era >= first_era_after(early[-1], horizon)]
    span = spanned_eras(horizon)
    cut = [[list(stretch) for _, stretch in groupby(half, key=lambda era: era // span)] for half in (early, late)]
    if min(map(len, cut)) < _FEWEST_STRETCHES:
        raise FeatureError(
            f"interactions: of {len(eras)} eras with the target, the halves have {len(cut[0])} and {len(cut[1])} "
            f"stretches of {span} eras, a purge of {purge(horizon)} eras apart; each needs {_FEWEST_STRETCHES}"
        )
    return cut[0], cut[1]


def _read(panel: EraPanel, target: str, era: int) -> EraCells:
    of_era = panel.with_eras([era])
    return EraCells(of_era.blocks[0], standardised(of_era.target(target)))


def _tables(
    stretches: Sequence[Sequence[Reader]], pairs: NDArray[np.intp], progress: Progress, stage: str
) -> tuple[Array, Array]:
    """(stretches, p, 25) sums of the target in each cell and (p, 25) rows of all."""
    sums, rows = np.zeros((len(stretches), len(pairs), CELLS)), np.zeros((len(pairs), CELLS))
    for place, stretch in enumerate(stretches):
        for read in stretch:
            of_era, rows_of_era = cell_sums(read(), pairs)
            sums[place] += of_era
            rows += rows_of_era
        progress(stage, place + 1, len(stretches))
    return sums, rows


def _forms(sums: Array, rows: Array) -> tuple[list[str], Array, Array]:
    """Best form of each pair, its value in each cell (p, 25), with the sign of its effect, and its gain (p,)."""
    means = np.divide(sums, rows, out=np.zeros_like(sums), where=rows > 0)
    left = beyond_additive(means, rows)
    # The target has a mean square of 1, so a sum of squares weighted by rows is a chi-square by chance.
    gains, tables = [(rows * left**2).sum(axis=1) - 2 * _FREEDOM], [left]
    for form in FORMS.values():
        values = np.tile(form, (len(rows), 1))
        shape = beyond_additive(values, rows)
        moment, size = (rows * shape * left).sum(axis=1), (rows * shape**2).sum(axis=1)
        gains.append(np.divide(moment**2, size, out=np.zeros_like(size), where=size > 1e-9) - 2)
        tables.append(values * np.where(moment < 0, -1, 1)[:, None])
    best, every = np.argmax(gains, axis=0), np.arange(len(rows))
    names = [LEARNED, *FORMS]
    return [names[place] for place in best], np.stack(tables)[best, every], np.max(gains, axis=0)


def _strength(sums: Array, rows: Array, values: Array) -> Array:
    """(p,) moderated t over stretches of the effect of values (p, 25) beyond additive ones; a normal quantile.

    sums: (stretches, p, 25) of the target. There are few stretches, so the variance of an effect over them is drawn
    towards that of all pairs' (Smyth 2004, Linear models and empirical Bayes methods, eq. 6.9-6.10 and section 6.2).
    """
    shape = beyond_additive(values, rows)
    size = np.sqrt((rows * shape**2).sum(axis=1))
    effects = np.divide((sums * shape).sum(axis=2), size, out=np.zeros(sums.shape[:2]), where=size > 1e-9)
    freedom = len(effects) - 1
    variance = effects.var(axis=0, ddof=1)
    prior, usual = moderation(variance[variance > 0], freedom)
    share = prior / (prior + freedom) if np.isfinite(prior) else 1.0
    moderated = share * usual + (1 - share) * variance
    ratio = effects.mean(axis=0) / np.sqrt(moderated / len(effects))
    # Smaller probabilities than this are 0 in float64.
    return np.asarray(norm.isf(np.maximum(student.sf(ratio, prior + freedom), 1e-300)))


def moderation(variances: Array, freedom: int) -> tuple[float, float]:
    """Degrees of freedom (inf where variances (p,) differ by chance alone) and value of the prior they are drawn towards.

    freedom: that each variance was estimated with. By the moments of their logarithms.
    """
    if len(variances) < 2:
        return 0.0, 1.0
    logs = np.log(variances) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2))
    if excess <= 0:
        return np.inf, float(np.exp(logs.mean()))
    half = float(brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e9)) if 1e-9 < excess < 1e9 else 1e9
    return 2 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half)))
