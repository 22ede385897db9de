"""Feature files: one block per era, with a seal that states the era and the checksum.

A file is a NumPy file (format 1.0: a header of 128 bytes, then the block, C-contiguous), which `numpy.load` reads, and
128 bytes of text behind it, the seal: "era <key> sha256 <digest of all before>". A reader compares the seal with the era's
record, which costs one small read: a file that was truncated, or swapped with that of another era of the same length, is
found before it is used. `holds_what_it_says` reads and checks every byte.
"""

import hashlib
import io
import os
import tokenize
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import StoreError
from numerai_assets.panel.blocks import MISSING
from numerai_assets.panel.mapped import allow_many_maps

SEAL_BYTES = 128
_READ_BYTES = 1 << 20


def write_block(path: Path, key: str, block: NDArray[np.int8]) -> str:
    """Writes a (d, n) C-contiguous block with its seal directly to `path`; returns the hex SHA-256."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(block))
    digest = hashlib.sha256(header.getvalue())
    digest.update(block.data)
    with path.open("wb") as file:
        file.write(header.getvalue())
        file.write(block.data)
        file.write(_seal(key, digest.hexdigest()))
    return digest.hexdigest()


def map_block(path: Path, key: str, *, size: int, sha256: str) -> NDArray[np.int8]:
    """The (d, n) int8 block of a file, memory-mapped.

    size, sha256: of the era's record. Raises StoreError, whose message continues the name of the file, where it is
    absent, has another length, or has the seal of another era or digest.
    """
    allow_many_maps()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise StoreError(f"is {found:,} bytes, its record says {size:,}. The file was cut short or replaced")
            seal = os.pread(file.fileno(), SEAL_BYTES, size - SEAL_BYTES)
            if seal != _seal(key, sha256):
                raise StoreError(f"is sealed {_shown(seal)}, its record says {_shown(_seal(key, sha256))}")
            if np.lib.format.read_magic(file) != (1, 0):
                raise StoreError("is no NumPy file of format 1.0")
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
            block = np.memmap(file, dtype, "r", offset=file.tell(), shape=shape, order="F" if is_fortran else "C")
    except FileNotFoundError:
        raise StoreError(f"is absent, its record says {size:,} bytes") from None
    # A damaged header is read as Python: it may end in an error of the tokenizer or the parser.
    except (OSError, ValueError, SyntaxError, tokenize.TokenError) as error:
        raise StoreError(f"cannot be read ({error})") from None
    return block


def holds_what_it_says(path: Path, key: str, *, size: int, sha256: str) -> bool:
    """True when every byte of the file is unchanged since it was sealed, and the seal agrees with the record."""
    try:
        map_block(path, key, size=size, sha256=sha256)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            left = size - SEAL_BYTES
            while left and (piece := file.read(min(_READ_BYTES, left))):
                digest.update(piece)
                left -= len(piece)
    except (StoreError, OSError):
        return False
    return digest.hexdigest() == sha256


def _seal(key: str, sha256: str) -> bytes:
    return f"era {key} sha256 {sha256}".ljust(SEAL_BYTES - 1).encode("ascii") + b"\n"


def _shown(seal: bytes) -> str:
    text = seal.decode("ascii", errors="replace").split()
    return f"'{' '.join(text)[:40]}...'" if text[:1] == ["era"] else "with no era's name"


def without_lost(held: NDArray[np.int8], block: NDArray[np.int8]) -> NDArray[np.int8]:
    """(d, n) `block` with the features of `held` where it has no value in any row, as when a release has lost them."""
    lost = (block == MISSING).all(axis=1)
    return np.where(lost[:, None], held, block) if lost.any() else block


def only_adds(held: NDArray[np.int8], block: NDArray[np.int8]) -> bool:
    """True when (d, n) `block` differs from `held` only in features that had no value in any row."""
    if held.shape != block.shape:
        return False
    differs = (held != block).any(axis=1)
    return bool((held[differs] == MISSING).all())
