"""Feature mixing: what a bank of small mixers over groups of features predicts, as new columns.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053); the nets are `methods.nn.mixers`. Each mixer sees some groups of
features and some features of each, dealt out so that all are seen about equally often, and is trained on its own, with
AdamW, to correlate with the target within eras. A step takes sampled rows of one era.

The columns of a fitted era come from mixers that did not see it (`cross_fitting`), in `folds` runs of eras.

The columns are the mixers' predictions, not their hidden units: columns of two fits must mean the same, for trees learn
from one and predict from the other. A prediction is what the loss asks for, so two fits agree on it as far as they have
learned anything, and on nothing where there is nothing. Hidden units are free up to more than the rotation that orthogonal
Procrustes undoes, and what it aligns agrees even when nothing was learned. Measured on later eras of a planted world, four
units a mixer: two fits' predictions correlate 0.72, aligned units 0.48; with shuffled targets 0.02 and 0.33.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from numerai_assets.eras import horizon_of
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock
from numerai_assets.features.fitting.correlations import alike, mean_correlations, spread_evenly
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
from numerai_assets.features.learned_plots import mixing_picture
from numerai_assets.methods.mixer_boosting.mixer_bank import MixerBank, MixerShape, era_correlations
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.store.about import read_about, write_about

# Rows whose activations are held at once in `transform`.
_ROWS = 2048
# Eras that the groups are found on, and that each point of the curve of unseen eras is a mean over.
_GROUPING_ERAS, _WATCHED_ERAS = 8, 8


class FeatureMixing(FittedBlock):
    """A bank of mixers on one target.

    mixers: how many, and so how many columns. tokens, channels: groups a mixer sees and features of each. groups: features
    by name of their group, such as some feature sets of features.json; None finds `tokens` groups of features that
    correlate. width, hidden, blocks, units, dropout: of a mixer. folds: runs of eras to cross-fit, 1 for none, which is
    only good for measuring what cross-fitting is good for. epochs: times each era is seen. rows: sampled of an era each
    time. learning_rate, weight_decay: AdamW's; the rate falls to 0 along a cosine.
    """

    name: ClassVar[str] = "mixing"
    version: ClassVar[int] = 1
    honours = frozenset({"threads", "device"})

    def __init__(
        self,
        *,
        mixers: int = 32,
        tokens: int = 8,
        channels: int = 8,
        groups: Mapping[str, Sequence[str]] | None = None,
        width: int = 8,
        hidden: int = 16,
        blocks: int = 1,
        units: int = 4,
        dropout: float = 0.1,
        folds: int = 2,
        epochs: int = 20,
        rows: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        self.mixers = mixers
        self.tokens = tokens
        self.channels = channels
        self.groups = groups
        self.width = width
        self.hidden = hidden
        self.blocks = blocks
        self.units = units
        self.dropout = dropout
        self.folds = folds
        self.epochs = epochs
        self.rows = rows
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits `folds` banks; features (d, n) int8 an era, rows without the target left out. Same seed, same columns
        on the CPU with the same number of threads. Raises FeatureError when a fold has no era to be fitted on, when a
        group has fewer than `channels` features, and for a device that is not there."""
        known = known_eras(panel, target, block=self.name)
        runs = cut_into_runs(known.eras, self.folds, block=self.name)
        fitted = fitted_eras(known.eras, runs, horizon_of(target), block=self.name)
        groups = self._groups(known)
        rng = np.random.default_rng([seed, 0])
        dealt = dealt_features(groups, self.mixers, self.tokens, self.channels, rng)
        used, members = np.unique(dealt, return_inverse=True)
        self.feature_names_ = tuple(known.feature_names[place] for place in used)
        self.names_ = tuple(f"mixer_{mixer:02d}" for mixer in range(self.mixers))
        self.target_ = target
        self.members_ = members.reshape(dealt.shape).astype(np.int64)
        self.runs_ = runs
        seen = known.with_features(self.feature_names_)
        curves, self.banks_ = [], []
        for fold, eras in enumerate(fitted):
            unseen = seen.with_eras([era for era in seen.eras if runs[fold].first <= era <= runs[fold].last])
            bank, curve = self._fit_bank(
                seen.with_eras(eras), unseen if self.folds > 1 else None, [seed, 1, fold], progress
            )
            self.banks_.append(bank)
            curves.append(curve)
        self.curves_ = np.asarray(curves, np.float32)
        some = [seen.blocks[position] for position in spread_evenly(len(seen.eras), _WATCHED_ERAS)]
        self.correlations_, self.agreement_ = how_alike(
            np.stack([standard_columns(self._predictions(bank, levels)) for bank in self.banks_]) for levels in some
        )
        return self

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        """(mixers, n) float16 of one era, mean 0 and standard deviation 1 over its rows; 0 where a mixer is constant.

        Up to the newest fitted era the columns are those of the fold that did not see it or its neighbours; after it the
        mean of all folds'. Raises FeatureError for a panel of several eras, StoreError for one that lacks a feature.
        """
        if len(panel.eras) != 1:
            raise FeatureError(f"{self.name}: one era at a time, found {len(panel.eras)}")
        banks = [self.banks_[fold] for fold in speaking_folds(self.runs_, panel.eras[0])]
        levels = panel.with_features(self.feature_names_).blocks[0]
        means = np.mean([standard_columns(self._predictions(bank, levels)) for bank in banks], axis=0)
        return standard_columns(means).astype(np.float16)

    def save(self, folder: Path) -> None:
        """Writes a .npy file for each array of the banks, the folds' stacked, and about.json."""
        states = [bank.state_dict() for bank in self.banks_]
        for name in states[0]:
            np.save(folder / f"{name}.npy", np.stack([state[name].cpu().numpy() for state in states]))
        for name in ("members", "curves", "correlations", "agreement"):
            np.save(folder / f"{name}.npy", getattr(self, f"{name}_"))
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
        for name in ("members", "curves", "correlations", "agreement"):
            setattr(block, f"{name}_", np.load(folder / f"{name}.npy", allow_pickle=False))
        block.banks_ = [block._bank(None) for _ in block.runs_]
        for name in block.banks_[0].state_dict():
            for bank, values in zip(block.banks_, np.load(folder / f"{name}.npy", allow_pickle=False), strict=True):
                bank.state_dict()[name].copy_(torch.from_numpy(values))
        return block

    def picture(self) -> bytes:
        """A PNG: correlation with the target as training went on, in fitted and in unseen eras; that of the columns."""
        return mixing_picture(self.curves_, self.correlations_, self.agreement_, self.target_)

    @property
    def _device(self) -> torch.device:
        return device_of(self.execution.device, block=self.name)

    def _groups(self, panel: EraPanel) -> list[NDArray[np.intp]]:
        if self.groups is None:
            return alike(mean_correlations(panel, _GROUPING_ERAS), self.tokens)
        return [np.asarray(panel.places_of(names), np.intp) for names in self.groups.values()]

    def _bank(self, generator: torch.Generator | None) -> MixerBank:
        shape = MixerShape(self.mixers, self.tokens, self.channels, self.width, self.hidden, self.blocks, self.units)
        return MixerBank(shape, generator=generator).to(self._device)

    def _fit_bank(
        self, panel: EraPanel, unseen: EraPanel | None, seed: list[int], progress: Progress
    ) -> tuple[MixerBank, list[tuple[float, float]]]:
        """A fitted bank, and its mean correlation with the target in fitted and in unseen eras, epoch by epoch."""
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        bank = self._bank(generator)
        optimiser = torch.optim.AdamW(bank.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs * len(panel.eras))
        curve = []
        for epoch in range(self.epochs):
            reached: list[float] = []
            for position in rng.permutation(len(panel.eras)):
                features, aim = self._sampled(panel, int(position), rng)
                dropped = bank.dropout(self.dropout, generator) if self.dropout else None
                optimiser.zero_grad()
                for some in bank.parts(len(aim)):
                    found = era_correlations(bank(features[some], dropped, some), aim)
                    # A sum, not a mean: each mixer takes the step it would take alone.
                    torch.autograd.backward(-found.sum())
                    reached += found.tolist()
                optimiser.step()
                rate.step()
            curve.append((float(np.mean(reached)), self._mean_correlation(bank, unseen)))
            progress("mixers trained", epoch + 1, self.epochs)
        return bank, curve

    def _sampled(self, panel: EraPanel, position: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        aims = panel.targets_of_block[self.target_][position]
        known = np.flatnonzero(~np.isnan(aims))
        some = rng.permutation(known)[: self.rows]
        return self._inputs(panel.blocks[position][:, some]), torch.from_numpy(aims[some]).to(self._device)

    def _inputs(self, levels: NDArray[np.int8]) -> torch.Tensor:
        """(M, g, c, n) float32 in -1..1 of features (k, n) int8, 0 where missing."""
        cells = torch.from_numpy(np.where(levels == MISSING, np.int8(2), levels)).to(self._device)
        scaled = cells.to(torch.float32).sub_(2).div_(2)
        return scaled[torch.from_numpy(self.members_).to(scaled.device)]

    def _predictions(self, bank: MixerBank, levels: NDArray[np.int8]) -> NDArray[np.float32]:
        """(M, n) of features (k, n) int8."""
        found = np.empty((self.mixers, levels.shape[1]), np.float32)
        with torch.no_grad():
            for start in range(0, levels.shape[1], _ROWS):
                rows = slice(start, start + _ROWS)
                features = self._inputs(levels[:, rows])
                for some in bank.parts(features.shape[-1]):
                    found[some, rows] = bank(features[some], some=some).cpu().numpy()
        return found

    def _mean_correlation(self, bank: MixerBank, panel: EraPanel | None) -> float:
        """Mean over mixers and a few eras; NaN where there is no panel."""
        if panel is None:
            return float("nan")
        rng = np.random.default_rng(0)
        with torch.no_grad():
            found = [
                era_correlations(bank(features), aim).mean().item()
                for features, aim in (
                    self._sampled(panel, position, rng) for position in spread_evenly(len(panel.eras), _WATCHED_ERAS)
                )
            ]
        return float(np.mean(found))


def dealt_features(
    groups: Sequence[NDArray[np.intp]], mixers: int, tokens: int, channels: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """(mixers, tokens, channels) positions of features: of each mixer `tokens` groups, of each `channels` features.

    Groups are dealt like cards, and so are the features of a group: none comes again before all others did. Raises
    FeatureError when there are fewer groups than tokens or a group has fewer features than channels.
    """
    smallest = min((len(group) for group in groups), default=0)
    if len(groups) < tokens or smallest < channels:
        raise FeatureError(
            f"{FeatureMixing.name}: {len(groups)} groups, the smallest of {smallest} features; "
            f"each mixer takes {channels} features of each of {tokens} groups"
        )
    which = _deal(np.arange(len(groups)), mixers, tokens, rng)
    decks = [iter(_deal(group, int((which == place).sum()), channels, rng)) for place, group in enumerate(groups)]
    return np.array([[next(decks[place]) for place in row] for row in which], np.intp)


def _deal(cards: NDArray[np.intp], hands: int, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(hands, size) cards, sorted, no two alike in a hand, each card in as many hands as any other or one fewer."""
    left: list[int] = []
    dealt = np.empty((hands, size), np.intp)
    for hand in dealt:
        taken, left = left[:size], left[size:]
        if len(taken) < size:
            fresh = rng.permutation(cards).tolist()
            more = [card for card in fresh if card not in taken][: size - len(taken)]
            left = [card for card in fresh if card not in more]
            taken += more
        hand[:] = sorted(taken)
    return dealt
