"""Neutralising predictions of one era to its features, and what follows: feature-neutral CORR and exposures.

The definitions are those of numerai-tools 0.7 (`neutralize`, `feature_neutral_corr`), which solves the least squares
by a singular value decomposition for each call. Here the normal equations are solved by a Cholesky factor that is made
once an era. Squaring the condition costs nothing that matters: features are integers of 0 to 4, so their Gram matrix is
exact in int32, and a feature either is a combination of others, to rounding, or is far from being one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from torch.utils.dlpack import from_dlpack

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import corr, gaussian_ranks
from numerai_assets.store.panel import MISSING

Array = NDArray[np.float64]

MIDDLE = np.int8(2)
"""Level of a missing cell here: what Numerai itself releases where there was no value."""

# Least share of a feature's variance that the features before it must leave. Where it is a combination of them rounding
# alone is left, some 1e-13; levels of whole numbers that are no combination leave far more.
_COLLINEAR = 1e-9
# Of the mean variance. Each refinement takes ridge / (variance + ridge) of what the one before left in a direction.
_RIDGE, _REFINEMENTS = 1e-8, 2
# Features turned to float64 at once.
_CHUNK = 256


@dataclass(frozen=True)
class EraFactor:
    """What neutralising needs of one era's features; made once by `of`, then used for any number of predictions.

    levels: (k, n) int8, feature-major, those of the features that vary in the era. means: (k,). cholesky: (k, k)
    float64, lower triangle of the factor of the centred Gram matrix. refinements: of each solution, 0 where no feature
    is a combination of others.
    """

    levels: NDArray[np.int8]
    means: Array
    cholesky: Array
    refinements: int

    @classmethod
    def of(cls, block: NDArray[np.int8], subset: Sequence[int] | None = None) -> Self:
        """Factor of the features of one era, a (d, n) int8 block, or of those at the positions `subset`.

        A missing cell (-1) counts as the middle level, 2. Features that are constant in the era say what the intercept
        says and are left out. Where features are combinations of others, a ridge of 1e-8 of the mean variance and two
        refinements give the projection on what they span. Raises ScoringError for another dtype, for an era without
        rows, and where even the ridge gives no factor.
        """
        levels = _without_gaps(block, subset)
        varying = (levels != levels[:, :1]).any(axis=1)
        if not varying.all():
            levels = levels[varying]
        rows = levels.shape[1]
        if not len(levels):
            return cls(levels, np.empty(0), np.empty((0, 0)), 0)
        gram, sums = integer_gram(levels), levels.sum(axis=1, dtype=np.int64).astype(np.float64)
        factor, share = _cholesky(_centred(gram, sums, rows))
        refinements = 0
        if share < _COLLINEAR:
            normal = _centred(gram, sums, rows)
            normal[np.diag_indices(len(sums))] += _RIDGE * normal.diagonal().mean()
            factor, share = _cholesky(normal)
            refinements = _REFINEMENTS
        if share <= 0:
            raise ScoringError(
                f"features of an era, {levels.shape}: their Gram matrix has no Cholesky factor even with a ridge; "
                "neutralise to a subset of them"
            )
        return cls(levels, sums / rows, factor, refinements)

    def neutralise(self, values: NDArray[np.floating], proportion: float = 1.0) -> Array:
        """(n, m) float64: each column of (n, m) less `proportion` of its least-squares fit on the features and 1.

        Neither ranked nor rescaled, as numerai-tools does; a constant column becomes NaN. Where the features span all
        there can be, which takes as many of them as rows, nothing but rounding is left.
        Raises ScoringError for values of other rows or with NaN.
        """
        values = _checked(values, self.levels.shape[1])
        neutral = values - proportion * self._fitted(values)
        neutral[:, values.min(axis=0) == values.max(axis=0)] = np.nan
        return neutral

    def _fitted(self, values: Array) -> Array:
        centre = values.mean(axis=0)
        if not len(self.levels):
            return np.broadcast_to(centre, values.shape)
        left = values - centre
        fitted = np.zeros_like(values)
        for _ in range(1 + self.refinements):
            coefficients, _info = lapack.dpotrs(self.cholesky, _moments(self.levels, left), lower=1)
            step = _combined(self.levels, coefficients) - self.means @ coefficients
            fitted += step
            left -= step
        return np.asarray(fitted + centre)


def feature_neutral_corr(predictions: NDArray[np.floating], factor: EraFactor, target: NDArray[np.floating]) -> Array:
    """(m,) FNC of predictions (n, m) with a target (n,) of one era: CORR of the neutralised gaussianised ranks.

    Numerai's FNCv3 neutralises to the feature set `fncv3_features`. Rows whose target is NaN count in the neutralising
    and not in the CORR. NaN for a constant prediction.
    """
    # Ranks do not see the scale, so numerai-tools' normalising of the variance would change nothing.
    return corr(factor.neutralise(gaussian_ranks(predictions)), target)


def feature_exposures(predictions: NDArray[np.floating], block: NDArray[np.int8]) -> Array:
    """(d, m) Pearson correlation of each feature of a (d, n) int8 block with each prediction of (n, m) of one era.

    A missing cell (-1) counts as the middle level, 2. NaN where the feature or the prediction is constant.
    Raises ScoringError for predictions of other rows or with NaN.
    """
    levels = _without_gaps(block, None)
    rows = levels.shape[1]
    values = _checked(predictions, rows)
    values = values - values.mean(axis=0)
    sums = levels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", levels, levels, dtype=np.int64)
    # rows x variance, in whole numbers: exactly 0 for a constant.
    spread = (rows * squares - sums**2) / rows
    norms = np.sqrt(np.outer(spread, np.einsum("ij,ij->j", values, values)))
    varies = (spread > 0)[:, None] & (predictions.min(axis=0) < predictions.max(axis=0))
    return np.asarray(np.divide(_moments(levels, values), norms, out=np.full(norms.shape, np.nan), where=varies))


def _without_gaps(block: NDArray[np.int8], subset: Sequence[int] | None) -> NDArray[np.int8]:
    if block.dtype != np.int8 or block.ndim != 2 or block.shape[1] == 0:
        raise ScoringError(f"features of an era: expected (d, n) int8 with rows, found {block.shape} {block.dtype}")
    levels = block if subset is None else block[np.asarray(subset, np.intp)]
    return np.where(levels == MISSING, MIDDLE, levels) if levels.min(initial=0) < 0 else levels


def _checked(values: NDArray[np.floating], rows: int) -> Array:
    if values.ndim != 2 or len(values) != rows:
        raise ScoringError(f"predictions: expected ({rows}, m), found {values.shape}")
    gaps = np.flatnonzero(np.isnan(values).any(axis=0))
    if gaps.size:
        raise ScoringError(f"predictions: {gaps.size} of {values.shape[1]} columns hold NaN, the first is {gaps[0]}")
    return np.asarray(values, np.float64)


def integer_gram(levels: NDArray[np.int8]) -> NDArray[np.int32]:
    """(k, k) exact products of the features (k, n): at most 16 a row, so int32 holds those of any era."""
    # The one int8 matrix product at hand that sums in int32, and four times as fast as numpy's of float32 copies, which
    # are exact too. It has no public name in torch yet; a test holds it to the exact product.
    rows = from_dlpack(levels)
    gram: NDArray[np.int32] = torch._int_mm(rows, rows.T).numpy()
    return gram


def _centred(gram: NDArray[np.int32], sums: Array, rows: int) -> Array:
    """(k, k) float64 Gram matrix of the centred features, lower triangle, in the column-major order of LAPACK."""
    return np.asarray(blas.dsyr(-1 / rows, sums, a=gram.astype(np.float64, order="F"), lower=1, overwrite_a=True))


def _cholesky(normal: Array) -> tuple[Array, float]:
    """Lower factor of (k, k), in its place, and the least share of a feature's variance that those before it leave."""
    before = normal.diagonal().copy()
    factor, failed_at = lapack.dpotrf(normal, lower=1, clean=0, overwrite_a=1)
    return factor, 0.0 if failed_at else float((factor.diagonal() ** 2 / before).min())


def _moments(levels: NDArray[np.int8], values: Array) -> Array:
    """(k, m) sums over the rows of features (k, n) times values (n, m), in float64 and in bounded memory."""
    total = np.empty((len(levels), values.shape[1]))
    for i in range(0, len(levels), _CHUNK):
        total[i : i + _CHUNK] = levels[i : i + _CHUNK].astype(np.float64) @ values
    return total


def _combined(levels: NDArray[np.int8], coefficients: Array) -> Array:
    """(n, m) sums over the features (k, n) times coefficients (k, m)."""
    total = np.zeros((levels.shape[1], coefficients.shape[1]))
    for i in range(0, len(levels), _CHUNK):
        total += levels[i : i + _CHUNK].astype(np.float64).T @ coefficients[i : i + _CHUNK]
    return total
