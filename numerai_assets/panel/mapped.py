"""Memory-mapped blocks that are pickled as a file position, not as their bytes."""

import mmap
import resource
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import StoreError

Block = NDArray[np.int8]

# Files that a process may keep open: 1,300 eras with the columns of a few dozen blocks; and the number that macOS grants,
# whose hard limit is infinite.
_OPEN_FILES, _OPEN_FILES_WITHOUT_LIMIT = 65_536, 10_240


@cache
def allow_many_maps() -> None:
    """Raises the soft limit of open files: a map keeps its file open, and the usual 1,024 are fewer than there are eras."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class MappedBlock:
    """Position of a C-contiguous int8 block in a file, and the file's length and modification time (ns) at that moment."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    file_bytes: int
    changed_at: int


def portable(block: Block) -> Block | MappedBlock:
    """A block ready for pickling: its position in its file, or the block itself where it is not mapped.

    Raises StoreError when the file is gone.
    """
    if not isinstance(block, np.memmap) or block.filename is None or not block.flags.c_contiguous:
        return np.asarray(block)
    path, mapping = Path(str(block.filename)), np.frombuffer(block._mmap, np.uint8)  # type: ignore[attr-defined]
    # A part of a map keeps the offset of the whole, so the position follows from the addresses; a map starts on a page.
    start = block.offset - block.offset % mmap.ALLOCATIONGRANULARITY
    size, changed_at = _stamp(path)
    return MappedBlock(path, start + block.ctypes.data - mapping.ctypes.data, block.shape, size, changed_at)


def opened(block: Block | MappedBlock) -> Block:
    """Inverse of `portable`; maps the file again, read-only. Raises StoreError when the file has changed since."""
    if not isinstance(block, MappedBlock):
        return block
    if _stamp(block.path) != (block.file_bytes, block.changed_at):
        raise StoreError(
            f"{block.path} was replaced while a panel over it went to another process; make the panel again. "
            "Nothing was touched"
        )
    allow_many_maps()
    return np.memmap(block.path, np.int8, "r", block.offset, block.shape)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"{path}: mapped by a panel that goes to another process, but gone ({error})") from None
    return found.st_size, found.st_mtime_ns
