"""Release files: their contract, and their manifests."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from numerai_assets.errors import ReleaseError
from numerai_assets.store.atomic import write_json
from numerai_assets.tournament.release import (
    FEATURES,
    LIVE,
    META_MODEL,
    TRAIN,
    VALIDATION,
    Manifest,
    Part,
    Release,
    Table,
    alias_of,
    benchmark_column,
    inspect,
)
from numerai_assets.tournament.released_eras import read_eras
from numerai_assets_tests.tournament.release_rows import NAMES, TARGETS, Save, eras_of, rows_of


def live_rows() -> pd.DataFrame:
    frame = rows_of("X", data_type="live")
    frame[list(TARGETS)] = np.float32(np.nan)
    return frame


@pytest.fixture
def features_json(tmp_path: Path) -> Path:
    path = tmp_path / FEATURES
    sets = {"all": list(NAMES), "small": [NAMES[0]], "medium": list(NAMES[:2])}
    path.write_text(json.dumps({"feature_sets": sets, "targets": list(TARGETS)}))
    return path


@pytest.fixture
def refused(save: Save, features_json: Path) -> Callable[..., str]:
    """Message with which a frame is refused as the named file."""

    def message(frame: pd.DataFrame | pa.Table, name: str = VALIDATION, **options: Any) -> str:
        with pytest.raises(ReleaseError) as caught:
            inspect(save(frame, **options), name, features_json=features_json)
        return str(caught.value)

    return message


# What a file must hold.


@pytest.mark.parametrize("rows_a_group", [1, 3, 4, 1000])
def test_a_good_file_tells_its_shape_whatever_its_row_groups(
    save: Save, features_json: Path, rows_a_group: int
) -> None:
    frame = eras_of(["0575", "0576", "0577"])
    path = save(frame, rows_a_group)

    table = inspect(path, VALIDATION, features_json=features_json)

    groups = -(-len(frame) // rows_a_group)
    assert table == Table(rows=len(frame), columns=9, row_groups=groups, eras=("0575", "0576", "0577"))


@pytest.mark.parametrize("rows_a_group", [2, 1000])
def test_ids_may_be_the_index_of_the_frame(tmp_path: Path, features_json: Path, rows_a_group: int) -> None:
    path = tmp_path / "file.part"
    eras_of(["0575", "0576"]).set_index("id").to_parquet(path, row_group_size=rows_a_group)

    assert inspect(path, VALIDATION, features_json=features_json).eras == ("0575", "0576")
    eras = read_eras(path, features=NAMES, targets=TARGETS, wanted=lambda label: True)
    assert [era.ids for era in eras] == [rows_of("0575", 4)["id"].tolist(), rows_of("0576", 5)["id"].tolist()]


def test_validation_and_test_rows_stand_in_one_file(save: Save, features_json: Path) -> None:
    frame = pd.concat([rows_of("0575"), rows_of("0576", data_type="test")])

    assert inspect(save(frame), VALIDATION, features_json=features_json).eras == ("0575", "0576")


def test_the_live_file_has_the_one_era_x(save: Save, features_json: Path) -> None:
    assert inspect(save(live_rows()), LIVE, features_json=features_json).eras == ("X",)


@pytest.mark.parametrize("rows", [["0576"], ["X", "0576"]])
def test_a_live_file_with_a_numbered_era_is_refused(refused: Callable[..., str], rows: list[str]) -> None:
    message = refused(eras_of(rows, data_type="live"), LIVE)

    assert message.startswith(f"{LIVE}: eras ")
    assert "expected only 'X'" in message


def test_history_with_the_live_era_is_refused(refused: Callable[..., str]) -> None:
    assert "era 'X': expected digits" in refused(eras_of(["0575", "X"]))


def test_other_files_need_ids_and_may_begin_at_any_era(save: Save, features_json: Path) -> None:
    meta = pd.DataFrame({"id": ["a", "b"], "era": ["1133", "1134"], "numerai_meta_model": [0.2, 0.8]})

    assert inspect(save(meta), META_MODEL, features_json=features_json).eras == ("1133", "1134")
    with pytest.raises(ReleaseError, match=rf"{META_MODEL}: has no id column"):
        inspect(save(meta.drop(columns="id")), META_MODEL, features_json=features_json)


@pytest.mark.parametrize("column", ["feature_b", "target_ender_60", "era", "data_type"])
def test_a_lost_column_is_named(refused: Callable[..., str], column: str) -> None:
    message = refused(eras_of(["0575"]).drop(columns=column))

    assert f"columns differ from {FEATURES}: lost 1 ({column}), unexpected none" in message


def test_an_unexpected_column_is_named(refused: Callable[..., str]) -> None:
    message = refused(eras_of(["0575"]).assign(feature_new=np.int8(0)))

    assert "lost none, unexpected 1 (feature_new)" in message


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("feature_b", ["0", "1", "2", "3"], "feature_b is"),
        ("feature_b", [True, False, True, False], "feature_b is bool, expected int8"),
        ("target_ender_60", [0, 1, 0, 1], "target_ender_60 is int64, expected float32"),
        ("target", ["0", "1", "0", "1"], "target is"),
    ],
)
def test_a_column_of_another_type_is_named(
    refused: Callable[..., str], column: str, values: list[object], message: str
) -> None:
    assert f"{VALIDATION}: {message}" in refused(eras_of(["0575"]).assign(**{column: values}))


def test_eras_that_are_numbers_and_no_labels_are_refused(refused: Callable[..., str]) -> None:
    frame = eras_of(["0575", "0576"])

    assert VALIDATION in refused(frame.assign(era=frame["era"].astype(int)))


@pytest.mark.parametrize("column", ["era", "data_type"])
def test_rows_without_era_or_data_type_are_refused(refused: Callable[..., str], column: str) -> None:
    frame = eras_of(["0575", "0576"])
    frame.loc[len(frame) - 1, column] = None

    assert VALIDATION in refused(frame)


def test_a_gap_between_eras_is_named(refused: Callable[..., str]) -> None:
    assert "eras are not contiguous after 0576" in refused(eras_of(["0575", "0576", "0578"]))


def test_eras_out_of_order_are_refused(refused: Callable[..., str]) -> None:
    assert "eras are not contiguous after 0576" in refused(eras_of(["0576", "0575"]))


@pytest.mark.parametrize("rows_a_group", [2, 1000])
def test_an_era_whose_rows_are_torn_apart_is_refused(refused: Callable[..., str], rows_a_group: int) -> None:
    frame = pd.concat([rows_of("0575"), rows_of("0576"), rows_of("0575", seed=1)])

    assert "rows of an era are not contiguous" in refused(frame, rows_a_group=rows_a_group)


@pytest.mark.parametrize(
    ("name", "data_type"), [(TRAIN, "validation"), (VALIDATION, "train"), (VALIDATION, "live"), (LIVE, "test")]
)
def test_another_data_type_than_the_files_is_refused(refused: Callable[..., str], name: str, data_type: str) -> None:
    frame = live_rows().assign(data_type=data_type) if name == LIVE else eras_of(["0575"], data_type=data_type)

    assert f"{name}: data_type ['{data_type}'], expected" in refused(frame, name)


@pytest.mark.parametrize("name", [VALIDATION, LIVE, META_MODEL])
def test_a_file_without_rows_is_refused(refused: Callable[..., str], name: str) -> None:
    assert name in refused(eras_of(["0575"]).iloc[:0].astype({"id": "str", "era": "str", "data_type": "str"}), name)


def cut_the_end(content: bytes) -> bytes:
    return content[:-20]


def cut_the_middle(content: bytes) -> bytes:
    """The footer stands where it should, seen from the end, and tells of bytes that are not there."""
    return content[:500] + content[1500:]


def keep_the_footer_alone(content: bytes) -> bytes:
    length = int.from_bytes(content[-8:-4], "little") + 8
    return b"PAR1" + content[-length:]


@pytest.mark.parametrize(
    "damage", [cut_the_end, cut_the_middle, keep_the_footer_alone, lambda content: b"", bytes.lower]
)
def test_a_truncated_file_is_refused(save: Save, features_json: Path, damage: Callable[[bytes], bytes]) -> None:
    path = save(eras_of([f"{era:04d}" for era in range(575, 625)]), 20)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ReleaseError, match=VALIDATION):
        inspect(path, VALIDATION, features_json=features_json)


def test_a_page_of_an_error_is_no_release(tmp_path: Path, features_json: Path) -> None:
    path = tmp_path / "file.part"
    path.write_text("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")

    with pytest.raises(ReleaseError, match=f"{VALIDATION}: is no readable Parquet file"):
        inspect(path, VALIDATION, features_json=features_json)


# features.json


def test_features_json_tells_the_number_of_columns(features_json: Path) -> None:
    table = inspect(features_json, FEATURES, features_json=features_json)

    assert table == Table(rows=0, columns=len(NAMES) + len(TARGETS), row_groups=0, eras=())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"feature_sets": {"all": ["a"]}}',
        b'{"targets": ["target"]}',
        b'{"feature_sets": {"small": ["a"]}, "targets": ["target"]}',
        b'{"feature_sets": ["all"], "targets": ["target"]}',
        b'{"feature_sets": {"all": null}, "targets": ["target"]}',
        b'{"feature_sets": {"all": ["a"], "small": null}, "targets": ["target"]}',
        b'{"feature_sets": {"all": ["a"]}, "targets": 41}',
    ],
)
def test_features_json_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "features.json.part"
    path.write_bytes(content)

    with pytest.raises(ReleaseError, match=FEATURES):
        inspect(path, FEATURES, features_json=path)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"all": ["a", "b", "a"]}, "'all' names a feature twice"),
        ({"all": ["a", "b"], "small": ["a", "z"]}, "set 'small' holds 'z', which is not in 'all'"),
    ],
)
def test_feature_sets_that_contradict_each_other_are_refused(
    tmp_path: Path, sets: dict[str, list[str]], message: str
) -> None:
    path = tmp_path / "features.json.part"
    path.write_text(json.dumps({"feature_sets": sets, "targets": ["target"]}))

    with pytest.raises(ReleaseError, match=message):
        inspect(path, FEATURES, features_json=path)


def test_a_release_tells_its_feature_sets_and_targets(features_json: Path) -> None:
    release = Release(features_json.parent)

    assert release.features()["small"] == [NAMES[0]]
    assert release.targets() == list(TARGETS)


# Benchmarks.


@pytest.mark.parametrize("version", ["v5", "v53", "v54", "v60"])
def test_a_benchmark_is_found_by_its_target_whatever_the_data_version(version: str) -> None:
    names = ["id", "era", f"{version}_lgbm_agnes60", f"{version}_lgbm_ender20", f"{version}_lgbm_ender60"]

    assert benchmark_column(names, "target_ender_60") == f"{version}_lgbm_ender60"
    assert benchmark_column(names, "target_ender_20") == f"{version}_lgbm_ender20"
    assert benchmark_column(names, "target_agnes_60") == f"{version}_lgbm_agnes60"
    assert benchmark_column(names, "target_agnes_20") is None


# What the bare alias stands for.


def test_the_alias_is_found_by_its_values() -> None:
    frame = rows_of("0575", 40)[list(TARGETS)]

    assert alias_of(frame) == "target_ender_60"
    assert alias_of(frame.assign(target=frame["target_ender_20"])) == "target_ender_20"


def test_the_alias_is_found_by_its_gaps_too() -> None:
    frame = rows_of("0575", 40)[list(TARGETS)]
    holes = frame.copy()
    holes.loc[::4, ["target", "target_ender_60"]] = np.nan

    assert alias_of(holes) == "target_ender_60"
    # The same where both are known, but known in other rows: not the same target.
    assert alias_of(frame.assign(target=holes["target"])) is None


def test_an_alias_that_equals_no_target_or_is_unknown_stands_for_none() -> None:
    frame = rows_of("0575", 40)[list(TARGETS)]

    assert alias_of(frame.assign(target=1 - frame["target"])) is None
    assert alias_of(frame.assign(target=np.nan, target_ender_60=np.nan)) is None
    assert alias_of(frame.drop(columns="target")) is None


# Manifests.


def test_a_file_cut_or_replaced_behind_its_manifest_counts_as_not_fetched(tmp_path: Path) -> None:
    manifest = Manifest(
        META_MODEL, "v5.3", 1369, "2026-10-03T12:00:00+00:00", 100, "0" * 64, '"a"', 2, 3, 1, ("1133", "1134")
    )
    write_json(tmp_path / f"{META_MODEL}.manifest.json", asdict(manifest))
    release = Release(tmp_path)
    assert release.manifest(META_MODEL) is None

    (tmp_path / META_MODEL).write_bytes(bytes(100))
    assert release.manifest(META_MODEL) == manifest
    assert manifest.newest_era == 1134

    (tmp_path / META_MODEL).write_bytes(bytes(99))
    assert release.manifest(META_MODEL) is None


def test_the_manifest_of_a_part_reads_back_with_the_eras_of_the_whole(tmp_path: Path) -> None:
    part = Part((3, 5), 40, 1000, 20, ("1133", "1134", "1135"))
    note = Manifest(
        VALIDATION, "v5.3", 1369, "2026-10-03T12:00:00+00:00", 100, "0" * 64, '"a"', 2, 3, 1, ("1135",), part
    )
    (tmp_path / VALIDATION).write_bytes(bytes(100))
    release = Release(tmp_path)

    release.write_manifest(note)

    assert release.manifest(VALIDATION) == note
    assert note.released_eras == part.eras
    assert note.newest_era == 1135


@pytest.mark.parametrize(("labels", "is_refused"), [(["0575", "0578"], False), (["0578", "0575"], True)])
def test_a_part_may_lack_eras_between_but_they_ascend(
    save: Save, features_json: Path, labels: list[str], is_refused: bool
) -> None:
    path = save(eras_of(labels))
    with pytest.raises(ReleaseError, match="do not ascend") if is_refused else nullcontext():
        assert inspect(path, VALIDATION, features_json=features_json, is_part=True).eras == tuple(labels)
