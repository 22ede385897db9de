"""What mixers over look-alike trajectories predict, as new columns.

Paper: Chen et al. 2023, TSMixer-Ext (arXiv 2303.06053, section 4.2); the nets are `methods.nn.tsmixer`. The history of a
row is what its look-alikes were and what they were paid at each lag, as far as targets had resolved by the era at hand;
covariates known at each step are the row's own exposures; static ones how spread the era's exposures are
(`trajectory_inputs`). Changed for Numerai: there is one thing to predict and not a series, so the past is projected to a
few steps and the prediction is the mean of their heads. A few nets of different seeds are trained on the same sampled
rows, with AdamW, to correlate with the target within eras, one era a step.

The columns of a fitted era come from nets that were not trained on it (`cross_fitting`), in `folds` runs of eras; nets of
later runs did read its targets, as the past of their own rows. The columns are the nets' predictions, not their last
hidden layer, for the reason that `mixing` gives: columns of two fits must mean the same. Measured on later eras of a
planted world whose best is .44, mean CORR of trees: features alone .12, with one net's prediction .34, with four .35, with
one net's hidden units .26, with these aligned between the folds .33. With shuffled targets the predictions of two folds
correlate .04, aligned units .19.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.eras import horizon_of, resolve_lag
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock, features_of
from numerai_assets.features.fitting.correlations import spread_evenly
from numerai_assets.features.fitting.cross_fitting import (
    Run,
    cut_into_runs,
    device_of,
    fitted_eras,
    how_alike,
    known_eras,
    speaking_folds,
    standard_columns,
)
from numerai_assets.features.groups.group_exposures import OLDEST_GROUPS, check_groups
from numerai_assets.features.learned_plots import mixing_picture
from numerai_assets.features.trajectories.neighbours import LAGS
from numerai_assets.features.trajectories.sampled_paths import LOOK_ALIKES, check_lags
from numerai_assets.features.trajectories.trajectory_inputs import TrajectoryInputs, trajectory_inputs
from numerai_assets.methods.mixer_boosting.mixer_bank import era_correlations
from numerai_assets.methods.mixer_boosting.tsmixer import TSMixerExt
from numerai_assets.nn.weights import load_state, save_state
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.progress import Progress, silent
from numerai_assets.store.about import read_about, write_about

_LEARNED = "learned.npz"
_ARRAYS = ("market_mean", "market_spread", "curves", "correlations", "agreement")
# Rows whose activations are held at once in `transform`.
_ROWS = 2048
# Eras that each point of the curve of unseen eras is a mean over.
_WATCHED_ERAS = 8


class _Era(NamedTuple):
    """Inputs of one era as the nets take them, and its target (n,)."""

    inputs: TrajectoryInputs
    aim: NDArray[np.float32]


class TrajectoryMixer(FittedBlock):
    """A few nets on one target, each over the trajectories of look-alikes.

    lags: those of the look-alikes. groups: sets of features.json, whose exposures are mixed. targets: those of earlier
    eras that are read, named in full. mixers: how many nets, and so how many columns. steps: that the past is projected
    to. width, hidden, blocks, dropout: of a net. folds: runs of eras to cross-fit. epochs: times each era is seen. rows:
    sampled of an era each time. learning_rate, weight_decay: AdamW's; the rate falls to 0 along a cosine.
    """

    name: ClassVar[str] = "trajectory_mixer"
    version: ClassVar[int] = 1
    honours = frozenset({"threads", "device"})

    def __init__(
        self,
        *,
        lags: Sequence[int] = LAGS,
        groups: Sequence[str] = OLDEST_GROUPS,
        targets: Sequence[str] = ("target_ender_20", "target_ender_60"),
        mixers: int = 4,
        steps: int = 4,
        width: int = 16,
        hidden: int = 32,
        blocks: int = 1,
        dropout: float = 0.1,
        folds: int = 2,
        epochs: int = 10,
        rows: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        self.lags = lags
        self.groups = groups
        self.targets = targets
        self.mixers = mixers
        self.steps = steps
        self.width = width
        self.hidden = hidden
        self.blocks = blocks
        self.dropout = dropout
        self.folds = folds
        self.epochs = epochs
        self.rows = rows
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    @property
    def reads(self) -> Reads:
        """Eras back to the oldest lag, the resolved targets of these, and the index of look-alikes."""
        return Reads(max(self.lags), tuple(self.targets), (LOOK_ALIKES,))

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits `folds` times `mixers` nets; rows without the target are left out. Same seed, same columns on the CPU with
        the same number of threads. Holds 2 MB an era of 6,000 rows.

        Raises FeatureError for lags at which no target has resolved, for an unknown group, when a fold has no era to be
        fitted on, and for a device that is not there.
        """
        self._check()
        known = known_eras(panel, target, block=self.name)
        runs = cut_into_runs(known.eras, self.folds, block=self.name)
        fitted = fitted_eras(known.eras, runs, horizon_of(target), block=self.name)
        feature_sets = known.history(known.eras[0]).feature_sets
        check_groups(feature_sets, tuple(self.groups))
        members = {name for group in self.groups for name in features_of(feature_sets, group)}
        self.feature_names_ = tuple(name for name in known.feature_names if name in members)
        self.names_ = tuple(f"trajectory_{mixer}" for mixer in range(self.mixers))
        self.target_ = target
        self.runs_ = runs
        eras = {}
        for done, era in enumerate(known.with_features(self.feature_names_).each_era()):
            eras[era.eras[0]] = _known_rows(self._inputs(era), era.target(target))
            progress("trajectories read", done + 1, len(known.eras))
        market = np.stack([era.inputs.market for era in eras.values()])
        self.market_mean_, spread = market.mean(axis=0), market.std(axis=0)
        self.market_spread_ = np.where(spread > 0, spread, 1).astype(np.float32)
        curves, self.banks_ = [], []
        for fold, kept in enumerate(fitted):
            unseen = [eras[era] for era in known.eras if runs[fold].first <= era <= runs[fold].last]
            bank, curve = self._fit_bank(
                [eras[era] for era in kept], unseen if self.folds > 1 else [], [seed, fold], progress
            )
            self.banks_.append(bank)
            curves.append(curve)
        self.curves_ = np.asarray(curves, np.float32)
        watched = [eras[known.eras[position]].inputs for position in spread_evenly(len(eras), _WATCHED_ERAS)]
        self.correlations_, self.agreement_ = how_alike(
            np.stack([standard_columns(self._predictions(bank, inputs)) for bank in self.banks_]) for inputs in watched
        )
        return self

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        """(mixers, n) float16 of one era, mean 0 and standard deviation 1 over its rows; 0 where a net is constant.

        Up to the newest fitted era the columns are those of the fold that did not see it or its neighbours; after it the
        mean of all folds'. Raises FeatureError for a panel of several eras, StoreError for one that tells no history.
        """
        if len(panel.eras) != 1:
            raise FeatureError(f"{self.name}: one era at a time, found {len(panel.eras)}")
        inputs = self._inputs(panel)
        banks = [self.banks_[fold] for fold in speaking_folds(self.runs_, panel.eras[0])]
        means = np.mean([standard_columns(self._predictions(bank, inputs)) for bank in banks], axis=0)
        return standard_columns(means).astype(np.float16)

    def save(self, folder: Path) -> None:
        """Writes the nets of each fold and what else was learned as .npz, and about.json."""
        for fold, bank in enumerate(self.banks_):
            save_state(bank, folder / f"fold_{fold}.npz")
        np.savez(folder / _LEARNED, allow_pickle=False, **{name: getattr(self, f"{name}_") for name in _ARRAYS})
        about = {
            "parameters": self.get_params(),
            "feature_names": self.feature_names_,
            "names": self.names_,
            "target": self.target_,
            "runs": [[run.first, run.last] for run in self.runs_],
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.feature_names_, block.names_ = tuple(about["feature_names"]), tuple(about["names"])
        block.target_ = about["target"]
        block.runs_ = [Run(first, last) for first, last in about["runs"]]
        with np.load(folder / _LEARNED, allow_pickle=False) as learned:
            for name in _ARRAYS:
                setattr(block, f"{name}_", learned[name])
        block.banks_ = [block._bank(None) for _ in block.runs_]
        for fold, bank in enumerate(block.banks_):
            load_state(bank, folder / f"fold_{fold}.npz")
            bank.eval()
        return block

    def picture(self) -> bytes:
        """A PNG: correlation with the target as training went on, in fitted and in unseen eras; that of the columns."""
        return mixing_picture(self.curves_, self.correlations_, self.agreement_, self.target_)

    @property
    def _device(self) -> torch.device:
        return device_of(self.execution.device, block=self.name)

    def _check(self) -> None:
        check_lags(tuple(self.lags))
        for target in self.targets:
            if self.lags[-1] < resolve_lag(horizon_of(target)):
                raise FeatureError(
                    f"{self.name}: {target} resolves after {resolve_lag(horizon_of(target))} eras, look-alikes reach "
                    f"{self.lags[-1]} eras back: none of its values would be seen"
                )

    def _inputs(self, panel: EraPanel) -> TrajectoryInputs:
        history = panel.history(panel.eras[0])
        return trajectory_inputs(panel, history, tuple(self.lags), tuple(self.groups), tuple(self.targets))

    def _bank(self, generator: torch.Generator | None) -> nn.ModuleList:
        groups = len(self.groups)
        nets = [
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
        ]
        return nn.ModuleList(nets).to(self._device)

    def _fit_bank(
        self, fitted: Sequence[_Era], unseen: Sequence[_Era], seed: list[int], progress: Progress
    ) -> tuple[nn.ModuleList, list[tuple[float, float]]]:
        """Fitted nets, and their mean correlation with the target in fitted and in unseen eras, epoch by epoch."""
        rng = np.random.default_rng(seed)
        bank = self._bank(torch.Generator().manual_seed(int(rng.integers(2**62))))
        optimiser = torch.optim.AdamW(bank.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * len(fitted))
        curve = []
        for epoch in range(self.epochs):
            reached: list[float] = []
            bank.train()
            for position in rng.permutation(len(fitted)):
                era = fitted[position]
                some = rng.permutation(len(era.aim))[: self.rows]
                optimiser.zero_grad()
                found = self._correlations(bank, era, some)
                # A sum, not a mean: each net takes the step it would take alone.
                torch.autograd.backward(-found.sum())
                optimiser.step()
                rate.step()
                reached.append(found.mean().item())
            bank.eval()
            curve.append((float(np.mean(reached)), self._mean_correlation(bank, unseen)))
            progress("trajectory mixers trained", epoch + 1, self.epochs)
        return bank, curve

    def _mean_correlation(self, bank: nn.ModuleList, eras: Sequence[_Era]) -> float:
        """Mean over nets and a few eras; NaN where there is none."""
        if not eras:
            return float("nan")
        some = [eras[position] for position in spread_evenly(len(eras), _WATCHED_ERAS)]
        with torch.no_grad():
            found = [self._correlations(bank, era, np.arange(min(len(era.aim), _ROWS))).mean().item() for era in some]
        return float(np.mean(found))

    def _correlations(self, bank: nn.ModuleList, era: _Era, rows: NDArray[np.intp]) -> Tensor:
        """(M,) correlation of each net with the target over some rows of an era."""
        predicted = self._predicted(bank, era.inputs, rows)
        return era_correlations(predicted, torch.from_numpy(era.aim[rows]).to(predicted.device))

    def _predictions(self, bank: nn.ModuleList, inputs: TrajectoryInputs) -> NDArray[np.float32]:
        """(M, n) of all rows of an era."""
        rows = np.arange(len(inputs.now))
        with torch.no_grad():
            parts = [self._predicted(bank, inputs, rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)]
        return torch.cat(parts, dim=1).cpu().numpy()

    def _predicted(self, bank: nn.ModuleList, inputs: TrajectoryInputs, rows: NDArray[np.intp]) -> Tensor:
        """(M, rows) of some rows."""
        history = torch.from_numpy(inputs.history[rows]).to(self._device, torch.float32)
        future = torch.from_numpy(inputs.now[rows]).to(self._device, torch.float32)[:, None].expand(-1, self.steps, -1)
        market = (inputs.market - self.market_mean_) / self.market_spread_
        static = torch.from_numpy(market).to(self._device).expand(len(rows), -1)
        return torch.stack([net(history, future, static).mean(dim=(1, 2)) for net in bank])


def _known_rows(inputs: TrajectoryInputs, aim: NDArray[np.float32]) -> _Era:
    known = ~np.isnan(aim)
    return _Era(TrajectoryInputs(inputs.history[known], inputs.now[known], inputs.market), aim[known])
