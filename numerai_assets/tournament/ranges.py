"""Ranges of one file on a server, written at their offsets into a sparse local file.

Every answer must be a 206 of exactly the requested range, with the strong ETag of the first answer: all written ranges are of
one file. A retry continues at the byte where the transfer was interrupted.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import requests

from numerai_assets.errors import DownloadError, Unreachable
from numerai_assets.settings import Network
from numerai_assets.tournament import transport
from numerai_assets.tournament.download import Interrupted

T = TypeVar("T")

# The footer of a file with few columns; of wide files only its length.
TAIL_BYTES = 1 << 16


class RangesRefused(DownloadError):
    """The server gives no ranges, or ranges that cannot be proven to be of one file."""


class Replaced(DownloadError):
    """The file on the server was replaced between two ranges; the written ranges are useless."""


class RangedFile:
    """A file on a server with its ETag, and the local file that receives its ranges.

    size: bytes of the whole file. etag: strong. fetched: bytes received so far, over all requests.
    """

    def __init__(self, address: Callable[[], str], local: Path, network: Network) -> None:
        """address: returns a fresh URL, called again after a failure, since signed URLs expire. local: must exist."""
        self.name, self.local = local.name, local
        self.size, self.etag, self.fetched = 0, "", 0
        self._address, self._url = address, ""
        self._network = network

    def open(self, known_etag: str | None = None) -> bool:
        """Writes the last TAIL_BYTES of the file; False when the server's file still has `known_etag`.

        Raises RangesRefused, or DownloadError when no answer came in all attempts.
        """
        return self._persistently(lambda: self._open_once(known_etag))

    def lay(self, start: int, stop: int, progress: Callable[[int], None] = lambda came: None) -> None:
        """Writes the bytes from `start` up to `stop` in one request. progress: called with the size of each received piece.

        Raises Replaced, RangesRefused, or DownloadError for bytes outside the file or when all attempts fail.
        """
        if not 0 <= start <= stop <= self.size:
            raise DownloadError(f"{self.name}: bytes {start:,} to {stop:,} are asked for, it has {self.size:,}")
        have = start

        def go_on() -> None:
            nonlocal have
            headers = {"Range": f"bytes={have}-{stop - 1}", "If-Match": self.etag}
            try:
                with self._asked(headers) as answer:
                    self._check(answer, have, stop)
                    with self.local.open("r+b") as file:
                        file.seek(have)
                        for chunk in transport.chunks(answer, self._network):
                            if have + len(chunk) > stop:
                                raise self._interrupted("more bytes came than the range has")
                            file.write(chunk)
                            have += len(chunk)
                            self.fetched += len(chunk)
                            progress(len(chunk))
            except Unreachable as error:
                raise self._interrupted(f"a range broke off ({error})") from None
            if have < stop:
                raise self._interrupted(f"{have - start:,} of the {stop - start:,} bytes of a range came")

        if stop > start:
            self._persistently(go_on)

    def _open_once(self, known_etag: str | None) -> bool:
        headers = {"Range": f"bytes=-{TAIL_BYTES}"} | ({"If-None-Match": known_etag} if known_etag else {})
        try:
            with self._asked(headers) as answer:
                if answer.status_code == 304 and known_etag:
                    return False
                if answer.status_code == 200:
                    raise RangesRefused(f"{self.name}: the server answers a Range request with the whole file")
                if answer.status_code != 206:
                    raise self._refused(answer)
                self.etag, self.size = self._strong_etag(answer), self._size(answer)
                place = max(self.size - TAIL_BYTES, 0)
                content = b"".join(transport.chunks(answer, self._network))
        except Unreachable as error:
            raise self._interrupted(f"the end of the file broke off ({error})") from None
        if len(content) != self.size - place:
            raise self._interrupted(f"{len(content):,} of the last {self.size - place:,} bytes came")
        with self.local.open("r+b") as file:
            file.truncate(self.size)
            file.seek(place)
            file.write(content)
        self.fetched += len(content)
        return True

    def _check(self, answer: requests.Response, start: int, stop: int) -> None:
        """Raises unless the answer is exactly this range of this file."""
        etag = answer.headers.get("ETag")
        if answer.status_code == 412 or (answer.status_code in (200, 206) and etag != self.etag):
            raise Replaced(f"{self.name}: was replaced on the server between two ranges of it")
        if answer.status_code == 200:
            raise RangesRefused(f"{self.name}: the server answers a Range request with the whole file")
        if answer.status_code != 206:
            raise self._refused(answer)
        if answer.headers.get("Content-Range") != f"bytes {start}-{stop - 1}/{self.size}":
            raise self._interrupted("the server answered with another range than asked for")

    def _size(self, answer: requests.Response) -> int:
        """Length of the whole file, from an answer with its end. Raises Interrupted for any other range."""
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        if place is not None:
            start, last, size = (int(number) for number in place.groups())
            if start == max(size - TAIL_BYTES, 0) and last == size - 1:
                return size
        raise self._interrupted("the server answered with another range than asked for")

    def _strong_etag(self, answer: requests.Response) -> str:
        etag = answer.headers.get("ETag")
        if etag is None or not etag.startswith('"'):
            raise RangesRefused(f"{self.name}: the server sends no strong ETag; its ranges may be of several files")
        return etag

    def _refused(self, answer: requests.Response) -> Interrupted:
        why = f"the server answered {answer.status_code} {answer.reason}"
        return self._interrupted(why, transport.retry_after_seconds(answer))

    def _interrupted(self, why: str, retry_after: float | None = None) -> Interrupted:
        self._url = ""
        return Interrupted(f"{self.name}: {why}", retry_after)

    def _asked(self, headers: dict[str, str]) -> AbstractContextManager[requests.Response]:
        self._url = self._url or self._address()
        return transport.streamed("GET", self._url, self._network, headers=headers)

    def _persistently(self, call: Callable[[], T]) -> T:
        return transport.persistently(call, self._network, on=Interrupted)
