"""Engineered features on disk: sealed, made anew when what they follow from changes, joined to panels as levels."""

from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.panel.panel import EraPanel
from numerai_assets.store.column_store import EngineeredStore

COLUMNS = np.array([[0.5, -1.0, np.nan], [2.0, 2.0, 2.0]], np.float16)
LEVELS = np.array([[4, 0, 2], [4, 4, 4]], np.int8)


@pytest.fixture
def store(tmp_path: Path) -> EngineeredStore:
    return EngineeredStore(tmp_path / "engineered")


def write(store: EngineeredStore, key: str = "0005", *, block: str = "momentum", k: int = 8) -> None:
    store.write(
        block, key, era=5, names=("fast", "slow"), columns=COLUMNS, levels=LEVELS, made_with={"lags": (1, 2), "k": k}
    )


def panel_of_three_rows() -> EraPanel:
    ids = np.array(["n1", "n2", "n3"], object)
    return EraPanel((np.array([[0, 1, 2]], np.int8),), ("a",), (5,), (ids,), digests=("raw",))


def test_columns_come_back_as_they_were_written(store: EngineeredStore) -> None:
    write(store)

    found = store.columns("momentum", "0005")

    np.testing.assert_array_equal(found, COLUMNS)
    assert found.dtype == np.float16
    assert isinstance(found, np.memmap)
    assert (store.record("momentum", "0005").names, store.keys("momentum")) == (("fast", "slow"), ["0005"])


def test_columns_made_with_anything_else_are_not_held(store: EngineeredStore) -> None:
    write(store)

    assert store.holds("momentum", "0005", {"lags": (1, 2), "k": 8})
    assert not store.holds("momentum", "0005", {"lags": (1, 2), "k": 16})
    assert not store.holds("momentum", "0006", {"lags": (1, 2), "k": 8})
    assert not store.holds("other", "0005", {"lags": (1, 2), "k": 8})


def test_a_panel_takes_the_levels_as_more_features(store: EngineeredStore) -> None:
    write(store)

    panel = store.with_blocks(panel_of_three_rows(), ["0005"], ["momentum"])

    assert panel.feature_names == ("a", "momentum.fast", "momentum.slow")
    assert panel.features.tolist() == [[0, 4, 4], [1, 0, 4], [2, 2, 4]]
    assert panel.digests != ("raw",)


def test_int8_columns_are_their_own_levels(store: EngineeredStore) -> None:
    store.write("bins", "0005", era=5, names=("fast", "slow"), columns=LEVELS, levels=None, made_with={})

    assert store.with_blocks(panel_of_three_rows(), ["0005"], ["bins"]).features[:, 1].tolist() == [4, 0, 2]


def test_an_index_of_rows_is_no_feature(store: EngineeredStore) -> None:
    index = np.array([[2, 0, 1]], np.int16)
    store.write("look_alikes", "0005", era=5, names=("row",), columns=index, levels=None, made_with={})

    with pytest.raises(StoreError, match="columns of int16 are not features"):
        store.with_blocks(panel_of_three_rows(), ["0005"], ["look_alikes"])


def test_an_era_that_was_never_computed_is_named(store: EngineeredStore) -> None:
    write(store)

    with pytest.raises(StoreError, match="momentum: no columns of era 0006; materialize momentum"):
        store.with_blocks(panel_of_three_rows(), ["0006"], ["momentum"])


def test_files_that_changed_places_are_told(store: EngineeredStore, tmp_path: Path) -> None:
    write(store)
    write(store, "0006")
    columns = tmp_path / "engineered" / "momentum" / "columns"
    (columns / "0006.npy").replace(columns / "0005.npy")

    with pytest.raises(StoreError, match="momentum, era 0005: columns file"):
        store.columns("momentum", "0005")
    assert store.verify("momentum") == ["0005", "0006"]


def test_one_flipped_byte_is_found(store: EngineeredStore, tmp_path: Path) -> None:
    write(store)
    path = tmp_path / "engineered" / "momentum" / "levels" / "0005.npy"
    content = bytearray(path.read_bytes())
    content[130] ^= 1
    path.write_bytes(content)

    assert store.verify("momentum") == ["0005"]


def test_a_write_that_is_cut_off_leaves_the_era_absent(store: EngineeredStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store)

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("numerai_assets.store.column_store.write_json", refuse)
    with pytest.raises(OSError, match="disk full"):
        write(store, k=16)

    assert store.keys("momentum") == []


def test_eras_with_other_columns_are_not_joined(store: EngineeredStore) -> None:
    write(store)
    store.write("momentum", "0006", era=6, names=("x", "y"), columns=LEVELS, levels=None, made_with={})
    one = panel_of_three_rows()
    two = EraPanel(one.blocks * 2, one.feature_names, (5, 6), one.ids_of_block * 2)

    with pytest.raises(StoreError, match="era 0006 has other columns than era 0005"):
        store.with_blocks(two, ["0005", "0006"], ["momentum"])
