"""Return of a stake on a round: clip(payout factor x weighted sum of scores, -clip, clip).

The round's own `roundScoreConfigs` are the authority (`PayoutRule.of_configs`); the rules below are for rounds whose configs
are not available. Sources: Numerai docs, "Staking" and "Payouts", as of each rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import ScoringError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PayoutRule:
    """multipliers: (display name of a score, its multiplier) each. clip: largest return, > 0, as a share of the stake.

    payout_factor: 0..1, multiplies the weighted sum; None where it is the round's own and not known yet.
    """

    multipliers: tuple[tuple[str, float], ...]
    clip: float
    payout_factor: float | None = None

    @classmethod
    def of_configs(cls, configs: Sequence[Mapping[str, Any]]) -> "PayoutRule":
        """The rule of a round by its `roundScoreConfigs`; those with `isPayout` count.

        Each has displayName, defaultMultiplier, clipThreshold and payoutFactor; numbers may be strings, and the factor is
        null while it is not known. Raises ScoringError where none pays, a score pays twice, a number is absent or invalid,
        and where configs disagree on the clip or the factor, which belong to the round as a whole.
        """
        paying = [config for config in configs if config.get("isPayout")]
        if not paying:
            raise ScoringError(f"roundScoreConfigs: none of {len(configs)} pays, expected at least one with isPayout")
        names = [str(config.get("displayName")) for config in paying]
        if len(set(names)) < len(names):
            raise ScoringError(f"roundScoreConfigs: a score pays more than once among {', '.join(names)}")
        with_factor = [config for config in paying if config.get("payoutFactor") is not None]
        if len(with_factor) not in (0, len(paying)):
            raise ScoringError(
                "roundScoreConfigs: payoutFactor is set for some of the scores that pay and absent for others"
            )
        factors = {_number(config, "payoutFactor") for config in with_factor}
        multipliers = tuple(
            (name, _number(config, "defaultMultiplier")) for name, config in zip(names, paying, strict=True)
        )
        rule = cls(multipliers, _same("clipThreshold", {_number(config, "clipThreshold") for config in paying}))
        return rule.with_factor(_same("payoutFactor", factors)) if factors else rule

    def __post_init__(self) -> None:
        if not 0 < self.clip < np.inf:
            raise ScoringError(f"payout rule: clip {self.clip}, expected above 0 and finite")
        if self.payout_factor is not None and not 0 <= self.payout_factor <= 1:
            raise ScoringError(f"payout rule: payout factor {self.payout_factor}, expected 0 to 1")

    def __str__(self) -> str:
        weighted = " + ".join(f"{multiplier:g} {name}" for name, multiplier in self.multipliers)
        return f"{weighted}, clipped at {self.clip:g}"

    @property
    def names(self) -> tuple[str, ...]:
        """Display names of the scores that pay."""
        return tuple(name for name, _ in self.multipliers)

    def with_factor(self, payout_factor: float) -> "PayoutRule":
        """The rule with a known factor; 1 gives the payout without any reduction."""
        return replace(self, payout_factor=payout_factor)

    def payouts(self, scores: Mapping[str, NDArray[np.floating]]) -> Array:
        """Returns of a stake, as shares of it, in the shape of the scores; NaN where a score that pays is NaN.

        scores: an array for each score that pays, all of one shape, by display name; others are ignored.
        Raises ScoringError where one is absent, shapes differ, or the factor is not known.
        """
        if absent := [name for name in self.names if name not in scores]:
            raise ScoringError(f"payout: no score named {', '.join(absent)}; found {', '.join(scores) or 'none'}")
        if self.payout_factor is None:
            raise ScoringError(
                "payout: the factor of the round is not known; set it by with_factor, 1 for no reduction"
            )
        shapes = {name: np.shape(scores[name]) for name in self.names}
        if len(set(shapes.values())) > 1:
            raise ScoringError(f"payout: scores of one shape expected, found {shapes}")
        weighted = sum(multiplier * np.asarray(scores[name], np.float64) for name, multiplier in self.multipliers)
        return np.asarray(np.clip(self.payout_factor * weighted, -self.clip, self.clip))


SINCE_1343 = PayoutRule((("corr60", 3.0), ("mmc60", 15.0)), clip=1.0, payout_factor=1.0)
"""Rounds from 1343 on, opened 2026-08-28: 60-day scores, the whole stake at risk once, a factor of 1."""
OF_2026 = PayoutRule((("v2_corr20", 0.75), ("mmc", 2.25)), clip=0.05)
"""Rounds from 2026-01-01 to 1342: 20-day scores; the factor is the round's own, min(1, 72,000 / NMR at risk)."""
OF_2024_AND_2025 = PayoutRule((("v2_corr20", 0.5), ("mmc", 2.0)), clip=0.05)
"""Rounds of 2024 and 2025: 20-day scores; the factor is the round's own. Their clip is taken to be that of 2026."""

# Five rounds a week, Tuesday to Saturday, without a gap, counted back from 1343 on Friday 2026-08-28:
# 1172 opened on Thursday 2026-01-01 and 650 on Tuesday 2024-01-02.
_SINCE = ((1343, SINCE_1343), (1172, OF_2026), (650, OF_2024_AND_2025))


def rule_of_round(number: int) -> PayoutRule:
    """The rule of a round by its number; its factor is None where it depended on the round.

    Raises ScoringError for rounds before 2024, which paid for scores that are not computed here.
    """
    for first, rule in _SINCE:
        if number >= first:
            return rule
    raise ScoringError(f"round {number}: no payout rule is known for rounds before {_SINCE[-1][0]}, the first of 2024")


def _number(config: Mapping[str, Any], field: str) -> float:
    try:
        number = float(config.get(field, np.nan))
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ScoringError(
            f"roundScoreConfigs: {field} of {config.get('displayName')} is {config.get(field)!r}, expected a number"
        )
    return number


def _same(field: str, values: set[float]) -> float:
    if len(values) > 1:
        raise ScoringError(f"roundScoreConfigs: {field} differs among the scores that pay: {sorted(values)}")
    return next(iter(values))
