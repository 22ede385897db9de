"""Predictions of mixers over look-alike trajectories, as new columns.

Paper: Chen et al. 2023, TSMixer-Ext (arXiv 2303.06053, section 4.2); the nets are those of `tsmixer`. The history of a row
is the exposures and the resolved targets of its look-alikes at each lag; the covariates known at each step are the row's
own exposures; the static ones are the std of the era's exposures (`trajectories.inputs`). Changed for Numerai: the target is
one value and not a series, so the past is projected to a few steps and the prediction is the mean of their heads. A few
nets with different first weights are trained on the same sampled rows (`cross_fitted_nets`).

Nets of later runs read the targets of an earlier training era as the past of their own rows. The columns are the nets'
predictions, not their last hidden layer, for the reason given in `feature_mixing`: columns of two fits must mean the same.
Measured on later eras of a planted world with a best possible CORR of .44, mean CORR of trees: features alone .12, with one
net's prediction .34, with four .35, with one net's hidden units .26, with these aligned between the folds .33. With
shuffled targets the predictions of two folds correlate .04, aligned units .19.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.eras import horizon_of, resolve_lag
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import features_of
from numerai_assets.features.groups.exposures import OLDEST_GROUPS, check_groups
from numerai_assets.features.trajectories.inputs import TrajectoryInputs, trajectory_inputs
from numerai_assets.features.trajectories.neighbours import LAGS
from numerai_assets.features.trajectories.sampled_paths import LOOK_ALIKES, check_lags
from numerai_assets.methods.mixer_boosting.cross_fitted_nets import ROWS_AT_ONCE, Batch, CrossFittedNets
from numerai_assets.methods.mixer_boosting.tsmixer import TSMixerExt
from numerai_assets.nn.weights import load_state, save_state
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.progress import Progress, silent

_LEARNED = "learned.npz"
_ARRAYS = ("market_mean", "market_spread", "curves", "correlations", "agreement")

Given = tuple[Tensor, Tensor, Tensor]
"""History, future and static covariates of some rows."""


class _Era(NamedTuple):
    """Inputs of the rows of one era that have a target, and their target (n,)."""

    inputs: TrajectoryInputs
    target: NDArray[np.float32]


@dataclass(kw_only=True, eq=False, repr=False)
class TrajectoryMixer(CrossFittedNets[TrajectoryInputs, _Era, nn.ModuleList]):
    """A few nets on one target, each over the trajectories of look-alikes.

    lags: those of the look-alikes. groups: sets of features.json, whose exposures are mixed. targets: those of earlier
    eras that are read, named in full. mixers: how many nets, and so how many columns. steps: that the past is projected
    to. width, hidden, blocks, dropout: of a net. folds: runs of eras to cross-fit. epochs: passes over the eras. rows:
    sampled of an era in each pass. learning_rate, weight_decay: AdamW's; the rate falls to 0 along a cosine.
    """

    name: ClassVar[str] = "trajectory_mixer"
    version: ClassVar[int] = 1
    stage: ClassVar[str] = "trajectory mixers trained"

    lags: Sequence[int] = LAGS
    groups: Sequence[str] = OLDEST_GROUPS
    targets: Sequence[str] = ("target_ender_20", "target_ender_60")
    mixers: int = 4
    steps: int = 4
    width: int = 16
    hidden: int = 32
    blocks: int = 1
    dropout: float = 0.1
    epochs: int = 10

    @property
    def reads(self) -> Reads:
        """Eras back to the oldest lag, the resolved targets of these, and the index of look-alikes."""
        return Reads(max(self.lags), tuple(self.targets), (LOOK_ALIKES,))

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Trains `folds` times `mixers` nets; rows without the target are left out. Same seed, same columns on the CPU with
        the same number of threads. Takes 2 MB of memory for an era of 6,000 rows.

        Raises FeatureError for lags at which no target has resolved, for an unknown group, when a fold has no training era,
        and for a device that does not exist.
        """
        self._check()
        known, fitted = self._cut(panel, target)
        feature_sets = known.history(known.eras[0]).feature_sets
        check_groups(feature_sets, tuple(self.groups))
        members = {name for group in self.groups for name in features_of(feature_sets, group)}
        self.feature_names_ = tuple(name for name in known.feature_names if name in members)
        self.names_ = tuple(f"trajectory_{mixer}" for mixer in range(self.mixers))
        eras = {}
        for done, era in enumerate(known.with_features(self.feature_names_).each_era()):
            eras[era.eras[0]] = _known_rows(self._read(era), era.target(target))
            progress("trajectories read", done + 1, len(known.eras))
        market = np.stack([era.inputs.market for era in eras.values()])
        self.market_mean_, spread = market.mean(axis=0), market.std(axis=0)
        self.market_spread_ = np.where(spread > 0, spread, 1).astype(np.float32)
        self._fit_folds(eras, fitted, [seed], progress)
        return self

    def save(self, folder: Path) -> None:
        """Writes the nets of each fold and all other arrays as .npz, and about.json."""
        for fold, bank in enumerate(self.banks_):
            save_state(bank, folder / f"fold_{fold}.npz")
        np.savez(folder / _LEARNED, allow_pickle=False, **{name: getattr(self, f"{name}_") for name in _ARRAYS})
        self._save_about(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        block = cls._of_about(folder)
        with np.load(folder / _LEARNED, allow_pickle=False) as learned:
            for name in _ARRAYS:
                setattr(block, f"{name}_", learned[name])
        for fold, bank in enumerate(block.banks_):
            load_state(bank, folder / f"fold_{fold}.npz")
            bank.eval()
        return block

    def _check(self) -> None:
        check_lags(tuple(self.lags))
        for target in self.targets:
            if self.lags[-1] < resolve_lag(horizon_of(target)):
                raise FeatureError(
                    f"{self.name}: {target} resolves after {resolve_lag(horizon_of(target))} eras, look-alikes reach "
                    f"{self.lags[-1]} eras back: none of its values would be known"
                )

    def _bank(self, generator: torch.Generator | None) -> nn.ModuleList:
        groups = len(self.groups)
        return nn.ModuleList(
            TSMixerExt(
                len(self.lags),
                self.steps,
                history=groups + 2 * len(self.targets),
                future=groups,
                static=groups,
                width=self.width,
                blocks=self.blocks,
                hidden=self.hidden,
                dropout=self.dropout,
                generator=generator,
            )
            for _ in range(self.mixers)
        )

    def _read(self, panel: EraPanel) -> TrajectoryInputs:
        history = panel.history(panel.eras[0])
        return trajectory_inputs(panel, history, tuple(self.lags), tuple(self.groups), tuple(self.targets))

    def _inputs_of(self, era: _Era) -> TrajectoryInputs:
        return era.inputs

    def _sampled(self, era: _Era, rng: np.random.Generator) -> Batch:
        return self._batch(era, rng.permutation(len(era.target))[: self.rows])

    def _watched(self, eras: Sequence[_Era]) -> Iterator[Batch]:
        return (self._batch(era, np.arange(min(len(era.target), ROWS_AT_ONCE))) for era in eras)

    def _batch(self, era: _Era, rows: NDArray[np.intp]) -> Batch:
        return self._given(era.inputs, rows), torch.from_numpy(era.target[rows]).to(self._device)

    def _predictions(self, bank: nn.ModuleList, inputs: TrajectoryInputs) -> NDArray[np.float32]:
        starts = range(0, len(inputs.now), ROWS_AT_ONCE)
        rows = [np.arange(start, min(start + ROWS_AT_ONCE, len(inputs.now))) for start in starts]
        with torch.no_grad():
            parts = [self._predicted(bank, self._given(inputs, some)) for some in rows]
        return torch.cat(parts, dim=1).cpu().numpy()

    def _predicted(self, bank: nn.ModuleList, given: Given) -> Tensor:
        return torch.stack([net(*given).mean(dim=(1, 2)) for net in bank])

    def _given(self, inputs: TrajectoryInputs, rows: NDArray[np.intp]) -> Given:
        history = torch.from_numpy(inputs.history[rows]).to(self._device, torch.float32)
        future = torch.from_numpy(inputs.now[rows]).to(self._device, torch.float32)[:, None].expand(-1, self.steps, -1)
        market = (inputs.market - self.market_mean_) / self.market_spread_
        static = torch.from_numpy(market).to(self._device).expand(len(rows), -1)
        return history, future, static


def _known_rows(inputs: TrajectoryInputs, target: NDArray[np.float32]) -> _Era:
    known = ~np.isnan(target)
    return _Era(TrajectoryInputs(inputs.history[known], inputs.now[known], inputs.market), target[known])
