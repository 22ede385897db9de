"""Exposures and targets of the look-alikes of each row, lag by lag, as arrays for a net."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.features.contract import History
from numerai_assets.features.fitting.resolved_targets import centred_target
from numerai_assets.features.groups.exposures import group_exposures
from numerai_assets.features.trajectories.sampled_paths import check_positions, look_alikes_of
from numerai_assets.panel.panel import EraPanel


@dataclass(frozen=True)
class TrajectoryInputs:
    """Of the n rows of one era, P groups, K targets and L lags. Nothing is NaN.

    history: (n, L, P + 2 K) float16, the oldest lag first: weighted means over the look-alikes of the groups' exposures
    and of the centred targets, each with mean 0 and standard deviation 1 over the rows it is known for and 0 elsewhere;
    then for each target 1 where it is known and 0 where not, because there are no look-alikes or it had not resolved.
    now: (n, P) float16 standard scores of the row's own exposures. market: (P,) float32 logarithm of the std of
    exposures in the era, in levels; 0 for a group without any.
    """

    history: NDArray[np.float16]
    now: NDArray[np.float16]
    market: NDArray[np.float32]


def trajectory_inputs(
    panel: EraPanel, history: History, lags: tuple[int, ...], groups: tuple[str, ...], targets: tuple[str, ...]
) -> TrajectoryInputs:
    """Inputs of the rows of a panel of one era. Raises FeatureError for look-alikes of other eras or lags, an unknown group,
    and a target without any value in an era in which it had resolved."""
    alikes = look_alikes_of(panel, history, lags)
    weights = alikes.weights()
    paths = np.zeros((len(lags), len(groups) + 2 * len(targets), panel.rows), np.float16)
    for position, lag in enumerate(lags):
        era = history.era - lag
        if not history.holds(era):
            continue
        known = [place for place, target in enumerate(targets) if history.has_resolved(era, target)]
        exposures = group_exposures(history.panel(era), history.feature_sets, groups).standard_scores
        paid = [centred_target(history, era, targets[place])[None] for place in known]
        check_positions(alikes, position, era, exposures.shape[1])
        means = alikes.mean(position, np.concatenate([exposures, *paid]), weights)
        channels = [*range(len(groups)), *(len(groups) + place for place in known)]
        paths[position, channels] = _standardised(means)
        masks = [len(groups) + len(targets) + place for place in known]
        paths[position, masks] = np.isfinite(means[len(groups) :])
    own = group_exposures(panel, history.feature_sets, groups)
    spread = own.means.std(axis=1, dtype=np.float64)
    market = np.log(spread, out=np.zeros(len(groups)), where=spread > 0).astype(np.float32)
    now = np.nan_to_num(own.standard_scores).T.astype(np.float16)
    return TrajectoryInputs(np.ascontiguousarray(paths[::-1].transpose(2, 0, 1)), now, market)


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m, n) of mean 0 and standard deviation 1 over the known values of each row; 0 where unknown or constant."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0).sum(axis=1, keepdims=True, dtype=np.float64) / count
    away = np.where(known, values - mean, 0)
    spread = np.sqrt((away**2).sum(axis=1, keepdims=True) / count)
    # By rounding alone the std of a constant is slightly above 0.
    varies = spread > 1e-6 * (1 + np.abs(mean))
    return np.asarray(np.divide(away, spread, out=np.zeros(away.shape), where=varies))
