"""Numerai's scores: of many predictions over many eras at once.

The definitions are those of numerai-tools 0.7 (`numerai_corr`, `correlation_contribution`), which is the oracle in the
tests; there they take one era as pandas frames, here columns of arrays.

A score costs one sort of each prediction in each era: a tie-kept rank is a multiple of one half, so its normal quantile
comes from a table of the 2n there can be, and a ranking is shared by all scores that count the same rows.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]

# Numerai docs, "Staking": payout of a round is clip(3 x CORR + 15 x MMC on the 60-day target, -1, 1) since round 1343.
PAYOUT_CORR, PAYOUT_MMC, PAYOUT_CLIP = 3.0, 15.0, 1.0
# Cells ranked at once: 2 MiB of float64, so that the passes over them stay in the cache of one core.
_CELLS = 1 << 18


class Score(NamedTuple):
    """A score to compute: CORR with a target (n,), or the contribution beyond a reference (n,) to it where one is given."""

    target: NDArray[np.floating]
    reference: NDArray[np.floating] | None = None


def score_eras(
    predictions: NDArray[np.floating], rows_of_era: Sequence[int], wanted: Mapping[str, Score]
) -> dict[str, Array]:
    """(eras, m) float64 of each wanted score of predictions (n, m), whose rows of an era are contiguous.

    predictions may be memory-mapped: about 2 MiB of them are worked on at a time. Rows whose target or reference is NaN
    count for nothing in that score. NaN for a constant prediction or reference, for a prediction with a NaN among the
    rows that count, and where no row counts. Raises ScoringError when lengths differ.
    """
    rows, columns = predictions.shape
    lengths = {f"target of {name}": len(score.target) for name, score in wanted.items()}
    lengths |= {f"reference of {name}": len(s.reference) for name, s in wanted.items() if s.reference is not None}
    for what, length in {"rows of the eras together": sum(rows_of_era), **lengths}.items():
        if length != rows:
            raise ScoringError(f"{what}: {length:,}, but there are {rows:,} rows of predictions")
    scores = {name: np.full((len(rows_of_era), columns), np.nan) for name in wanted}
    start = 0
    for era, length in enumerate(rows_of_era):
        of_era = slice(start, start + length)
        start += length
        width = max(1, _CELLS // max(length, 1))
        for left in range(0, columns, width):
            some = slice(left, left + width)
            for name, values in _score_block(predictions[of_era, some], of_era, wanted).items():
                scores[name][era, some] = values
    return scores


def corr(predictions: NDArray[np.floating], target: NDArray[np.floating]) -> Array:
    """(m,) CORR of predictions (n, m) with a target (n,) of one era; NaN for a constant prediction.

    Pearson correlation of the 1.5th powers of the gaussianised ranks and of the centred target.
    Rows whose target is NaN count for nothing.
    """
    return np.asarray(score_eras(predictions, [len(predictions)], {"corr": Score(target)})["corr"][0])


def contribution(
    predictions: NDArray[np.floating], reference: NDArray[np.floating], target: NDArray[np.floating]
) -> Array:
    """(m,) contribution beyond a reference (n,): MMC where it is the meta model, BMC where it is a benchmark.

    Gaussianised ranks are made orthogonal to the reference's; the score is their mean product with the centred target,
    which is scaled to 0..4 when it lies in 0..1. NaN for a constant prediction or reference.
    """
    return np.asarray(score_eras(predictions, [len(predictions)], {"mmc": Score(target, reference)})["mmc"][0])


def gaussian_ranks(scores: NDArray[np.floating]) -> Array:
    """(n, m) normal quantiles of tie-kept ranks, (rank - 0.5) / n, of each column of (n, m); NaN for one with a NaN."""
    return np.asarray(_gaussian_rows(scores).T)


def signed_power(values: Array, exponent: float = 1.5) -> Array:
    """sign(x) |x|^exponent, elementwise."""
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)


def payout(corr60: Array, mmc60: Array) -> Array:
    """Return of a stake on each round: 3 x CORR + 15 x MMC, clipped to -1..1."""
    return np.asarray(np.clip(PAYOUT_CORR * corr60 + PAYOUT_MMC * mmc60, -PAYOUT_CLIP, PAYOUT_CLIP))


def max_drawdown(scores: Array) -> float:
    """Largest fall of the cumulative sum of per-era scores from an earlier peak (>= 0)."""
    total = np.cumsum(scores)
    return float((np.maximum.accumulate(total) - total).max()) if len(scores) else float("nan")


def sharpe(scores: Array) -> float:
    """Mean over standard deviation (ddof 0) of per-era scores; NaN without variation."""
    spread = float(np.std(scores)) if len(scores) and np.ptp(scores) > 0 else 0.0
    return float(np.mean(scores)) / spread if spread > 0 else float("nan")


def _score_block(predictions: NDArray[np.floating], of_era: slice, wanted: Mapping[str, Score]) -> dict[str, Array]:
    """(m,) of each wanted score of predictions (n, m), which are of the rows `of_era` of the targets and references."""
    ranked: dict[tuple[int, bytes], Array] = {}

    def ranks(values: NDArray[np.floating], owner: object, known: NDArray[np.bool_]) -> Array:
        # What is ranked once serves every score over the same rows.
        key = id(owner), known.tobytes()
        if key not in ranked:
            ranked[key] = _gaussian_rows(values if known.all() else values[known])
        return ranked[key]

    scores = {}
    for name, (target, reference) in wanted.items():
        known = ~np.isnan(target[of_era])
        if reference is not None:
            known &= ~np.isnan(reference[of_era])
        if not known.any():
            continue
        ours, aim = ranks(predictions, predictions, known), np.asarray(target[of_era][known], np.float64)
        if reference is None:
            scores[name] = _corr(ours, aim)
        else:
            scores[name] = _contribution(ours, ranks(reference[of_era, None], reference, known)[0], aim)
    return scores


def _corr(ours: Array, target: Array) -> Array:
    """(m,) from gaussianised ranks (m, n) and a target (n,)."""
    left = np.abs(ours)
    np.sqrt(left, out=left)
    left *= ours  # sign(x) |x|^1.5, in place
    left -= left.mean(axis=1, keepdims=True)
    right = signed_power(target - target.mean())
    right -= right.mean()
    norm = np.sqrt(np.einsum("ij,ij->i", left, left) * (right @ right))
    return np.asarray(np.divide(left @ right, norm, out=np.full(len(ours), np.nan), where=norm > 0))


def _contribution(ours: Array, theirs: Array, target: Array) -> Array:
    """(m,) from gaussianised ranks (m, n), those of the reference (n,) and a target (n,)."""
    aim = target * 4 if ((target >= 0) & (target <= 1)).all() else target
    aim = aim - aim.mean()
    if not theirs.any():
        return np.full(len(ours), np.nan)
    # (ours - theirs k) aim = ours (aim - theirs (theirs aim) / (theirs theirs)): one vector changes instead of m.
    score = ours @ (aim - theirs * ((theirs @ aim) / (theirs @ theirs))) / len(aim)
    # Ranks of a constant are all the middle one, whose quantile is 0.
    return np.asarray(np.where(ours.any(axis=1), score, np.nan))


def _gaussian_rows(scores: NDArray[np.floating]) -> Array:
    """(m, n) gaussianised ranks of the columns of (n, m): rows are contiguous, which is what sorting wants."""
    values = np.ascontiguousarray(scores.T)
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, axis=1)
    columns, rows = values.shape
    quantile = _quantiles(rows)
    out = np.empty((columns, rows))
    np.put_along_axis(out, order, quantile[1::2], axis=1)
    for column in np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1)):
        first = np.flatnonzero(np.concatenate([[True], ranked[column, 1:] != ranked[column, :-1]]))
        counts = np.diff(first, append=rows)
        # Places first..first+count-1, from 0: their mean rank less a half is (2 first + count) / 2.
        out[column, order[column]] = np.repeat(quantile[2 * first + counts], counts)
    out[np.isnan(ranked[:, -1:]).any(axis=1)] = np.nan  # NaN sorts last
    return out


@lru_cache(maxsize=16)
def _quantiles(rows: int) -> Array:
    """(2 rows,) normal quantiles of k / (2 rows); the first, minus infinity, is of no rank."""
    table = np.asarray(ndtri(np.arange(2 * rows) / (2 * rows)))
    table.flags.writeable = False
    return table
