"""The payoff panel: forecasts of the payoff of each feature, across the eras that have not resolved, as scores of rows.

Paper: Chen et al. 2023, TSMixer (arXiv 2303.06053). The payoff of a feature in an era is its correlation with the target
over the rows. The payoffs of resolved eras are a panel of series, which TSMixer (`payoff_forecast`) extends to the era at
hand. The score of a row is the sum of its standardised features times their forecasts. Three more scores let trees compare:
the same with forecasts decorrelated by the features' correlations, as in ridge regression, and the scores by the mean
payoffs of the window and of the training eras.

Cross-fitting (`cross_fitting`): the training eras are cut into runs. All that is learned for a run (channels, means, nets
and their shrinkage) is learned from the other runs, less the eras whose target overlaps the run's. A net forecasts from the
payoffs that had resolved at the current era, of the run or not, as in a live round. Later eras get the mean of all folds'
forecasts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from numerai_assets.eras import era_label, horizon_of, look_back_to, purge, resolve_lag, resolved_at
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FittedBlock
from numerai_assets.features.fitting.correlations import mean_correlations
from numerai_assets.features.fitting.cross_fitting import Run, cut_into_runs, fitted_eras, speaking_folds
from numerai_assets.features.fitting.levels import level_counts, looked_up, z_table
from numerai_assets.features.fitting.memo import Kept, digest_of
from numerai_assets.features.fitting.resolved_targets import resolved_target
from numerai_assets.features.fitting.training_eras import eras_to_fit, only_era
from numerai_assets.features.learned_plots import payoffs_picture
from numerai_assets.methods.mixer_boosting.feature_payoffs import feature_payoffs
from numerai_assets.methods.mixer_boosting.payoff_forecast import PayoffForecast, Payoffs, Recipe, windows
from numerai_assets.panel.estimator import read_about, write_about
from numerai_assets.panel.panel import EraPanel, History, Reads
from numerai_assets.progress import Progress, silent

SCORES = ("forecast", "decorrelated", "trailing", "static")
"""The columns: by TSMixer's forecasts, by the same decorrelated, by mean payoffs of the window and of the training eras."""

_LEARNED = "learned.npz"
# Eras beyond the resolve lag that a forecast reaches: a live round is one era ahead of the release, or two if that is late.
_LATE = 2
# Eras that correlations of features are a mean over, and features scored at once.
_CORRELATED_ERAS, _CHUNK = 8, 256
# Eras whose payoffs are kept.
_KEPT: Kept[Payoffs] = Kept(1024)


class Hindsight(NamedTuple):
    """Performance of forecasts in training eras (E,), each by the fold that was not trained on it; NaN in the first ones.

    earned: (3, E) correlation with the target of uncorrelated features weighed by forecast, trailing and static payoffs.
    path: (2, E) forecast and realised payoff of the feature that was forecast best; feature: its index.
    """

    eras: NDArray[np.intp]
    earned: Payoffs
    path: Payoffs
    feature: NDArray[np.intp]

    @classmethod
    def of(cls, eras: NDArray[np.intp], expected: Payoffs, paid: Payoffs) -> Self:
        """Of expected payoffs (3, E, d), NaN for features that no fold forecasts, and paid ones (E, d)."""
        both = ~np.isnan(expected) & ~np.isnan(paid)
        weights, returned = np.where(both, expected, 0), np.where(both, paid, 0)
        size = np.sqrt((weights**2).sum(axis=2))
        earned = np.divide((weights * returned).sum(axis=2), size, out=np.full(size.shape, np.nan), where=size > 0)
        away = weights[0] - weights[2]
        gained = (away * (returned[0] - weights[2])).sum(axis=0) / np.maximum(np.sqrt((away**2).sum(axis=0)), 1e-12)
        feature = np.asarray(gained.argmax())
        return cls(eras, earned, np.stack([expected[0, :, feature], paid[:, feature]]), feature)


@dataclass(frozen=True)
class Fold:
    """The forecast for the eras of a run. channels: (c,) indices, among the features read, of those it forecasts."""

    run: Run
    channels: NDArray[np.intp]
    forecast: PayoffForecast


