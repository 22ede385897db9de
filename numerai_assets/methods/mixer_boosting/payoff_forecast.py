"""Forecasts of the payoffs of features from earlier payoffs, by TSMixer, shrunk towards their mean.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053); the net is that of `tsmixer`. The series are payoffs, one channel a
feature, one step an era. Changed for Numerai: payoffs are mostly noise, so the forecasts of a trained net are too large. Their
deviation from the mean payoff is multiplied by the factor that is best in the newest windows, on which the net was not
trained. Then a net is trained again on all windows, for the number of epochs that was best there.
"""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.methods.mixer_boosting.tsmixer import TSMixer
from numerai_assets.methods.mixer_boosting.windows import Training, Windows, fit_windows
from numerai_assets.nn.weights import load_state, save_state
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.progress import Progress, silent

Payoffs = NDArray[np.float64]

# The fewest training windows, and the fewest validation windows, for meaningful figures.
_LEAST_WINDOWS = 8
_SCALE, _NET = "scale.npz", "net.npz"


@dataclass(frozen=True)
class Recipe:
    """Settings of a forecast and of its training.

    length: eras that a forecast is computed from. horizon: eras that it reaches. lag: the era of the horizon, from 1,
    on which forecasts are validated: the current era lies so many eras after the newest resolved one. overlap: eras between
    the last training era and the first validation era. judged: share of the windows, the newest, for validation. blocks,
    hidden, dropout: of TSMixer. epochs: at most.
    """

    length: int
    horizon: int
    lag: int
    overlap: int
    judged: float = 0.2
    blocks: int = 1
    hidden: int = 64
    dropout: float = 0.5
    epochs: int = 30
    learning_rate: float = 3e-3

    @property
    def span(self) -> int:
        """Eras of one window."""
        return self.length + self.horizon


@dataclass(frozen=True)
class ChosenWindows(Windows):
    """Those windows of a series that begin at `starts`."""

    starts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, starts: NDArray[np.integer] | range) -> tuple[torch.Tensor, torch.Tensor]:
        """Histories and following steps of the windows at these indices of `starts`."""
        return super().at(self.starts[np.asarray(starts)])


@dataclass(frozen=True)
class PayoffForecast:
    """A trained net on payoffs scaled by mean and spread, their std, (C,). share: factor of its deviation from the mean."""

    recipe: Recipe
    mean: Payoffs
    spread: Payoffs
    share: float
    net: TSMixer

    @classmethod
    def fit(
        cls, paid: Payoffs, known: NDArray[np.bool_], recipe: Recipe, *, seed: int, progress: Progress = silent
    ) -> Self:
        """Fits on payoffs (E, C) of consecutive eras, NaN where a feature has none, less those eras not `known` (E,).

        The same seed gives the same forecasts on the CPU with the same number of threads. Raises FeatureError when the
        known eras have too few windows.
        """
        starts = windows(known, recipe.span)
        fitted, judged = split(starts, recipe)
        if min(len(fitted), len(judged)) < _LEAST_WINDOWS:
            raise FeatureError(
                f"payoffs: {int(known.sum())} eras make {len(starts)} windows of {recipe.span} consecutive ones, too few "
                f"for training and validation; {least_eras(recipe)} consecutive eras are enough"
            )
        mean, spread = _scale(paid[known & _reached(fitted, recipe.span, len(paid))])
        scaled = _scaled(paid, mean, spread)
        net, epochs = _trained(scaled, fitted, judged, recipe, recipe.epochs, seed, progress)
        share = _believed(net, ChosenWindows(scaled, recipe.length, recipe.horizon, judged), recipe.lag)
        mean, spread = _scale(paid[known])
        net, _ = _trained(_scaled(paid, mean, spread), starts, starts, recipe, epochs, seed, progress)
        return cls(recipe, mean, spread, share, net)

    def ahead(self, histories: Payoffs) -> Payoffs:
        """(w, horizon, C) payoffs of the eras that follow histories (w, length, C), oldest first, NaN where there is none."""
        with torch.no_grad():
            away = self.net(_scaled(histories, self.mean, self.spread)).numpy()
        return np.asarray(self.mean + self.share * away * self.spread)

    def save(self, folder: Path) -> None:
        """Writes net and scale as .npz and the rest as JSON."""
        save_state(self.net, folder / _NET)
        np.savez(folder / _SCALE, mean=self.mean, spread=self.spread)
        about = {"recipe": asdict(self.recipe), "share": self.share}
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The forecast that `save` wrote."""
        about = read_about(folder)
        with np.load(folder / _SCALE, allow_pickle=False) as file:
            mean, spread = file["mean"], file["spread"]
        recipe = Recipe(**about["recipe"])
        net = _net(recipe, len(mean), 0)
        load_state(net, folder / _NET)
        return cls(recipe, mean, spread, about["share"], net.eval())


def windows(known: NDArray[np.bool_], span: int) -> NDArray[np.intp]:
    """First eras, ascending, of the windows of `span` consecutive eras that are all known (E,)."""
    counts = np.cumsum([0, *known])
    return np.flatnonzero(counts[span:] - counts[:-span] == span) if len(known) >= span else np.empty(0, np.intp)


def split(starts: NDArray[np.intp], recipe: Recipe) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training windows and, the newest, validation windows, whose forecast eras lie `overlap` eras after the others' end."""
    judged = starts[len(starts) - int(recipe.judged * len(starts)) :]
    if not len(judged):
        return starts, judged
    first_judged_era = judged[0] + recipe.length
    return starts[starts + recipe.span - 1 < first_judged_era - recipe.overlap], judged


