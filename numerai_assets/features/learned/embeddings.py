"""Learned embeddings of features: the second-order term of a factorisation machine over levels.

S. Rendle, "Factorization Machines", ICDM 2010. With one vector v of k numbers for each level of each feature, every two
features interact by the product of the vectors of their levels, and the sum over all pairs costs no more than one over
features (lemma 3.1): half of |s|^2 less the sum of the |v|^2, where s = sum_j v_j(x_j). The columns are s.

Changed for Numerai: the target is centred and scaled in each era; a batch is rows of one era, since features move between
eras; s is turned to its principal axes over the levels, which changes no prediction and puts the heaviest first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.errors import FeatureError, MethodError
from numerai_assets.features.contract import Columns, FittedBlock
from numerai_assets.features.fitting.levels import LEVELS
from numerai_assets.features.fitting.training_eras import eras_to_fit
from numerai_assets.features.plots import empty_axes, png
from numerai_assets.nn.training import train
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import standardised
from numerai_assets.progress import Progress, silent

_VECTORS, _WEIGHTS = "vectors.npy", "weights.npy"
# Features embedded at once.
_CHUNK = 256
# Initial std of s in units of the target: its products are well below the target, and far enough from 0 to learn.
_START = 0.1
# Mean squared error of the last epoch, in variances of the target, far above that of any useful fit.
_DIVERGED = 2.0


class FactorisationMachine(nn.Module):
    """vectors: (k, 5 d), weights: (5 d,), of each level of each feature, level by level (Rendle 2010, eq. 1).

    The target is centred, so there is no constant.
    """

    def __init__(self, vectors: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.weights = nn.Parameter(weights)

    def forward(self, marks: Tensor) -> Tensor:
        """(b,) output for marks (5 d, b)."""
        squares = self.vectors.square().sum(dim=0, keepdim=True)
        columns = torch.cat([self.vectors, self.weights[None], squares]) @ marks
        return columns[-2] + second_order(columns[:-2].T, columns[-1])


def second_order(summed: Tensor, squares: Tensor) -> Tensor:
    """(n,) interaction term of s (n, k) and of the sums of |v|^2 (n,) (Rendle 2010, lemma 3.1)."""
    return 0.5 * (summed.square().sum(dim=1) - squares)


@dataclass(kw_only=True, eq=False, repr=False)
class Embeddings(FittedBlock):
    """Columns s of `rank` embeddings, float16. A missing level adds nothing.

    epochs: passes over the rows. batch_rows: rows of a step, of one era. learning_rate: the most that a step of AdamW can
    move the linear term of a row, in standard deviations of the target, for any number of features. shrinkage: share by
    which all weights shrink at each step. every_eras: fit on every n-th era, counted back from the newest.
    """

    name: ClassVar[str] = "embeddings"
    version: ClassVar[int] = 1

    rank: int = 8
    epochs: int = 2
    batch_rows: int = 512
    learning_rate: float = 0.2
    shrinkage: float = 0.002
    every_eras: int = 4

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits on the panel's eras whose `target` varies; the same seed gives the same bits on the same processor.

        Raises FeatureError when no era has the target and when the fit diverges.
        """
        eras = eras_to_fit(panel, target, self.every_eras, block=self.name)
        draw, features = np.random.default_rng(seed), len(panel.feature_names)
        spread = _START / np.sqrt(max(features, 1))
        vectors = torch.from_numpy(draw.normal(scale=spread, size=(self.rank, LEVELS * features)).astype(np.float32))
        machine = FactorisationMachine(vectors, torch.zeros(LEVELS * features))
        # A step moves each of a row's entries by lr; it shrinks them by lr x weight_decay.
        step = self.learning_rate / max(features, 1)
        optimiser = torch.optim.AdamW(machine.parameters(), lr=step, weight_decay=self.shrinkage / step)
        era_of_batch: list[list[int]] = []

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            era_of_batch.append([])
            for done, position in enumerate(draw.permutation(len(eras)).tolist()):
                for batch in _batches(panel.with_eras([eras[position]]), target, self.batch_rows, draw):
                    era_of_batch[-1].append(position)
                    yield batch
                progress("eras embedded", epoch * len(eras) + done + 1, self.epochs * len(eras))

        def losses(batch: tuple[Tensor, Tensor]) -> Iterator[Tensor]:
            marks, values = batch
            yield (machine(marks) - values).square().mean()

        try:
            course = train(machine, optimiser, batches, losses, epochs=self.epochs)
        except MethodError as error:
            raise self._diverged(str(error)) from None
        self.losses_ = np.array(
            [
                _means_of(np.array(torch.stack(steps).tolist()), np.array(positions), len(eras))
                for steps, positions in zip(course.losses, era_of_batch, strict=True)
            ]
        )
        if not self.losses_[-1].mean() < _DIVERGED:
            raise self._diverged(f"mean squared error {self.losses_[-1].mean():.3g} where the target's variance is 1")
        self.vectors_ = on_principal_axes(machine.vectors.detach().numpy().reshape(self.rank, LEVELS, features))
        self.weights_ = machine.weights.detach().numpy().reshape(LEVELS, features).copy()
        self.feature_names_ = panel.feature_names
        self.names_ = tuple(f"embedding_{place + 1}" for place in range(self.rank))
        return self

    def transform(self, panel: EraPanel) -> Columns:
        """(k, n) float16 of a panel of one era with at least the features fitted on."""
        block = panel.with_features(self.feature_names_).blocks[0]
        summed = np.zeros((self.rank, panel.rows), np.float32)
        for start in range(0, len(block), _CHUNK):
            some = slice(start, start + _CHUNK)
            for level in range(LEVELS):
                summed += self.vectors_[:, level, some] @ (block[some] == level).astype(np.float32)
        return summed.astype(np.float16)

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        """(n,) float32 output of the whole machine for a panel of one era, in standard deviations of the target."""
        block = panel.with_features(self.feature_names_).blocks[0]
        vectors, weights = self.vectors_.reshape(self.rank, -1), self.weights_.ravel()
        machine = FactorisationMachine(torch.from_numpy(vectors), torch.from_numpy(weights))
        with torch.no_grad():
            output: NDArray[np.float32] = machine(_marks(block)).numpy()
        return output

    def save(self, folder: Path) -> None:
        """Writes vectors and weights as .npy, parameters and names as about.json."""
        np.save(folder / _VECTORS, self.vectors_, allow_pickle=False)
        np.save(folder / _WEIGHTS, self.weights_, allow_pickle=False)
        about = {
            "parameters": self.get_params(),
            "feature_names": self.feature_names_,
            "losses": self.losses_.tolist(),
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.vectors_ = np.load(folder / _VECTORS, allow_pickle=False)
        block.weights_ = np.load(folder / _WEIGHTS, allow_pickle=False)
        block.losses_ = np.array(about["losses"])
        block.feature_names_ = tuple(about["feature_names"])
        block.names_ = tuple(f"embedding_{place + 1}" for place in range(block.rank))
        return block

    def picture(self) -> bytes:
        """Loss of each era's rows before they were learned from, and how far each embedding spreads over levels."""
        figure, (left, right) = empty_axes(1, 2, height=2.8)
        left.plot(self.losses_.T, linewidth=0.9, label=[f"epoch {epoch + 1}" for epoch in range(self.epochs)])
        left.axhline(1, color="0.6", linewidth=0.8)
        left.set_title("mean squared error, target's variance 1", loc="left", fontsize=10)
        left.set_xlabel("era of the fit", fontsize=8)
        left.legend(frameon=False, fontsize=8)
        right.bar(np.arange(1, self.rank + 1), np.sqrt((self.vectors_**2).sum(axis=(1, 2))), color="#1f5fa8")
        right.set_title("norm of each embedding", loc="left", fontsize=10)
        return png(figure)

    def _diverged(self, why: str) -> FeatureError:
        return FeatureError(
            f"{self.name}: the fit diverged, {why}; a learning_rate below {self.learning_rate} is needed"
        )


def on_principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, 5, d) float32 vectors rotated to orthogonal embeddings, the heaviest first; products of vectors do not change.

    The sign of an embedding makes its largest entry positive.
    """
    flat = vectors.reshape(len(vectors), -1).astype(np.float64)
    axes, _, _ = np.linalg.svd(flat @ flat.T)
    turned = axes.T @ flat
    largest = np.take_along_axis(turned, np.abs(turned).argmax(axis=1)[:, None], axis=1)
    return np.asarray(turned * np.where(largest < 0, -1, 1), np.float32).reshape(vectors.shape)


def _batches(panel: EraPanel, target: str, rows: int, draw: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Marks (5 d, b) and standardised targets (b,) of the rows of one era with a target, in random order."""
    values = standardised(panel.target(target))
    order = draw.permutation(np.flatnonzero(~np.isnan(values)))
    for some in np.array_split(order, -(-len(order) // rows)):
        yield _marks(panel.blocks[0][:, some]), torch.from_numpy(values[some].astype(np.float32))


def _marks(block: NDArray[np.int8]) -> Tensor:
    """(5 d, b) float32: 1 where a row is at a level of a feature, level by level; a missing cell is at none."""
    return torch.from_numpy(np.concatenate([block == level for level in range(LEVELS)]).astype(np.float32))


def _means_of(losses: NDArray[np.float64], era_of_batch: NDArray[np.int64], eras: int) -> NDArray[np.float64]:
    """(eras,) mean loss of the batches (b,) of each era."""
    return np.array([losses[era_of_batch == era].mean() for era in range(eras)])
