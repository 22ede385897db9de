"""A download against a server that does everything a server may do wrong: it is whole and right, or it is not there."""

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tenacity

from numerai_assets.errors import DownloadError, ReleaseError
from numerai_assets.settings import Network
from numerai_assets.tournament.download import Fetched, Interrupted, fetch

MIB = 1 << 20
# Larger than a few of the pieces in which bytes reach the disk.
FIRST = np.random.default_rng(1).bytes(3 * MIB + 12_345)
SECOND = np.random.default_rng(2).bytes(3 * MIB + 54_321)
SAME_LENGTH = np.random.default_rng(3).bytes(len(FIRST))
ERROR_XML = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class Server:
    """Answers the n-th request as the n-th function of its script says, the last one for ever; keeps what was asked."""

    def __init__(self) -> None:
        self.script: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append({name.lower(): value for name, value in self.headers.items()})
                self.close_connection = True
                outer.script[min(len(outer.asked), len(outer.script)) - 1](self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/file"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("range") for headers in self.asked]


Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(
    body: bytes, *, status: int = 200, length: int | None = -1, sent: int | None = None, **headers: str | None
) -> Answer:
    """An answer of given status and headers: `length` announced (-1: the true one, None: none), `sent` bytes of body."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length == -1 else length))
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body[:sent])

    return send


def whole(body: bytes, etag: str | None = '"a"', **options: Any) -> Answer:
    return answer(body, ETag=etag, **options)


def well_behaved(body: bytes, etag: str = '"a"') -> Answer:
    """Answers ranges, If-Range and If-None-Match as the standard says."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        if handler.headers.get("If-None-Match") == etag:
            answer(b"", status=304, ETag=etag)(handler)
        elif asked is not None and handler.headers.get("If-Range") in (None, etag):
            rest_of(body, etag)(handler)
        else:
            whole(body, etag)(handler)

    return send


def rest_of(body: bytes, etag: str | None = '"a"', *, shift: int = 0, **options: Any) -> Answer:
    """A 206 of the range asked for, or, with `shift`, of one that begins so many bytes later."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")) + shift
        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        answer(body[start:], status=206, ETag=etag, Content_Range=place, **options)(handler)

    return send


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries take no time."""
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "release" / "file.parquet"


def accept(path: Path) -> None:
    """Verification that any content passes, so that only the download itself can refuse it."""


def get(server: Server, destination: Path, *, attempts: int = 3, **options: Any) -> Fetched | None:
    network = Network(timeout_seconds=10.0, attempts=attempts)
    return fetch(lambda: server.url, destination, network, **{"verify": accept} | options)


def assert_whole(destination: Path, body: bytes, fetched: Fetched | None, etag: str | None = '"a"') -> None:
    """The file is there, is `body`, is described so, and nothing else was left."""
    assert destination.read_bytes() == body
    assert fetched == Fetched(len(body), hashlib.sha256(body).hexdigest(), etag)
    assert [path.name for path in destination.parent.iterdir()] == [destination.name]


def broken_off(server: Server, destination: Path, body: bytes = FIRST, etag: str | None = '"a"') -> int:
    """Leaves a download of `body` broken off in the middle; returns how many bytes were kept."""
    server.script = [whole(body, etag, sent=5 * MIB // 2)]
    with pytest.raises(DownloadError):
        get(server, destination, attempts=1)
    server.asked.clear()
    return destination.with_name(destination.name + ".part").stat().st_size


def test_a_file_is_fetched_and_described(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST)]

    fetched = get(server, destination)

    assert_whole(destination, FIRST, fetched)
    assert server.asked[0]["accept-encoding"] == "identity"
    assert server.ranges == [None]


def test_a_server_without_etags_is_served_too(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, None)]

    assert_whole(destination, FIRST, get(server, destination), None)


def test_progress_grows_to_the_whole(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST)]
    seen: list[tuple[int, int]] = []

    get(server, destination, progress=lambda done, total: seen.append((done, total)))

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (len(FIRST), len(FIRST))