def least_eras(recipe: Recipe) -> int:
    """The fewest consecutive eras for a fit."""
    return next(
        eras
        for eras in itertools.count(recipe.span)
        if min(map(len, split(np.arange(eras - recipe.span + 1), recipe))) >= _LEAST_WINDOWS
    )


def _reached(starts: NDArray[np.intp], span: int, eras: int) -> NDArray[np.bool_]:
    """(E,) True for eras in any of the windows."""
    inside = np.zeros(eras, bool)
    inside[starts[:, None] + np.arange(span)] = True
    return inside


def _scale(paid: Payoffs) -> tuple[Payoffs, Payoffs]:
    """(C,) mean and standard deviation of payoffs (E, C); 0 and 1 for a feature without payoffs that vary."""
    known = ~np.isnan(paid)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, paid, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (paid - mean) ** 2, 0).sum(axis=0) / count)
    return mean, np.where(spread > 0, spread, 1)


def _scaled(paid: Payoffs, mean: Payoffs, spread: Payoffs) -> torch.Tensor:
    """Float32; where there is no payoff, the mean."""
    return torch.from_numpy(np.nan_to_num((paid - mean) / spread, nan=0.0).astype(np.float32))


def _net(recipe: Recipe, channels: int, seed: int) -> TSMixer:
    return TSMixer(
        recipe.length,
        channels,
        recipe.horizon,
        blocks=recipe.blocks,
        hidden=recipe.hidden,
        dropout=recipe.dropout,
        generator=torch.Generator().manual_seed(seed),
    )


def _trained(
    scaled: torch.Tensor,
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    recipe: Recipe,
    epochs: int,
    seed: int,
    progress: Progress,
) -> tuple[TSMixer, int]:
    """The net of the epoch with the least error on the validation windows, and the number of that epoch, from 1."""
    net = _net(recipe, scaled.shape[1], seed)
    learned, unseen = (ChosenWindows(scaled, recipe.length, recipe.horizon, starts) for starts in (fitted, judged))
    training = Training(epochs=epochs, learning_rate=recipe.learning_rate, patience=epochs)
    errors = fit_windows(net, learned, unseen, training, seed=seed, progress=progress)
    return net, 1 + int(np.argmin([each.squared for each in errors]))


def _believed(net: TSMixer, judged: Windows, lag: int) -> float:
    """The factor from 0 to 1 that gives forecasts of deviations from the mean the least squared error."""
    histories, ahead = judged.at(range(len(judged)))
    with torch.no_grad():
        forecast = net(histories)[:, lag - 1].double()
    square = float(forecast.square().sum())
    return float(np.clip(float((forecast * ahead[:, lag - 1]).sum()) / square, 0, 1)) if square else 0.0
