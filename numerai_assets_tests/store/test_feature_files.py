"""Feature files: mapped as they were written, and any that is not the one its record means is refused."""

from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import StoreError
from numerai_assets.store.feature_files import (
    SEAL_BYTES,
    holds_what_it_says,
    map_block,
    only_adds,
    without_lost,
    write_block,
)

BLOCK = np.random.default_rng(0).integers(-1, 5, (4, 9), dtype=np.int8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0600.npy"


def written(path: Path, block: np.ndarray = BLOCK, key: str = "0600") -> tuple[int, str]:
    digest = write_block(path, key, block)
    return path.stat().st_size, digest


@pytest.mark.parametrize("block", [BLOCK, BLOCK.astype(np.int16), BLOCK.astype(np.float16), BLOCK[:, :0]])
def test_a_block_is_mapped_as_it_was_written(path: Path, block: np.ndarray) -> None:
    size, digest = written(path, np.ascontiguousarray(block))

    found = map_block(path, "0600", size=size, sha256=digest)

    np.testing.assert_array_equal(found, block)
    assert found.dtype == block.dtype
    assert isinstance(found, np.memmap) and not found.flags.writeable
    assert holds_what_it_says(path, "0600", size=size, sha256=digest)


def test_numpy_reads_the_file_too(path: Path) -> None:
    written(path)

    np.testing.assert_array_equal(np.load(path), BLOCK)


def test_a_file_that_was_cut_is_refused_with_both_lengths(path: Path) -> None:
    size, digest = written(path)
    path.write_bytes(path.read_bytes()[:-5])

    with pytest.raises(StoreError, match=f"is {size - 5} bytes, its record says {size}"):
        map_block(path, "0600", size=size, sha256=digest)


def test_the_file_of_another_era_is_refused_by_its_seal(path: Path) -> None:
    size, digest = written(path, key="0601")

    with pytest.raises(StoreError, match="is sealed 'era 0601"):
        map_block(path, "0600", size=size, sha256=digest)


def test_a_file_without_a_seal_is_refused(path: Path) -> None:
    size, digest = written(path)
    path.write_bytes(path.read_bytes()[:-SEAL_BYTES] + b"\xff" * SEAL_BYTES)

    with pytest.raises(StoreError, match="is sealed with no era's name"):
        map_block(path, "0600", size=size, sha256=digest)


def test_an_absent_file_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="is absent, its record says 7 bytes"):
        map_block(path, "0600", size=7, sha256="")
    assert not holds_what_it_says(path, "0600", size=7, sha256="")


@pytest.mark.parametrize("place", [0, 9, *range(10, 128, 7), 130, -SEAL_BYTES - 1])
def test_a_changed_byte_is_found_when_all_are_read(path: Path, place: int) -> None:
    size, digest = written(path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)

    assert not holds_what_it_says(path, "0600", size=size, sha256=digest)


def test_features_that_a_release_lost_keep_their_values() -> None:
    held, lost = np.abs(BLOCK), np.abs(BLOCK)
    lost[2] = -1

    np.testing.assert_array_equal(without_lost(held, lost), held)
    assert without_lost(held, held) is held


def test_a_block_only_adds_where_nothing_was() -> None:
    whole = np.abs(BLOCK)
    before, changed = whole.copy(), whole.copy()
    before[1] = -1
    changed[0, 0] = (whole[0, 0] + 1) % 5

    assert only_adds(before, whole)
    assert only_adds(whole, whole)
    assert not only_adds(whole, changed)
    assert not only_adds(whole, whole[:, :-1])