def test_each_try_asks_for_a_fresh_address(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, sent=100), whole(FIRST)]
    asked: list[str] = []

    def address() -> str:
        asked.append(server.url)
        return f"{server.url}?signature={len(asked)}"

    fetch(address, destination, Network(timeout_seconds=10.0, attempts=2), verify=accept)

    assert len(asked) == 2


def test_the_final_name_appears_only_when_the_file_is_whole_and_verified(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, sent=2 * MIB), well_behaved(FIRST)]
    seen: list[bool] = []

    def verify(path: Path) -> None:
        assert path.read_bytes() == FIRST
        seen.append(destination.exists())

    get(server, destination, verify=verify, progress=lambda done, total: seen.append(destination.exists()))

    assert len(seen) > 3
    assert not any(seen)
    assert destination.exists()


def test_a_connection_cut_in_the_middle_is_continued_where_it_broke(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, sent=5 * MIB // 2), well_behaved(FIRST)]

    fetched = get(server, destination)

    assert_whole(destination, FIRST, fetched)
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").removesuffix("-")) >= 2 * MIB
    assert server.asked[1]["if-range"] == '"a"'


def test_a_later_run_continues_what_an_earlier_one_left(server: Server, destination: Path) -> None:
    kept = broken_off(server, destination)
    server.script = [well_behaved(FIRST)]

    fetched = get(server, destination)

    assert kept >= 2 * MIB
    assert server.ranges == [f"bytes={kept}-"]
    assert_whole(destination, FIRST, fetched)


def test_a_continuation_that_breaks_too_is_continued_again(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, sent=3 * MIB // 2), rest_of(FIRST, sent=3 * MIB // 2), well_behaved(FIRST)]

    fetched = get(server, destination)

    assert_whole(destination, FIRST, fetched)
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in server.ranges if r]
    assert MIB <= starts[0] < starts[1]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, destination: Path) -> None:
    kept = broken_off(server, destination)
    server.script = [whole(FIRST)]

    fetched = get(server, destination)

    assert server.ranges == [f"bytes={kept}-"]
    assert_whole(destination, FIRST, fetched)


@pytest.mark.parametrize("body", [SECOND, SAME_LENGTH])
def test_a_file_replaced_in_between_is_read_from_the_start(server: Server, destination: Path, body: bytes) -> None:
    broken_off(server, destination)
    server.script = [well_behaved(body, '"b"')]

    assert_whole(destination, body, get(server, destination), '"b"')


@pytest.mark.parametrize("body", [SECOND, SAME_LENGTH])
@pytest.mark.parametrize("etag", ['"b"', None])
def test_a_continuation_of_another_file_is_not_appended(
    server: Server, destination: Path, body: bytes, etag: str | None
) -> None:
    broken_off(server, destination)
    server.script = [rest_of(body, etag), well_behaved(body, '"b"')]

    assert_whole(destination, body, get(server, destination), '"b"')


@pytest.mark.parametrize("shift", [-1, 1, 1000, -2 * MIB])
def test_a_continuation_of_another_place_is_not_appended(server: Server, destination: Path, shift: int) -> None:
    broken_off(server, destination)
    server.script = [rest_of(FIRST, shift=shift), well_behaved(FIRST)]

    assert_whole(destination, FIRST, get(server, destination))


@pytest.mark.parametrize("place", [None, "bytes */3158073", "nonsense"])
def test_a_continuation_that_does_not_tell_its_place_is_not_appended(
    server: Server, destination: Path, place: str | None
) -> None:
    kept = broken_off(server, destination)
    server.script = [
        answer(FIRST[kept:], status=206, ETag='"a"', Content_Range=place),
        well_behaved(FIRST),
    ]

    assert_whole(destination, FIRST, get(server, destination))


def test_a_continuation_nobody_asked_for_is_not_taken(server: Server, destination: Path) -> None:
    place = f"bytes 0-{len(FIRST) - 1}/{len(FIRST)}"
    server.script = [answer(FIRST, status=206, ETag='"a"', Content_Range=place), well_behaved(FIRST)]

    assert_whole(destination, FIRST, get(server, destination))


