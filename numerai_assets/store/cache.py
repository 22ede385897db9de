"""Cache of derived data that takes long to compute: folders named by a digest of their inputs."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numerai_assets.store.atomic import replacing_folder, sha256_of, write_json

_CHECKSUMS = "checksums.json"


class ContentCache:
    """Folders under `folder`, together at most `limit_bytes` besides the newest; the least recently used is removed first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def find(self, key: str) -> Path | None:
        """The folder stored under `key`, its files compared with their checksums; None when there is none.

        A damaged folder is removed with a warning: it can be computed again.
        """
        place = self.folder / key
        if not place.is_dir():
            return None
        if not _is_whole(place):
            logging.getLogger(__name__).warning("%s: damaged, removed from the cache; it will be computed again", place)
            shutil.rmtree(place)
            return None
        os.utime(place)
        return place

    @contextmanager
    def keeping(self, key: str) -> Iterator[Path]:
        """Yields an empty folder to write to; on leaving without an error it is stored under `key`; old folders are removed."""
        with replacing_folder(self.folder / key) as aside:
            yield aside
            files = [path for path in aside.rglob("*") if path.is_file()]
            write_json(aside / _CHECKSUMS, {str(path.relative_to(aside)): sha256_of(path) for path in files})
        self._make_room(key)

    def _make_room(self, key: str) -> None:
        """Removes folders other than `key`, which the caller is about to read."""
        held = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        held.sort(key=lambda path: path.stat().st_mtime_ns)
        sizes = {path: sum(file.stat().st_size for file in path.rglob("*")) for path in held}
        for path in held:
            if path.name == key:
                continue
            if sum(sizes.values()) <= self.limit_bytes:
                return
            shutil.rmtree(path)
            del sizes[path]


def content_key(**facts: Any) -> str:
    """Digest of `facts`, which must be JSON values; other facts give another digest."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _is_whole(place: Path) -> bool:
    try:
        checksums = json.loads((place / _CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((place / name).is_file() and sha256_of(place / name) == digest for name, digest in checksums.items())
