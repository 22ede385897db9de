"""What a store makes of damage, full disks, kills and of readers beside the writer: clear errors, never wrong values."""

import errno
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store import era_store, target_files
from numerai_assets.store.atomic import write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets_tests.store import conversion
from numerai_assets_tests.store.conversion import ERAS, FEATURES, TARGETS, contents, convert

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["numerai_assets_tests.store.conversion"])


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A release that has lost a feature and knows few targets, and the next, which has both."""
    folder = tmp_path_factory.mktemp("releases")
    old, new = folder / "old.parquet", folder / "new.parquet"
    conversion.write_release(old, newest=15, is_whole=False)
    conversion.write_release(new, newest=20, is_whole=True)
    return old, new


@pytest.fixture
def store(tmp_path: Path, releases: tuple[Path, Path]) -> EraStore:
    convert(releases[1], tmp_path / "store", 20)
    return EraStore(tmp_path / "store")


def swap(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


# Files that changed places.


@pytest.mark.parametrize("kind", ["released", "cleaned", "targets"])
def test_files_of_two_eras_that_changed_places_are_told_on_reading(store: EraStore, kind: str) -> None:
    suffix = "parquet" if kind == "targets" else "npy"
    one, other = (store.folder / kind / f"{key}.{suffix}" for key in ("0003", "0004"))
    # Not for targets, of which each era's compress to another length: there the footer tells them apart.
    assert kind == "targets" or one.stat().st_size == other.stat().st_size
    swap(one, other)

    stage = "released" if kind == "released" else "cleaned"
    with pytest.raises(StoreError, match=r"era 0003: .*era 0004.*numerai store verify --repair") as caught:
        store.panel(["0003"], stage=stage, targets=TARGETS)  # type: ignore[arg-type]
    assert "Nothing else was touched" in str(caught.value)
    assert store.verify() == ["0003", "0004"]


def test_cleaned_features_in_the_place_of_released_ones_are_told(store: EraStore) -> None:
    features = store.panel(["0003"]).features
    store.write_cleaned("0003", 4 - features, strategy="mean")
    swap(store.folder / "released" / "0003.npy", store.folder / "cleaned" / "0003.npy")

    for stage in ("released", "cleaned"):
        with pytest.raises(StoreError, match=f"era 0003: {stage} features file"):
            store.panel(["0003"], stage=stage)
    assert store.verify() == ["0003"]


def test_swapped_eras_are_mended_by_dropping_and_writing_them_again(
    store: EraStore, releases: tuple[Path, Path]
) -> None:
    before = contents(store.folder)
    swap(store.folder / "released" / "0003.npy", store.folder / "released" / "0004.npy")

    for key in store.verify():
        store.forget(key)
    convert(releases[1], store.folder, 20)

    assert contents(store.folder) == before
    assert store.verify() == []


def test_features_are_what_numpy_loads_from_the_file(store: EraStore) -> None:
    np.testing.assert_array_equal(np.load(store.folder / "cleaned" / "0003.npy").T, store.panel(["0003"]).features)


@pytest.mark.parametrize("kind", ["released", "targets"])
def test_any_changed_byte_is_found_by_verify(store: EraStore, kind: str) -> None:
    path = store.folder / kind / ("0003.parquet" if kind == "targets" else "0003.npy")
    whole = path.read_bytes()
    panel = store.panel(["0003"], stage="released", targets=store.target_names)
    for place in np.random.default_rng(0).integers(0, len(whole), 40).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if store.verify() == []:
            # A byte that Parquet does not use: the values are what they were.
            assert kind == "targets"
            again = store.panel(["0003"], stage="released", targets=store.target_names)
            np.testing.assert_array_equal(again.target(TARGETS[0]), panel.target(TARGETS[0]))
            np.testing.assert_array_equal(again.ids, panel.ids)


# Stores and lists of features that are others.


def test_a_store_of_another_version_is_refused_with_the_remedy(store: EraStore) -> None:
    schema = {"features": list(FEATURES), "targets": list(TARGETS)}
    write_json(store.folder / "features.json", schema)

    for ask in (store.eras, store.records, store.verify, lambda: store.holds("0003"), lambda: store.panel(["0003"])):
        with pytest.raises(StoreError, match=r"has format 1, this version reads 2; remove the folder and run `numerai"):
            ask()


def test_names_of_a_conversion_that_wrote_no_era_bind_nobody(tmp_path: Path, releases: tuple[Path, Path]) -> None:
    write_json(tmp_path / "features.json", {"format": era_store.FORMAT, "features": ["feature_gone"], "targets": []})

    convert(releases[1], tmp_path, 20)

    assert EraStore(tmp_path).feature_names == FEATURES


# The disk refuses.


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 160 kB."""
    with tempfile.TemporaryDirectory() as place:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160k", "none", place], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("no file system can be mounted here")
        yield Path(place)
        subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_half_way_is_told_and_the_next_run_goes_on(
    small_disk: Path, tmp_path: Path, releases: tuple[Path, Path]
) -> None:
    with pytest.raises(StoreError, match=r"era 00\d\d: .*No space left.*free some disk and run again") as caught:
        convert(releases[1], small_disk / "store", 20)

    store = EraStore(small_disk / "store")
    held = store.eras()
    assert 0 < len(held) < ERAS
    assert f"era {held[-1] + 1:04d}" in str(caught.value)
    assert store.verify() == []
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    convert(releases[1], store.folder, 20)
    convert(releases[1], tmp_path / "undisturbed", 20)
    assert contents(store.folder) == contents(tmp_path / "undisturbed")


