"""Memory-mapped eras go to another process as places of files, and only while the files are what they were."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.panel.mapped import opened, portable
from numerai_assets.panel.panel import EraPanel

MakePanel = Callable[..., EraPanel]


@pytest.fixture
def mapped(tmp_path: Path, make_panel: MakePanel) -> EraPanel:
    """A panel of two eras over mapped files, as the store hands out."""
    panel = make_panel([3, 4], rows=400, features=100)
    for era, block in zip(panel.eras, panel.blocks, strict=True):
        np.save(tmp_path / f"{era}.npy", block)
    return replace(panel, blocks=tuple(np.load(tmp_path / f"{era}.npy", mmap_mode="r") for era in panel.eras))


def test_a_pickled_panel_holds_places_and_maps_them_again(mapped: EraPanel) -> None:
    bare = replace(mapped, ids_of_block=tuple(np.full(400, "n", object) for _ in mapped.eras), targets_of_block={})

    pickled = pickle.dumps(bare)
    again = pickle.loads(pickled)

    assert len(pickled) < bare.features.nbytes / 10
    assert all(isinstance(block, np.memmap) and not block.flags.writeable for block in again.blocks)
    np.testing.assert_array_equal(again.features, mapped.features)
    assert again.eras == mapped.eras
    np.testing.assert_array_equal(copy.deepcopy(mapped).features, mapped.features)


def test_chosen_features_of_mapped_eras_are_pickled_as_places_too(mapped: EraPanel) -> None:
    for names in (mapped.feature_names[3:50], mapped.feature_names[::-2]):
        chosen = replace(mapped, ids_of_block=tuple(np.full(400, "n", object) for _ in mapped.eras)).with_features(
            names
        )
        pickled = pickle.dumps(replace(chosen, targets_of_block={}))

        assert len(pickled) < chosen.features.nbytes / 3
        np.testing.assert_array_equal(pickle.loads(pickled).features, chosen.features)


def total(panel: EraPanel) -> tuple[bool, int]:
    return all(isinstance(block, np.memmap) for block in panel.blocks), int(panel.features.sum())


def test_a_spawned_process_maps_the_same_files(mapped: EraPanel) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(total, (mapped,)) == (True, int(mapped.features.sum()))
        # At its end a pool that is not closed sends SIGTERM; a process that inherited to ignore it would never end.
        pool.close()
        pool.join()


def test_a_panel_in_memory_is_pickled_with_its_values(make_panel: MakePanel) -> None:
    panel = make_panel([3, 4])

    again = pickle.loads(pickle.dumps(panel))

    np.testing.assert_array_equal(again.features, panel.features)
    np.testing.assert_array_equal(again.ids, panel.ids)
    np.testing.assert_array_equal(again.target("target_ender_60"), panel.target("target_ender_60"))


def test_a_part_of_a_map_is_found_at_its_own_place_and_a_turned_one_goes_by_value(mapped: EraPanel) -> None:
    block = mapped.blocks[0]

    again = opened(pickle.loads(pickle.dumps(portable(block[30:60]))))

    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, block[30:60])
    assert type(portable(block.T)) is np.ndarray
    assert type(portable(block[[1, 2]])) is np.ndarray


def test_a_file_replaced_or_gone_in_between_is_named(mapped: EraPanel, tmp_path: Path) -> None:
    pickled = pickle.dumps(mapped)
    aside = tmp_path / "aside.npy"
    np.save(aside, np.zeros((100, 400), np.int8))
    os.utime(aside, ns=(0, 0))
    aside.replace(tmp_path / "4.npy")

    with pytest.raises(StoreError, match=r"4\.npy was replaced .* make the panel again"):
        pickle.loads(pickled)
    (tmp_path / "3.npy").unlink()
    with pytest.raises(StoreError, match=r"3\.npy: mapped by a panel .* gone"):
        pickle.dumps(mapped)


def test_more_eras_than_the_soft_limit_of_open_files_are_mapped(tmp_path: Path) -> None:
    map_many = """
import resource, sys
from pathlib import Path
import numpy as np
from numerai_assets.store.feature_files import map_block, write_block
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
path = Path(sys.argv[1])
digest = write_block(path, "0001", np.zeros((2, 3), np.int8))
held = [map_block(path, "0001", size=path.stat().st_size, sha256=digest) for _ in range(100)]
"""
    done = subprocess.run([sys.executable, "-c", map_many, str(tmp_path / "0001.npy")], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
