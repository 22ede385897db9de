"""Diagnostics of validation predictions: each number of V2Diagnostics that has a published formula.

Scored are the complete eras whose 60-day target has resolved; rows of "test" eras are accepted and not scored.
Benchmark and example predictions are `v53_lgbm_ender60`, the target is `target_ender_60` (Numerai docs, "Diagnostics").

    per era      validationCorr numerai_corr; validationMmc and validationBmc correlation_contribution to the meta model
                 (where there is one) and to the benchmark; validationFeatureNeutralCorr (all features) and ...V3
                 (`fncv3_features`) feature_neutral_corr; validationFeatureCorrMax max |Pearson| over the features;
                 examplePredsCorr Pearson of ranks with the example predictions
    over eras    mean; std with ddof 0; sharpe mean/std; max drawdown max(cummax(cumsum) - cumsum); ...SharpeDiff the
                 Sharpe of CORR + MMC less that of CORR over the same eras; Apy as the example scripts had it

Fields whose formula Numerai does not publish are null: AdjustedSharpe, Autocorr, trainedOnVal, every ...CorrWExamplePreds,
every ...Rating (legacy), and the scores of the other tournaments (Alpha, CorrV4, FncV4, IcV2, Ric). Churn is null because
ids do not persist from era to era. FNC is measured on `target_ender_60`; the docs name different targets for the site.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numerai_tools.scoring import (
    correlation_contribution,
    feature_neutral_corr,
    numerai_corr,
    tie_kept_rank,
)
from numerai_tools.submissions import validate_headers_numerai, validate_values
from numpy.typing import NDArray

from numerai_assets.eras import PAYOUT_TARGET, era_label
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.prediction_names import EXAMPLE, META_MODEL
from numerai_assets.sandbox.scoring.daily import finite

Json = dict[str, Any]

TARGET = PAYOUT_TARGET
NEUTRALIZERS_V3 = "fncv3_features"
_PREDICTION = "prediction"
_ERA_SCORES = (
    "validationCorr",
    "validationMmc",
    "validationBmc",
    "validationFeatureNeutralCorr",
    "validationFeatureNeutralCorrV3",
    "validationFeatureCorrMax",
    "examplePredsCorr",
)
# The example scripts' weekly compounding: 52 weeks less 3 until the first payout.
_PAID_WEEKS = 49
_APY_CLIP = 0.25


@dataclass(frozen=True)
class JudgedEra:
    """Data to score one resolved validation era; everything is indexed by id.

    predictions: the participant's. rivals: columns meta model (NaN before it exists) and example. target: float32.
    features: (n, d) int8.
    """

    era: int
    predictions: pd.Series
    rivals: pd.DataFrame
    target: pd.Series
    features: pd.DataFrame


def split_by_era(frame: pd.DataFrame, ids: Mapping[int, NDArray[np.str_]]) -> dict[int, pd.Series]:
    """Predictions of each complete era of a validation file, index id.

    ids: the ids of every validation era. Raises SandboxError, with numerai-tools' message where there is one, for wrong
    headers or values, missing, duplicate or unknown ids, and incomplete eras.
    """
    try:
        id_column, prediction_column = validate_headers_numerai(frame)
        if frame[id_column].isna().any():
            raise SandboxError(f"invalid_submission_ids: Submission must not contain NaNs in the {id_column} column.")
        validate_values(frame, prediction_column)
    except AssertionError as error:
        raise SandboxError(str(error)) from None
    except TypeError:
        raise SandboxError("invalid_submission_values: values must be numbers") from None
    given = pd.Series(frame[prediction_column].to_numpy(float), index=frame[id_column].astype(str), name=_PREDICTION)
    if (repeated := given.index[given.index.duplicated()]).size:
        raise SandboxError(f"invalid_submission_ids: Duplicates detected in id, the first is {repeated[0]}")
    known = pd.Index(np.concatenate(list(ids.values())))
    if (unknown := given.index.difference(known)).size:
        raise SandboxError(
            f"invalid_submission_ids: {unknown.size} ids are not of the validation data, the first is {unknown[0]}"
        )
    return {era: of_era for era, rows in ids.items() if (of_era := _of_era(given, era, rows)) is not None}


def _of_era(given: pd.Series, era: int, rows: NDArray[np.str_]) -> pd.Series | None:
    found = given.reindex(rows)
    missing = int(found.isna().sum())
    if missing == len(rows):
        return None
    if missing:
        raise SandboxError(
            f"invalid_submission_ids: era {era_label(era)} has {len(rows)} ids, {missing} of them are missing; "
            "submit all rows of an era or none"
        )
    return found


def judge(eras: Iterator[JudgedEra], neutralizers_v3: Sequence[str]) -> Json:
    """V2Diagnostics' numbers and perEraDiagnostics, one era in memory at a time. Raises SandboxError without an era."""
    rows = [_judge_era(era, list(neutralizers_v3)) for era in eras]
    if not rows:
        raise SandboxError(
            "no era to score: the file has no complete validation era whose target_ender_60 has resolved"
        )
    return {**_summary(pd.DataFrame(rows)), "perEraDiagnostics": [_finite(row) for row in rows]}


