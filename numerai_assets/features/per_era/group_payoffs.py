"""Past payoffs of the exposure to each group of features, decomposed into trend, cycle and rest.

The payoff of a group in an era is the correlation of its exposure with the target over the rows. The payoffs of the eras
whose target had resolved form a series. STL (Cleveland, Cleveland, McRae & Terpenning 1990, through statsmodels, robust)
decomposes it again at each era. The columns of a row are its exposure times each component.

Payoffs are mostly noise, and only the last era is used, where smoothers of a slope are weakest. Therefore the cycle is the
same in every period (R's `s.window = "periodic"`) and the trend is a local level. For 92 payoffs of noise with std 1, STL's
defaults give a last cycle of std 0.9 and a last trend of 0.5; these choices give 0.4 and 0.26.
"""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from statsmodels.tsa.seasonal import STL, DecomposeResult

from numerai_assets.eras import PAYOUT_TARGET, era_label, horizon_of, resolved_within
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import Columns, FeatureSets, History
from numerai_assets.features.fitting.memo import Kept, digest_of
from numerai_assets.features.fitting.resolved_targets import resolved_target
from numerai_assets.features.groups.exposures import OLDEST_GROUPS, GroupExposures, check_groups, group_exposures
from numerai_assets.features.plots import COLOURS, png, side_by_side
from numerai_assets.panel.panel import EraPanel

PARTS = ("trend", "cycle", "rest")