@dataclass(kw_only=True, eq=False, repr=False)
class PayoffPanel(FittedBlock):
    """Scores of rows by forecasts of what their features pay; a missing level counts as the mean of its feature.

    length: eras a forecast is made from. channels: at most so many features, those whose mean payoff is largest against
    its standard error. folds: runs of eras to cross-fit, 1 for none. ridge: added to the features' variance, 1, before
    forecasts are decorrelated. blocks, hidden, dropout, epochs, learning_rate: of TSMixer and its fit.
    """

    name: ClassVar[str] = "payoff_panel"
    version: ClassVar[int] = 1

    length: int = 52
    channels: int = 256
    folds: int = 4
    ridge: float = 0.5
    blocks: int = 1
    hidden: int = 64
    dropout: float = 0.5
    epochs: int = 30
    learning_rate: float = 3e-3

    @property
    def reads(self) -> Reads:
        """Earlier eras and their targets. Nothing before the fit, which has its eras in its panel."""
        if not hasattr(self, "target_"):
            return Reads()
        return Reads(look_back_to(self.length, horizon_of(self.target_)) + _LATE, (self.target_,))

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        """Fits `folds` forecasts on eras that follow each other, those in which the target varies.

        Same seed, same columns on the CPU with the same number of threads. Raises FeatureError when a fold has too few
        eras, with the number that is enough.
        """
        eras = eras_to_fit(panel, target, 1, block=self.name)
        self.target_, self.names_ = target, SCORES
        paid, calendar = _paid_in(panel.with_eras(eras), target, progress), np.arange(eras[0], eras[-1] + 1)
        runs = cut_into_runs(eras, self.folds, block=self.name)
        fitted = fitted_eras(eras, runs, horizon_of(target), block=self.name)
        kept = [np.isin(calendar, some) for some in fitted]
        chosen = [most_reliable(paid[some], self.channels) for some in kept]
        used = np.unique(np.concatenate(chosen))
        self.feature_names_ = tuple(panel.feature_names[place] for place in used)
        recipe = self._recipe()
        self.folds_ = [
            Fold(
                run,
                np.searchsorted(used, places),
                PayoffForecast.fit(paid[:, places], some, recipe, seed=seed, progress=progress),
            )
            for run, places, some in zip(runs, chosen, kept, strict=True)
        ]
        self.correlations_ = mean_correlations(
            panel.with_eras(eras).with_features(self.feature_names_), _CORRELATED_ERAS
        ).astype(np.float64)
        self.hindsight_ = self._looked_back(paid[:, used], np.isin(calendar, eras), eras[0])
        return self

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        """(4, n) float16 of one era; NaN where not all eras that a forecast is made from are in the history.

        Up to the newest training era by the fold that was fitted without it and its neighbours; after it by the mean of all.
        Raises FeatureError for a panel of several eras, for a target without any value in an era in which it had resolved,
        and when more eras have not resolved than a forecast reaches.
        """
        era = only_era(panel, block=self.name)
        history = panel.history(era)
        gap = era - history.resolved_through(self.target_)
        if gap > _horizon(self.target_):
            raise FeatureError(
                f"{self.name}: {self.target_} had resolved through {era_label(era - gap)} at era {era_label(era)}; forecasts "
                f"reach {_horizon(self.target_)} eras, not {gap}: bring the release up to date"
            )
        earlier = range(era - gap - self.length + 1, era - gap + 1)
        if not history.holds(earlier[0]):
            return np.full((len(SCORES), panel.rows), np.nan, np.float16)
        paid = np.array([self._paid_at(one, history) for one in earlier])
        speaking = speaking_folds([fold.run for fold in self.folds_], era)
        weights = np.mean([self._weights(self.folds_[fold], paid, gap) for fold in speaking], axis=0)
        return scores(panel.with_features(self.feature_names_).blocks[0], weights).astype(np.float16)

    def save(self, folder: Path) -> None:
        """Writes a folder for each fold, the arrays of the block as .npz, and about.json."""
        for place, fold in enumerate(self.folds_):
            (folder / f"fold_{place}").mkdir()
            fold.forecast.save(folder / f"fold_{place}")
        arrays = {f"channels_{place}": fold.channels for place, fold in enumerate(self.folds_)}
        arrays |= self.hindsight_._asdict() | {"correlations": self.correlations_}
        np.savez(folder / _LEARNED, allow_pickle=False, **arrays)
        about = {
            "parameters": self.get_params(),
            "feature_names": self.feature_names_,
            "target": self.target_,
            "runs": [[fold.run.first, fold.run.last] for fold in self.folds_],
        }
        write_about(folder, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The block that `save` wrote."""
        about = read_about(folder)
        block = cls.of_stored(about["parameters"])
        block.feature_names_, block.names_ = tuple(about["feature_names"]), SCORES
        block.target_ = about["target"]
        with np.load(folder / _LEARNED, allow_pickle=False) as file:
            block.correlations_ = file["correlations"]
            block.hindsight_ = Hindsight(*(file[name] for name in Hindsight._fields))
            block.folds_ = [
                Fold(Run(first, last), file[f"channels_{place}"], PayoffForecast.load(folder / f"fold_{place}"))
                for place, (first, last) in enumerate(about["runs"])
            ]
        return block

    def picture(self) -> bytes:
        """A PNG: forecast and realised payoffs in the training eras, each by the fold that was not trained on it."""
        seen = self.hindsight_
        return payoffs_picture(seen.eras, seen.earned, seen.path, self.feature_names_[seen.feature], self.target_)

    def _recipe(self) -> Recipe:
        horizon = horizon_of(self.target_)
        return Recipe(
            length=self.length,
            horizon=_horizon(self.target_),
            lag=resolve_lag(horizon),
            overlap=purge(horizon),
            blocks=self.blocks,
            hidden=self.hidden,
            dropout=self.dropout,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )

    def _paid_at(self, era: int, history: History) -> Payoffs:
        """(d,) payoffs, in an earlier era, of the features read."""
        target = resolved_target(history, era, self.target_)
        panel = history.panel(era).with_features(self.feature_names_)
        return _KEPT.of_era(panel, lambda: feature_payoffs(panel.blocks[0], target), digest_of(target))

    def _weights(self, fold: Fold, paid: Payoffs, gap: int) -> Payoffs:
        """(4, d) weight of a standard deviation of each feature, from payoffs (length, d) up to `gap` eras before."""
        weights = np.zeros((len(SCORES), len(self.feature_names_)))
        forecast, trailing, static = _expected(fold, paid[None], gap)[:, 0]
        between = self.correlations_[np.ix_(fold.channels, fold.channels)]
        decorrelated = solve(between + self.ridge * np.eye(len(between)), forecast, assume_a="pos")
        weights[:, fold.channels] = forecast, decorrelated, trailing, static
        return weights

    def _looked_back(self, paid: Payoffs, known: NDArray[np.bool_], first: int) -> Hindsight:
        """Of payoffs (E, d) of training eras, consecutive from `first`."""
        lag = resolve_lag(horizon_of(self.target_))
        expected = np.full((3, *paid.shape), np.nan)
        starts = windows(known, self.length)
        at_hand = starts + resolved_at(self.length - 1, horizon_of(self.target_))
        starts, at_hand = starts[at_hand < len(paid)], at_hand[at_hand < len(paid)]
        for fold in self.folds_:
            ours = (at_hand + first >= fold.run.first) & (at_hand + first <= fold.run.last)
            if ours.any():
                histories = paid[starts[ours][:, None] + np.arange(self.length)]
                expected[np.ix_(np.arange(3), at_hand[ours], fold.channels)] = _expected(fold, histories, lag)
        return Hindsight.of(first + np.arange(len(paid)), expected, paid)


def most_reliable(paid: Payoffs, count: int) -> NDArray[np.intp]:
    """Up to `count` indices, ascending, of features whose mean payoff, of (E, d), is largest against its standard error."""
    known = ~np.isnan(paid)
    rows = known.sum(axis=0)
    mean = np.where(known, paid, 0).sum(axis=0) / np.maximum(rows, 1)
    error = np.sqrt(np.where(known, (paid - mean) ** 2, 0).sum(axis=0)) / np.maximum(rows, 1)
    sure = np.divide(np.abs(mean), error, out=np.zeros(len(mean)), where=error > 0)
    best = np.argsort(-sure, kind="stable")[:count]
    return np.sort(best[error[best] > 0])


def scores(block: NDArray[np.int8], weights: Payoffs) -> Payoffs:
    """(k, n) sums over the features (d, n) int8, standardised in the era, times weights (k, d); missing cells add nothing.

    Features are added one after the other, in the same order for every row: the order of rows changes no bit.
    """
    total = np.zeros((len(weights), block.shape[1]))
    for start in range(0, len(block), _CHUNK):
        some = slice(start, start + _CHUNK)
        standardised = looked_up(block[some], z_table(level_counts(block[some])), dtype=np.float64)
        for score, weight in zip(total, weights[:, some], strict=True):
            score += (weight[:, None] * standardised).sum(axis=0)
    return total


def _expected(fold: Fold, histories: Payoffs, gap: int) -> Payoffs:
    """(3, w, c) payoffs of the fold's channels `gap` eras after histories (w, length, d): forecast, trailing, static."""
    ours = histories[:, :, fold.channels]
    forecast, static = fold.forecast.ahead(ours)[:, gap - 1], fold.forecast.mean
    trailing = np.where(np.isnan(ours), static, ours).mean(axis=1)
    return np.stack([forecast, trailing, np.broadcast_to(static, forecast.shape)])


def _paid_in(panel: EraPanel, target: str, progress: Progress) -> Payoffs:
    """(E, d) payoffs of all eras from the panel's first to its last, NaN where it has none."""
    paid = np.full((panel.eras[-1] - panel.eras[0] + 1, len(panel.feature_names)), np.nan)
    for done, one in enumerate(panel.each_era()):
        paid[one.eras[0] - panel.eras[0]] = feature_payoffs(one.blocks[0], one.target(target))
        progress("eras' payoffs", done + 1, len(panel.eras))
    return paid


def _horizon(target: str) -> int:
    """Eras that forecasts reach."""
    return resolve_lag(horizon_of(target)) + _LATE
