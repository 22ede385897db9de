"""The quality gate: limits that live predictions must keep before an upload, beyond Numerai's own rules.

Pure functions over the rows of one live round. A reference that is not available gives no finding.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.settings import GateLimits

BINS = 5


@dataclass(frozen=True)
class Finding:
    """One property of the predictions, its value, and the range it must lie in."""

    name: str
    value: float
    least: float
    greatest: float

    @property
    def is_well(self) -> bool:
        """False for a value outside the range, and for NaN."""
        return bool(self.least <= self.value <= self.greatest)

    def __str__(self) -> str:
        return f"{self.name} is {self.value:.4f}, expected {self.least:g} to {self.greatest:g}"


def judge(
    prediction: NDArray[np.floating],
    limits: GateLimits,
    *,
    previous: NDArray[np.floating] | None = None,
    benchmark: NDArray[np.floating] | None = None,
    slots: Mapping[str, NDArray[np.floating]] | None = None,
    features: NDArray[np.int8] | None = None,
    usual_shares: NDArray[np.floating] | None = None,
) -> list[Finding]:
    """All findings about (n,) predictions of a live round.

    previous: (n,) of the vintage before. benchmark: (n,) of Numerai's benchmark model. slots: (n,) already submitted
    to the round by other slots, by name. features: (n, d) int8 live features, -1 for missing. usual_shares: (d, 5) of
    `bin_shares` in recent eras.
    """
    findings = [Finding("share of rows with the same prediction", largest_tie(prediction), 0.0, limits.greatest_tie)]
    if previous is not None:
        found = rank_correlation(prediction, previous)
        findings.append(Finding("correlation with the vintage before", found, limits.least_previous_correlation, 1.0))
    if benchmark is not None:
        found = rank_correlation(prediction, benchmark)
        least, greatest = limits.least_benchmark_correlation, limits.greatest_benchmark_correlation
        findings.append(Finding("correlation with the benchmark", found, least, greatest))
    for slot, other in (slots or {}).items():
        found = rank_correlation(prediction, other)
        findings.append(Finding(f"correlation with slot {slot}", found, -1.0, limits.greatest_slot_correlation))
    if features is not None:
        findings.append(
            Finding("largest exposure", largest_exposure(prediction, features), 0.0, limits.greatest_exposure)
        )
        if usual_shares is not None:
            found = drifted_share(bin_shares(features), usual_shares)
            findings.append(Finding("share of features that drifted", found, 0.0, limits.greatest_drift))
    return findings


def largest_tie(prediction: NDArray[np.floating]) -> float:
    """Share of rows with the most frequent value."""
    _, counts = np.unique(prediction, return_counts=True)
    return float(counts.max() / len(prediction))


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman correlation, rounded to 12 digits so that a copy is exactly 1; NaN where one of them is constant."""
    ranks = np.stack([rankdata(first), rankdata(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    if not norms.all():
        return float("nan")
    return round(float(ranks[0] @ ranks[1] / norms.prod()), 12)


def largest_exposure(prediction: NDArray[np.floating], features: NDArray[np.int8]) -> float:
    """Largest absolute Pearson correlation of the predictions with a feature; constant features are ignored."""
    centred = prediction - prediction.mean()
    # One (n, d) float copy of a single era: small compared with the memory of a fit.
    x = features.astype(np.float32)
    x -= x.mean(axis=0)
    norms = np.sqrt((x**2).sum(axis=0)) * np.sqrt((centred**2).sum())
    moments = np.abs(centred.astype(np.float32) @ x)
    return float(np.divide(moments, norms, out=np.zeros_like(moments), where=norms > 0).max(initial=0.0))


def bin_shares(features: NDArray[np.int8]) -> NDArray[np.float64]:
    """(d, 5) share of each bin among the rows (n, d); missing values (-1) count in no bin."""
    return np.stack([(features == value).mean(axis=0) for value in range(BINS)], axis=1)


def drifted_share(live: NDArray[np.floating], usual: NDArray[np.floating]) -> float:
    """Share of features whose bins (d, 5) differ from the usual ones by more than 0.25 in total variation."""
    distance = np.abs(live - usual).sum(axis=1) / 2
    return float((distance > 0.25).mean())
