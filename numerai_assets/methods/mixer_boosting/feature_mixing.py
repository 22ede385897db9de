"""Feature mixing: predictions of a bank of small mixers over groups of features, as new columns.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053); the nets are those of `mixer_bank`. Each mixer sees some groups of
features and some features of each, dealt so that all are seen about equally often. `cross_fitted_nets` trains the mixers.

The columns are the mixers' predictions, not their hidden units. Columns of two fits must mean the same, because trees learn
from one and predict from the other. The loss defines a prediction, so two fits agree on it as far as they have learned
something, and not at all on noise. Hidden units are less determined: orthogonal Procrustes undoes only a rotation, and units
aligned by it correlate even when nothing was learned. Measured on later eras of a planted world, four units a mixer: two
fits' predictions correlate 0.72, aligned units 0.48; with shuffled targets 0.02 and 0.33.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from numerai_assets.errors import FeatureError
from numerai_assets.features.fitting.correlations import alike, mean_correlations
from numerai_assets.methods.mixer_boosting.cross_fitted_nets import ROWS_AT_ONCE, Batch, CrossFittedNets
from numerai_assets.methods.mixer_boosting.mixer_bank import MixerBank, MixerShape
from numerai_assets.nn.losses import era_correlations
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

_ARRAYS = ("members", "curves", "correlations", "agreement")
# Eras that the groups are found on.
_GROUPING_ERAS = 8

Levels = NDArray[np.int8]


@dataclass(kw_only=True, eq=False, repr=False)
class FeatureMixing(CrossFittedNets[Levels, EraPanel, MixerBank]):
    """A bank of mixers on one target.

    mixers: how many, and so how many columns. tokens, channels: groups a mixer sees and features of each. groups: features
    by name of their group, such as some feature sets of features.json; None finds `tokens` groups of features that
    correlate. width, hidden, blocks, units, dropout: of a mixer. folds: runs of eras to cross-fit; 1 for none, which only
    serves to measure the gain of cross-fitting. epochs: passes over the eras. rows: sampled of an era in each pass.
    learning_rate, weight_decay: AdamW's; the rate falls to 0 along a cosine.
    """

    name: ClassVar[str] = "mixing"
    version: ClassVar[int] = 1
    stage: ClassVar[str] = "mixers trained"

    mixers: int = 32
    tokens: int = 8
    channels: int = 8
    groups: Mapping[str, Sequence[str]] | None = None
    width: int = 8
    hidden: int = 16
    blocks: int = 1
    units: int = 4
    dropout: float = 0.1
    epochs: int = 20

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Trains `folds` banks; features (d, n) int8 an era, rows without the target left out. Same seed, same columns
        on the CPU with the same number of threads. Raises FeatureError when a fold has no training era, when a group has
        fewer than `channels` features, and for a device that does not exist."""
        known, fitted = self._cut(panel, target)
        rng = np.random.default_rng([seed, 0])
        dealt = dealt_features(self._groups(known), self.mixers, self.tokens, self.channels, rng)
        used, members = np.unique(dealt, return_inverse=True)
        self.feature_names_ = tuple(known.feature_names[place] for place in used)
        self.names_ = tuple(f"mixer_{mixer:02d}" for mixer in range(self.mixers))
        self.members_ = members.reshape(dealt.shape).astype(np.int64)
        seen = known.with_features(self.feature_names_)
        self._fit_folds(dict(zip(seen.eras, seen.each_era(), strict=True)), fitted, [seed, 1], progress)
        return self

    def save(self, folder: Path) -> None:
        """Writes a .npy file for each array of the banks, the folds' stacked, and about.json."""
        states = [bank.state_dict() for bank in self.banks_]
        for name in states[0]:
            np.save(folder / f"{name}.npy", np.stack([state[name].cpu().numpy() for state in states]))
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, f"{name}_"))
        self._save_about(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        block = cls._of_about(folder)
        for name in _ARRAYS:
            setattr(block, f"{name}_", np.load(folder / f"{name}.npy", allow_pickle=False))
        for name in block.banks_[0].state_dict():
            for bank, values in zip(block.banks_, np.load(folder / f"{name}.npy", allow_pickle=False), strict=True):
                bank.state_dict()[name].copy_(torch.from_numpy(values))
        return block

    def _groups(self, panel: EraPanel) -> list[NDArray[np.intp]]:
        if self.groups is None:
            return alike(mean_correlations(panel, _GROUPING_ERAS), self.tokens)
        return [np.asarray(panel.places_of(names), np.intp) for names in self.groups.values()]

    def _bank(self, generator: torch.Generator | None) -> MixerBank:
        shape = MixerShape(self.mixers, self.tokens, self.channels, self.width, self.hidden, self.blocks, self.units)
        return MixerBank(shape, generator=generator)

    def _read(self, panel: EraPanel) -> Levels:
        return panel.with_features(self.feature_names_).blocks[0]

    def _inputs_of(self, era: EraPanel) -> Levels:
        return era.blocks[0]

    def _sampled(self, era: EraPanel, rng: np.random.Generator) -> Batch:
        targets = era.target(self.target_)
        some = rng.permutation(np.flatnonzero(~np.isnan(targets)))[: self.rows]
        return self._scaled(era.blocks[0][:, some]), torch.from_numpy(targets[some]).to(self._device)

    def _watched(self, eras: Sequence[EraPanel]) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        return (self._sampled(era, rng) for era in eras)

    def _losses(self, bank: MixerBank, generator: torch.Generator, batch: Batch) -> Iterator[Tensor]:
        features, target = batch
        dropped = bank.dropout(self.dropout, generator) if self.dropout else None
        for some in bank.parts(len(target)):
            yield -era_correlations(bank(features[some], dropped, some), target)

    def _reached(self, losses: Sequence[Tensor]) -> float:
        return float(np.mean((-torch.cat(list(losses))).tolist()))

    def _predictions(self, bank: MixerBank, levels: Levels) -> NDArray[np.float32]:
        found = np.empty((self.mixers, levels.shape[1]), np.float32)
        with torch.no_grad():
            for start in range(0, levels.shape[1], ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                features = self._scaled(levels[:, rows])
                for some in bank.parts(features.shape[-1]):
                    found[some, rows] = bank(features[some], some=some).cpu().numpy()
        return found

    def _scaled(self, levels: Levels) -> Tensor:
        """(M, g, c, n) float32 in -1..1 of features (k, n) int8, 0 where missing."""
        cells = torch.from_numpy(np.where(levels == MISSING, np.int8(2), levels)).to(self._device)
        scaled = cells.to(torch.float32).sub_(2).div_(2)
        return scaled[torch.from_numpy(self.members_).to(scaled.device)]


def dealt_features(
    groups: Sequence[NDArray[np.intp]], mixers: int, tokens: int, channels: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """(mixers, tokens, channels) positions of features: for each mixer `tokens` groups, and `channels` features of each.

    Groups are dealt like cards, and so are the features of a group: each is used once before any is used again. Raises
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
