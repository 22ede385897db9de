"""Standard errors of means over eras whose targets overlap, and intervals and tests made of them.

Eras are numbered, so a series may have gaps: covariances count pairs of eras by their distance in the calendar (Parzen
1963, "On spectral analysis with missing observations": a missing era is a zero of the centred series), with the weights
of Newey and West (1987, eq. 5). NaN: a missing era.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.stats import t as student

from numerai_assets.eras import spanned_eras
from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The mean of a score over eras, with its error and the quality of that error.

    error: Newey-West standard error, NaN for fewer than two eras. seen: expected share of the true variance of the mean in
    the squared error when targets overlap fully, that is when the correlation of eras l apart is the share of returns that
    they have in common; the rest is lost to the subtracted mean and to the weights of the kernel.
    degrees: degrees of freedom of the squared error in the same case, by its first two moments (Satterthwaite 1946).

    Intervals are somewhat too wide for scores with less overlap: of 100 intervals at 0.9, 90 contain the true mean under full
    overlap, and 96 for independent scores (98 for a year of eras). Intervals that assume independent scores would contain it
    in 80 of 100 cases under full overlap, for any number of eras.
    """

    eras: int
    mean: float
    error: float
    seen: float
    degrees: float

    @property
    def cautious_error(self) -> float:
        """The error of the mean under full overlap; `p` and `interval` use it."""
        return self.error / math.sqrt(self.seen)

    @property
    def t(self) -> float:
        """Mean over error: 0 when all scores are 0, infinite for any other constant."""
        if self.mean == 0 and self.error == 0:
            return 0.0
        return self.mean / self.error if self.error != 0 else math.copysign(math.inf, self.mean)

    @property
    def p(self) -> float:
        """Two-sided p of a true mean of 0: Student's t of the mean over the cautious error."""
        return float(2 * student.sf(abs(self.t) * math.sqrt(self.seen), self.degrees))

    def interval(self, level: float) -> tuple[float, float]:
        """Interval of the mean, by the same distribution as `p`: means outside have p < 1 - level."""
        reach = self.cautious_error * float(student.ppf((1 + level) / 2, self.degrees))
        return self.mean - reach, self.mean + reach


