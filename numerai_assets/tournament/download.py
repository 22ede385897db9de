"""Downloads that are complete or absent.

numerapi's resume appends any answer of the server to any file on disk, with TLS checks off. Here a partial file is bound to
the ETag and length of its first answer; a continuation must be a 206 of exactly that range and ETag; the length must agree;
the content must pass the caller's own verification; only then is the file renamed to its final name.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from numerai_assets.errors import DownloadError, Unreachable
from numerai_assets.settings import Network
from numerai_assets.store.atomic import sha256_of
from numerai_assets.tournament import transport

Progress = Callable[[int, int], None]


class Interrupted(DownloadError):
    """The transfer was interrupted; the next attempt continues it. `retry_after`: seconds the server asks to wait."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Fetched:
    """A complete file: its length in bytes, SHA-256 and the server's ETag (None if it sends none)."""

    size: int
    sha256: str
    etag: str | None


@dataclass(frozen=True)
class _Binding:
    etag: str | None
    size: int


def fetch(
    address: Callable[[], str],
    destination: Path,
    network: Network,
    *,
    verify: Callable[[Path], None],
    known: Fetched | None = None,
    progress: Progress = lambda done, total: None,
) -> Fetched | None:
    """Fetches one file to `destination`; returns None when the server answers that the `known` file is still current.

    address: returns a fresh URL for every attempt, since signed URLs expire. verify: raises an error of this project when the
    content is wrong; the file is then removed and not resumed. progress: called with bytes so far and total bytes.
    Raises DownloadError after the attempts of `network`; a partial file stays beside the destination for the next run.
    """
    return transport.persistently(
        lambda: _fetch_once(address(), destination, verify, known, network, progress), network, on=Interrupted
    )


def _fetch_once(
    url: str,
    destination: Path,
    verify: Callable[[Path], None],
    known: Fetched | None,
    network: Network,
    progress: Progress,
) -> Fetched | None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    part, note = _partial(destination)
    bound, have = _resumable(part, note)
    headers: dict[str, str] = {}
    if have and bound is not None and bound.etag is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": bound.etag}
    elif known is not None and known.etag is not None and destination.is_file():
        headers["If-None-Match"] = known.etag
    try:
        with transport.streamed("GET", url, network, headers=headers) as answer:
            if answer.status_code == 304:
                return None
            if answer.status_code == 206 and bound is not None and _continues(answer, bound, have):
                mode = "ab"
            elif answer.status_code == 200:
                mode, have = "wb", 0
                bound = _Binding(answer.headers.get("ETag"), _length(answer, destination))
                # The old bytes are removed before the new note is written: after a crash in between, they are not mixed up.
                part.unlink(missing_ok=True)
                note.write_text(json.dumps(asdict(bound)), encoding="utf-8")
            elif answer.status_code in (206, 416):
                _drop(part, note)
                raise Interrupted(f"{destination.name}: the server answered with another range than asked for")
            else:
                raise Interrupted(
                    f"{destination.name}: the server answered {answer.status_code} {answer.reason}",
                    transport.retry_after_seconds(answer),
                )
            with part.open(mode) as file:
                for chunk in transport.chunks(answer, network):
                    file.write(chunk)
                    have += len(chunk)
                    progress(have, bound.size)
                file.flush()
                os.fsync(file.fileno())
    except Unreachable as error:
        raise Interrupted(f"{destination.name}: the transfer broke off ({error}); run again to continue") from None
    if part.stat().st_size < bound.size:
        raise Interrupted(
            f"{destination.name}: {part.stat().st_size:,} of {bound.size:,} bytes came; run again to continue"
        )
    if part.stat().st_size > bound.size:
        size = part.stat().st_size
        _drop(part, note)
        raise Interrupted(f"{destination.name}: {size:,} bytes came, {bound.size:,} were announced; dropped")
    fetched = Fetched(size=bound.size, sha256=sha256_of(part), etag=bound.etag)
    if not is_vouched_for(part, fetched):
        _drop(part, note)
        raise Interrupted(
            f"{destination.name}: {bound.size:,} bytes came, but not those that ETag {bound.etag} stands for"
        )
    try:
        verify(part)
    except BaseException:
        _drop(part, note)
        raise
    part.replace(destination)
    note.unlink(missing_ok=True)
    return fetched


def is_vouched_for(path: Path, fetched: Fetched) -> bool:
    """False when the ETag is a digest of other bytes.

    Object stores give the MD5 of an object (S3: put in one part) as its ETag; 64 hex digits are taken for a SHA-256.
    An ETag of any other form proves nothing.
    """
    digest = (fetched.etag or "").strip('"').lower()
    if re.fullmatch("[0-9a-f]{64}", digest):
        return digest == fetched.sha256
    if re.fullmatch("[0-9a-f]{32}", digest):
        with path.open("rb") as file:
            return digest == hashlib.file_digest(file, "md5").hexdigest()
    return True


def _resumable(part: Path, note: Path) -> tuple[_Binding | None, int]:
    """The binding and size of a partial file; (None, 0) when it cannot be continued."""
    if not part.is_file() or not note.is_file():
        return None, 0
    try:
        bound = _Binding(**json.loads(note.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None, 0
    have = part.stat().st_size
    return (bound, have) if bound.etag and have < bound.size else (None, 0)


def _continues(answer: requests.Response, bound: _Binding, have: int) -> bool:
    """True when a 206 is the rest of the same file as the partial one."""
    expected = f"bytes {have}-{bound.size - 1}/{bound.size}"
    return answer.headers.get("ETag") == bound.etag and answer.headers.get("Content-Range") == expected


def _length(answer: requests.Response, destination: Path) -> int:
    length = answer.headers.get("Content-Length")
    if length is None or not length.isdigit():
        raise DownloadError(f"{destination.name}: the server does not say how long the file is; it cannot be verified")
    return int(length)


def drop_partial(destination: Path) -> None:
    """Removes the partial file beside `destination`, where no attempt will continue it."""
    _drop(*_partial(destination))


def _partial(destination: Path) -> tuple[Path, Path]:
    """The partial file and the note of its binding."""
    return destination.with_name(destination.name + ".part"), destination.with_name(destination.name + ".part.json")


def _drop(part: Path, note: Path) -> None:
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def sha256_of_bytes(content: bytes) -> str:
    """Hex SHA-256 of bytes in memory."""
    return hashlib.sha256(content).hexdigest()