_LEAST_CYCLES = 2
# Many eras are cached, because the payoffs of an era are a few numbers.
_KEPT: Kept[NDArray[np.float64]] = Kept(4096)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class GroupPayoffs:
    """Exposure of each row to each group, times trend, cycle and rest of the group's past payoffs.

    groups: sets of features.json. target: full name of the target of the payoffs. look_back: number of eras back; the
    newest of them have not resolved and are not read. period: eras of a cycle; 13 are a quarter.
    """

    name: ClassVar[str] = "group_payoffs"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()

    groups: tuple[str, ...] = OLDEST_GROUPS
    target: str = PAYOUT_TARGET
    look_back: Annotated[int, Field(ge=1)] = 104
    period: Annotated[int, Field(ge=2)] = 13

    def __post_init__(self) -> None:
        eras = resolved_within(self.look_back, horizon_of(self.target))
        if eras < 1:
            raise FeatureError(f"{self.name}: {self.target} has no resolved era in {self.look_back} eras back")
        if eras < _LEAST_CYCLES * self.period:
            raise FeatureError(
                f"{self.name}: {self.target}: {eras} resolved eras in {self.look_back} eras back; cycles of {self.period} "
                f"eras need at least {_LEAST_CYCLES * self.period}"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The one target."""
        return (self.target,)

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        """(k,) names, group by group. Raises FeatureError for an unknown group."""
        check_groups(feature_sets, self.groups)
        return tuple(f"{group}_{part}" for group in self.groups for part in PARTS)

    def compute(self, panel: EraPanel, history: History) -> NDArray[np.float16]:
        """(k, n) float16 z-score of the exposure times the component; NaN for a group with less than two cycles.

        Trend and rest are those of the newest resolved era. The cycle is that of the newest resolved era at the same phase
        as the current era. Raises FeatureError for an era in which the target should have resolved and has no value.
        """
        exposures = group_exposures(panel, history.feature_sets, self.groups).standard_scores
        parts = self._parts(self._paid(history), history)
        return (exposures[:, None] * parts[:, :, None]).reshape(-1, panel.rows).astype(np.float16)

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        """A PNG: payoffs, trend and cycle of the group with the largest trend, and the components of every group."""
        paid = self._paid(history)
        parts = self._parts(paid, history)
        figure, (left, right) = side_by_side(f"Payoffs of groups on {self.target}, era {era_label(history.era)}", 2)
        if np.isfinite(parts).any():
            group = int(np.nanargmax(np.abs(parts[:, 0])))
            run = unbroken(paid[:, group])
            whole = taken_apart(run, self.period)
            eras = np.arange(len(run)) + history.resolved_through(self.target) - len(run) + 1
            left.plot(eras, run, color="0.75", linewidth=1, label=self.groups[group])
            left.plot(eras, whole.trend, color=COLOURS[0], linewidth=2, label="trend")
            left.plot(eras, whole.seasonal, color=COLOURS[1], linewidth=1, label="cycle")
            left.legend(frameon=False, fontsize=7)
        left.axhline(0, color="0.7", linewidth=0.8)
        left.set_xlabel("era")
        left.set_ylabel("correlation with the target")
        place = np.arange(len(self.groups))
        for part, name in enumerate(PARTS):
            right.barh(place + 0.25 * (1 - part), parts[:, part], height=0.25, color=COLOURS[part], label=name)
        right.set_yticks(place, self.groups)
        right.axvline(0, color="0.7", linewidth=0.8)
        right.set_xlabel("payoff per standard deviation of exposure")
        right.legend(frameon=False, fontsize=7)
        return png(figure)

    def _paid(self, history: History) -> NDArray[np.float64]:
        """(eras, groups) payoffs of the resolved eras within the look-back, oldest first."""
        last = history.resolved_through(self.target)
        eras = [era for era in range(history.era - self.look_back, last + 1) if history.holds(era)]
        return np.array([self._paid_in(era, history) for era in eras]).reshape(-1, len(self.groups))

    def _paid_in(self, era: int, history: History) -> NDArray[np.float64]:
        target, panel = resolved_target(history, era, self.target), history.panel(era)
        made = group_exposures(panel, history.feature_sets, self.groups)
        members = tuple(history.feature_sets[group] for group in self.groups)
        return _KEPT.of_era(panel, lambda: payoffs(made, target), members, digest_of(target))

    def _parts(self, paid: NDArray[np.float64], history: History) -> NDArray[np.float64]:
        """(groups, components) of payoffs (eras, groups), the last of which is the newest resolved era."""
        lag = history.era - history.resolved_through(self.target)
        return np.array([decomposed(paid[:, group], self.period, lag) for group in range(len(self.groups))])


def payoffs(exposures: GroupExposures, target: NDArray[np.float32]) -> NDArray[np.float64]:
    """(g,) float64 correlation of each exposure with the target (n,) over the rows whose target is known.

    NaN for a group without features, and if exposure or target does not vary. Every sum is of whole numbers or, because
    Numerai's targets are multiples of 1/4, of quarters: exact in float64, so the order of rows changes no bit.
    """
    known = ~np.isnan(target)
    sums = exposures.sums[:, known].astype(np.float64)
    # Sorted, so that targets in other bins, whose squares are rounded, are always summed in the same order.
    paid = target[known].astype(np.float64) - 0.5
    sized = np.sort(paid)
    rows = len(paid)
    covariance = rows * (sums @ paid) - sums.sum(axis=1) * sized.sum()
    variance = rows * (sums**2).sum(axis=1) - sums.sum(axis=1) ** 2
    scale = np.sqrt(np.maximum(variance * (rows * (sized**2).sum() - sized.sum() ** 2), 0))
    return np.asarray(np.divide(covariance, scale, out=np.full(len(sums), np.nan), where=scale > 0))


def decomposed(paid: NDArray[np.float64], period: int, lag: int) -> NDArray[np.float64]:
    """(3,) trend, cycle and rest of one group's payoffs (eras,), the last of which is `lag` eras before the current era.

    Only the unbroken run that ends with the last era is used; NaN if it is shorter than two cycles.
    """
    run = unbroken(paid)
    if len(run) < _LEAST_CYCLES * period:
        return np.full(len(PARTS), np.nan)
    whole = taken_apart(run, period)
    # The current era is a whole number of cycles after this one.
    same_phase = len(run) - 1 - (-lag % period)
    return np.array([whole.trend[-1], whole.seasonal[same_phase], whole.resid[-1]])


def taken_apart(run: NDArray[np.float64], period: int) -> DecomposeResult:
    """Trend, seasonal and resid, (eras,) each, of payoffs (eras,): a local level, a constant cycle, and the rest."""
    # R's window for a constant cycle: so much wider than the series that every period weighs the same.
    wide = 10 * len(run) + 1
    return STL(run, period=period, seasonal=wide, seasonal_deg=0, trend_deg=0, robust=True).fit()


def unbroken(paid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The longest run of known values at the end of (eras,); empty if the last value is unknown."""
    gaps = np.flatnonzero(np.isnan(paid))
    return paid[gaps[-1] + 1 :] if len(gaps) else paid
