"""The training loop of every net: batches in, a trained module out, with its losses on the way.

The caller makes the module, the optimiser and, where the learning rate changes, the schedule; all three are torch's own.
`train` does the rest: the steps, training and evaluation mode, validation, early stopping, progress, and the check that
losses are numbers.

A batch's loss comes in parts. Each part is back-propagated before the next one is computed, and the gradients add up to
one step. So the memory is that of one part: of one slice of a batch, or of some nets of a bank. A part may hold one loss
for each of k nets; their sum is minimised, so each net takes the step that it would take alone.

    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    course = train(
        net,
        optimiser,
        lambda epoch: load(eras, seed=seed, epoch=epoch, batch_rows=2048, device=device),
        lambda batch: [(net(batch.features) - batch.targets).square().mean()],
        epochs=20,
        validate=lambda: mean_error(net, validation),
        patience=3,
    )
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from numerai_assets.errors import MethodError, NumeraiAssetsError
from numerai_assets.progress import Progress, silent

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Course:
    """How a training went.

    losses: of each epoch the parts of its steps, each before its step: (k,) or () tensors on the CPU. validation: the
    validation loss after each epoch; empty without validation.
    """

    losses: list[list[Tensor]] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, with the least validation loss; the first of several."""
        return int(np.argmin(self.validation))


class Draws(NamedTuple):
    """Random numbers of one fit: NumPy's for the order of batches, torch's for first weights and dropout."""

    order: np.random.Generator
    weights: torch.Generator

    @classmethod
    def of(cls, seed: int | Sequence[int]) -> Self:
        order = np.random.default_rng(seed)
        return cls(order, torch.Generator().manual_seed(int(order.integers(2**62))))


def train(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[Batch]],
    losses: Callable[[Batch], Iterable[Tensor]],
    *,
    epochs: int,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    validate: Callable[[], float] | None = None,
    patience: int | None = None,
    progress: Progress = silent,
    stage: str = "epochs trained",
) -> Course:
    """Trains the module in place and leaves it in evaluation mode.

    Parameters
    ----------
    batches: the batches of an epoch, counted from 0, on the module's device.
    losses: the loss of a batch in parts, whose sum a step of the optimiser reduces.
    schedule: changes the learning rate after each step.
    validate: the validation loss, computed after each epoch in evaluation mode without gradients.
    patience: stop after so many epochs without a lower validation loss, and restore the weights of the best epoch.
        None: train all epochs and keep the weights of the last one.
    progress, stage: `progress(stage, epochs done, epochs)` is called after each epoch.

    Returns
    -------
    Course: the losses of each epoch. Nothing here is drawn: with the same batches the same weights come out, on the CPU
        with the same number of threads.

    Raises
    ------
    MethodError: when a loss is not finite.
    """
    if patience is not None and validate is None:
        raise ValueError("patience counts epochs by their validation loss: give `validate` too")
    course = Course()
    best = None if patience is None else copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        model.train()
        course.losses.append(run_epoch(optimiser, batches(epoch), losses, schedule))
        model.eval()
        _check_finite(course.losses[-1], epoch)
        if validate is not None:
            with torch.no_grad():
                course.validation.append(validate())
            if not math.isfinite(course.validation[-1]):
                raise _not_finite("the validation loss", course.validation[-1], f"after epoch {epoch + 1}")
        progress(stage, epoch + 1, epochs)
        if patience is None:
            continue
        if course.best_epoch == epoch:
            best = copy.deepcopy(model.state_dict())
        elif epoch - course.best_epoch >= patience:
            break
    if best is not None:
        model.load_state_dict(best)
    return course


def run_epoch(
    optimiser: torch.optim.Optimizer,
    batches: Iterable[Batch],
    losses: Callable[[Batch], Iterable[Tensor]],
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> list[Tensor]:
    """One step a batch. Returns the parts of the losses in their order, on the CPU."""
    found: list[Tensor] = []
    for batch in batches:
        optimiser.zero_grad()
        for part in losses(batch):
            torch.autograd.backward(part.sum())
            found.append(part.detach())
        optimiser.step()
        if schedule is not None:
            schedule.step()
    # Only now: copying a loss from a GPU waits for the step.
    return [part.cpu() for part in found]


def device_of(name: str, *, used_by: str, error: type[NumeraiAssetsError] = MethodError) -> torch.device:
    """The device "cpu" or "cuda". Raises `error` for another name, and for "cuda" on a machine without it."""
    if name not in ("cpu", "cuda"):
        raise error(f"{used_by}: device {name!r}: expected 'cpu' or 'cuda'")
    if name == "cuda" and not torch.cuda.is_available():
        raise error(f"{used_by}: device 'cuda': this machine has none; set 'cpu'")
    return torch.device(name)


def _check_finite(parts: list[Tensor], epoch: int) -> None:
    for place, part in enumerate(parts):
        if not bool(part.isfinite().all()):
            value = part.sum().item()
            raise _not_finite("the loss", value, f"in part {place + 1} of epoch {epoch + 1}")


def _not_finite(loss: str, value: float, when: str) -> MethodError:
    return MethodError(
        f"{loss} is {value} {when}, expected a finite number; the data has gaps, or the learning rate is too high"
    )
