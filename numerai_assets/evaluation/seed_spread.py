"""Mean score of a method over several seeds, with the errors from the choice of eras and from the choice of seeds."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.uncertainty import calendar_grid, standard_error, standard_errors

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeedSpread:
    """Mean over eras and seeds, with its errors.

    era_error: standard error over other eras, with these seeds. seed_error: over other seeds, in these eras. error: over both.
    between_seeds: standard deviation (ddof 1) of the means of the seeds.
    """

    eras: int
    seeds: int
    mean: float
    era_error: float
    seed_error: float
    error: float
    between_seeds: float


def seed_spread(scores: Array, *, horizon: int, eras: ArrayLike | None = None) -> SeedSpread:
    """Errors of per-era scores (n, seeds), one column per seed; rows of NaN are eras without scores.

    The joint error is clustered two ways (Cameron, Gelbach and Miller 2011): variance of eras plus variance of seeds, less
    their interaction (how much seeds differ from era to era), and never less than the larger of them.
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
    # The mean of an era is subtracted from the seeds, so seeds - 1 of the residuals are free.
    shared = float((standard_errors(grid - of_era[:, None], horizon=horizon) ** 2).mean()) / (seeds - 1)
    variance = max(era_error**2 + seed_error**2 - shared, era_error**2, seed_error**2)
    return SeedSpread(
        int(known.sum()), seeds, float(of_seed.mean()), era_error, seed_error, math.sqrt(variance), between
    )
