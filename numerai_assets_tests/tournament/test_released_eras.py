"""Release files are read era by era whatever their row groups are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from numerai_assets.errors import ReleaseError
from numerai_assets.tournament.released_eras import ReleasedEra, read_eras
from numerai_assets_tests.tournament.release_rows import NAMES, TARGETS, Save, eras_of, rows_of


def read(path: Path, wanted: Callable[[str], bool] = lambda label: True) -> list[ReleasedEra]:
    return list(read_eras(path, features=NAMES, targets=TARGETS, wanted=wanted))


@pytest.mark.parametrize("rows_a_group", [1, 2, 3, 7, 1000])
def test_eras_read_back_whatever_the_row_groups_are(save: Save, rows_a_group: int) -> None:
    labels = ["0575", "0576", "0577", "0578"]
    frame = eras_of(labels)

    eras = read(save(frame, rows_a_group))

    assert [era.label for era in eras] == labels
    for era in eras:
        rows = frame[frame["era"] == era.label]
        assert era.ids == rows["id"].tolist()
        assert era.features.dtype == np.int8
        np.testing.assert_array_equal(era.features, rows[list(NAMES)])
        assert era.targets.columns.tolist() == list(TARGETS)
        assert set(era.targets.dtypes.astype(str)) == {"float32"}
        np.testing.assert_array_equal(era.targets, rows[list(TARGETS)])


def test_a_row_group_too_large_for_memory_is_gathered_in_a_file(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = eras_of(["0575", "0576", "0577"])
    monkeypatch.setattr("numerai_assets.tournament.released_eras._GROUP_BYTES_IN_MEMORY", 1)
    path = save(frame, len(frame) - 1)

    eras = read(path)

    np.testing.assert_array_equal(np.vstack([era.features for era in eras]), frame[list(NAMES)])
    assert list(path.parent.glob("tmp*")) == []


def test_columns_are_decoded_a_few_at_a_time_whatever_their_number(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = eras_of(["0575", "0576"])
    monkeypatch.setattr("numerai_assets.tournament.released_eras.COLUMNS_AT_A_TIME", 2)

    eras = read(save(frame))

    np.testing.assert_array_equal(np.vstack([era.features for era in eras]), frame[list(NAMES)])


def test_a_wrong_value_in_an_era_that_is_not_wanted_hinders_nobody(save: Save) -> None:
    frame = eras_of(["0575", "0576", "0577"])
    frame.loc[frame["era"] == "0576", NAMES[0]] = 7

    eras = read(save(frame), lambda label: label != "0576")

    assert [era.label for era in eras] == ["0575", "0577"]
    with pytest.raises(ReleaseError, match=f"era 0576: {NAMES[0]}: holds 7"):
        read(save(frame))


@pytest.mark.parametrize("rows_a_group", [2, 1000])
def test_only_the_wanted_eras_are_read(save: Save, rows_a_group: int) -> None:
    path = save(eras_of(["0575", "0576", "0577", "0578"]), rows_a_group)

    eras = read(path, lambda label: label in ("0576", "0578"))

    assert [era.label for era in eras] == ["0576", "0578"]
    assert read(path, lambda label: False) == []


def test_features_come_in_the_order_asked_for_not_in_that_of_the_file(save: Save) -> None:
    frame = rows_of("0575")
    path = save(frame[frame.columns[::-1]])

    (era,) = read_eras(path, features=["feature_c", "feature_a"], targets=["target"], wanted=lambda label: True)

    np.testing.assert_array_equal(era.features, frame[["feature_c", "feature_a"]])
    assert era.targets.columns.tolist() == ["target"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array([0, 1, 2, 5, 4], pa.int8()), "5"),
        (pa.array([0, 1, 2, -1, 4], pa.int8()), "-1"),
        (pa.array([0, 1, 2, 300, 4], pa.int64()), "300"),
        (pa.array([0, 1, None, 7, 4], pa.int8()), "7"),
        (pa.array([0, 1, 2, 2.5, 4], pa.float32()), "2.5"),
        (pa.array([0, 1, 2, float("inf"), 4], pa.float64()), "inf"),
        (pa.array([0, 1, 2, -1.0, 4], pa.float64()), "-1"),
    ],
)
def test_a_value_outside_the_five_levels_is_refused_with_its_place(save: Save, values: pa.Array, found: str) -> None:
    table = pa.Table.from_pandas(rows_of("0575"), preserve_index=False)
    table = table.set_column(table.column_names.index("feature_b"), "feature_b", values)

    with pytest.raises(ReleaseError, match="era 0575: feature_b: holds ") as caught:
        read(save(table))

    assert f"holds {found}" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, None, 2, None, 4], pa.int8()),
        pa.array([0, None, 2, None, 4], pa.float32()),
        pa.array([0, float("nan"), 2, float("nan"), 4], pa.float32()),
        pa.array([0, None, 2, None, 4], pa.int64()),
    ],
)
def test_a_missing_value_becomes_minus_one(save: Save, values: pa.Array) -> None:
    table = pa.Table.from_pandas(rows_of("0575"), preserve_index=False)
    table = table.set_column(table.column_names.index("feature_b"), "feature_b", values)

    (era,) = read(save(table))

    assert era.features[:, 1].tolist() == [0, -1, 2, -1, 4]
    np.testing.assert_array_equal(era.features[:, 0], rows_of("0575")["feature_a"])


@pytest.mark.parametrize("bad", ["n05750", None])
@pytest.mark.parametrize("rows_a_group", [2, 1000])
def test_ids_that_are_repeated_or_missing_are_refused_with_their_era(
    save: Save, bad: str | None, rows_a_group: int
) -> None:
    frame = eras_of(["0575", "0576"])
    frame.loc[3, "id"] = bad

    with pytest.raises(ReleaseError, match="era 0575: ids are missing or repeated"):
        read(save(frame, rows_a_group))


def test_the_same_id_may_come_again_in_another_era(save: Save) -> None:
    frame = pd.concat([rows_of("0575"), rows_of("0576").assign(id=rows_of("0575")["id"])])

    assert len(read(save(frame))) == 2


def test_unresolved_targets_are_nan_whether_null_or_nan_in_the_file(save: Save) -> None:
    table = pa.Table.from_pandas(rows_of("0575"), preserve_index=False)
    place = table.column_names.index
    table = table.set_column(place("target"), "target", pa.nulls(5, pa.float32()))
    table = table.set_column(place("target_ender_60"), "target_ender_60", pa.array([float("nan")] * 5, pa.float32()))

    (era,) = read(save(table))

    assert era.targets["target"].isna().all()
    assert era.targets["target_ender_60"].isna().all()
    np.testing.assert_array_equal(era.targets["target_ender_20"], rows_of("0575")["target_ender_20"])


def test_an_auxiliary_target_may_lack_some_rows(save: Save) -> None:
    frame = rows_of("0575").rename(columns={"target_ender_20": "target_victor_20"})
    frame.loc[2, "target_victor_20"] = np.nan

    (era,) = read_eras(
        save(frame), features=NAMES, targets=["target_victor_20", "target_ender_60"], wanted=lambda label: True
    )

    assert era.targets["target_victor_20"].isna().tolist() == [False, False, True, False, False]


def test_a_main_target_that_is_known_in_part_is_refused(save: Save) -> None:
    frame = rows_of("0575")
    frame.loc[2, "target_ender_60"] = np.nan

    with pytest.raises(ReleaseError, match=r"0575.*target_ender_60"):
        read(save(frame))