def standard_error(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> float:
    """Standard error of the mean of per-era scores (n,), Newey and West (1987, eq. 5) with a Bartlett kernel.

    eras: (n,) ascending numbers of the eras; None for consecutive ones. The kernel reaches one era less than the target
    takes to resolve: eras further apart share no return. NaN for fewer than two scores. With few eras it is biased downwards,
    as every such estimate: `estimate` says by how much.
    Raises ScoringError for eras that do not ascend or have another length than the scores.
    """
    return float(standard_errors(np.asarray(scores, np.float64)[:, None], horizon=horizon, eras=eras)[0])


def standard_errors(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> Array:
    """(m,) `standard_error` of each column of scores (n, m), over its eras without NaN."""
    grid = calendar_grid(scores, eras)
    count = _count(grid)
    values, reach = centred(grid), _reach(grid, horizon)
    error = np.full(grid.shape[1], np.nan)
    for lags in np.unique(reach[count >= 2]):
        some = (reach == lags) & (count >= 2)
        error[some] = np.sqrt(bartlett_sums(values[:, some], int(lags) + 1)) / count[some]
    return error


def estimate(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> Estimate:
    """Mean of per-era scores (n,) with its standard error, and the quality of that error.

    eras and errors as in `standard_error`. Raises ScoringError where no score is known.
    """
    grid = calendar_grid(np.asarray(scores, np.float64)[:, None], eras)
    values = grid[~np.isnan(grid)]
    if not len(values):
        raise ScoringError(f"scores of {len(scores)} eras: all are NaN, there is no mean to estimate")
    n = len(values)
    error = standard_error(scores, horizon=horizon, eras=eras)
    if n < 2:
        return Estimate(n, float(values.mean()), error, math.nan, math.nan)
    seen, degrees = _moments_under_overlap(~np.isnan(grid[:, 0]), int(_reach(grid, horizon)[0]))
    return Estimate(n, float(values.mean()), error, seen, degrees)


def effective_eras(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> float:
    """Number of independent eras with the same error of the mean: variance over squared cautious error.

    For independent scores it is about two thirds of their number. At most the number of eras, as for a constant series; NaN
    for fewer than two.
    """
    found = estimate(scores, horizon=horizon, eras=eras)
    if found.eras < 2:
        return math.nan
    variance = float(np.nanvar(scores))
    return min(float(found.eras), variance / found.cautious_error**2) if found.error > 0 else float(found.eras)


def calendar_grid(scores: Array, eras: ArrayLike | None = None) -> Array:
    """(span, m) float64: scores (n, m) on the calendar of their eras (n,), NaN in missing eras between.

    It begins and ends with an era in which some column has a score; later eras that have not resolved are left out.
    Raises ScoringError for other shapes, for eras that do not ascend or are not whole numbers, and for infinite scores.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2:
        raise ScoringError(f"per-era scores: expected (eras, m), found {scores.shape}")
    if np.isinf(scores).any():
        raise ScoringError(f"per-era scores: {np.isinf(scores).sum()} of {scores.size} are infinite")
    if eras is None:
        return _trimmed(scores)
    numbers = np.asarray(eras)
    if numbers.shape != (len(scores),):
        raise ScoringError(f"eras: expected ({len(scores)},), one per score, found {numbers.shape}")
    if not len(numbers):
        return scores
    if not np.issubdtype(numbers.dtype, np.integer):
        raise ScoringError(f"eras: expected whole numbers, found {numbers.dtype}")
    offsets = numbers.astype(np.int64) - int(numbers[0])
    if (np.diff(offsets) <= 0).any():
        first = int(np.flatnonzero(np.diff(offsets) <= 0)[0])
        raise ScoringError(
            f"eras: expected distinct and ascending, found {numbers[first]} before {numbers[first + 1]}; sort them first"
        )
    grid = np.full((int(offsets[-1]) + 1, scores.shape[1]), np.nan)
    grid[offsets] = scores
    return _trimmed(grid)


def _trimmed(grid: Array) -> Array:
    known = np.flatnonzero(~np.isnan(grid).all(axis=1))
    return grid[known[0] : known[-1] + 1] if len(known) else grid[:0]


def centred(grid: Array) -> Array:
    """(span, m) less the mean of each column, 0 where it is NaN."""
    known = ~np.isnan(grid)
    values = np.where(known, grid, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.where(known, values - values.sum(axis=0) / count, 0.0))


def bartlett_sums(values: Array, width: int) -> Array:
    """(...) sums over all pairs of eras of centred values (span, ...), weighted by max(0, 1 - distance / width).

    They equal the squared sums of all windows of `width` eras, divided by the width: never negative, in a single pass.
    """
    total = np.cumsum(values, axis=0)
    width_within = min(width, len(values))
    before, within = total[:width_within], total[width_within:] - total[: len(values) - width_within]
    after = total[-1:] - total[len(values) - width_within : -1]
    # Windows longer than the series contain all of it, whose sum is 0.
    return np.asarray(sum(np.einsum("i...,i...->...", part, part) for part in (before, within, after)) / width)


def _count(grid: Array) -> NDArray[np.intp]:
    return np.asarray((~np.isnan(grid)).sum(axis=0))


def _reach(grid: Array, horizon: int) -> NDArray[np.intp]:
    """(m,) lags of the kernel: those at which targets overlap, at most the length of the series."""
    known = ~np.isnan(grid)
    spans = [np.ptp(np.flatnonzero(column)) if column.any() else 0 for column in known.T]
    return np.minimum(spanned_eras(horizon), np.asarray(spans, np.intp))


def _moments_under_overlap(known: NDArray[np.bool_], reach: int) -> tuple[float, float]:
    """`seen` and `degrees` of an Estimate of the `known` eras (span,).

    The squared error is x'PWPx / n^2, where W holds the kernel's weights and P takes the mean off. Under full overlap W
    is also the covariance of x, so that its mean is tr(PB) / n^2 and its variance 2 tr(PBPB) / n^4 with B = WPW, while
    that of the mean is 1'W1 / n^2. B is banded but for r r' / n, r being the sums of the rows of W.
    """
    n, span = int(known.sum()), len(known)
    lags = np.arange(-reach, reach + 1)
    kernel = sparse.diags_array(list(1 - np.abs(lags) / (reach + 1)), offsets=list(lags), shape=(span, span)).tocsr()
    weights = kernel[known][:, known]
    rows = weights @ np.ones(n)
    square, total = weights @ weights, rows.sum()
    trace = square.trace() - 2 * (rows @ rows) / n + (total / n) ** 2
    sums = weights @ rows - rows * total / n
    norm = (square**2).sum() - 2 * (rows @ (square @ rows)) / n + (rows @ rows / n) ** 2
    spread = norm - 2 * (sums @ sums) / n + (sums.sum() / n) ** 2
    return float(trace / total), float(trace**2 / spread)
