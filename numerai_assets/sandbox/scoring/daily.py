"""Daily scores of submissions, computed with numerai-tools as at Numerai, and their payouts.

This module only chooses the inputs: each score is a function of `numerai_tools.scoring` over the submissions
of one round, its live frame (meta model and benchmarks) and the target as it stands that day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from numerai_tools.scoring import (
    correlation_contribution,
    numerai_corr,
    tie_kept_rank__gaussianize__pow_1_5,
)

from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES, META_MODEL

TARGET_OF_DAYS = {20: "target_ender_20", 60: "target_ender_60"}
PAYOUT_FACTOR = 1.0
CLIP_THRESHOLD = 1.0

_RIVAL = "rival "

Scorer = Callable[[pd.DataFrame, pd.DataFrame, pd.Series], pd.Series]


@dataclass(frozen=True)
class ScoreConfig:
    """One score of a round, over `days` weekdays of returns. multiplier: weight in the payout (0: informational)."""

    display_name: str
    name: str
    days: int
    multiplier: float
    scorer: Scorer
    # Rivals that are the score's own reference, so that a rank among them means nothing.
    references: tuple[str, ...] = ()
    version: str = "1"

    @property
    def is_payout(self) -> bool:
        return self.multiplier > 0

    @property
    def target(self) -> str:
        return TARGET_OF_DAYS[self.days]


@dataclass(frozen=True)
class DayScore:
    """A submission's score over `day` weekdays. percentile: share of the rivals below it, in [0, 1]."""

    submission_id: str
    display_name: str
    day: int
    value: float | None
    percentile: float | None
    is_final: bool


def corr(predictions: pd.DataFrame, live: pd.DataFrame, target: pd.Series) -> pd.Series:
    """CORR of each column of `predictions` (index id)."""
    return numerai_corr(predictions, target)


def mmc(predictions: pd.DataFrame, live: pd.DataFrame, target: pd.Series) -> pd.Series:
    """Contribution of each column to the meta model."""
    return correlation_contribution(predictions, live[META_MODEL], target)


def bmc(predictions: pd.DataFrame, live: pd.DataFrame, target: pd.Series) -> pd.Series:
    """Contribution of each column to the benchmarks, at equal weights: Numerai does not publish its own."""
    return correlation_contribution(predictions, benchmark_meta_model(live), target)


def corr_with_meta_model(predictions: pd.DataFrame, live: pd.DataFrame, target: pd.Series) -> pd.Series:
    """Pearson correlation of each column, ranked, gaussianized and raised to 1.5, with the meta model."""
    transformed = tie_kept_rank__gaussianize__pow_1_5(predictions.sort_index())
    return transformed.corrwith(live[META_MODEL].sort_index())


def benchmark_meta_model(live: pd.DataFrame) -> pd.Series:
    """Mean rank of the benchmarks, index id. Whole ranks, so that ties stay ties."""
    return live[list(BENCHMARK_NAMES)].rank().mean(axis=1)


SCORES: tuple[ScoreConfig, ...] = (
    ScoreConfig("corr60", "corr60", 60, 3.0, corr),
    ScoreConfig("mmc60", "mmc60", 60, 15.0, mmc, references=(META_MODEL,)),
    ScoreConfig("v2_corr20", "v2_corr20", 20, 0.0, corr),
    ScoreConfig("mmc", "mmc20", 20, 0.0, mmc, references=(META_MODEL,)),
    ScoreConfig("bmc", "bmc", 20, 0.0, bmc, references=BENCHMARK_NAMES),
    ScoreConfig("corr_w_meta_model", "corr_w_meta_model", 20, 0.0, corr_with_meta_model, references=(META_MODEL,)),
)


def score_day(
    predictions: pd.DataFrame, live: pd.DataFrame, target_after: Callable[[str, int], pd.Series], day: int
) -> list[DayScore]:
    """All scores after `day` weekdays of returns.

    predictions: index id, one column a submission, named by its id. live: index id, columns meta model and benchmarks.
    target_after: function of target name and number of weekdays, index id.
    """
    with_rivals = predictions.join(live[[META_MODEL, *BENCHMARK_NAMES]])
    targets = {days: target_after(TARGET_OF_DAYS[days], day) for days in TARGET_OF_DAYS if day <= days}
    found: list[DayScore] = []
    for config in SCORES:
        if config.days not in targets:
            continue
        values = config.scorer(with_rivals, live, targets[config.days])
        rivals = values.drop([*predictions.columns, *config.references])
        found += [
            DayScore(
                submission_id=submission,
                display_name=config.display_name,
                day=day,
                value=finite(values[submission]),
                percentile=percentile(values[submission], rivals),
                is_final=day == config.days,
            )
            for submission in predictions.columns
        ]
    return found


@dataclass(frozen=True)
class RivalScore:
    """A benchmark's score of a round over `day` weekdays."""

    rival: str
    round_number: int
    display_name: str
    day: int
    value: float | None


def score_round(
    round_number: int,
    predictions: pd.DataFrame,
    live: pd.DataFrame,
    target_after: Callable[[str, int], pd.Series],
    day: int,
) -> tuple[list[DayScore], list[RivalScore]]:
    """`score_day` of the submissions to a round and of the benchmarks."""
    rivals = live[list(BENCHMARK_NAMES)].add_prefix(_RIVAL)
    found = score_day(predictions.join(rivals), live, target_after, day)
    submitted = [score for score in found if not score.submission_id.startswith(_RIVAL)]
    of_rivals = [
        RivalScore(score.submission_id.removeprefix(_RIVAL), round_number, score.display_name, day, score.value)
        for score in found
        if score.submission_id.startswith(_RIVAL)
    ]
    return submitted, of_rivals


def percentile(value: float, rivals: pd.Series) -> float | None:
    """Share of the rivals' values below `value`, ties counted half; None if there is nothing to compare."""
    others = rivals.dropna().to_numpy(float)
    if len(others) == 0 or not np.isfinite(value):
        return None
    return float(np.mean(others < value) + 0.5 * np.mean(others == value))


def payouts(
    values: Mapping[str, float | None], at_risk: Decimal, payout_factor: float = PAYOUT_FACTOR
) -> dict[str, Decimal]:
    """Payout of each score on `at_risk`; their sum is clip(factor * weighted sum, -1, 1) of it.

    values: display name -> value; a missing one counts as 0. Source: Numerai docs, "Staking" (rounds from 1343 on).
    """
    parts = {
        c.display_name: payout_factor * c.multiplier * (values.get(c.display_name) or 0.0)
        for c in SCORES
        if c.is_payout
    }
    total = sum(parts.values())
    clipped = max(-CLIP_THRESHOLD, min(CLIP_THRESHOLD, total))
    scale = clipped / total if total else 0.0
    return {name: at_risk * Decimal(repr(part * scale)) for name, part in parts.items()}


def finite(value: float) -> float | None:
    """The value, or None where it is not a number."""
    return float(value) if np.isfinite(value) else None
