"""Cross-fitting: columns of a training era from nets that were not trained on it.

Otherwise trees fitted on the same eras would see columns that know the targets of these eras, trust them, and be wrong in
every later era. So the training eras are cut into runs, one a fold, and the columns of a run come from nets trained on
the other runs, less the eras whose target overlaps the run's (`eras.purge`). Later eras get the mean of all folds.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import first_era_after, last_era_before, purge
from numerai_assets.errors import FeatureError
from numerai_assets.panel.panel import EraPanel


@dataclass(frozen=True)
class Run:
    """Eras first..last of one fold, whose nets are fitted without them and without a purge on either side."""

    first: int
    last: int

    def keeps(self, era: int, horizon: int) -> bool:
        """True when the nets of this run may be fitted on `era`, for a target of `horizon` weekdays."""
        return era <= last_era_before(self.first, horizon) or era >= first_era_after(self.last, horizon)


def known_eras(panel: EraPanel, target: str, *, block: str) -> EraPanel:
    """The eras that have the target in at least one row. Raises FeatureError, with the name of the block, when none does."""
    eras = panel.eras_with(target)
    if not eras:
        raise FeatureError(f"{block}: no row of eras {panel.eras[:1]}..{panel.eras[-1:]} has {target}")
    return panel.with_eras(eras)


def cut_into_runs(eras: Sequence[int], folds: int, *, block: str) -> list[Run]:
    """`folds` runs of even length of ascending eras; an era between two runs belongs to the later one."""
    if not 1 <= folds <= len(eras):
        raise FeatureError(f"{block}: {folds} folds of {len(eras)} eras with a known target")
    parts = np.array_split(np.asarray(eras), folds)
    lasts = [int(part[-1]) for part in parts]
    firsts = [int(eras[0]), *(last + 1 for last in lasts[:-1])]
    return [Run(first, last) for first, last in zip(firsts, lasts, strict=True)]


def fitted_eras(eras: Sequence[int], runs: Sequence[Run], horizon: int, *, block: str) -> list[list[int]]:
    """For each run the eras that its nets are fitted on; all eras when there is but one run."""
    if len(runs) == 1:
        return [list(eras)]
    fitted = [[era for era in eras if run.keeps(era, horizon)] for run in runs]
    for run, kept in zip(runs, fitted, strict=True):
        if not kept:
            raise FeatureError(
                f"{block}: nothing to fit the mixers of eras {run.first}..{run.last} on: every other era with a "
                f"known target lies within {purge(horizon)} eras of these; give more eras or fewer folds than {len(runs)}"
            )
    return fitted


def speaking_folds(runs: Sequence[Run], era: int) -> list[int]:
    """The fold whose run contains the era, which was not trained on it; all folds for an era after the newest training era."""
    fold = next((fold for fold, run in enumerate(runs) if era <= run.last), None)
    return list(range(len(runs))) if fold is None else [fold]


def standard_columns(columns: NDArray[np.floating]) -> NDArray[np.float32]:
    """(k, n) float32, mean 0 and standard deviation 1 of each row of it; 0 where that is constant."""
    away = columns - columns.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = away.std(axis=1, keepdims=True)
    # By rounding alone the std of a constant is slightly above 0.
    varies = spread > 1e-6 * np.abs(columns).max(axis=1, keepdims=True, initial=0)
    return np.asarray(np.divide(away, spread, out=np.zeros(away.shape), where=varies), np.float32)


def how_alike(eras: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(M, M) mean correlation of the columns within eras; (M,) that of the same column of two folds, NaN for one.

    eras: of each era the columns (folds, M, n), standardised.
    """
    between, agreed = [], []
    for of_folds in eras:
        between.append(np.mean([columns @ columns.T / columns.shape[1] for columns in of_folds], axis=0))
        pairs = [(a * b).mean(axis=1) for a, b in itertools.combinations(of_folds, 2)]
        agreed.append(np.mean(pairs, axis=0) if pairs else np.full(of_folds.shape[1], np.nan))
    return np.mean(between, axis=0).astype(np.float32), np.mean(agreed, axis=0).astype(np.float32)
