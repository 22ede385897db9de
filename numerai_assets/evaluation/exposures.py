"""How much predictions lean on single features: correlations, and the largest and mean of them by feature group."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError
from numerai_assets.panel.gram import Positions, checked, moments, without_gaps

Array = NDArray[np.float64]


class Exposure(NamedTuple):
    """Of the absolute correlations with the features of a group: the largest and the mean, (eras, m) each."""

    largest: Array
    mean: Array


def feature_exposures(predictions: NDArray[np.floating], block: NDArray[np.int8]) -> Array:
    """(d, m) Pearson correlation of each feature of a (d, n) int8 block with each prediction of (n, m) of one era.

    A missing cell (-1) counts as the middle level, 2. NaN where the feature or the prediction is constant.
    Raises ScoringError for predictions of other rows or with NaN.
    """
    levels = without_gaps(block)
    rows = levels.shape[1]
    values = checked(predictions, rows)
    values = values - values.mean(axis=0)
    sums = levels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", levels, levels, dtype=np.int64)
    # rows x variance, in whole numbers: exactly 0 for a constant.
    spread = (rows * squares - sums**2) / rows
    norms = np.sqrt(np.outer(spread, np.einsum("ij,ij->j", values, values)))
    varies = (spread > 0)[:, None] & (predictions.min(axis=0) < predictions.max(axis=0))
    return np.asarray(np.divide(moments(levels, values), norms, out=np.full(norms.shape, np.nan), where=varies))


def exposures_of_eras(
    predictions: NDArray[np.floating],
    rows_of_era: Sequence[int],
    blocks: Sequence[NDArray[np.int8]],
    groups: Mapping[str, Positions],
) -> dict[str, Exposure]:
    """Largest and mean exposure of predictions (n, m), rows of an era contiguous, to each group of features.

    blocks: (d, n_era) int8 an era. groups: positions among the d features by name, `range(d)` for all; those of a feature
    set are `neutralisation.positions_of`. Features that are constant in an era do not count in it. NaN for a constant
    prediction and where no feature of the group varies.
    Raises ScoringError when lengths differ, for NaN among the predictions, and for a group without features.
    """
    if (len(blocks), sum(rows_of_era)) != (len(rows_of_era), len(predictions)):
        raise ScoringError(
            f"exposures: {len(blocks)} blocks and {len(predictions):,} rows of predictions, expected {len(rows_of_era)} "
            f"blocks, one an era, and {sum(rows_of_era):,} rows"
        )
    if empty := [name for name, positions in groups.items() if len(positions) == 0]:
        raise ScoringError(f"exposures: no features in group {', '.join(empty)}")
    shape = len(rows_of_era), predictions.shape[1]
    found = {name: Exposure(np.full(shape, np.nan), np.full(shape, np.nan)) for name in groups}
    start = 0
    for era, (length, block) in enumerate(zip(rows_of_era, blocks, strict=True)):
        exposures = np.abs(feature_exposures(predictions[start : start + length], block))
        start += length
        for name, positions in groups.items():
            _fill(found[name], era, exposures[np.asarray(positions, np.intp)])
    return found


def _fill(found: Exposure, era: int, exposures: Array) -> None:
    """Row `era` of both tables from the absolute exposures (k, m) of a group, where a feature varies."""
    known = ~np.isnan(exposures)
    some = known.any(axis=0)
    found.largest[era, some] = np.max(exposures, axis=0, where=known, initial=0.0)[some]
    np.divide(np.sum(exposures, axis=0, where=known), known.sum(axis=0), out=found.mean[era], where=some)