def test_a_file_that_may_not_grow_is_told_and_leaves_the_store_as_it_was(
    store: EraStore, releases: tuple[Path, Path]
) -> None:
    before = contents(store.folder)
    store.forget("0025")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"era 0025: cannot be written .*All other eras are unchanged"):
            convert(releases[1], store.folder, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.verify() == []
    convert(releases[1], store.folder, 20)
    assert contents(store.folder) == before


def test_a_read_only_store_is_read_and_says_that_it_cannot_be_written(
    store: EraStore, releases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    before = contents(store.folder)

    assert store.panel(["0001", "0025"], targets=TARGETS).rows == 2 * conversion.ROWS
    with pytest.raises(StoreError, match=r"era 0001: .*Read-only file system.*let this user write there"):
        convert(releases[0], store.folder, 21)
    assert contents(store.folder) == before


# Kills.


def test_a_restored_feature_whose_writing_was_cut_off_leaves_the_era_absent_not_wrong(
    tmp_path: Path, releases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EraStore(tmp_path)
    convert(releases[0], store.folder, 15)

    def cut_off(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(target_files, "write_targets", cut_off)
    with pytest.raises(KeyboardInterrupt):
        convert(releases[1], store.folder, 20)

    assert store.eras() == list(range(2, ERAS + 1))
    assert store.verify() == []


@pytest.mark.parametrize("seed", range(4))
def test_a_conversion_killed_at_random_moments_ends_byte_for_byte_as_an_undisturbed_one(
    tmp_path: Path, releases: tuple[Path, Path], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    store = EraStore(tmp_path / "killed")
    kills = 0
    for release, as_of in zip(releases, (15, 20), strict=True):
        began = time.monotonic()
        convert(release, tmp_path / "undisturbed", as_of)
        whole_seconds = time.monotonic() - began
        for share in rng.uniform(0, 0.6, 3):
            ready, theirs = processes.Pipe()
            process = processes.Process(
                target=conversion.convert_when_told, args=(theirs, release, store.folder, as_of)
            )
            process.start()
            ready.recv()
            time.sleep(share * whole_seconds)
            process.kill()
            process.join()
            kills += process.exitcode == -9
            assert store.verify() == []
        convert(release, store.folder, as_of)
        assert contents(store.folder) == contents(tmp_path / "undisturbed")
    assert kills > 0


def test_what_a_killed_run_stored_is_not_read_again(tmp_path: Path, releases: tuple[Path, Path]) -> None:
    convert(releases[0], tmp_path, 15)
    store = EraStore(tmp_path)
    store.forget("0025")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}

    convert(releases[0], tmp_path, 15)

    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert {path.stem for path in after if after[path] != before.get(path)} == {"0025"}


# Readers beside the writer.


def test_readers_see_whole_eras_while_another_process_appends_and_renews_targets(
    tmp_path: Path, releases: tuple[Path, Path]
) -> None:
    whole = tmp_path / "whole.parquet"
    conversion.write_release(whole, newest=15, is_whole=True)
    folder, over = tmp_path / "store", tmp_path / "over"
    convert(whole, folder, 15)
    for key in ("0023", "0024", "0025"):
        EraStore(folder).forget(key)
    ends, readers = [], []
    for _ in range(2):
        ours, theirs = processes.Pipe()
        readers.append(processes.Process(target=conversion.read_for_ever, args=(theirs, folder, over)))
        readers[-1].start()
        ours.recv()
        ends.append(ours)

    for release, as_of in ((releases[1], 20), (whole, 21)):
        convert(release, folder, as_of)
    over.touch()

    answers = [end.recv() for end in ends]
    for reader in readers:
        reader.join()
    assert [found for _, found in answers] == ["", ""]
    assert all(times > 0 for times, _ in answers)
    assert EraStore(folder).eras() == list(range(1, ERAS + 1))
