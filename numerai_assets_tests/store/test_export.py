"""What others read: exported Parquet files, and DuckDB over the store's small tables as docs/store.md shows it."""

import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.export import export
from numerai_assets_tests.store import conversion
from numerai_assets_tests.store.conversion import FEATURES, ROWS, TARGETS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "store.md"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EraStore:
    folder = tmp_path_factory.mktemp("export")
    conversion.write_release(folder / "release.parquet", newest=15, is_whole=True)
    conversion.convert(folder / "release.parquet", folder / "store", 20)
    return EraStore(folder / "store")


def test_an_exported_file_holds_what_the_release_did(store: EraStore, tmp_path: Path) -> None:
    keys = [f"{era:04d}" for era in store.eras()]

    rows = export(store, keys, tmp_path / "all.parquet", features=FEATURES, targets=TARGETS)

    released = pd.read_parquet(store.folder.parent / "release.parquet")
    exported = pd.read_parquet(tmp_path / "all.parquet")
    pd.testing.assert_frame_equal(exported, released[exported.columns.tolist()].reset_index(drop=True))
    assert exported.columns.tolist() == ["id", "era", *FEATURES, *TARGETS]
    assert rows == len(released)
    assert pq.ParquetFile(tmp_path / "all.parquet").num_row_groups == len(keys)


def test_some_eras_and_features_are_exported_in_the_order_asked_for(store: EraStore, tmp_path: Path) -> None:
    export(store, ["0004", "0003"], tmp_path / "some.parquet", features=["feature_05", "feature_02"])

    frame = pd.read_parquet(tmp_path / "some.parquet")

    assert frame.columns.tolist() == ["id", "era", "feature_05", "feature_02"]
    assert frame["era"].tolist() == ["0004"] * ROWS + ["0003"] * ROWS
    assert [str(kind) for kind in frame.dtypes[2:]] == ["int8", "int8"]


def test_a_value_left_missing_is_exported_as_null(store: EraStore, tmp_path: Path) -> None:
    other = EraStore(tmp_path / "store")
    released = np.array(store.panel(["0003"]).features)
    released[2, 0] = -1
    targets = pd.DataFrame({"target_ender_20": np.zeros(ROWS, np.float32)})
    ids = store.panel(["0003"]).ids.tolist()
    other.write_era("0003", era=3, ids=ids, features=released, feature_names=FEATURES, targets=targets, targets_as_of=3)
    other.clean_as_released("0003", strategy="keep")

    export(other, ["0003"], tmp_path / "out.parquet", features=FEATURES[:2])

    table = pq.read_table(tmp_path / "out.parquet")
    assert [table[name].null_count for name in FEATURES[:2]] == [1, 0]
    assert table[FEATURES[0]][2].as_py() is None


def test_an_export_that_cannot_be_finished_leaves_the_file_of_before(store: EraStore, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    path.write_text("of before")

    with pytest.raises(StoreError, match="era 0999: not in the store"):
        export(store, ["0003", "0999"], path, features=FEATURES)

    assert path.read_text() == "of before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_documented_queries_give_era_row_and_targets(store: EraStore, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(store.folder.parent)
    with duckdb.connect() as db:
        *views, query = [statement for statement in text.split(";") if statement.strip()]
        for view in views:
            db.execute(view)
        means = db.execute(query).fetchall()
        columns = [row[0] for row in db.execute("describe targets").fetchall()]
        offsets = db.execute("select row, id from targets where era = 7 order by row").fetchall()
    panel = store.panel([f"{era:04d}" for era in store.eras()], targets=["target_ender_60"])
    known = dict(zip(panel.eras, panel.targets_of_block["target_ender_60"], strict=True))
    assert [(era, rows) for era, rows, _ in means] == [(era, ROWS) for era in range(1, 16)]
    np.testing.assert_allclose([mean for *_, mean in means], [known[era].mean() for era in range(1, 16)], rtol=1e-6)
    assert columns == ["id", "era", "row", *TARGETS]
    assert offsets == list(enumerate(store.panel(["0007"]).ids))
