"""A file served by ranges, on loopback, by a server that misbehaves at any request it is told to."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from numerai_assets.settings import Network


@dataclass
class Answer:
    """What is to be sent: `sent` bytes of the body at most, though all of them are announced."""

    status: int
    body: bytes
    headers: dict[str, str]
    sent: int | None = None


Mishap = Callable[[Answer], Answer]


@dataclass
class RangeServer:
    """Serves `content` under `etag` (None: none), answers Range, If-Match and If-None-Match as the standard says.

    mishaps: what becomes of the answer to the request of a number, counted from 0. always: of every answer. asked: the
    headers of all requests. before: told of the number of each request before it is answered.
    """

    content: bytes = b""
    etag: str | None = '"first"'
    mishaps: dict[int, Mishap] = field(default_factory=dict)
    always: Mishap = lambda answer: answer
    asked: list[dict[str, str]] = field(default_factory=list)
    before: Callable[[int], None] = lambda number: None
    addresses: int = 0

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append({name.lower(): value for name, value in self.headers.items()})
                number = len(outer.asked) - 1
                outer.before(number)
                answer = outer.always(outer._answer(outer.asked[-1]))
                outer._send(self, outer.mishaps.get(number, lambda answer: answer)(answer))

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def address(self) -> str:
        """A fresh URL each time."""
        self.addresses += 1
        return f"http://127.0.0.1:{self._http.server_address[1]}/file?signature={self.addresses}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("range") for headers in self.asked]

    def publish(self, content: bytes, etag: str | None) -> None:
        """Puts another file in place of the one there is, and forgets what was asked."""
        self.content, self.etag = content, etag
        self.asked.clear()

    def _answer(self, asked: dict[str, str]) -> Answer:
        headers = {"ETag": self.etag} if self.etag is not None else {}
        if self.etag is not None and asked.get("if-none-match") == self.etag:
            return Answer(304, b"", headers)
        if "if-match" in asked and asked["if-match"] != self.etag:
            return Answer(412, b"", headers)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.get("range", ""))
        if wanted is None:
            return Answer(200, self.content, headers)
        first, last = wanted.groups()
        size = len(self.content)
        start, stop = (int(first), int(last) + 1 if last else size) if first else (max(size - int(last), 0), size)
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return Answer(206, self.content[start:stop], headers | place)

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(answer.body[: answer.sent])
        handler.close_connection = True


class FileTournament:
    """As much of a Tournament as fetching one file takes."""

    data_version = "v5.3"

    def __init__(self, server: RangeServer, attempts: int = 3) -> None:
        self.server = server
        self.network = Network(timeout_seconds=5.0, attempts=attempts, retry_seconds=0.0)

    def dataset_url(self, name: str) -> str:
        return self.server.address()
