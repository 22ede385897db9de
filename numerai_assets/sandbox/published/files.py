"""Files and folders on disk: written aside, then renamed, so that a file under its final name is complete."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy."""
    with _aside(path) as file:
        np.save(file, array, allow_pickle=False)


def save_arrays(path: Path, /, **arrays: NDArray[Any]) -> None:
    """Write named arrays as one .npz."""
    with _aside(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_array(path: Path) -> NDArray[Any]:
    """Read one .npy. SandboxError if it is absent or damaged."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    return array


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a .npz. SandboxError if it is absent or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file."""
    with _aside(path) as file:
        file.write(content)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill aside; at the end it replaces `folder`. An error leaves nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside, old = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("partial", "old"))
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
    aside.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link if both paths are on one file system, else a copy."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)


@contextmanager
def _aside(path: Path) -> Iterator[BinaryIO]:
    """A file to fill, renamed to `path` at the end; creates the folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    with aside.open("wb") as file:
        yield file
    aside.replace(path)


def _damaged(path: Path, error: Exception) -> SandboxError:
    return SandboxError(f"{path}: cannot be read ({error}); create the world again")
