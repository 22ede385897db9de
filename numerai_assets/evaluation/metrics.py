"""Numerai's scores, for many predictions over many eras at once.

The definitions are those of numerai-tools 0.7 (`numerai_corr`, `correlation_contribution`, `feature_neutral_corr`,
`spearman_correlation`, `pearson_correlation`, `tie_broken_rank_correlation`), which is the oracle in the tests; it takes
one era as pandas frames, this module takes columns of arrays.

A score needs one sort of each prediction in each era: a tie-kept rank is a multiple of one half, so its normal quantile
comes from a table of the 2n possible values, and all scores over the same rows share a ranking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]

# numerai-tools refuses to compare series that share fewer of their ids (DEFAULT_MAX_FILTERED_INDEX_RATIO = 0.2).
MIN_OVERLAP = 0.8
# Number of cells ranked at once: 2 MiB of float64, which stay in the cache of one core.
_CELLS = 1 << 18


class Kind(StrEnum):
    """Formulas of the scores, for a prediction s and a target t.

    r: tie-kept ranks. g: normal quantiles of (r - 0.5) / n. p: sign(x) |x|^1.5. c: less the mean.

    corr          Pearson(p(g(s)), p(c(t)))
    contribution  mean of c(t) times g(s) made orthogonal to g(reference): MMC, BMC
    fnc           CORR of g(s) neutralised to features
    cwmm          Pearson(p(g(s)), t), where t is the meta model
    spearman      Pearson(r(s), r(t))
    pearson       Pearson(s, t)
    tie_broken    Pearson(r'(s), t), where r' breaks ties by the order of rows, by id in numerai-tools; unlike there, NaN
                  for a constant, whose every rank is such a tie
    """

    CORR = "corr"
    CONTRIBUTION = "contribution"
    FNC = "fnc"
    CWMM = "cwmm"
    SPEARMAN = "spearman"
    PEARSON = "pearson"
    TIE_BROKEN = "tie_broken"


class Neutraliser(Protocol):
    """Neutralises predictions (n, m) of all rows of an era to its features: `neutralisation.EraFactor`."""

    def neutralise(self, values: Array, /) -> Array: ...


@dataclass(frozen=True, eq=False)
class Score:
    """A score to compute of predictions (n, m).

    target: (n,). reference: (n,), for a contribution. kind: None is CORR, or the contribution where there is a reference.
    neutralisers: for FNC, one per era, in the order of the eras; the sequence may make each on access, which happens once per
    era. Raises ScoringError for a kind without its inputs or with inputs of another kind.
    """

    target: NDArray[np.floating]
    reference: NDArray[np.floating] | None = None
    kind: Kind | None = None
    neutralisers: Sequence[Neutraliser] | None = None

    def __post_init__(self) -> None:
        for what, given, user in (
            ("references", self.reference, Kind.CONTRIBUTION),
            ("neutralisers", self.neutralisers, Kind.FNC),
        ):
            if (given is not None) != (self.measure is user):
                found = "none" if given is None else "some"
                raise ScoringError(f"score {self.measure}: {what} belong to {user} alone, found {found}")

    @property
    def measure(self) -> Kind:
        """The kind, with None resolved."""
        return self.kind or (Kind.CORR if self.reference is None else Kind.CONTRIBUTION)


def score_eras(
    predictions: NDArray[np.floating], rows_of_era: Sequence[int], wanted: Mapping[str, Score]
) -> dict[str, Array]:
    """(eras, m) float64 of each wanted score of predictions (n, m), whose rows of an era are contiguous.

    predictions may be memory-mapped: about 2 MiB are processed at a time. Rows whose target or reference is NaN are ignored
    in that score, except in the neutralising of FNC. NaN for a constant prediction or reference, for a constant target
    (0 for a contribution), for a prediction with a NaN among the rows that count, and for fewer than two rows.
    Raises ScoringError when lengths differ.
    """
    rows, columns = predictions.shape
    _check_lengths(rows, rows_of_era, wanted)
    scores = {name: np.full((len(rows_of_era), columns), np.nan) for name in wanted}
    neutralisers = {id(s.neutralisers): s.neutralisers for s in wanted.values() if s.neutralisers is not None}
    start = 0
    for era, length in enumerate(rows_of_era):
        if not length:
            continue
        of_era = slice(start, start + length)
        start += length
        at_hand = {key: of_eras[era] for key, of_eras in neutralisers.items()}
        width = max(1, _CELLS // length)
        for left in range(0, columns, width):
            some = slice(left, left + width)
            for name, values in _score_block(predictions[of_era, some], of_era, at_hand, wanted).items():
                scores[name][era, some] = values
    return scores


def score_era(predictions: NDArray[np.floating], score: Score) -> Array:
    """(m,) of predictions (n, m) of one era; as `score_eras`."""
    return np.asarray(score_eras(predictions, [len(predictions)], {"only": score})["only"][0])


def corr(predictions: NDArray[np.floating], target: NDArray[np.floating]) -> Array:
    """(m,) CORR of predictions (n, m) with a target (n,) of one era; NaN for a constant prediction.

    Pearson correlation of the 1.5th powers of the gaussianised ranks and of the centred target.
    Rows with a NaN target are ignored.
    """
    return score_era(predictions, Score(target))


def contribution(
    predictions: NDArray[np.floating], reference: NDArray[np.floating], target: NDArray[np.floating]
) -> Array:
    """(m,) contribution beyond a reference (n,): MMC where it is the meta model, BMC where it is a benchmark.

    Gaussianised ranks are made orthogonal to the reference's; the score is their mean product with the centred target,
    which is scaled to 0..4 when it lies in 0..1. NaN for a constant prediction or reference.
    """
    return score_era(predictions, Score(target, reference))


def gaussian_ranks(scores: NDArray[np.floating]) -> Array:
    """(n, m) normal quantiles of tie-kept ranks, (rank - 0.5) / n, of each column of (n, m); NaN for one with a NaN."""
    return np.asarray(_Ranking(scores).gaussian.T)


def tie_kept_ranks(scores: NDArray[np.floating]) -> Array:
    """(n, m) ranks from 1 of each column of (n, m), ties sharing their mean; NaN for a column with a NaN."""
    return np.asarray(_Ranking(scores).tie_kept.T)


def signed_power(values: Array, exponent: float = 1.5) -> Array:
    """sign(x) |x|^exponent, elementwise."""
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)


def pearson_rows(left: NDArray[np.floating], right: NDArray[np.floating]) -> Array:
    """(m,) Pearson correlation of each row of (m, n) with (n,), or with the same row of (m, n).

    NaN for a constant, for fewer than two values, and where there is a NaN.
    """
    return _pearson_of(np.array(left, np.float64), np.asarray(right, np.float64))


class _Ranking:
    """The columns of (n, m), sorted once; all arrays are (m, n) with contiguous rows, which sort fastest."""

    def __init__(self, scores: NDArray[np.floating]) -> None:
        self.values = np.ascontiguousarray(scores.T)

    @cached_property
    def gaussian(self) -> Array:
        return self._from_table(_quantiles(self.values.shape[1]))

    @cached_property
    def tie_kept(self) -> Array:
        return self._from_table(np.arange(2 * self.values.shape[1]) / 2 + 0.5)

    @cached_property
    def tie_broken(self) -> Array:
        rows = self.values.shape[1]
        out = np.empty(self.values.shape)
        order = np.argsort(self.values, axis=1, kind="stable")
        np.put_along_axis(out, order, np.arange(1.0, rows + 1)[None], axis=1)
        varies = self.values.min(axis=1) < self.values.max(axis=1)
        out[~varies] = np.nan
        return out

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.argsort(self.values, axis=1)

    def _from_table(self, table: Array) -> Array:
        """Entry of `table` (2n,) at twice the rank less one of each value; ranks are tie-kept and begin at 1."""
        order, rows = self._order, self.values.shape[1]
        ranked = np.take_along_axis(self.values, order, axis=1)
        out = np.empty(self.values.shape)
        np.put_along_axis(out, order, table[1::2], axis=1)
        for column in np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1)):
            first = np.flatnonzero(np.concatenate([[True], ranked[column, 1:] != ranked[column, :-1]]))
            counts = np.diff(first, append=rows)
            # Positions first..first+count-1, from 0: their mean rank less a half is (2 first + count) / 2.
            out[column, order[column]] = np.repeat(table[2 * first + counts], counts)
        out[np.isnan(ranked[:, -1:]).any(axis=1)] = np.nan  # NaN sorts last
        return out


def _check_lengths(rows: int, rows_of_era: Sequence[int], wanted: Mapping[str, Score]) -> None:
    lengths = {f"target of {name}": len(score.target) for name, score in wanted.items()}
    lengths |= {f"reference of {name}": len(s.reference) for name, s in wanted.items() if s.reference is not None}
    for what, length in {"rows of the eras together": sum(rows_of_era), **lengths}.items():
        if length != rows:
            raise ScoringError(f"{what}: {length:,}, but there are {rows:,} rows of predictions")
    for name, score in wanted.items():
        if score.neutralisers is not None and len(score.neutralisers) != len(rows_of_era):
            raise ScoringError(
                f"neutralisers of {name}: {len(score.neutralisers)}, but there are {len(rows_of_era)} eras"
            )


def _score_block(
    predictions: NDArray[np.floating],
    of_era: slice,
    neutralisers: Mapping[int, Neutraliser],
    wanted: Mapping[str, Score],
) -> dict[str, Array]:
    """(m,) of each wanted score of predictions (n, m) of the rows `of_era` of the targets and references.

    neutralisers: of the era, by the identity of their sequence.
    """
    rankings: dict[tuple[int, bytes], _Ranking] = {}
    neutral: dict[int, Array] = {}

    def ranking(values: NDArray[np.floating], owner: object, known: NDArray[np.bool_]) -> _Ranking:
        # One ranking serves every score over the same rows.
        key = id(owner), known.tobytes()
        if key not in rankings:
            rankings[key] = _Ranking(values if known.all() else values[known])
        return rankings[key]

    def neutralised(key: int) -> Array:
        if key not in neutral:
            every = ranking(predictions, predictions, np.ones(len(predictions), bool)).gaussian.T
            neutral[key] = _without_features(every, neutralisers[key])
        return neutral[key]

    scores = {}
    for name, score in wanted.items():
        target, reference = score.target, score.reference
        known = ~np.isnan(target[of_era])
        if reference is not None:
            known &= ~np.isnan(reference[of_era])
        if not known.any():
            continue
        known_target = np.asarray(target[of_era][known], np.float64)
        if score.neutralisers is not None:
            values = neutralised(id(score.neutralisers))
            scores[name] = _corr(ranking(values, values, known).gaussian, known_target)
            continue
        ours = ranking(predictions, predictions, known)
        if reference is not None:
            theirs = ranking(reference[of_era, None], reference, known).gaussian[0]
            scores[name] = _contribution(ours.gaussian, theirs, known_target)
        elif score.measure is Kind.CWMM:
            scores[name] = _pearson_of(_powers(ours.gaussian), known_target)
        elif score.measure is Kind.SPEARMAN:
            scores[name] = pearson_rows(ours.tie_kept, ranking(target[of_era, None], target, known).tie_kept[0])
        elif score.measure is Kind.PEARSON:
            scores[name] = pearson_rows(ours.values, known_target)
        elif score.measure is Kind.TIE_BROKEN:
            scores[name] = pearson_rows(ours.tie_broken, known_target)
        else:
            scores[name] = _corr(ours.gaussian, known_target)
    return scores


def _without_features(gaussian: Array, neutraliser: Neutraliser) -> Array:
    """(n, m) neutralised; a column with NaN stays NaN and does not disturb the others."""
    whole = ~np.isnan(gaussian[0])
    if whole.all():
        return neutraliser.neutralise(gaussian)
    out = np.full(gaussian.shape, np.nan)
    if whole.any():
        out[:, whole] = neutraliser.neutralise(gaussian[:, whole])
    return out


def _pearson_of(left: Array, right: Array) -> Array:
    """`pearson_rows`, overwriting `left`: a copy would cost as much as the sums."""
    # The mean is rounded, so a centred constant need not be 0: constants are detected by their values.
    varies = (left.min(axis=-1) < left.max(axis=-1)) & (right.min(axis=-1) < right.max(axis=-1))
    left -= left.mean(axis=-1, keepdims=True)
    right = right - right.mean(axis=-1, keepdims=True)
    products = left @ right if right.ndim == 1 else np.einsum("ij,ij->i", left, right)
    norms = np.sqrt(np.einsum("ij,ij->i", left, left) * np.einsum("...j,...j->...", right, right))
    return np.asarray(np.divide(products, norms, out=np.full(len(left), np.nan), where=varies & (norms > 0)))


def _powers(gaussian: Array) -> Array:
    """sign(x) |x|^1.5, with a square root, which is faster than a power."""
    powers = np.abs(gaussian)
    np.sqrt(powers, out=powers)
    powers *= gaussian
    return powers


def _corr(ours: Array, target: Array) -> Array:
    """(m,) from gaussianised ranks (m, n) and a target (n,)."""
    if target.min() == target.max():
        return np.full(len(ours), np.nan)
    return _pearson_of(_powers(ours), signed_power(target - target.mean()))


def _contribution(ours: Array, theirs: Array, target: Array) -> Array:
    """(m,) from gaussianised ranks (m, n), those of the reference (n,) and a target (n,)."""
    scaled = target * 4 if ((target >= 0) & (target <= 1)).all() else target
    centred = scaled - scaled.mean() if scaled.min() < scaled.max() else np.zeros_like(scaled)
    if not theirs.any():
        return np.full(len(ours), np.nan)
    # (ours - theirs k) t = ours (t - theirs (theirs t) / (theirs theirs)): one vector changes instead of m.
    score = ours @ (centred - theirs * ((theirs @ centred) / (theirs @ theirs))) / len(centred)
    # All ranks of a constant are the middle one, whose quantile is 0.
    return np.asarray(np.where(ours.any(axis=1), score, np.nan))


@lru_cache(maxsize=16)
def _quantiles(rows: int) -> Array:
    """(2 rows,) normal quantiles of k / (2 rows); the first, minus infinity, belongs to no rank."""
    table = np.asarray(ndtri(np.arange(2 * rows) / (2 * rows)))
    table.flags.writeable = False
    return table
