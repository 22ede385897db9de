"""The equal blend: the mean rank of all methods, out of sample. What a blend with learned weights has to beat."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from numerai_assets.eras import era_label
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.store.prediction_store import PredictionStore

EQUAL_BLEND = "equal_blend"


def judged_names(methods: Sequence[str]) -> list[str]:
    """All whose out-of-sample predictions are scored: the methods and, of two or more, their equal blend."""
    return [*methods, EQUAL_BLEND] if len(methods) > 1 else list(methods)


def write_equal_blend(predictions: PredictionStore, methods: Sequence[str]) -> list[int]:
    """Blends each era that all methods predicted out of sample; returns these eras.

    Each method counts with its newest vintage that is older than the era; the blend's vintage is the newest of theirs.
    Stored blends of other eras or vintages are dropped.
    """
    newest = {method: _newest_vintages(predictions, method) for method in methods}
    eras = sorted(set.intersection(*(set(found) for found in newest.values())))
    wanted: dict[int, list[int]] = {}
    for era in eras:
        wanted.setdefault(max(newest[method][era] for method in methods), []).append(era)
    for vintage in predictions.vintages(EQUAL_BLEND):
        if not set(predictions.eras(EQUAL_BLEND, vintage)) <= set(wanted.get(vintage, ())):
            predictions.forget(EQUAL_BLEND, vintage)
    for vintage, of_vintage in wanted.items():
        for era in of_vintage:
            frames = [predictions.read(method, newest[method][era], era_label(era)) for method in methods]
            _write_blend(predictions, vintage, era, _mean_rank(frames))
    return eras


def _newest_vintages(predictions: PredictionStore, method: str) -> dict[int, int]:
    """By era the newest vintage that predicted it out of sample."""
    return {
        era: vintage
        for vintage in predictions.vintages(method)
        for era in predictions.eras(method, vintage)
        if vintage < era
    }


def _mean_rank(frames: Sequence[pd.DataFrame]) -> pd.Series:
    """Predictions by id, ranked, of the mean of the methods' own ranks."""
    columns = pd.concat([frame.set_index("id")["prediction"] for frame in frames], axis=1, join="inner")
    # Of ranks, which are whole or halves, so that equal sums are equal to the bit.
    total = columns.rank().sum(axis=1).to_numpy()
    return pd.Series(rank_within_eras(total, [len(total)]), index=columns.index)


def _write_blend(predictions: PredictionStore, vintage: int, era: int, blended: pd.Series) -> None:
    key = era_label(era)
    if predictions.holds(EQUAL_BLEND, vintage, key):
        held = predictions.read(EQUAL_BLEND, vintage, key).set_index("id")["prediction"]
        if held.index.equals(blended.index) and np.array_equal(held.to_numpy(), blended.to_numpy()):
            return
    predictions.write(
        EQUAL_BLEND, vintage, key, era=era, ids=list(blended.index), prediction=blended.to_numpy(np.float32)
    )
