"""Predictions on disk: by method, vintage and era, and only such as may be submitted."""

from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store.prediction_store import PredictionStore


@pytest.fixture
def store(tmp_path: Path) -> PredictionStore:
    return PredictionStore(tmp_path / "predictions")


def write(store: PredictionStore, vintage: int, key: str, era: int, values: tuple[float, ...] = (0.25, 0.75)) -> None:
    ids = [f"n{era}{i}" for i in range(len(values))]
    store.write("benchmark", vintage, key, era=era, ids=ids, prediction=np.array(values, np.float32))


def test_predictions_read_back_as_they_were_written(store: PredictionStore) -> None:
    write(store, 40, "0041", 41, (0.125, 0.875, 0.1))

    frame = store.read("benchmark", 40, "0041")

    assert frame.columns.tolist() == ["id", "era", "prediction", "method", "vintage"]
    assert frame["id"].tolist() == ["n410", "n411", "n412"]
    assert frame["prediction"].to_numpy().dtype == np.float32
    assert frame["prediction"].tolist() == [0.125, 0.875, float(np.float32(0.1))]
    assert set(frame["era"]) == {41}
    assert set(frame["vintage"]) == {40}
    assert set(frame["method"]) == {"benchmark"}


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.1, np.nan, np.inf])
def test_what_does_not_lie_strictly_between_zero_and_one_is_refused(store: PredictionStore, value: float) -> None:
    with pytest.raises(StoreError, match=r"benchmark vintage 0040, era 0041: .* strictly between 0 and 1"):
        write(store, 40, "0041", 41, (0.5, value))

    assert not store.holds("benchmark", 40, "0041")


def test_predictions_that_were_never_made_say_so(store: PredictionStore) -> None:
    with pytest.raises(StoreError, match="benchmark vintage 0040: no predictions of X@12"):
        store.read("benchmark", 40, "X@12")


def test_eras_of_a_vintage_are_its_historical_ones_ascending(store: PredictionStore) -> None:
    for key, era in (("0043", 43), ("0041", 41), ("X@12", 44)):
        write(store, 40, key, era)
    write(store, 44, "0045", 45)

    assert store.eras("benchmark", 40) == [41, 43]
    assert store.eras("benchmark", 99) == store.eras("other", 40) == []
    assert store.holds("benchmark", 40, "X@12")


def test_forgetting_a_vintage_drops_its_live_predictions_too_and_keeps_other_vintages(store: PredictionStore) -> None:
    write(store, 40, "0041", 41)
    write(store, 40, "X@12", 44)
    write(store, 44, "0045", 45)

    store.forget("benchmark", 40)

    assert store.eras("benchmark", 40) == []
    assert not store.holds("benchmark", 40, "X@12")
    assert store.eras("benchmark", 44) == [45]


def test_writing_again_replaces(store: PredictionStore) -> None:
    write(store, 40, "0041", 41, (0.25, 0.75))
    write(store, 40, "0041", 41, (0.75, 0.25))

    assert store.read("benchmark", 40, "0041")["prediction"].tolist() == [0.75, 0.25]
    assert len(list(store.folder.rglob("*.parquet"))) == 1