@pytest.mark.parametrize(("status", "reason"), [(403, "403 Forbidden"), (404, "404 Not Found"), (503, "503")])
def test_an_error_page_is_never_the_file(server: Server, destination: Path, status: int, reason: str) -> None:
    server.script = [answer(ERROR_XML, status=status, Content_Type="application/xml")]

    with pytest.raises(DownloadError, match=rf"file\.parquet: the server answered {reason}"):
        get(server, destination, attempts=2)

    assert not destination.exists()
    assert len(server.asked) == 2


def test_an_expired_address_is_asked_for_again(server: Server, destination: Path) -> None:
    server.script = [answer(ERROR_XML, status=403), whole(FIRST)]

    assert_whole(destination, FIRST, get(server, destination))


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_refused_continuation_keeps_what_came(server: Server, destination: Path, status: int) -> None:
    kept = broken_off(server, destination)
    server.script = [answer(ERROR_XML, status=status), well_behaved(FIRST)]

    fetched = get(server, destination)

    assert_whole(destination, FIRST, fetched)
    assert server.ranges == [f"bytes={kept}-", f"bytes={kept}-"]


def test_a_range_that_cannot_be_satisfied_starts_over(server: Server, destination: Path) -> None:
    broken_off(server, destination)
    server.script = [answer(b"", status=416, Content_Range="bytes */10"), well_behaved(SECOND, '"b"')]

    assert_whole(destination, SECOND, get(server, destination), '"b"')


def test_a_body_always_shorter_than_announced_is_never_accepted(server: Server, destination: Path) -> None:
    server.script = [whole(FIRST, None, length=len(FIRST) + 1)]

    with pytest.raises(Interrupted, match=r"file\.parquet: .*run again to continue"):
        get(server, destination, attempts=2)

    assert not destination.exists()


def test_a_body_longer_than_announced_is_cut_by_http_and_never_more_than_announced(
    server: Server, destination: Path
) -> None:
    server.script = [whole(FIRST + b"tail", length=len(FIRST))]

    assert_whole(destination, FIRST, get(server, destination))


@pytest.mark.parametrize("headers", [{}, {"Transfer_Encoding": "chunked"}])
def test_a_file_of_unknown_length_is_refused(server: Server, destination: Path, headers: dict[str, str]) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" if headers else b"hello"
    server.script = [whole(body, length=None, **headers)]

    with pytest.raises(DownloadError, match="does not say how long the file is"):
        get(server, destination)

    assert not destination.exists()


def test_a_compressed_answer_is_never_taken_for_the_file(server: Server, destination: Path) -> None:
    packed = gzip.compress(bytes(MIB))
    server.script = [whole(packed, Content_Encoding="gzip")]

    with pytest.raises(DownloadError):
        get(server, destination, attempts=2)

    assert not destination.exists()


def test_content_that_does_not_verify_is_dropped_and_the_old_file_stays(server: Server, destination: Path) -> None:
    destination.parent.mkdir()
    destination.write_bytes(b"old")
    server.script = [whole(FIRST)]

    def verify(path: Path) -> None:
        raise ReleaseError("holds no rows")

    with pytest.raises(ReleaseError, match="holds no rows"):
        get(server, destination, verify=verify)

    assert destination.read_bytes() == b"old"
    assert [path.name for path in destination.parent.iterdir()] == [destination.name]
    assert len(server.asked) == 1


def test_an_unchanged_file_is_not_sent_again(server: Server, destination: Path) -> None:
    server.script = [well_behaved(FIRST)]
    known = get(server, destination)
    before = destination.stat()

    again = get(server, destination, known=known)

    assert again is None
    assert server.asked[1]["if-none-match"] == '"a"'
    assert destination.stat().st_mtime_ns == before.st_mtime_ns


def test_a_changed_file_takes_the_place_of_the_known_one(server: Server, destination: Path) -> None:
    server.script = [well_behaved(FIRST), well_behaved(SAME_LENGTH, '"b"')]
    known = get(server, destination)

    fetched = get(server, destination, known=known)

    assert_whole(destination, SAME_LENGTH, fetched, '"b"')


