"""Each fold is trained without its run, validated on it, and speaks for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from numerai_assets.methods.mixer_boosting.cross_fitted_nets import Batch, CrossFittedNets
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets_tests.features.planted import TARGET, panel_of

ERAS = list(range(1, 61, 2))


@dataclass(kw_only=True, eq=False, repr=False)
class Lines(CrossFittedNets[np.ndarray, EraPanel, nn.Linear]):
    """Nets that are lines through the features, and a record of the eras that they saw."""

    name: ClassVar[str] = "lines"
    stage: ClassVar[str] = "lines trained"

    mixers: int = 2
    epochs: int = 3
    seen: list[list[int]] = field(default_factory=list)
    watched: list[list[int]] = field(default_factory=list)

    def fit(self, panel: EraPanel, *, target: str = TARGET, seed: int = 0, progress: Progress = silent) -> "Lines":
        known, fitted = self._cut(panel, TARGET)
        self._fit_folds(dict(zip(known.eras, known.each_era(), strict=True)), fitted, [seed], self._told)
        return self

    def save(self, folder: Path) -> None:
        self._save_about(folder)

    @classmethod
    def load(cls, folder: Path) -> "Lines":
        return cls._of_about(folder)

    def _told(self, stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("lines trained", self.epochs)

    def _bank(self, generator: torch.Generator | None) -> nn.Linear:
        self.seen.append([])
        self.watched.append([])
        bank = nn.Linear(4, self.mixers, bias=False)
        nn.init.normal_(bank.weight, generator=generator)
        return bank

    def _read(self, panel: EraPanel) -> np.ndarray:
        return panel.blocks[0].T.astype(np.float32) - 2

    def _inputs_of(self, era: EraPanel) -> np.ndarray:
        return self._read(era)

    def _predicted(self, bank: nn.Linear, given: torch.Tensor) -> torch.Tensor:
        return bank(given).T

    def _sampled(self, era: EraPanel, rng: np.random.Generator) -> Batch:
        self.seen[-1].append(era.eras[0])
        some = rng.permutation(era.rows)[: self.rows]
        return torch.from_numpy(self._read(era)[some]), torch.from_numpy(era.target(TARGET)[some])

    def _watched(self, eras: Sequence[EraPanel]) -> Iterator[Batch]:
        self.watched[-1] += [era.eras[0] for era in eras]
        return ((torch.from_numpy(self._read(era)), torch.from_numpy(era.target(TARGET))) for era in eras)

    def _predictions(self, bank: nn.Linear, inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self._predicted(bank, torch.from_numpy(inputs)).numpy()


def world() -> EraPanel:
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 5, (4, 80), dtype=np.int8) for _ in ERAS]
    return panel_of(blocks, [block[0] - block[1] + rng.normal(size=80) for block in blocks], ERAS)


def test_a_fold_is_trained_outside_its_run_and_a_purge_and_validated_on_its_run() -> None:
    block = Lines(learning_rate=0.1).fit(world())

    first, second = block.runs_
    assert set(block.seen[0]) == {era for era in ERAS if era > first.last + 8}
    assert set(block.seen[1]) == {era for era in ERAS if era < second.first - 8}
    for run, watched in zip(block.runs_, block.watched, strict=True):
        assert len(watched) == 8 * block.epochs
        assert all(run.first <= era <= run.last for era in watched)


def test_each_pass_sees_every_training_era_once_and_curves_rise() -> None:
    block = Lines(epochs=6, learning_rate=0.1).fit(world())

    passes = np.reshape(block.seen[0], (6, -1))
    assert all(sorted(one) == sorted(passes[0]) for one in passes.tolist())
    assert len({tuple(one) for one in passes.tolist()}) > 1
    assert (block.curves_.shape, block.curves_.dtype) == ((2, 6, 2), np.float32)
    assert (block.curves_[:, -1] > block.curves_[:, 0]).all()
    assert block.agreement_.shape == (2,)
    assert block.picture().startswith(b"\x89PNG")


def test_without_folds_there_is_nothing_to_validate_on() -> None:
    block = Lines(folds=1).fit(world())

    assert np.isnan(block.curves_[..., 1]).all()
    assert np.isfinite(block.curves_[..., 0]).all()
    assert np.isnan(block.agreement_).all()


@pytest.mark.parametrize(("era", "fold"), [(1, 0), (29, 0), (31, 1), (59, 1)])
def test_a_training_era_gets_the_columns_of_the_fold_that_did_not_see_it(era: int, fold: int) -> None:
    block, panel = Lines().fit(world()), world().with_eras([era])

    found = block._predictions(block.banks_[fold], block._read(panel))

    expected = (found - found.mean(axis=1, keepdims=True)) / found.std(axis=1, keepdims=True)
    np.testing.assert_allclose(block.transform(panel).astype(float), expected, atol=5e-3)


def test_parameters_are_fields_and_the_device_is_none() -> None:
    block = Lines(mixers=3, folds=4)

    assert clone(block).get_params() == block.get_params()
    assert "device" not in block.get_params()
    assert {"mixers", "folds", "epochs", "rows", "learning_rate", "weight_decay"} < set(block.get_params())
