"""Target files certify themselves: era, ids and values."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store.target_files import holds_what_it_says, ids_digest, read_targets, revised, write_targets

IDS = ["n1", "n2", "n3"]
TARGETS = pd.DataFrame(
    {"target_ender_20": [0.25, 0.5, 1.0], "target_ender_60": [np.nan, np.nan, np.nan]}, dtype=np.float32
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "0600.parquet"
    write_targets(path, "0600", 600, IDS, TARGETS)
    return path


def test_targets_read_back_with_their_ids_in_order(path: Path) -> None:
    table = read_targets(path, "0600", ids_sha256=ids_digest(IDS), names=["target_ender_60", "target_ender_20"])

    assert table.column_names == ["id", "target_ender_60", "target_ender_20"]
    assert table["id"].to_pylist() == IDS
    for name in TARGETS:
        np.testing.assert_array_equal(table[name].to_numpy(), TARGETS[name])
    assert holds_what_it_says(path, "0600", ids_sha256=ids_digest(IDS))


def test_other_programs_find_era_and_row_in_the_file(path: Path) -> None:
    frame = pq.read_table(path).to_pandas()

    assert frame["era"].tolist() == [600] * 3
    assert frame["row"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("key", "ids", "names", "message"),
    [
        ("0601", IDS, [], "is that of era 0600"),
        ("0600", IDS[::-1], [], "holds other ids than its record says"),
        ("0600", IDS, ["target_agnes_20"], "holds no target_agnes_20"),
    ],
)
def test_a_file_that_is_not_the_one_meant_is_refused(
    path: Path, key: str, ids: list[str], names: list[str], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        read_targets(path, key, ids_sha256=ids_digest(ids), names=names)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>"])
def test_a_file_that_cannot_be_read_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(StoreError, match="cannot be read"):
        read_targets(path, "0600", ids_sha256=ids_digest(IDS), names=[])
    assert not holds_what_it_says(path, "0600", ids_sha256=ids_digest(IDS))


def test_other_values_under_the_same_footer_are_found(path: Path) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("target_ender_20")
    pq.write_table(table.set_column(place, "target_ender_20", table["target_ender_60"]), path)

    assert not holds_what_it_says(path, "0600", ids_sha256=ids_digest(IDS))


def test_a_target_is_revised_when_a_known_value_changes_not_when_one_is_added(path: Path) -> None:
    known = read_targets(path, "0600", ids_sha256=ids_digest(IDS), names=list(TARGETS))
    added = TARGETS.assign(target_ender_60=np.float32(0.5))

    assert revised(known, TARGETS) == revised(known, added) == ()
    assert revised(known, added.assign(target_ender_20=np.float32(0.5))) == ("target_ender_20",)
