"""Banks of nets on one target, one bank a fold: what `mixing` and `trajectory_mixer` share.

The columns of a training era come from nets that were not trained on it (`cross_fitting`), in `folds` runs of eras; later
eras get the mean of all folds. A bank holds a few independent nets, each trained with AdamW to correlate with the target
within eras. A step takes sampled rows of one era.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.eras import horizon_of
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock
from numerai_assets.features.fitting.correlations import spread_evenly
from numerai_assets.features.fitting.cross_fitting import (
    Run,
    cut_into_runs,
    fitted_eras,
    how_alike,
    known_eras,
    speaking_folds,
    standard_columns,
)
from numerai_assets.features.fitting.training_eras import only_era
from numerai_assets.features.learned_plots import mixing_picture
from numerai_assets.nn.losses import era_correlations
from numerai_assets.nn.training import Draws, device_of, train
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress

ROWS_AT_ONCE = 2048
"""Rows whose activations are in memory at once in `transform`."""

# Eras that each validation point of the curves, and the correlations of the columns, are a mean over.
_WATCHED_ERAS = 8

Inputs = TypeVar("Inputs")
"""All rows of one era, as `transform` reads them."""
Era = TypeVar("Era")
"""One training era: its inputs and its target."""
Bank = TypeVar("Bank", bound=nn.Module)
Batch = tuple[Any, Tensor]
"""What a bank is called with, on its device, and the target (n,) of these rows."""


@dataclass(kw_only=True, eq=False, repr=False)
class CrossFittedNets(FittedBlock, Generic[Inputs, Era, Bank]):
    """mixers: nets of a bank, and so columns. folds: runs of eras to cross-fit. epochs: passes over the eras. rows: sampled
    of an era in each pass. learning_rate, weight_decay: AdamW's; the rate falls to 0 along a cosine."""

    name: ClassVar[str]
    stage: ClassVar[str]
    """Name of the training in reports of progress."""
    honours = frozenset({"threads", "device"})

    mixers: int
    folds: int = 2
    epochs: int
    rows: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2

    @abstractmethod
    def _bank(self, generator: torch.Generator | None) -> Bank:
        """An untrained bank on the CPU."""

    @abstractmethod
    def _read(self, panel: EraPanel) -> Inputs:
        """Inputs of a panel of one era."""

    @abstractmethod
    def _inputs_of(self, era: Era) -> Inputs:
        """Inputs of a training era."""

    @abstractmethod
    def _sampled(self, era: Era, rng: np.random.Generator) -> Batch:
        """At most `rows` rows with a target."""

    @abstractmethod
    def _watched(self, eras: Sequence[Era]) -> Iterator[Batch]:
        """The same rows of each era at every call, for validation."""

    @abstractmethod
    def _predictions(self, bank: Bank, inputs: Inputs) -> NDArray[np.float32]:
        """(M, n) predictions of all rows."""

    def _predicted(self, bank: Bank, given: Any) -> Tensor:
        """(M, n) predictions of a batch."""
        found: Tensor = bank(given)
        return found

    def _losses(self, bank: Bank, generator: torch.Generator, batch: Batch) -> Iterator[Tensor]:
        """(M,) losses of a batch, in parts."""
        given, target = batch
        yield -era_correlations(self._predicted(bank, given), target)

    def _reached(self, losses: Sequence[Tensor]) -> float:
        """Mean correlation of an epoch's steps."""
        return float(np.mean([(-part).mean().item() for part in losses]))

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        """(mixers, n) float16 of one era, mean 0 and std 1 over its rows; 0 where a net is constant.

        Up to the newest training era the columns are those of the fold that was not trained on it or its neighbours; after
        it the mean over all folds. Raises FeatureError for a panel of several eras, StoreError for one that lacks a feature
        or a history that the block reads.
        """
        era, inputs = only_era(panel, block=self.name), self._read(panel)
        banks = [self.banks_[fold] for fold in speaking_folds(self.runs_, era)]
        means = np.mean([standard_columns(self._predictions(bank, inputs)) for bank in banks], axis=0)
        return standard_columns(means).astype(np.float16)

    def picture(self) -> bytes:
        """A PNG: correlation with the target by epoch, in training and in validation eras; that between the columns."""
        return mixing_picture(self.curves_, self.correlations_, self.agreement_, self.target_)

    def _cut(self, panel: EraPanel, target: str) -> tuple[EraPanel, list[list[int]]]:
        """The eras with a target, and those that each fold is trained on. Sets `target_` and `runs_`."""
        known = known_eras(panel, target, block=self.name)
        self.target_ = target
        self.runs_ = cut_into_runs(known.eras, self.folds, block=self.name)
        return known, fitted_eras(known.eras, self.runs_, horizon_of(target), block=self.name)

    def _fit_folds(
        self, eras: Mapping[int, Era], fitted: Sequence[Sequence[int]], seed: Sequence[int], progress: Progress
    ) -> None:
        """Sets `banks_`, `curves_`, `correlations_` and `agreement_`, of training eras by number, ascending."""
        curves, self.banks_ = [], []
        for fold, (run, kept) in enumerate(zip(self.runs_, fitted, strict=True)):
            unseen = [eras[era] for era in eras if run.first <= era <= run.last and self.folds > 1]
            bank, curve = self._fit_bank([eras[era] for era in kept], unseen, [*seed, fold], progress)
            self.banks_.append(bank)
            curves.append(curve)
        self.curves_ = np.asarray(curves, np.float32)
        self.correlations_, self.agreement_ = how_alike(
            np.stack([standard_columns(self._predictions(bank, self._inputs_of(era))) for bank in self.banks_])
            for era in _some(list(eras.values()))
        )

    def _fit_bank(
        self, fitted: Sequence[Era], unseen: Sequence[Era], seed: Sequence[int], progress: Progress
    ) -> tuple[Bank, NDArray[np.float64]]:
        """A trained bank, and (epochs, 2) its mean correlation with the target in training and in validation eras."""
        draws = Draws.of(seed)
        bank = self._bank(draws.weights).to(self._device)
        optimiser = torch.optim.AdamW(bank.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)

        def batches(epoch: int) -> Iterator[Batch]:
            return (self._sampled(fitted[position], draws.order) for position in draws.order.permutation(len(fitted)))

        def validate() -> float:
            found = [era_correlations(self._predicted(bank, given), target) for given, target in self._watched(watched)]
            return -float(np.mean([one.mean().item() for one in found]))

        watched = _some(unseen)
        course = train(
            bank,
            optimiser,
            batches,
            partial(self._losses, bank, draws.weights),
            epochs=self.epochs,
            schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * len(fitted)),
            validate=validate if watched else None,
            progress=progress,
            stage=self.stage,
        )
        reached = [self._reached(losses) for losses in course.losses]
        validated = [-loss for loss in course.validation] or [np.nan] * self.epochs
        return bank, np.array([reached, validated]).T

    @property
    def _device(self) -> torch.device:
        return device_of(self.execution.device, used_by=self.name, error=FeatureError)

    def _save_about(self, folder: Path) -> None:
        about = {
            "parameters": self.get_params(),
            "feature_names": self.feature_names_,
            "names": self.names_,
            "target": self.target_,
            "runs": [[run.first, run.last] for run in self.runs_],
        }
        write_about(folder, about)

    @classmethod
    def _of_about(cls, folder: Path) -> Self:
        """The block with all that `_save_about` wrote, and untrained banks."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.feature_names_, block.names_ = tuple(about["feature_names"]), tuple(about["names"])
        block.target_ = about["target"]
        block.runs_ = [Run(first, last) for first, last in about["runs"]]
        block.banks_ = [block._bank(None).to(block._device) for _ in block.runs_]
        return block


def _some(eras: Sequence[Era]) -> list[Era]:
    """A few of them, evenly spread."""
    return [eras[position] for position in spread_evenly(len(eras), _WATCHED_ERAS)]
