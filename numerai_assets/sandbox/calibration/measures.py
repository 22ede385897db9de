"""Measures of published data: bins, correlations, persistence, information coefficients, scores. Pure functions.

Bins are (n, d) int8 of one era. Scores follow Numerai's definitions; numerai-tools is the oracle in the tests.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]
Bins = NDArray[np.int8]

_MIDDLE = 2


def bin_gap(bins: Bins) -> float:
    """Largest distance, in rows, of a bin's size from a fifth of the era; columns that are all 2 do not count."""
    varied = bins[:, (bins != _MIDDLE).any(axis=0)]
    sizes = np.stack([(varied == level).sum(axis=0) for level in range(5)])
    return float(np.abs(sizes - len(bins) / 5).max())


def middle_share(bins: Bins) -> Array:
    """(n,) share of a row's features that stand in the middle bin, where missing values are."""
    return np.asarray((bins == _MIDDLE).mean(axis=1))


def correlations(bins: Bins) -> Array:
    """(d, d) Pearson correlations of the features; NaN in rows and columns of a constant one."""
    centred = bins.astype(np.float64) - bins.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(centred.T @ centred / np.outer(norm, norm))


def off_diagonal(matrix: Array) -> Array:
    """(d (d - 1) / 2,) entries above the diagonal."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def eigenvalue_shares(correlation: Array) -> Array:
    """(d,) eigenvalues of a correlation matrix as shares of their sum, descending."""
    return np.asarray(np.linalg.eigvalsh(correlation)[::-1] / len(correlation))


def participation_ratio(correlation: Array) -> float:
    """(sum of eigenvalues)^2 / sum of their squares: how many equal directions would vary as much."""
    return float(len(correlation) ** 2 / (correlation**2).sum())


def within_groups(correlation: Array, groups: Sequence[str]) -> dict[str, float]:
    """By group of two features or more: mean absolute correlation of its pairs."""
    of = np.array(groups)
    found = {}
    for group in dict.fromkeys(groups):
        at = np.flatnonzero(of == group)
        if len(at) > 1:
            found[group] = float(np.nanmean(np.abs(off_diagonal(correlation[np.ix_(at, at)]))))
    return found


def persistence(early: Bins, late: Bins, early_stocks: NDArray[np.int64], late_stocks: NDArray[np.int64]) -> Array:
    """(d,) correlation of each feature with itself in a later era, over the stocks (ascending) of both."""
    kept = np.intersect1d(early_stocks, late_stocks)
    a = early[np.searchsorted(early_stocks, kept)].astype(np.float64)
    b = late[np.searchsorted(late_stocks, kept)].astype(np.float64)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))


def feature_ic(bins: Bins, target: NDArray[np.float32]) -> Array:
    """(d,) Pearson correlation of each feature with a target (n,), rows without one left out; 0 for a constant one."""
    known = np.isfinite(target)
    x = bins[known].astype(np.float64)
    x -= x.mean(axis=0)
    y = target[known].astype(np.float64)
    y -= y.mean()
    norm = np.sqrt((x**2).sum(axis=0) * (y @ y))
    return np.asarray(np.divide(y @ x, norm, out=np.zeros(x.shape[1]), where=norm > 0))


def corr(predictions: Array, target: NDArray[np.float32]) -> Array:
    """(m,) CORR of each column of (n, m): Pearson of the 1.5th powers of gaussianised ranks and of the target.

    NaN for a constant column. Rows without a target are left out.
    """
    known = np.isfinite(target)
    left = _signed_power(_gaussianise(predictions[known]))
    right = _signed_power(target[known].astype(np.float64) - target[known].mean(dtype=np.float64))
    a, b = left - left.mean(axis=0), right - right.mean()
    norm = np.sqrt((a**2).sum(axis=0) * (b @ b))
    return np.asarray(np.divide(b @ a, norm, out=np.full(a.shape[1], np.nan), where=norm > 0))


def contribution(predictions: Array, reference: Array, target: NDArray[np.float32]) -> Array:
    """(m,) contribution of each column of (n, m) beyond a reference (n,): MMC or BMC, by what the reference is."""
    known = np.isfinite(target) & np.isfinite(reference)
    ours, theirs = _gaussianise(predictions[known]), _gaussianise(reference[known][:, None])[:, 0]
    rest = ours - np.outer(theirs, (theirs @ ours) / (theirs @ theirs))
    wanted = 4 * target[known].astype(np.float64)
    return np.asarray((wanted - wanted.mean()) @ rest / len(wanted))


def neutral(predictions: Array, bins: Bins) -> Array:
    """(n, m) gaussianised predictions less their least-squares fit on the features and an intercept."""
    design = np.column_stack([np.ones(len(bins)), bins.astype(np.float64) - _MIDDLE])
    ours = _gaussianise(predictions)
    beta = np.linalg.lstsq(design.T @ design, design.T @ ours, rcond=1e-9)[0]
    return np.asarray(ours - design @ beta)


def standard_error(values: Array, overlap: int) -> float:
    """Newey-West standard error of the mean of consecutive values that share returns up to `overlap` eras apart."""
    n = len(values)
    centred = values - values.mean()
    variance = centred @ centred / n
    lags = min(overlap, n - 1)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (centred[lag:] @ centred[:-lag]) / n
    return math.sqrt(max(variance, 0.0) / n)


def autocorrelation(values: Array, lags: Sequence[int]) -> dict[int, float]:
    """By lag: correlation of a series with itself so many places later."""
    centred = values - values.mean()
    return {lag: float(centred[lag:] @ centred[:-lag] / (centred @ centred)) for lag in lags}


def excess_std(values: Array, rows: float) -> float:
    """Standard deviation of per-era correlations beyond sampling noise, whose variance is 1/rows; 0 if there is none."""
    return math.sqrt(max(float(np.var(values)) - 1 / rows, 0.0))


def like_small(groups: Sequence[str], composition: Mapping[str, int], rng: np.random.Generator) -> NDArray[np.intp]:
    """Columns drawn at random with so many of each group as `composition` says, or all that a group has."""
    of = np.array(groups)
    drawn = [
        rng.choice(at, min(count, len(at)), replace=False)
        for group, count in composition.items()
        if len(at := np.flatnonzero(of == group))
    ]
    return np.sort(np.concatenate(drawn))


def _gaussianise(values: Array) -> Array:
    return np.asarray(ndtri((rankdata(values, axis=0) - 0.5) / len(values)))


def _signed_power(values: Array) -> Array:
    return np.asarray(np.sign(values) * np.abs(values) ** 1.5)
