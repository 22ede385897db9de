"""TSMixer: MLPs that mix a panel of series in turn over time and over channels; and its variant with covariates.

Papers: Chen et al. 2023, TSMixer (arXiv 2303.06053), sections 4.1 (TSMixer) and 4.2 (TSMixer-Ext); Kim et al. 2022,
RevIN. Kept of TSMixer: weights of a time mixing are shared by channels and those of a feature mixing by time; each is
normalised before, with dropout, and added to what came in, so that with no block the model is a linear map of time;
statistics are those of a batch, one pair for each cell of time and channel; Keras' epsilon, momentum and beginnings.
Changed in TSMixerExt: statistics are those of a row (layer norm) and not of a batch, so that what a row is given does not
depend on the rows it came with, and each step has a head of its own.

First weights and dropout are drawn from the generator given to the constructor, or from torch's own without one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from numerai_assets.errors import MethodError

_KERAS_EPSILON, _KERAS_MOMENTUM = 1e-3, 0.01
_REVIN_EPSILON = 1e-5


class Moments(NamedTuple):
    """Mean and standard deviation (n, 1, C) of each channel of each window."""

    mean: Tensor
    spread: Tensor


class RevIN(nn.Module):
    """Scales each window to mean 0 and standard deviation 1, channel by channel, and forecasts back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, history: Tensor) -> tuple[Tensor, Moments]:
        """(n, L, C) normalised history, and the moments that `undo` needs."""
        variance, mean = torch.var_mean(history, dim=1, correction=0, keepdim=True)
        moments = Moments(mean, torch.sqrt(variance + _REVIN_EPSILON))
        return (history - moments.mean) / moments.spread * self.weight + self.bias, moments

    def undo(self, forecast: Tensor, moments: Moments) -> Tensor:
        """(n, T, C) on the scale that the history had."""
        scaled: Tensor = (forecast - self.bias) / self.weight * moments.spread + moments.mean
        return scaled


