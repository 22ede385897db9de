"""The era store: written once, but for targets; whatever was damaged is told, never read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.eras import Wall, era_label
from numerai_assets.errors import StoreError, WallError
from numerai_assets.store.era_records import EraRecord, as_ranges, places_of, resolved_horizons
from numerai_assets.store.era_store import EraStore

FEATURES = ("feature_a", "feature_b", "feature_c")
TARGETS = ("target", "target_ender_20", "target_ender_60")
ROWS = 20


def block_of(era: int, rows: int = ROWS) -> np.ndarray:
    """(rows, 3) int8 features of an era."""
    return np.random.default_rng(era).integers(0, 5, (rows, len(FEATURES)), dtype=np.int8)


def targets_of(era: int, *, resolved: Sequence[int] = (20, 60), rows: int = ROWS) -> pd.DataFrame:
    """All targets of an era, NaN where the horizon is not resolved; the alias follows ender_60."""
    rng = np.random.default_rng([era, 1])
    frame = pd.DataFrame({name: rng.integers(0, 5, rows).astype(np.float32) / 4 for name in TARGETS})
    frame["target"] = frame["target_ender_60"]
    if 20 not in resolved:
        frame["target_ender_20"] = np.float32(np.nan)
    if 60 not in resolved:
        frame[["target", "target_ender_60"]] = np.float32(np.nan)
    return frame


def ids_of(era: int, rows: int = ROWS) -> list[str]:
    return [f"n{era:04d}{row:011x}" for row in range(rows)]


def content_of(era: int) -> dict[str, Any]:
    """An era of the fixtures above, as it is written."""
    return {
        "era": era,
        "ids": ids_of(era),
        "features": block_of(era),
        "feature_names": FEATURES,
        "targets": targets_of(era),
        "targets_as_of": 1000,
    }


def write(
    store: EraStore,
    era: int,
    *,
    key: str | None = None,
    features: np.ndarray | None = None,
    resolved: Sequence[int] = (20, 60),
    as_of: int = 1000,
    cleaned: bool = True,
) -> EraRecord:
    """Stores an era of the fixtures above and its cleaned features, equal to the released ones."""
    key = key or era_label(era)
    features = block_of(era) if features is None else features
    content = {"features": features, "targets": targets_of(era, resolved=resolved), "targets_as_of": as_of}
    record = store.write_era(key, **content_of(era) | content)
    return store.write_cleaned(key, features, strategy="median") if cleaned else record


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, time of change and size of every file under the folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in files}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


@pytest.fixture
def store(tmp_path: Path) -> EraStore:
    return EraStore(tmp_path / "store")


def test_an_era_reads_back_as_it_was_written(store: EraStore) -> None:
    write(store, 7)
    write(store, 6)

    panel = store.panel(["0007", "0006"], targets=["target_ender_60", "target_ender_20"])

    assert panel.eras == (6, 7)
    assert panel.feature_names == store.feature_names == FEATURES
    assert store.target_names == TARGETS
    assert panel.ids.tolist() == ids_of(6) + ids_of(7)
    np.testing.assert_array_equal(panel.features, np.vstack([block_of(6), block_of(7)]))
    for name in ("target_ender_60", "target_ender_20"):
        np.testing.assert_array_equal(panel.target(name), pd.concat([targets_of(6), targets_of(7)])[name])
    assert (store.eras(), store.newest_era()) == ([6, 7], 7)


def test_the_record_tells_what_the_era_holds(store: EraStore) -> None:
    features = block_of(7)
    features[:, 1] = 2
    features[3, 0] = features[4, 2] = -1

    record = write(store, 7, features=features, resolved=(20,), as_of=14, cleaned=False)

    assert record == store.record("0007") == store.records()["0007"]
    assert (record.key, record.era, record.rows) == ("0007", 7, ROWS)
    assert (record.resolved, record.targets_as_of) == ((20,), 14)
    assert (record.missing_features, record.missing_cells) == (("feature_b",), 2)
    assert record.cleaned_by is None


def test_features_are_mapped_not_copied(store: EraStore) -> None:
    write(store, 7)

    panel = store.panel(["0007"])

    assert isinstance(panel.blocks[0], np.memmap)
    assert not panel.blocks[0].flags.writeable


def test_writing_the_same_features_with_new_targets_touches_targets_and_record_alone(store: EraStore) -> None:
    write(store, 6)
    write(store, 7, resolved=(20,), as_of=14)
    before = state(store.folder)

    record = write(store, 7, resolved=(20, 60), as_of=20, cleaned=False)

    after = state(store.folder)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {
        "targets/0007.parquet",
        "records/0007.json",
    }
    assert (record.resolved, record.targets_as_of, record.cleaned_by) == ((20, 60), 20, "median")
    panel = store.panel(["0007"], targets=["target_ender_60"])
    np.testing.assert_array_equal(panel.target("target_ender_60"), targets_of(7)["target_ender_60"])
    assert store.verify() == []


def test_changed_features_of_a_held_era_are_refused_and_nothing_is_touched(store: EraStore) -> None:
    write(store, 7)
    before = state(store.folder)
    changed = block_of(7)
    changed[5, 1] = (changed[5, 1] + 1) % 5

    with pytest.raises(StoreError, match=r"era 0007: .*eras are immutable\. Nothing was touched"):
        write(store, 7, features=changed, as_of=1001)

    assert state(store.folder) == before


def test_other_ids_of_a_held_era_are_refused_and_nothing_is_touched(store: EraStore) -> None:
    write(store, 7)
    before = state(store.folder)

    with pytest.raises(StoreError, match="era 0007"):
        store.write_era("0007", **content_of(7) | {"ids": ids_of(8), "targets_as_of": 1001})

    assert state(store.folder) == before


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (("feature_a", "feature_b", "feature_z"), TARGETS, r"features differ .*'feature_c'.*'feature_z'"),
        (FEATURES, ("target", "target_ender_20", "target_new_60"), r"targets differ .*ender_60.*target_new_60"),
        (("feature_b", "feature_a", "feature_c"), TARGETS, r"features differ .*other order"),
    ],
)
def test_a_change_of_the_schema_is_refused_naming_what_was_lost_and_what_is_new(
    store: EraStore, features: tuple[str, ...], targets: tuple[str, ...], message: str
) -> None:
    write(store, 7)
    before = state(store.folder)
    frame = targets_of(8).set_axis(list(targets), axis=1)

    with pytest.raises(StoreError, match=message):
        store.write_era("0008", **content_of(8) | {"feature_names": features, "targets": frame})

    assert state(store.folder) == before
    assert not store.holds("0008")


def test_an_era_exists_only_once_its_record_does(store: EraStore) -> None:
    write(store, 7)
    (store.folder / "records" / "0007.json").unlink()

    assert not store.holds("0007")
    assert store.eras() == []
    with pytest.raises(StoreError, match="era 0007: not in the store"):
        store.panel(["0007"])


def test_an_empty_store_says_what_to_do(store: EraStore) -> None:
    for ask in (store.newest_era, lambda: store.feature_names, lambda: store.target_names):
        with pytest.raises(StoreError, match="is empty; run `numerai weekly` first"):
            ask()
    assert (store.eras(), store.records(), store.verify()) == ([], {}, [])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def remove(path: Path) -> None:
    path.unlink()


def overwrite_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [cut_short, remove, overwrite_with_zeros])
@pytest.mark.parametrize("file", ["released/0007.npy", "cleaned/0007.npy", "targets/0007.parquet"])
def test_a_damaged_file_is_told_by_its_era_found_by_verify_and_mended_by_writing_again(
    store: EraStore, damage: object, file: str
) -> None:
    write(store, 6)
    write(store, 7)
    # Were the two links of one file, both would be damaged at once.
    store.write_cleaned("0007", 4 - block_of(7), strategy="median")

    damage(store.folder / file)  # type: ignore[operator]

    stage = "released" if file.startswith("released") else "cleaned"
    with pytest.raises(StoreError, match="era 0007") as caught:
        store.panel(["0006", "0007"], stage=stage, targets=["target_ender_60"])  # type: ignore[arg-type]
    assert "--repair" in str(caught.value)
    assert store.verify() == ["0007"]

    store.forget("0007")
    assert not store.holds("0007")
    write(store, 7)
    assert store.verify() == []
    np.testing.assert_array_equal(store.panel(["0007"], stage=stage).features, block_of(7))  # type: ignore[arg-type]


def test_a_changed_byte_of_the_same_length_is_found_by_verify(store: EraStore) -> None:
    write(store, 6)
    write(store, 7)
    path = store.folder / "released" / "0007.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    assert store.verify() == ["0007"]


def test_a_damaged_record_is_told_by_its_era_and_found_by_verify(store: EraStore) -> None:
    write(store, 6)
    write(store, 7)
    cut_short(store.folder / "records" / "0007.json")

    with pytest.raises(StoreError, match="0007"):
        store.record("0007")
    assert store.verify() == ["0007"]


def test_cleaned_features_that_changed_nothing_take_no_room(store: EraStore) -> None:
    write(store, 7)

    released, cleaned = (store.folder / kind / "0007.npy" for kind in ("released", "cleaned"))
    assert released.samefile(cleaned)
    assert store.record("0007").cleaned_by == "median"


def test_cleaned_features_that_changed_leave_the_released_ones_alone(store: EraStore) -> None:
    write(store, 7)
    other = 4 - block_of(7)

    record = store.write_cleaned("0007", other, strategy="mean")

    assert record.cleaned_by == "mean"
    np.testing.assert_array_equal(store.panel(["0007"], stage="released").features, block_of(7))
    np.testing.assert_array_equal(store.panel(["0007"]).features, other)
    assert store.verify() == []


def test_an_era_that_was_not_cleaned_says_so(store: EraStore) -> None:
    write(store, 7, cleaned=False)

    with pytest.raises(StoreError, match="era 0007: not cleaned yet"):
        store.panel(["0007"])


def test_some_features_come_in_the_order_asked_for(store: EraStore) -> None:
    write(store, 7)

    panel = store.panel(["0007"], features=["feature_c", "feature_a"])

    assert panel.feature_names == ("feature_c", "feature_a")
    np.testing.assert_array_equal(panel.features, block_of(7)[:, [2, 0]])


def test_a_target_that_the_store_does_not_know_is_named(store: EraStore) -> None:
    write(store, 7)

    with pytest.raises(StoreError, match="target_nobody_60"):
        store.panel(["0007"], targets=["target_nobody_60"])


def history(store: EraStore, newest: int) -> None:
    """Eras 1..newest as a release of `newest` has them: 20D resolved up to newest - 5, 60D up to newest - 13."""
    for era in range(1, newest + 1):
        write(store, era, resolved=[h for h, lag in ((20, 5), (60, 13)) if era <= newest - lag], as_of=newest)


@pytest.fixture(scope="module")
def thirty_eras(tmp_path_factory: pytest.TempPathFactory) -> EraStore:
    """A store of 30 eras; tests only read it."""
    store = EraStore(tmp_path_factory.mktemp("thirty"))
    history(store, 30)
    return store


def test_a_fit_panel_ends_before_the_wall(thirty_eras: EraStore) -> None:
    sixty = thirty_eras.fit_panel(Wall(30, 60), target="target_ender_60")
    twenty = thirty_eras.fit_panel(Wall(30, 20), target="target_ender_20", features=["feature_b"])

    assert sixty.eras == tuple(range(1, 15))
    assert twenty.eras == tuple(range(1, 23))
    assert twenty.feature_names == ("feature_b",)
    assert not np.isnan(sixty.target("target_ender_60")).any()
    assert not np.isnan(twenty.target("target_ender_20")).any()


@pytest.mark.parametrize(("every", "eras"), [(1, tuple(range(1, 15))), (4, (2, 6, 10, 14)), (13, (1, 14)), (99, (14,))])
def test_down_sampling_counts_back_from_the_newest_allowed_era(
    thirty_eras: EraStore, every: int, eras: tuple[int, ...]
) -> None:
    assert thirty_eras.fit_panel(Wall(30, 60), target="target_ender_60", every=every).eras == eras


def test_a_target_of_another_horizon_than_the_wall_stops_the_fit(thirty_eras: EraStore) -> None:
    with pytest.raises(StoreError, match="target_ender_20: the wall is built for a 60-day target"):
        thirty_eras.fit_panel(Wall(30, 60), target="target_ender_20")


def test_a_vintage_with_nothing_before_its_wall_stops_the_fit(thirty_eras: EraStore) -> None:
    with pytest.raises(WallError, match="no era at or before 0"):
        thirty_eras.fit_panel(Wall(16, 60), target="target_ender_60")


def test_an_older_vintage_is_fitted_on_the_same_whatever_came_later(store: EraStore) -> None:
    history(store, 18)
    before = store.fit_panel(Wall(18, 60), target="target_ender_60")
    for era in (5, 19, 20):
        write(store, era, as_of=20)

    after = store.fit_panel(Wall(18, 60), target="target_ender_60")

    assert before.eras == after.eras == (1, 2)
    np.testing.assert_array_equal(before.target("target_ender_60"), after.target("target_ender_60"))


def test_live_rows_are_never_fitted_on(store: EraStore) -> None:
    write(store, 14)
    write(store, 13, key="X@12", resolved=())

    assert store.fit_panel(Wall(30, 60), target="target_ender_60").eras == (14,)


def test_nothing_is_fitted_over_a_gap(store: EraStore) -> None:
    for era in (11, 12, 14):
        write(store, era)

    with pytest.raises(
        StoreError, match="era 0013: not in the store, though vintage 0030 is fitted on eras 0011 to 0014"
    ):
        store.fit_panel(Wall(30, 60), target="target_ender_60")


def test_nothing_is_fitted_before_the_store_reaches_the_wall(store: EraStore) -> None:
    write(store, 13)

    with pytest.raises(StoreError, match="era 0014: not in the store"):
        store.fit_panel(Wall(30, 60), target="target_ender_60")


def test_a_target_that_should_be_known_and_is_not_stops_the_fit(store: EraStore) -> None:
    write(store, 13)
    write(store, 14, resolved=(20,), as_of=20)

    with pytest.raises(StoreError, match="era 0014: target_ender_60 is not in the store though it resolved"):
        store.fit_panel(Wall(30, 60), target="target_ender_60")


@pytest.mark.parametrize(
    ("resolved", "newest", "awaits"),
    [
        ((), 104, False),
        ((), 105, True),
        ((20,), 105, False),
        ((20,), 112, False),
        ((20,), 113, True),
        ((20, 60), 113, False),
        ((20, 60), 999, False),
    ],
)
def test_an_era_awaits_targets_from_the_very_era_they_resolve(
    store: EraStore, resolved: tuple[int, ...], newest: int, awaits: bool
) -> None:
    record = write(store, 100, resolved=resolved, as_of=101)

    assert record.awaits_targets(newest) is awaits


def test_an_era_does_not_await_what_the_newest_release_did_not_hold(store: EraStore) -> None:
    record = write(store, 100, resolved=(), as_of=113)

    assert not record.awaits_targets(113)
    assert record.awaits_targets(114)
    assert not replace(record, targets_as_of=120).awaits_targets(114)


def test_a_live_round_is_one_more_era_kept_apart_from_history(store: EraStore) -> None:
    write(store, 7)
    record = write(store, 8, key="X@12", resolved=())

    assert (record.key, record.era, record.resolved) == ("X@12", 8, ())
    assert (store.eras(), store.newest_era()) == ([7], 7)
    assert list(store.records()) == ["0007", "X@12"]
    assert store.panel(["X@12"]).ids.tolist() == ids_of(8)
    assert store.panel(["0007", "X@12"]).eras == (7, 8)
    pattern = Path(store.targets_glob()).relative_to(store.folder)
    assert [path.stem for path in store.folder.glob(str(pattern))] == ["0007"]


def test_live_rows_may_be_replaced_while_their_round_is_open(store: EraStore) -> None:
    write(store, 8, key="X@12", resolved=())

    write(store, 8, key="X@12", features=4 - block_of(8), resolved=())

    np.testing.assert_array_equal(store.panel(["X@12"]).features, 4 - block_of(8))
    assert store.verify() == []


def test_live_rows_that_were_replaced_must_be_cleaned_again(store: EraStore) -> None:
    write(store, 8, key="X@12", resolved=())

    record = write(store, 8, key="X@12", features=4 - block_of(8), resolved=(), cleaned=False)

    assert record.cleaned_by is None


def test_horizons_are_resolved_when_a_target_named_in_full_has_a_value() -> None:
    nothing = targets_of(1, resolved=())
    alias_only = nothing.assign(target=np.float32(0.5))

    assert resolved_horizons(targets_of(1)) == (20, 60)
    assert resolved_horizons(targets_of(1, resolved=(20,))) == (20,)
    assert resolved_horizons(nothing) == ()
    assert resolved_horizons(alias_only) == ()


@given(st.sets(st.integers(0, 60)))
def test_absent_features_come_back_whichever_they_are(places: set[int]) -> None:
    assert list(places_of(as_ranges(sorted(places)))) == sorted(places)


def test_eras_to_read_are_those_not_held_and_those_whose_targets_are_due(store: EraStore) -> None:
    write(store, 7, resolved=(20,), as_of=12)
    write(store, 8, resolved=(), as_of=12)
    write(store, 9, resolved=(20,), as_of=14)

    assert store.to_read([10, 9, 8, 7], newest_era=13) == [8, 10]
    assert store.to_read([7, 8, 9], newest_era=20) == [7, 8]
    assert store.to_read(range(7, 10), newest_era=12) == []


def test_a_release_disagrees_with_a_held_era_in_what_it_holds_otherwise(store: EraStore) -> None:
    write(store, 7, resolved=(20,), as_of=12)
    lost, other = block_of(7), block_of(7)
    lost[:, 1] = -1
    other[4, 2] = (other[4, 2] + 1) % 5
    revised = targets_of(7)
    revised.loc[3, "target_ender_20"] = 0.3

    def found(**changed: Any) -> str | None:
        released = {"ids": ids_of(7), "features": block_of(7), "targets": targets_of(7)}
        return store.disagreement("0007", **released | changed)

    before = state(store.folder)
    assert found() is None
    assert found(features=lost) is None
    assert found(features=other) == "features"
    assert found(ids=ids_of(8)) == "ids"
    assert found(ids=ids_of(7)[:-1], features=block_of(7)[:-1], targets=targets_of(7)[:-1]) == "ids"
    assert found(targets=revised) == "target_ender_20"
    assert state(store.folder) == before
