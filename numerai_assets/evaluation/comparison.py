"""Paired comparison of two predictions: differences by era, in which the common luck of the era cancels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.bootstrap import bootstrap_intervals
from numerai_assets.evaluation.uncertainty import Estimate, estimate

LEAST_ERAS = 52
"""A year: four times the overlap of a 60-day target. With fewer eras the error of a difference is unknown."""


@dataclass(frozen=True)
class Comparison:
    """Ours less theirs, over the `difference.eras` common eras from first_era to last_era.

    difference: mean of the per-era differences, its Newey-West error, t and two-sided p. low, high: studentised
    bootstrap interval of the mean at 0.9. adjusted_p: p adjusted by Holm (1979) for several comparisons; for one, p.
    """

    first_era: int
    last_era: int
    difference: Estimate
    low: float
    high: float
    adjusted_p: float


def compare(ours: pd.Series, theirs: pd.Series, *, horizon: int, seed: int, least_eras: int = LEAST_ERAS) -> Comparison:
    """Difference of two series of per-era scores, each indexed by era; NaN: an era without a score.

    Raises ScoringError for fewer than `least_eras` (>= 2) common eras, and for an index that is not of distinct era numbers.
    """
    eras, values = _differences(ours, theirs)
    if len(eras) < max(least_eras, 2):
        raise ScoringError(
            f"two predictions share {len(eras)} scored eras, expected {max(least_eras, 2)} or more: "
            "score both on the same eras, or lower least_eras"
        )
    found = estimate(values, horizon=horizon, eras=eras)
    interval = bootstrap_intervals(values[:, None], horizon=horizon, seed=seed, eras=eras, statistics=["mean"])["mean"]
    return Comparison(
        int(eras[0]), int(eras[-1]), found, float(interval.low[0]), float(interval.high[0]), adjusted_p=found.p
    )


def compare_each(
    candidates: Mapping[str, pd.Series],
    baseline: pd.Series,
    *,
    horizon: int,
    seed: int,
    least_eras: int = LEAST_ERAS,
) -> dict[str, Comparison]:
    """`compare` of each candidate with one baseline, on the eras they share, with p adjusted for the number of candidates.

    Raises ScoringError as `compare` does, with the name of the candidate.
    """
    found = {}
    for name, scores in candidates.items():
        try:
            found[name] = compare(scores, baseline, horizon=horizon, seed=seed, least_eras=least_eras)
        except ScoringError as error:
            raise ScoringError(f"{name}: {error}") from error
    adjusted = holm([item.difference.p for item in found.values()])
    return {name: replace(item, adjusted_p=float(p)) for (name, item), p in zip(found.items(), adjusted, strict=True)}


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """(k,) p values adjusted for the family-wise error rate (Holm 1979), valid under any dependence.

    Raises ScoringError for a p outside 0..1, or NaN.
    """
    values = np.asarray(p, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ScoringError(f"p values: expected each in 0..1, found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _differences(ours: pd.Series, theirs: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Common eras, ascending, and the differences in them."""
    for name, scores in (("ours", ours), ("theirs", theirs)):
        if not pd.api.types.is_integer_dtype(scores.index.dtype) or not scores.index.is_unique:
            raise ScoringError(
                f"{name}: expected per-era scores indexed by the number of the era, each once, found an index of "
                f"{scores.index.dtype}{'' if scores.index.is_unique else ' with repeated eras'}"
            )
    difference = (ours - theirs).dropna().sort_index()
    return difference.index.to_numpy(np.int64), difference.to_numpy(np.float64)
