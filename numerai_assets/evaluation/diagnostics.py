"""Per-era scores of out-of-sample predictions and the validation table made of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import HORIZONS
from numerai_assets.evaluation.breakdowns import horizon_of_score
from numerai_assets.evaluation.era_series import apy, max_drawdown, sharpe, smart_sharpe, sortino
from numerai_assets.evaluation.metrics import MIN_OVERLAP, Kind, Score, score_eras
from numerai_assets.evaluation.payout import SINCE_1343
from numerai_assets.evaluation.score_summary import LEVEL, deflated_sharpe_of
from numerai_assets.evaluation.uncertainty import estimate

SCORES = tuple(f"{score}{horizon}" for horizon in (60, 20) for score in ("corr", "spearman", "mmc", "bmc"))


@dataclass(frozen=True)
class ScoredRows:
    """Rows of one era to be scored, each array (n,) float64: prediction, the two targets, and the two references.

    NaN: a target that has not resolved, a reference that does not exist in this era.
    """

    era: int
    vintage: int
    prediction: NDArray[np.float64]
    targets: dict[int, NDArray[np.float64]]
    meta_model: NDArray[np.float64]
    benchmark: dict[int, NDArray[np.float64]]


def era_scores(rows: Iterable[ScoredRows]) -> pd.DataFrame:
    """Scores by era (index): vintage, CORR, Spearman, MMC and BMC on ender_60 and ender_20, and the payout of the round.

    A score that is not available yet (target unresolved, reference absent) is NaN.
    """
    table = [_score(item) for item in rows]
    frame = pd.DataFrame(table, columns=["era", "vintage", *SCORES])
    frame["payout"] = SINCE_1343.payouts({name: frame[name].to_numpy(float) for name in SINCE_1343.names})
    return frame.set_index("era").sort_index()


def _score(rows: ScoredRows) -> dict[str, float]:
    scores: dict[str, float] = {"era": rows.era, "vintage": rows.vintage} | dict.fromkeys(SCORES, math.nan)
    wanted = {}
    for horizon in HORIZONS:
        target = rows.targets[horizon]
        wanted[f"corr{horizon}"] = Score(target)
        wanted[f"spearman{horizon}"] = Score(target, kind=Kind.SPEARMAN)
        for name, reference in (("mmc", rows.meta_model), ("bmc", rows.benchmark[horizon])):
            if np.isfinite(reference).mean() >= MIN_OVERLAP:
                wanted[f"{name}{horizon}"] = Score(target, reference)
    found = score_eras(rows.prediction[:, None], [len(rows.prediction)], wanted)
    return scores | {name: float(values[0, 0]) for name, values in found.items()}


def validation_table(scores: pd.DataFrame, *, trials: int | None = None) -> pd.DataFrame:
    """One row per score of `era_scores`, and fnc60 where the frame has it; scores without an era are left out.

    Columns: eras, mean, se (Newey-West), low and high (90 % interval of the true mean), std, Sharpe, max drawdown.
    trials: number of variants that were scored on these eras, this one included; it adds the columns sortino, smart_sharpe,
    apy (`era_series`) and deflated_sharpe, the probability of a true mean above 0 for the best of so many variants.
    """
    more = [] if trials is None else ["sortino", "smart_sharpe", "apy", "deflated_sharpe"]
    columns = ["score", "eras", "mean", "se", "low", "high", "std", "sharpe", *more, "max_drawdown"]
    rows = []
    for name in [*SCORES, "fnc60", "payout"]:
        if name not in scores:
            continue
        known = scores[name].dropna()
        if known.empty:
            continue
        eras, values, horizon = known.index.to_numpy(), known.to_numpy(float), horizon_of_score(name)
        found = estimate(values, horizon=horizon, eras=eras)
        low, high = found.interval(LEVEL)
        row = {
            "score": name,
            "eras": found.eras,
            "mean": found.mean,
            "se": found.error,
            "low": low,
            "high": high,
            "std": float(values.std()),
            "sharpe": float(sharpe(values)),
            "max_drawdown": float(max_drawdown(values)),
        }
        if trials is not None:
            row["sortino"], row["smart_sharpe"] = float(sortino(values)), float(smart_sharpe(values, horizon=horizon))
            row["apy"] = float(apy(values))
            row["deflated_sharpe"] = deflated_sharpe_of(eras, values, horizon=horizon, trials=trials)
        rows.append(row)
    return pd.DataFrame(rows, columns=columns)
