"""Neutralising predictions of one era to its features, or to some of them, and feature-neutral CORR.

The definitions are those of numerai-tools 0.7 (`neutralize`, `feature_neutral_corr`), which solves the least squares
by a singular value decomposition for each call. Here the normal equations are solved by a Cholesky factor that is made
once an era. Squaring the condition costs nothing that matters: features are integers of 0 to 4, so their Gram matrix is
exact in int32, and a feature either is a combination of others, to rounding, or is far from being one.

A factor serves any number of predictions and proportions; kept in a file (`kept_factor`), it serves other processes too.
"""

import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from numerai_assets.errors import ScoringError, StoreError
from numerai_assets.evaluation.era_series import mean
from numerai_assets.evaluation.metrics import Kind, Score, score_era
from numerai_assets.panel.gram import _CHUNK, Array, Positions, checked, integer_gram, moments, without_gaps
from numerai_assets.store.atomic import replacing_file
from numerai_assets.store.cache import content_key

# Least share of a feature's variance that the features before it must leave. Where it is a combination of them rounding
# alone is left, some 1e-13; levels of whole numbers that are no combination leave far more.
_COLLINEAR = 1e-9
# Of the mean variance. Each refinement takes ridge / (variance + ridge) of what the one before left in a direction.
_RIDGE, _REFINEMENTS = 1e-8, 2


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
    def of(cls, block: NDArray[np.int8], subset: Positions | None = None) -> Self:
        """Factor of the features of one era, a (d, n) int8 block, or of those at the positions `subset`.

        A missing cell (-1) counts as the middle level, 2. Features that are constant in the era say what the intercept
        says and are left out. Where features are combinations of others, a ridge of 1e-8 of the mean variance and two
        refinements give the projection on what they span. Raises ScoringError for another dtype, for an era without
        rows, and where even the ridge gives no factor.
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

        Neither ranked nor rescaled, as numerai-tools does; a constant column becomes NaN. Where the features span all
        there can be, which takes as many of them as rows, nothing but rounding is left.
        Raises ScoringError for values of other rows or with NaN, and for a proportion that is not finite.
        """
        return np.asarray(self.neutralise_by(values, [proportion])[0])

    def neutralise_by(self, values: NDArray[np.floating], proportions: Sequence[float]) -> Array:
        """(p, n, m) float64: `neutralise` by each of p proportions, which share one fit."""
        if not np.isfinite(proportions).all():
            raise ScoringError(f"proportions: {list(proportions)}, expected finite numbers")
        values = checked(values, self.levels.shape[1])
        neutral = values - np.multiply.outer(np.asarray(proportions, np.float64), self._fitted(values))
        neutral[:, :, values.min(axis=0) == values.max(axis=0)] = np.nan
        return np.asarray(neutral)

    def save(self, path: Path) -> None:
        """Writes all but the levels, which whoever loads it has at hand: 4 k^2 bytes and a little. Whole or not at all."""
        packed, _info = lapack.dtrttp(self.cholesky, uplo="L")
        with replacing_file(path) as aside, aside.open("wb") as file:
            np.savez(file, cholesky=packed, means=self.means, refinements=self.refinements)

    @classmethod
    def load(cls, path: Path, block: NDArray[np.int8], subset: Positions | None = None) -> Self:
        """The factor that `save` wrote, of the same block and subset as were given to `of`.

        Raises StoreError for a file that is absent or damaged, ScoringError when it is of other features.
        """
        levels = _varying(without_gaps(block, subset))
        try:
            with np.load(path, allow_pickle=False) as file:
                packed, means, refinements = (file[name] for name in ("cholesky", "means", "refinements"))
        # What zip and npy raise for bytes that are not theirs; a checksum stands behind each array.
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(f"{path}: no factor can be read: {error}; remove it, it can be made again") from error
        if not np.array_equal(means, levels.sum(axis=1, dtype=np.int64) / levels.shape[1]):
            raise ScoringError(f"{path}: a factor of {len(means)} features, not of the {len(levels)} given here")
        return cls(levels, means, _unpacked(packed, len(means)), int(refinements))

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


