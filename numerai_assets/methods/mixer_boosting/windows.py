"""Training of forecasters on windows of one panel of series; the epoch with the least validation error is kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from numerai_assets.errors import MethodError
from numerai_assets.nn.training import train
from numerai_assets.progress import Progress, silent

# Windows forecast at once in validation.
_WINDOWS = 256


@dataclass(frozen=True)
class Windows:
    """All windows of consecutive steps: `length` known steps and the `horizon` steps that follow.

    series: (steps, C) float32, oldest first. Raises MethodError when it is shorter than one window.
    """

    series: Tensor
    length: int
    horizon: int

    def __post_init__(self) -> None:
        if len(self.series) < self.length + self.horizon:
            raise MethodError(
                f"windows of {self.length} + {self.horizon} steps: the series has {len(self.series)}, expected as many"
            )

    def __len__(self) -> int:
        return len(self.series) - self.length - self.horizon + 1

    def at(self, starts: NDArray[np.integer] | range) -> tuple[Tensor, Tensor]:
        """(n, length, C) histories and (n, horizon, C) following steps of the windows that begin at these steps."""
        whole = self.series.unfold(0, self.length + self.horizon, 1)
        some = whole[torch.as_tensor(np.asarray(starts))].transpose(1, 2)
        return some[:, : self.length], some[:, self.length :]


@dataclass(frozen=True)
class Errors:
    """Mean squared and mean absolute error over all windows, steps and channels."""

    squared: float
    absolute: float


@dataclass(frozen=True)
class Training:
    """Adam on the squared error. batch: windows a step. patience: epochs without a better validation error."""

    epochs: int = 8
    batch: int = 32
    learning_rate: float = 1e-3
    patience: int = 5


def errors(forecast: Callable[[Tensor], Tensor], windows: Windows) -> Errors:
    """Errors of forecasts (n, horizon, C) from histories (n, length, C)."""
    squared = absolute = 0.0
    with torch.no_grad():
        for start in range(0, len(windows), _WINDOWS):
            history, ahead = windows.at(range(start, min(start + _WINDOWS, len(windows))))
            away = (forecast(history) - ahead).double()
            squared += float(away.square().sum())
            absolute += float(away.abs().sum())
    cells = len(windows) * windows.horizon * windows.series.shape[1]
    return Errors(squared / cells, absolute / cells)


def fit_windows(
    model: nn.Module, fitted: Windows, unseen: Windows, training: Training, *, seed: int, progress: Progress = silent
) -> Sequence[Errors]:
    """Fits the model in place and leaves it in evaluation, as it was when its error on `unseen` was least.

    Returns the errors on `unseen`, epoch by epoch. The seed draws the order of windows; with a model whose dropout is
    seeded too, the same fit comes out on the CPU with the same number of threads. Raises MethodError when an error is not
    finite.
    """
    rng = np.random.default_rng(seed)
    curve: list[Errors] = []

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = rng.permutation(len(fitted))
        for start in range(0, len(order), training.batch):
            some = order[start : start + training.batch]
            # Batch normalisation needs two windows.
            if len(some) > 1:
                yield fitted.at(some)

    def losses(batch: tuple[Tensor, Tensor]) -> Iterator[Tensor]:
        history, ahead = batch
        yield nn.functional.mse_loss(model(history), ahead)

    def validate() -> float:
        curve.append(errors(model, unseen))
        return curve[-1].squared

    optimiser = torch.optim.Adam(model.parameters(), lr=training.learning_rate)
    train(
        model,
        optimiser,
        batches,
        losses,
        epochs=training.epochs,
        validate=validate,
        patience=training.patience,
        progress=progress,
    )
    return curve