class TSMixer(nn.Module):
    """Forecasts the next `horizon` steps of `channels` series from their last `length`.

    blocks: 0 leaves a linear map over time. hidden: units of a feature mixing. dropout: share of cells, 0 to below 1.
    feature_mixing: False mixes no channels (TMix-Only of the paper).
    """

    def __init__(
        self,
        length: int,
        channels: int,
        horizon: int,
        *,
        blocks: int = 2,
        hidden: int = 64,
        dropout: float = 0.1,
        feature_mixing: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.revin = RevIN(channels)
        mixings: list[nn.Module] = []
        for _ in range(blocks):
            mixings.append(_TimeMixing(length, _CellNorm(length, channels), dropout, generator))
            if feature_mixing:
                mixings.append(_FeatureMixing(channels, hidden, _CellNorm(length, channels), dropout, generator))
        self.blocks = nn.Sequential(*mixings)
        self.head = _linear(length, horizon, generator)

    def forward(self, history: Tensor) -> Tensor:
        """(n, T, C) forecasts from histories (n, L, C) float32, oldest first. In training n must be at least 2."""
        normalised, moments = self.revin(history)
        ahead: Tensor = self.head(self.blocks(normalised).transpose(1, 2)).transpose(1, 2)
        return self.revin.undo(ahead, moments)


class TSMixerExt(nn.Module):
    """Outputs at `horizon` steps from histories, covariates known at each step, and static covariates.

    history, future, static: channels of each. width: channels of a step inside. outputs: a step.
    """

    def __init__(
        self,
        length: int,
        horizon: int,
        *,
        history: int,
        future: int,
        static: int,
        outputs: int = 1,
        width: int = 32,
        blocks: int = 2,
        hidden: int = 64,
        dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.project = _linear(length, horizon, generator)
        self.history = _Aligned(history, width, hidden, dropout, generator)
        self.future = _Aligned(future, width, hidden, dropout, generator)
        self.joined = _Aligned(2 * width, width, hidden, dropout, generator)
        self.blocks = nn.ModuleList(
            _ConditionalBlock(horizon, static, width, hidden, dropout, generator) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm((horizon, width))
        first = [_linear(width, outputs, generator) for _ in range(horizon)]
        self.head_weight = nn.Parameter(torch.stack([head.weight.detach() for head in first]))
        self.head_bias = nn.Parameter(torch.zeros(horizon, outputs))

    def representation(self, history: Tensor, future: Tensor, static: Tensor) -> Tensor:
        """(n, T, width) inputs of the heads, from history (n, L, Cx), future (n, T, Cz) and static (n, Cs)."""
        past = self.history(self.project(history.transpose(1, 2)).transpose(1, 2))
        mixed = self.joined(torch.cat([past, self.future(future)], dim=2))
        for block in self.blocks:
            mixed = block(mixed, static)
        normalised: Tensor = self.norm(mixed)
        return normalised

    def forward(self, history: Tensor, future: Tensor, static: Tensor) -> Tensor:
        """(n, T, outputs) of the same."""
        return torch.einsum("ntw,tow->nto", self.representation(history, future, static), self.head_weight) + (
            self.head_bias
        )


class _CellNorm(nn.Module):
    """Batch normalisation of (n, L, C), each of the L x C cells by its own statistics."""

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        self.cells = nn.BatchNorm1d(length * channels, eps=_KERAS_EPSILON, momentum=_KERAS_MOMENTUM)

    def forward(self, values: Tensor) -> Tensor:
        normalised: Tensor = self.cells(values.flatten(1))
        return normalised.view(values.shape)


class _TimeMixing(nn.Module):
    def __init__(self, steps: int, norm: nn.Module, dropout: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.norm = norm
        self.mix = _linear(steps, steps, generator)
        self.drop = _Dropout(dropout, generator)

    def forward(self, values: Tensor) -> Tensor:
        """(n, L, C) from the same."""
        mixed = torch.relu(self.mix(self.norm(values).transpose(1, 2)))
        added: Tensor = values + self.drop(mixed).transpose(1, 2)
        return added


class _FeatureMixing(nn.Module):
    """beside: more input channels, which are not among the outputs."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        norm: nn.Module,
        dropout: float,
        generator: torch.Generator | None,
        *,
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.mix = _mlp(channels + beside, hidden, channels, dropout, generator)

    def forward(self, values: Tensor, beside: Tensor | None = None) -> Tensor:
        """(n, L, C) from the same, and from (n, L, beside)."""
        given = values if beside is None else torch.cat([values, beside], dim=2)
        added: Tensor = values + self.mix(self.norm(given))
        return added


class _Aligned(nn.Module):
    """A feature mixing to another number of channels: the residual is projected, and nothing is normalised."""

    def __init__(
        self, channels: int, width: int, hidden: int, dropout: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.mix = _mlp(channels, hidden, width, dropout, generator)
        self.past = _linear(channels, width, generator)

    def forward(self, values: Tensor) -> Tensor:
        """(..., width) from (..., channels)."""
        added: Tensor = self.past(values) + self.mix(values)
        return added


class _ConditionalBlock(nn.Module):
    """Time mixing, then feature mixing with the static covariates, aligned again in every block, beside each step."""

    def __init__(
        self, horizon: int, static: int, width: int, hidden: int, dropout: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.static = _Aligned(static, width, hidden, dropout, generator)
        self.over_time = _TimeMixing(horizon, nn.LayerNorm((horizon, width)), dropout, generator)
        self.over_features = _FeatureMixing(
            width, hidden, nn.LayerNorm((horizon, 2 * width)), dropout, generator, beside=width
        )

    def forward(self, values: Tensor, static: Tensor) -> Tensor:
        """(n, T, width) from the same and static (n, Cs)."""
        beside = self.static(static)[:, None].expand(values.shape)
        mixed: Tensor = self.over_features(self.over_time(values), beside)
        return mixed


class _Dropout(nn.Module):
    """Independent for each cell, in training only. Drawn on the CPU, so that a seed gives the same draws on any device."""

    def __init__(self, share: float, generator: torch.Generator | None) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise MethodError(f"dropout {share}: expected a share from 0 to below 1")
        self.share = share
        self.generator = generator

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.share:
            return values
        kept = torch.empty(values.shape).bernoulli_(1 - self.share, generator=self.generator)
        return values * kept.div_(1 - self.share).to(values.device)


def _mlp(inputs: int, hidden: int, outputs: int, dropout: float, generator: torch.Generator | None) -> nn.Sequential:
    return nn.Sequential(
        _linear(inputs, hidden, generator),
        nn.ReLU(),
        _Dropout(dropout, generator),
        _linear(hidden, outputs, generator),
        _Dropout(dropout, generator),
    )


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """Initialised as Keras' Dense: Glorot's uniform weights, no bias."""
    # On the meta device nothing is drawn from torch's own generator.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
