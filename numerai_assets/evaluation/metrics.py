"""Numerai's scores of one era, for many predictions at once.

The definitions are those of numerai-tools 0.7 (`numerai_corr`, `correlation_contribution`), which is the oracle in the
tests; there they take one era as pandas frames, here columns of arrays.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]

# Numerai docs, "Staking": payout of a round is clip(3 x CORR + 15 x MMC on the 60-day target, -1, 1) since round 1343.
PAYOUT_CORR, PAYOUT_MMC, PAYOUT_CLIP = 3.0, 15.0, 1.0


def gaussian_ranks(scores: Array) -> Array:
    """(n, m) normal quantiles of tie-kept ranks, (rank - 0.5) / n, of each column of (n, m)."""
    return np.asarray(ndtri((rankdata(scores, axis=0) - 0.5) / len(scores)))


def signed_power(values: Array, exponent: float = 1.5) -> Array:
    """sign(x) |x|^exponent, elementwise."""
    return np.asarray(np.sign(values) * np.abs(values) ** exponent)


def corr(predictions: Array, target: Array) -> Array:
    """(m,) CORR of predictions (n, m) with a target (n,) of one era; NaN for a constant prediction.

    Pearson correlation of the 1.5th powers of the gaussianised ranks and of the centred target.
    Rows whose target is NaN count for nothing.
    """
    known = ~np.isnan(target)
    left = signed_power(gaussian_ranks(predictions[known]))
    right = signed_power(target[known] - target[known].mean())
    return _pearson(left, right)


def contribution(predictions: Array, reference: Array, target: Array) -> Array:
    """(m,) contribution beyond a reference (n,): MMC where it is the meta model, BMC where it is a benchmark.

    Gaussianised ranks are made orthogonal to the reference's; the score is their mean product with the centred target,
    which is scaled to 0..4 when it lies in 0..1. NaN for a constant prediction.
    """
    known = ~np.isnan(target) & ~np.isnan(reference)
    ours, theirs = gaussian_ranks(predictions[known]), gaussian_ranks(reference[known][:, None])[:, 0]
    rest = ours - np.outer(theirs, (theirs @ ours) / (theirs @ theirs))
    wanted = target[known]
    if ((wanted >= 0) & (wanted <= 1)).all():
        wanted = wanted * 4
    score = (wanted - wanted.mean()) @ rest / len(wanted)
    return np.asarray(np.where(np.ptp(ours, axis=0) > 0, score, np.nan))


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


def _pearson(left: Array, right: Array) -> Array:
    a, b = left - left.mean(axis=0), right - right.mean()
    norm = np.sqrt((a * a).sum(axis=0) * (b @ b))
    return np.asarray(np.divide(b @ a, norm, out=np.full(a.shape[1], np.nan), where=norm > 0))