def _judge_era(judged: JudgedEra, neutralizers_v3: list[str]) -> dict[str, Any]:
    order = judged.predictions.sort_index().index
    predictions = judged.predictions.loc[order].to_frame()
    features, target, rivals = judged.features.loc[order], judged.target.loc[order], judged.rivals.loc[order]

    def neutral(neutralizers: pd.DataFrame) -> float:
        return _only(feature_neutral_corr(predictions, neutralizers.astype(np.float64), target))

    def contribution(rival: str) -> float:
        is_there = rivals[rival].notna().all()
        return _only(correlation_contribution(predictions, rivals[rival], target)) if is_there else np.nan

    if predictions[_PREDICTION].nunique() == 1:
        # Constant predictions have no ranks: no score is defined.
        return {"era": era_label(judged.era), **dict.fromkeys(_ERA_SCORES, np.nan)}
    return {
        "era": era_label(judged.era),
        "validationCorr": _only(numerai_corr(predictions, target)),
        "validationMmc": contribution(META_MODEL),
        "validationBmc": contribution(EXAMPLE),
        "validationFeatureNeutralCorr": neutral(features),
        "validationFeatureNeutralCorrV3": neutral(features[neutralizers_v3]),
        "validationFeatureCorrMax": max_feature_correlation(predictions[_PREDICTION], features),
        "examplePredsCorr": float(np.corrcoef(tie_kept_rank(predictions)[_PREDICTION], rivals[EXAMPLE].rank())[0, 1]),
    }


def max_feature_correlation(predictions: pd.Series, features: pd.DataFrame) -> float:
    """Largest |Pearson| of the predictions with a feature; features that are constant in the era are left out.

    Equal to numerai_tools.scoring.max_feature_correlation, but vectorised over the features.
    """
    x = features.to_numpy(np.float64)
    x = x - x.mean(axis=0)
    y = predictions.to_numpy(np.float64) - predictions.mean()
    norms = np.sqrt((x**2).sum(axis=0))
    varies = norms > 0
    return float(np.max(np.abs(y @ x[:, varies]) / (norms[varies] * np.sqrt(y @ y)), initial=0.0))


def _summary(eras: pd.DataFrame) -> Json:
    corr, mmc = eras["validationCorr"], eras["validationMmc"]
    both = (corr + mmc).dropna()
    drawdown = _of(corr, max_drawdown)
    sharpes = _of(both, sharpe), _of(corr[both.index], sharpe)
    return {
        **_moments("validationCorr", corr),
        **_moments("validationMmc", mmc),
        **_moments("validationCorrPlusMmc", both),
        "validationCorrPlusMmcSharpeDiff": None if None in sharpes else sharpes[0] - sharpes[1],  # type: ignore[operator]
        "validationMaxDrawdown": drawdown,
        "validationCorrMaxDrawdown": drawdown,
        "validationApy": _of(corr, apy),
        "validationBmcMean": _of(eras["validationBmc"], np.mean),
        "validationFeatureNeutralCorrMean": _of(eras["validationFeatureNeutralCorr"], np.mean),
        "validationFeatureNeutralCorrV3Mean": _of(eras["validationFeatureNeutralCorrV3"], np.mean),
        "validationFeatureCorrMax": _of(eras["validationFeatureCorrMax"], np.mean),
        "examplePredsCorrMean": _of(eras["examplePredsCorr"], np.mean),
    }


def _moments(name: str, values: pd.Series) -> Json:
    return {
        f"{name}Mean": _of(values, np.mean),
        f"{name}Std": _of(values, np.std),
        f"{name}Sharpe": _of(values, sharpe),
    }


def sharpe(scores: NDArray[np.float64]) -> float:
    """Mean over standard deviation (ddof 0) of per-era scores; NaN where they do not vary."""
    std = np.std(scores)
    return float(np.mean(scores) / std) if std > 0 else np.nan


def max_drawdown(scores: NDArray[np.float64]) -> float:
    """Largest drop of the running sum of per-era scores below its peak, >= 0."""
    running = np.cumsum(scores)
    return float(np.max(np.maximum.accumulate(running) - running))


def apy(scores: NDArray[np.float64]) -> float:
    """Percent a year from compounding the geometric mean of 1 + score (clipped at 25 %) over 49 weeks."""
    growth = np.exp(np.mean(np.log1p(np.clip(scores, -_APY_CLIP, _APY_CLIP))))
    return float((growth**_PAID_WEEKS - 1) * 100)


def _of(values: pd.Series, measure: Callable[[NDArray[np.float64]], Any]) -> float | None:
    known = values.dropna().to_numpy(np.float64)
    return finite(float(measure(known))) if len(known) else None


def _finite(row: Mapping[str, Any]) -> Json:
    return {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}


def _only(scores: pd.Series) -> float:
    return float(scores.iloc[0])
