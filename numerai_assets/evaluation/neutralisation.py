"""Neutralising predictions of one era to its features, or to some of them, and feature-neutral CORR.

The definitions are those of numerai-tools 0.7 (`neutralize`, `feature_neutral_corr`), which solves the least squares
by a singular value decomposition for each call. Here the normal equations are solved with a Cholesky factor that is made
once per era. The squared condition number does no harm: features are integers of 0 to 4, so their Gram matrix is exact in
int32, and a feature is either a combination of others, up to rounding, or far from one.

One factor serves any number of predictions and proportions.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import Kind, Score, score_era
from numerai_assets.panel.gram import _CHUNK, Array, Positions, checked, integer_gram, moments, without_gaps

# Smallest share of a feature's variance that must remain after the features before it. A combination of them leaves only
# rounding errors, some 1e-13; other whole numbers leave far more.
_COLLINEAR = 1e-9
# Ridge as a share of the mean variance. Each refinement leaves ridge / (variance + ridge) of the error in a direction.
_RIDGE, _REFINEMENTS = 1e-8, 2


@dataclass(frozen=True)
class EraFactor:
    """Factor of one era's features for neutralising; made once by `of`, then used for any number of predictions.

    levels: (k, n) int8 bins, feature-major, of the features that vary in the era. means: (k,). cholesky: (k, k)
    float64, lower triangle of the factor of the centred Gram matrix. refinements: of each solution; 0 where no feature is
    a combination of others.
    """

    levels: NDArray[np.int8]
    means: Array
    cholesky: Array
    refinements: int

    @classmethod
    def of(cls, block: NDArray[np.int8], subset: Positions | None = None) -> Self:
        """Factor of the features of one era, a (d, n) int8 block, or of those at the positions `subset`.

        A missing cell (-1) counts as the middle bin, 2. Features that are constant in the era are left out: the intercept
        covers them. Where features are combinations of others, a ridge of 1e-8 of the mean variance and two refinements give
        the projection on their span. Raises ScoringError for another dtype, for an era without rows, and where even the
        ridge gives no factor.
        """
        levels = _varying(without_gaps(block, subset))
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

        Neither ranked nor rescaled, as numerai-tools does; a constant column becomes NaN. As many independent features as
        rows leave nothing but rounding errors.
        Raises ScoringError for values of other rows or with NaN, and for a proportion that is not finite.
        """
        if not np.isfinite(proportion):
            raise ScoringError(f"proportion: {proportion}, expected a finite number")
        values = checked(values, self.levels.shape[1])
        neutral = values - proportion * self._fitted(values)
        neutral[:, values.min(axis=0) == values.max(axis=0)] = np.nan
        return np.asarray(neutral)

    def _fitted(self, values: Array) -> Array:
        centre = values.mean(axis=0)
        if not len(self.levels):
            return np.broadcast_to(centre, values.shape)
        left = values - centre
        fitted = np.zeros_like(values)
        for _ in range(1 + self.refinements):
            coefficients, _info = lapack.dpotrs(self.cholesky, moments(self.levels, left), lower=1)
            step = _combined(self.levels, coefficients) - self.means @ coefficients
            fitted += step
            left -= step
        return np.asarray(fitted + centre)


def feature_neutral_corr(predictions: NDArray[np.floating], factor: EraFactor, target: NDArray[np.floating]) -> Array:
    """(m,) FNC of predictions (n, m) with a target (n,) of one era: CORR of the neutralised gaussianised ranks.

    Numerai's FNCv3 neutralises to the feature set `fncv3_features`. Rows with a NaN target count in the neutralising and not
    in the CORR. NaN for a prediction that is constant or has NaN.
    """
    # Ranks do not depend on the scale, so the variance normalisation of numerai-tools would change nothing.
    return score_era(predictions, Score(target, kind=Kind.FNC, neutralisers=[factor]))


def _varying(levels: NDArray[np.int8]) -> NDArray[np.int8]:
    varying = (levels != levels[:, :1]).any(axis=1)
    return levels if varying.all() else levels[varying]


def _centred(gram: NDArray[np.int32], sums: Array, rows: int) -> Array:
    """(k, k) float64 Gram matrix of the centred features, lower triangle, in the column-major order of LAPACK."""
    return np.asarray(blas.dsyr(-1 / rows, sums, a=gram.astype(np.float64, order="F"), lower=1, overwrite_a=True))


def _cholesky(normal: Array) -> tuple[Array, float]:
    """Lower factor of (k, k), in place, and the smallest share of a feature's variance left by the features before it."""
    before = normal.diagonal().copy()
    factor, failed_at = lapack.dpotrf(normal, lower=1, clean=0, overwrite_a=1)
    return factor, 0.0 if failed_at else float((factor.diagonal() ** 2 / before).min())


def _combined(levels: NDArray[np.int8], coefficients: Array) -> Array:
    """(n, m) sums over the features (k, n) times coefficients (k, m)."""
    total = np.zeros((levels.shape[1], coefficients.shape[1]))
    for i in range(0, len(levels), _CHUNK):
        total += levels[i : i + _CHUNK].astype(np.float64).T @ coefficients[i : i + _CHUNK]
    return total
