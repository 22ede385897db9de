"""The mean score of a method over several seeds, and which part of its error is of the eras, which of the seeds."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.uncertainty import calendar_grid, standard_error, standard_errors

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeedSpread:
    """Mean over eras and seeds, with two errors and both together.

    era_error: other eras, these seeds. seed_error: these eras, other seeds. error: other eras and other seeds.
    between_seeds: standard deviation (ddof 1) of the seeds' means, which is what two fits of one method differ by.
    """

    eras: int
    seeds: int
    mean: float
    era_error: float
    seed_error: float
    error: float
    between_seeds: float


def seed_spread(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> SeedSpread:
    """Spread of per-era scores (n, seeds), a column a seed; rows that are NaN throughout are eras without scores.

    The error of both is clustered two ways (Cameron, Gelbach and Miller 2011): eras' variance plus seeds' variance, less
    what both hold, which is how much seeds differ from era to era; and never less than the larger of them.
    eras: (n,) ascending numbers; None for consecutive ones.
    Raises ScoringError for fewer than two seeds or eras, and for an era that only some seeds have.
    """
    grid = calendar_grid(scores, eras)
    known = ~np.isnan(grid).any(axis=1)
    seeds = grid.shape[1]
    partial = int((~np.isnan(grid).all(axis=1) & ~known).sum())
    if partial:
        raise ScoringError(f"scores of {seeds} seeds: {partial} eras have scores of some seeds only; score all or none")
    if seeds < 2 or known.sum() < 2:
        raise ScoringError(f"scores of {seeds} seeds in {known.sum()} eras: expected two or more of each")
    of_era, of_seed = grid.mean(axis=1), grid[known].mean(axis=0)
    era_error = standard_error(of_era, horizon=horizon)
    between = float(of_seed.std(ddof=1))
    seed_error = between / math.sqrt(seeds)
    # The share of each seed in the mean of an era is taken out of its residuals: seeds - 1 of them are free.
    shared = float((standard_errors(grid - of_era[:, None], horizon=horizon) ** 2).mean()) / (seeds - 1)
    variance = max(era_error**2 + seed_error**2 - shared, era_error**2, seed_error**2)
    return SeedSpread(
        int(known.sum()), seeds, float(of_seed.mean()), era_error, seed_error, math.sqrt(variance), between
    )
