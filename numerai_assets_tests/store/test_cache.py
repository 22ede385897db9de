"""The cache: whole or absent, and never larger than it may be."""

import logging
import os
from pathlib import Path

import pytest

from numerai_assets.store.cache import ContentCache, content_key


def keep(cache: ContentCache, key: str, size: int = 10) -> None:
    with cache.keeping(key) as folder:
        (folder / "part.bin").write_bytes(b"x" * size)


def test_what_was_kept_is_found_and_nothing_else(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache", 10_000)
    keep(cache, "a")

    found = cache.find("a")

    assert found is not None and (found / "part.bin").read_bytes() == b"x" * 10
    assert cache.find("b") is None


def test_what_failed_half_way_is_not_kept(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 10_000)
    with pytest.raises(OSError, match="full"), cache.keeping("a") as folder:
        (folder / "part.bin").write_bytes(b"x")
        raise OSError("disk full")

    assert cache.find("a") is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["changed", "cut", "lost", "checksums"])
def test_a_damaged_folder_is_removed_and_told_of(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = ContentCache(tmp_path, 10_000)
    keep(cache, "a")
    part = tmp_path / "a" / "part.bin"
    if damage == "lost":
        part.unlink()
    elif damage == "checksums":
        (tmp_path / "a" / "checksums.json").write_text("{")
    else:
        part.write_bytes(b"y" * 10 if damage == "changed" else b"x")

    with caplog.at_level(logging.WARNING):
        assert cache.find("a") is None

    assert "damaged" in caplog.text and str(tmp_path / "a") in caplog.text
    assert not (tmp_path / "a").exists()


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 3_000)
    for age, key in enumerate("abc"):
        keep(cache, key, 800)
        os.utime(tmp_path / key, (age, age))
    assert cache.find("a") is not None

    keep(cache, "d", 800)

    assert [cache.find(key) is not None for key in "abcd"] == [True, False, True, True]


def test_a_key_tells_apart_what_differs_and_nothing_else() -> None:
    key = content_key(eras=["e1", "e2"], features=("a", "b"))

    assert key == content_key(features=["a", "b"], eras=["e1", "e2"])
    assert key != content_key(eras=["e2", "e1"], features=("a", "b"))


def test_what_was_just_kept_stays_even_when_it_is_too_large(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 1_000)
    keep(cache, "a", 500)
    keep(cache, "b", 2_000)

    assert cache.find("a") is None
    assert cache.find("b") is not None
