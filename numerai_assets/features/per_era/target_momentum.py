"""Momentum of the past targets of look-alikes.

A row has no past of its own. Instead, the weighted mean of the centred target over its look-alikes is taken at each lag
whose target had resolved by the current era. These means are the returns of a path, from which scaled returns, MACD,
relative strength and the stochastic oscillator are computed (`momentum_indicators` gives the sources).

The lags are irregular, so the path is resampled to a grid of eras: each era has the newest sample at or before it. Targets
of neighbouring eras share days: a 20-day target spans 4 eras, a 60-day target 12. Therefore their running sum is not a
price but, up to a factor, the average of the price over that many eras, and its momentum is that of a smoothed price. Only
the volatility is corrected for this, because its factor is known.
"""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from numerai_assets.eras import era_label, horizon_of, resolve_lag, spanned_eras
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureSets, History
from numerai_assets.features.fitting.resolved_targets import centred_target
from numerai_assets.features.groups.momentum_indicators import Series, macd, prices, rsi, scaled_return, stochastic
from numerai_assets.features.plots import COLOURS, png, side_by_side
from numerai_assets.features.trajectories.neighbours import LAGS
from numerai_assets.features.trajectories.sampled_paths import (
    LOOK_ALIKES,
    check_lags,
    check_positions,
    held,
    look_alikes_of,
)
from numerai_assets.panel.panel import EraPanel

