"""A bank of small feature mixers, all computed at once: TSMixer's block with groups of features in place of time steps.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053). Kept: a block mixes tokens by an MLP that channels share, then
channels by an MLP that tokens share, each after a normalisation, with dropout and a residual connection. Changed for Numerai:
a token is a group of features, not a time step; channel k of two groups has nothing in common, so each group is first
embedded by its own weights; normalisation is over a row (layer norm), not over a batch, so that the prediction of a row does
not depend on the other rows of its batch. Every mixer has its own features and weights; one matrix product with a leading
dimension of mixers computes all (as in TabM, Gorishniy et al. 2024, but without shared weights).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

ALL = slice(None)

_EPSILON = 1e-5
# Activations of a layer in memory at once, 2 MB of float32.
_CELLS = 1 << 19


@dataclass(frozen=True)
class MixerShape:
    """Sizes: mixers of `groups` x `channels` features, embedded in `width` channels a group, mixed by `blocks` blocks
    whose MLPs have `hidden` units; `units` outputs before the last, linear one."""

    mixers: int
    groups: int
    channels: int
    width: int = 8
    hidden: int = 16
    blocks: int = 1
    units: int = 4


class Dropout(NamedTuple):
    """Factors of the hidden units of a block: tokens (M, k, 1), channels (M, 1, k, 1)."""

    tokens: Tensor
    channels: Tensor


class MixerBank(nn.Module):
    """M mixers. Input (M, g, c, n) float32, rows last, so that each product runs along them."""

    def __init__(self, shape: MixerShape, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.embed = _Affine((shape.mixers, shape.groups), shape.channels, shape.width, generator)
        self.blocks = nn.ModuleList(_Block(shape, generator) for _ in range(shape.blocks))
        self.to_units = _Affine((shape.mixers,), shape.groups * shape.width, shape.units, generator)
        self.to_prediction = _Affine((shape.mixers,), shape.units, 1, generator)

    def units(self, features: Tensor, dropped: Sequence[Dropout] | None = None, some: slice = ALL) -> Tensor:
        """(M, h, n) penultimate activations, in (-1, 1). dropped: one a block, in training. some: mixers to
        compute; the features are then those of these mixers."""
        mixed = self.embed(features, some)
        for place, block in enumerate(self.blocks):
            mixed = block(mixed, None if dropped is None else dropped[place], some)
        return torch.tanh(self.to_units(_row_norm(mixed).flatten(1, 2), some))

    def forward(self, features: Tensor, dropped: Sequence[Dropout] | None = None, some: slice = ALL) -> Tensor:
        """(M, n) one prediction a mixer, or (some, n)."""
        predictions: Tensor = self.to_prediction(self.units(features, dropped, some), some)
        return predictions.squeeze(1)

    def parts(self, rows: int) -> list[slice]:
        """Slices of the mixers to compute one after the other: on the CPU as many as have activations that fit in its cache."""
        shape = self.shape
        cells = shape.groups * max(shape.width, shape.hidden) * rows
        at_once = max(1, _CELLS // cells) if self.embed.weight.device.type == "cpu" else shape.mixers
        return [slice(start, start + at_once) for start in range(0, shape.mixers, at_once)]

    def dropout(self, share: float, generator: torch.Generator) -> list[Dropout]:
        """Random dropout factors of each block, the same for all rows: a draw for each cell costs a third of a step."""
        m, k = self.shape.mixers, self.shape.hidden
        device = self.embed.weight.device

        def kept(*size: int) -> Tensor:
            drawn: Tensor = (torch.rand(size, generator=generator) >= share) / (1 - share)
            return drawn.to(device)

        return [Dropout(kept(m, k, 1), kept(m, 1, k, 1)) for _ in self.blocks]


class _Affine(nn.Module):
    """weight (*lead, out, in) times (*lead, in, n), plus bias; initially uniform within 1 / sqrt(in), as torch's Linear."""

    def __init__(self, lead: tuple[int, ...], inputs: int, outputs: int, generator: torch.Generator | None) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(_uniform((*lead, outputs, inputs), bound, generator))
        self.bias = nn.Parameter(_uniform((*lead, outputs, 1), bound, generator))

    def forward(self, values: Tensor, some: slice) -> Tensor:
        product: Tensor = self.weight[some] @ values
        return product + self.bias[some]


class _Block(nn.Module):
    def __init__(self, shape: MixerShape, generator: torch.Generator | None) -> None:
        super().__init__()
        m, g, w, k = shape.mixers, shape.groups, shape.width, shape.hidden
        self.token_in, self.token_out = _Affine((m,), g, k, generator), _Affine((m,), k, g, generator)
        # The dimension of 1 broadcasts a weight that all groups share.
        self.channel_in, self.channel_out = _Affine((m, 1), w, k, generator), _Affine((m, 1), k, w, generator)

    def forward(self, values: Tensor, kept: Dropout | None, some: slice) -> Tensor:
        """(M, g, w, n) from the same."""
        across = torch.relu(self.token_in(_row_norm(values).flatten(2, 3), some))
        if kept is not None:
            across = across * kept.tokens[some]
        values = values + self.token_out(across, some).unflatten(2, values.shape[2:])
        inside = torch.relu(self.channel_in(_row_norm(values), some))
        if kept is not None:
            inside = inside * kept.channels[some]
        mixed: Tensor = values + self.channel_out(inside, some)
        return mixed


def _row_norm(values: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the cells of a row, all dimensions but the first and the last."""
    cells = values.flatten(1, -2)
    # Twice as fast as torch's var_mean, which does not reduce along the rows.
    away = cells - cells.mean(dim=1, keepdim=True)
    return (away * torch.rsqrt(away.square().mean(dim=1, keepdim=True) + _EPSILON)).view(values.shape)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator | None) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * bound
