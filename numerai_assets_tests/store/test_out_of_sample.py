"""The out-of-sample table: what would have been submitted, beside the targets and references of its rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import era_label
from numerai_assets.errors import StoreError
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.out_of_sample import out_of_sample
from numerai_assets.store.prediction_store import PredictionStore

ROWS = 4
NAN = float("nan")


def ids_of(era: int) -> list[str]:
    """Ids of an era, in an order that is not theirs when sorted."""
    return [f"n{era:04d}{row}" for row in (2, 0, 3, 1)]


class Desk:
    """Stores and reference files of a small tournament."""

    def __init__(self, folder: Path) -> None:
        self.store = EraStore(folder / "store")
        self.predictions = PredictionStore(folder / "predictions")
        self.benchmarks = [folder / "train_benchmarks.parquet", folder / "validation_benchmarks.parquet"]
        self.meta_model = folder / "meta.parquet"
        self.version = "v53"
        self.references([], [])

    def era(self, era: int, *, key: str | None = None, t20: float = 0.25, t60: float = 0.75) -> None:
        """Stores an era whose targets are t20 and t60 in every row."""
        targets = pd.DataFrame({"target_ender_20": [t20] * ROWS, "target_ender_60": [t60] * ROWS}, dtype=np.float32)
        self.store.write_era(
            key or era_label(era),
            era=era,
            ids=ids_of(era),
            features=np.full((ROWS, 1), era % 5, np.int8),
            feature_names=["feature_a"],
            targets=targets,
            targets_as_of=era,
        )

    def predict(self, vintage: int, era: int, *, key: str | None = None, add: float = 0.0) -> None:
        """Predictions 0.1, 0.2, 0.3, 0.4 (in the order of the ids when sorted) plus `add`."""
        values = np.array([0.3, 0.1, 0.4, 0.2], np.float32) + np.float32(add)
        self.predictions.write("benchmark", vintage, key or era_label(era), era=era, ids=ids_of(era), prediction=values)

    def references(self, benchmarks: list[int], meta: list[int]) -> None:
        """References of the given eras; the benchmarks' first era lies in the train file."""
        for path, eras in zip(self.benchmarks, (benchmarks[:1], benchmarks[1:]), strict=True):
            rows = [(i, 0.6, 0.7) for era in eras for i in ids_of(era)]
            write(path, rows, ["id", *self.columns.values()])
        write(self.meta_model, [(i, 0.8) for era in meta for i in ids_of(era)], ["id", "numerai_meta_model"])

    @property
    def columns(self) -> dict[int, str]:
        return {horizon: f"{self.version}_lgbm_ender{horizon}" for horizon in (20, 60)}

    def table(self) -> dict[int, tuple[int, pd.DataFrame]]:
        rows = out_of_sample(
            self.predictions,
            "benchmark",
            self.store,
            benchmarks=self.benchmarks,
            benchmark_columns=self.columns,
            meta_model=self.meta_model,
        )
        return {era: (vintage, frame) for era, vintage, frame in rows}


def write(path: Path, rows: list[tuple[object, ...]], columns: list[str]) -> None:
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], "float32") | {"id": "str"})
    frame.to_parquet(path, index=False)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("version", ["v53", "v54"])
def test_rows_stand_in_the_order_of_their_ids_with_targets_and_references(desk: Desk, version: str) -> None:
    desk.version = version
    desk.era(41)
    desk.predict(40, 41)
    desk.references([41], [41])

    ((vintage, rows),) = desk.table().values()

    assert vintage == 40
    assert rows["id"].tolist() == sorted(ids_of(41))
    np.testing.assert_allclose(rows["prediction"], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    columns = ["target_20", "target_60", "benchmark_20", "benchmark_60", "meta_model"]
    np.testing.assert_allclose(rows[columns], [[0.25, 0.75, 0.6, 0.7, 0.8]] * ROWS, rtol=1e-6)
    assert {str(rows[name].dtype) for name in ["prediction", *columns]} == {"float64"}


def test_the_newest_vintage_older_than_the_era_counts(desk: Desk) -> None:
    for era in (41, 44, 45, 46):
        desk.era(era)
    for vintage, eras in ((40, (41, 44, 45, 46)), (44, (45, 46)), (36, (41, 44, 45, 46))):
        for era in eras:
            desk.predict(vintage, era, add=vintage / 1000)

    table = desk.table()

    assert {era: vintage for era, (vintage, _) in table.items()} == {41: 40, 44: 40, 45: 44, 46: 44}
    np.testing.assert_allclose(table[46][1]["prediction"].min(), 0.144, rtol=1e-5)
    assert all(len(rows) == ROWS for _, rows in table.values())


@pytest.mark.parametrize("vintage", [41, 42, 99])
def test_a_vintage_not_older_than_the_era_counts_for_nothing(desk: Desk, vintage: int) -> None:
    desk.era(41)
    desk.predict(40, 41)
    desk.predict(vintage, 41, add=0.5)

    ((counted, rows),) = desk.table().values()

    assert counted == 40
    assert rows["prediction"].max() < 0.5


def test_references_that_do_not_exist_are_nan(desk: Desk) -> None:
    desk.era(41)
    desk.era(42)
    desk.predict(40, 41)
    desk.predict(40, 42)
    desk.references([], [42])

    table = desk.table()

    assert table[41][1][["benchmark_20", "benchmark_60", "meta_model"]].isna().all(axis=None)
    assert table[42][1]["meta_model"].notna().all()
    assert table[42][1]["benchmark_60"].isna().all()


def test_an_era_without_a_known_target_is_left_out_and_a_half_resolved_one_is_not(desk: Desk) -> None:
    desk.era(41)
    desk.era(42, t60=NAN)
    desk.era(43, t20=NAN, t60=NAN)
    for era in (41, 42, 43):
        desk.predict(40, era)

    table = desk.table()

    assert sorted(table) == [41, 42]
    assert table[42][1]["target_60"].isna().all()
    assert table[42][1]["target_20"].notna().all()


def test_nothing_leaks_in_from_live_rounds(desk: Desk) -> None:
    desk.era(41)
    desk.predict(36, 41)
    # Live rows of the same date, with the same ids, as a server that keeps ids would give.
    desk.era(41, key="X@12", t20=1.0, t60=1.0)
    desk.predict(40, 41, key="X@12", add=0.5)

    ((vintage, rows),) = desk.table().values()

    assert vintage == 36
    assert len(rows) == ROWS
    assert rows["prediction"].max() < 0.5
    assert set(rows["target_60"]) == {0.75}


def test_live_predictions_alone_are_no_validation(desk: Desk) -> None:
    desk.era(41)
    desk.predict(40, 41, key="X@12")

    with pytest.raises(StoreError, match="benchmark: no out-of-sample predictions"):
        desk.table()


def test_eras_of_which_no_target_is_known_make_an_empty_table(desk: Desk) -> None:
    desk.era(41, t20=NAN, t60=NAN)
    desk.predict(40, 41)

    assert desk.table() == {}