_Eras = Annotated[int, Field(ge=2)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TargetMomentum:
    """Scaled returns, MACD, RSI and stochastic oscillator of the resolved targets of each row's look-alikes.

    lags: those of the look-alikes. targets: full names. returns: eras of each scaled return. trends: short and long scale
    of each MACD, in eras; volatility: eras of the standard deviation that scales it. strength: period of the RSI.
    oscillator: period of %K; smooth: number of values of %K averaged in %D.
    """

    name: ClassVar[str] = "target_momentum"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = (LOOK_ALIKES,)

    lags: tuple[int, ...] = LAGS
    targets: tuple[str, ...] = ("target_ender_20", "target_ender_60")
    returns: tuple[_Eras, ...] = (4, 13, 26)
    trends: tuple[tuple[_Eras, _Eras], ...] = ((2, 6), (4, 12), (8, 24))
    volatility: _Eras = 13
    strength: _Eras = 14
    oscillator: _Eras = 14
    smooth: Annotated[int, Field(ge=1)] = 3

    def __post_init__(self) -> None:
        check_lags(self.lags)
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise FeatureError(f"{self.name}: targets {self.targets}: expected at least one, each once")
        flat = [trend for trend in self.trends if trend[0] >= trend[1]]
        if flat:
            raise FeatureError(f"{self.name}: trend {flat[0]}: expected the short scale below the long one")
        for target in self.targets:
            self._check_reach(target)

    @property
    def look_back(self) -> int:
        """Eras back to the oldest lag."""
        return self.lags[-1]

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """(k,) names, target by target."""
        return tuple(f"{target}_{what}" for target in self.targets for what in self._measures)

    def compute(self, panel: EraPanel, history: History) -> NDArray[np.float16]:
        """(k, n) float16; NaN for rows without look-alikes, and if their path is too short for a measure.

        Raises FeatureError for look-alikes of other rows or lags, and for an era in which a target should have resolved
        and has no value.
        """
        paths = self._paths(panel, history)
        found = [self._measured(path, horizon_of(target)) for target, path in paths.items()]
        return np.concatenate(found).astype(np.float16)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: past paths of the rows with the most and the least momentum, and the distribution of relative strength."""
        longest = self._measures.index(f"return_{max(self.returns)}") if self.returns else 0
        strength = self._measures.index(f"rsi_{self.strength}")
        table = np.asarray(columns, np.float64).reshape(len(self.targets), len(self._measures), -1)
        figure, (left, right) = side_by_side(f"Momentum of look-alikes, era {era_label(history.era)}", 2)
        for place, (target, path) in enumerate(self._paths(panel, history).items()):
            rank = table[place, longest]
            known = np.isfinite(rank)
            if not known.any():
                continue
            low, high = np.quantile(rank[known], [0.2, 0.8])
            back = -np.arange(self.lags[-1], self._resolved(target)[0] - 1, -1)
            for some, style in ((rank >= high, "-"), (rank <= low, "--")):
                past = np.nan_to_num(path[:, known & some]).mean(axis=1)
                label = f"{target}, {'top' if style == '-' else 'bottom'} fifth"
                left.plot(back, np.cumsum(past), style, color=COLOURS[place % len(COLOURS)], label=label)
            right.hist(
                table[place, strength][np.isfinite(table[place, strength])],
                bins=np.linspace(0, 100, 41).tolist(),
                histtype="step",
                color=COLOURS[place % len(COLOURS)],
                label=target,
            )
        left.axhline(0, color="0.7", linewidth=0.8)
        left.set_xlabel("eras before the current one")
        left.set_ylabel(f"past path, by {self._measures[longest]}")
        right.set_xlabel(f"relative strength over {self.strength} eras")
        right.set_ylabel("rows")
        for axes in (left, right):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=7)
        return png(figure)

    @property
    def _measures(self) -> tuple[str, ...]:
        return (
            *(f"return_{eras}" for eras in self.returns),
            *(f"macd_{short}_{long}" for short, long in self.trends),
            f"rsi_{self.strength}",
            f"stochastic_{self.oscillator}",
            f"stochastic_{self.oscillator}_{self.smooth}",
        )

    def _resolved(self, target: str) -> tuple[int, ...]:
        """Lags at which the target had resolved by the current era."""
        return tuple(lag for lag in self.lags if lag >= resolve_lag(horizon_of(target)))

    def _check_reach(self, target: str) -> None:
        lags = self._resolved(target)
        if not lags:
            raise FeatureError(
                f"{self.name}: {target} has no resolved era in the window: look-alikes reach "
                f"{self.lags[-1]} eras back, it resolves after {resolve_lag(horizon_of(target))}"
            )
        trends = [long for _, long in self.trends]
        # There is one more price than eras.
        least = max(*self.returns, self.strength, *(n - 1 for n in trends), self.volatility - 1, self._oscillated - 1)
        if lags[-1] - lags[0] + 1 < least:
            raise FeatureError(
                f"{self.name}: {target}: the measures need {least} eras, but look-alikes at lags {lags[0]} to {lags[-1]} "
                f"have {lags[-1] - lags[0] + 1}; set fewer eras or longer lags"
            )

    @property
    def _oscillated(self) -> int:
        return self.oscillator + self.smooth - 1

    def _paths(self, panel: EraPanel, history: History) -> dict[str, Series]:
        """For each target, (eras, n) float64 from the oldest lag to the newest resolved one; NaN before the first sample."""
        alikes = look_alikes_of(panel, history, self.lags)
        weights = alikes.weights()
        samples = {target: np.full((len(self.lags), panel.rows), np.nan, np.float32) for target in self.targets}
        for position, lag in enumerate(self.lags):
            era = history.era - lag
            known = [target for target in self.targets if history.has_resolved(era, target)]
            if not known or not history.holds(era):
                continue
            values = np.stack([centred_target(history, era, target) for target in known])
            check_positions(alikes, position, era, values.shape[1])
            for target, mean in zip(known, alikes.mean(position, values, weights), strict=True):
                samples[target][position] = mean
        return {
            target: held(found[-len(lags) :], lags, lags[-1]).astype(np.float64)
            for target, found in samples.items()
            for lags in [self._resolved(target)]
        }

    def _measured(self, path: Series, horizon: int) -> Series:
        """(measures, n) of a path (eras, n) that is NaN before its first sample."""
        found = np.full((len(self._measures), path.shape[1]), np.nan)
        begins = np.isnan(path).sum(axis=0)
        for begin in np.unique(begins[begins < len(path)]):
            rows = np.flatnonzero(begins == begin)
            returns = path[begin:, rows]
            price = prices(returns)
            found[:, rows] = [
                *(scaled_return(returns, eras, spanned_eras(horizon)) for eras in self.returns),
                *(macd(price, short, long, self.volatility) for short, long in self.trends),
                rsi(returns, self.strength),
                *stochastic(price, self.oscillator, self.smooth),
            ]
        return found
