"""Arrays and folders on disk: written aside, then renamed, so that whatever has its final name is whole."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    aside.replace(path)


def save_arrays(path: Path, /, **arrays: NDArray[Any]) -> None:
    """Write named arrays as one .npz; makes the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    aside.replace(path)


def load_array(path: Path) -> NDArray[Any]:
    """Read one .npy. SandboxError if it is absent or damaged."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    return array


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a .npz whole. SandboxError if it is absent or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text)
    aside.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; makes the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    aside.replace(path)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill aside, which takes its name at the end and replaces what had it; nothing is left on an error."""
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
    """A hard link where both lie on one file system, else a copy."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)


def _damaged(path: Path, error: Exception) -> SandboxError:
    return SandboxError(f"{path}: cannot be read ({error}); create the world anew")