def test_a_known_file_that_is_gone_is_fetched_anew(server: Server, destination: Path) -> None:
    server.script = [well_behaved(FIRST)]
    known = get(server, destination)
    destination.unlink()

    assert_whole(destination, FIRST, get(server, destination, known=known))


def test_the_old_file_stays_while_a_new_one_breaks_off(server: Server, destination: Path) -> None:
    server.script = [well_behaved(FIRST)]
    known = get(server, destination)
    server.script = [whole(SECOND, '"b"', sent=2 * MIB)]

    with pytest.raises(DownloadError):
        get(server, destination, known=known, attempts=2)

    assert destination.read_bytes() == FIRST


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"etag": "x"}', '{"etag": null, "size": 99999999}'])
def test_a_partial_file_of_unknown_origin_is_not_continued(server: Server, destination: Path, note: str | None) -> None:
    destination.parent.mkdir()
    destination.with_name("file.parquet.part").write_bytes(b"of something else")
    if note is not None:
        destination.with_name("file.parquet.part.json").write_text(note)
    server.script = [well_behaved(FIRST)]

    assert_whole(destination, FIRST, get(server, destination))
    assert server.ranges == [None]


@pytest.mark.parametrize("extra", [0, 10])
def test_a_partial_file_at_or_beyond_its_length_is_not_trusted(server: Server, destination: Path, extra: int) -> None:
    destination.parent.mkdir()
    destination.with_name("file.parquet.part").write_bytes(SAME_LENGTH + bytes(extra))
    destination.with_name("file.parquet.part.json").write_text(json.dumps({"etag": '"a"', "size": len(FIRST)}))
    server.script = [well_behaved(FIRST)]

    assert_whole(destination, FIRST, get(server, destination))


def test_a_partial_file_without_etag_is_not_continued(server: Server, destination: Path) -> None:
    broken_off(server, destination, etag=None)
    server.script = [whole(SECOND, None)]

    assert_whole(destination, SECOND, get(server, destination), None)
    assert server.ranges == [None]


class Killed(BaseException):
    """The process ends here."""


def test_a_run_killed_as_it_starts_over_never_mixes_two_files(
    server: Server, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(server, destination)
    server.script = [well_behaved(SAME_LENGTH, '"b"')]
    usual_open = Path.open

    def killed_open(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if path.suffix == ".part" and "b" in mode and "r" not in mode:
            raise Killed
        return usual_open(path, mode, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", killed_open)
        with pytest.raises(Killed):
            get(server, destination)

    assert_whole(destination, SAME_LENGTH, get(server, destination), '"b"')


def test_a_run_killed_while_bytes_come_is_continued(server: Server, destination: Path) -> None:
    server.script = [well_behaved(FIRST)]

    def kill(done: int, total: int) -> None:
        if done >= 2 * MIB:
            raise Killed

    with pytest.raises(Killed):
        get(server, destination, progress=kill)
    assert not destination.exists()
    came = destination.with_name(f"{destination.name}.part").stat().st_size
    assert 2 * MIB <= came < len(FIRST)

    assert_whole(destination, FIRST, get(server, destination))
    assert server.ranges == [None, f"bytes={came}-"]


def test_a_server_that_is_not_there_is_one_clear_error(destination: Path) -> None:
    # Port 9 of the loopback: nothing listens there.
    with pytest.raises(DownloadError, match=r"file\.parquet: the transfer broke off \(ConnectionError\)") as caught:
        fetch(lambda: "http://127.0.0.1:9/x", destination, Network(timeout_seconds=5.0, attempts=2), verify=accept)

    assert "\n" not in str(caught.value)
    assert not destination.exists()


@pytest.mark.parametrize("attempts", [1, 3])
def test_no_more_tries_are_made_than_allowed(server: Server, destination: Path, attempts: int) -> None:
    server.script = [answer(ERROR_XML, status=503)]

    with pytest.raises(DownloadError):
        get(server, destination, attempts=attempts)

    assert len(server.asked) == attempts