def kept_factor(folder: Path, digest: str, block: NDArray[np.int8], subset: Positions | None = None) -> EraFactor:
    """`EraFactor.of(block, subset)`, from a file in `folder` where there is one, else made and put there.

    digest: of the whole block; it names the file together with the subset. Processes may ask at once: each makes the
    factor and the last file stays. A damaged file is made again, which is logged.
    """
    positions = None if subset is None else [int(position) for position in subset]
    path = folder / f"{content_key(factor=1, digest=digest, subset=positions)}.npz"
    if path.exists():
        try:
            return EraFactor.load(path, block, subset)
        except StoreError as error:
            logging.getLogger(__name__).warning("%s", error)
    factor = EraFactor.of(block, subset)
    factor.save(path)
    return factor


def feature_neutral_corr(predictions: NDArray[np.floating], factor: EraFactor, target: NDArray[np.floating]) -> Array:
    """(m,) FNC of predictions (n, m) with a target (n,) of one era: CORR of the neutralised gaussianised ranks.

    Numerai's FNCv3 neutralises to the feature set `fncv3_features`. Rows whose target is NaN count in the neutralising
    and not in the CORR. NaN for a prediction that is constant or holds NaN.
    """
    # Ranks do not see the scale, so numerai-tools' normalising of the variance would change nothing.
    return score_era(predictions, Score(target, kind=Kind.FNC, neutralisers=[factor]))


def positions_of(members: Sequence[str], feature_names: Sequence[str]) -> NDArray[np.intp]:
    """(k,) places of the members of a feature set, or of one feature group, among the features of a block.

    Raises ScoringError for a set without members and for members that are not among them.
    """
    places = {name: place for place, name in enumerate(feature_names)}
    absent = [name for name in members if name not in places]
    if not members:
        raise ScoringError("feature set: no features, expected at least one of the block")
    if absent:
        raise ScoringError(
            f"feature set: {len(absent)} of its {len(members)} features are not among the {len(feature_names)} of the "
            f"block, such as {absent[0]}"
        )
    return np.array([places[name] for name in members], np.intp)


def riskiest(correlations: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """(count,) places of the features whose mean correlation with the target changed most between two halves of eras.

    correlations: (eras, d) of each feature with the target in each era, in the order of eras, the middle one of an odd
    number in the later half; they must come from behind the wall. The riskiest first; of equals the first. NaN, as of a
    feature that is constant in an era, is left out of a mean; a feature without any in a half is not among the riskiest.
    Source: Numerai's example scripts ("biggest change features"), which neutralise to 50.
    Raises ScoringError where fewer than `count` features can be compared.
    """
    half = len(correlations) // 2
    change = np.abs(mean(correlations[half:]) - mean(correlations[:half]))
    comparable = int((~np.isnan(change)).sum())
    if not 0 < count <= comparable:
        raise ScoringError(f"riskiest features: {count} asked for, {comparable} of {len(change)} can be compared")
    # NaN sorts last.
    return np.argsort(-change, kind="stable")[:count]


def _varying(levels: NDArray[np.int8]) -> NDArray[np.int8]:
    varying = (levels != levels[:, :1]).any(axis=1)
    return levels if varying.all() else levels[varying]


def _unpacked(packed: Array, features: int) -> Array:
    if not features:
        return np.empty((0, 0))
    cholesky: Array = lapack.dtpttr(features, packed, uplo="L")[0]
    return cholesky


def _centred(gram: NDArray[np.int32], sums: Array, rows: int) -> Array:
    """(k, k) float64 Gram matrix of the centred features, lower triangle, in the column-major order of LAPACK."""
    return np.asarray(blas.dsyr(-1 / rows, sums, a=gram.astype(np.float64, order="F"), lower=1, overwrite_a=True))


def _cholesky(normal: Array) -> tuple[Array, float]:
    """Lower factor of (k, k), in its place, and the least share of a feature's variance that those before it leave."""
    before = normal.diagonal().copy()
    factor, failed_at = lapack.dpotrf(normal, lower=1, clean=0, overwrite_a=1)
    return factor, 0.0 if failed_at else float((factor.diagonal() ** 2 / before).min())


def _combined(levels: NDArray[np.int8], coefficients: Array) -> Array:
    """(n, m) sums over the features (k, n) times coefficients (k, m)."""
    total = np.zeros((levels.shape[1], coefficients.shape[1]))
    for i in range(0, len(levels), _CHUNK):
        total += levels[i : i + _CHUNK].astype(np.float64).T @ coefficients[i : i + _CHUNK]
    return total
