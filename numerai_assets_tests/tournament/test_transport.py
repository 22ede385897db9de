"""Every request ends: against servers that say nothing, trickle, break off, compress, redirect and ask to wait."""

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import tenacity

from numerai_assets.errors import NumeraiAssetsError, SubmissionError, TournamentError, Unreachable
from numerai_assets.settings import Network
from numerai_assets.tournament import transport

NETWORK = Network(timeout_seconds=0.3)
# How long a stubborn peer goes on: a request that waited for its end would get a good answer, and the test would fail.
PATIENCE_SECONDS = 20.0

Reply = Callable[[socket.socket, threading.Event], None]


class Peer:
    """A server of plain sockets: answers the n-th request as the n-th reply says, the last one for ever."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[bytes] = []
        self.released = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def headers(self, place: int = -1) -> dict[str, str]:
        """Headers of a request as they came, names in lower case."""
        lines = self.requests[place].partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    if not (piece := connection.recv(65536)):
                        return
                    head += piece
                self.requests.append(head)
                self.replies[min(len(self.requests), len(self.replies)) - 1](connection, self.released)
            except OSError:
                # The client gave up: what it is to do here.
                return


def answer(body: bytes = b"", status: str = "200 OK", **headers: str | None) -> Reply:
    """An answer sent at once; a header of None is left out."""
    stated = {"Content-Length": str(len(body)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in stated.items() if value is not None)

    def send(connection: socket.socket, released: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body)

    return send


def dripping(start: bytes, drip: bytes, every_seconds: float, end: bytes = b"") -> Reply:
    """Sends `start` at once, then `drip` again and again while its patience lasts, then `end`."""

    def send(connection: socket.socket, released: threading.Event) -> None:
        connection.sendall(start)
        for _ in range(int(PATIENCE_SECONDS / every_seconds)):
            if released.wait(every_seconds):
                return
            connection.sendall(drip)
        connection.sendall(end)

    return send


def silent_after(start: bytes, end: bytes) -> Reply:
    return dripping(start, b"", PATIENCE_SECONDS, end)


@pytest.fixture
def peer() -> Iterator[Peer]:
    running = Peer()
    yield running
    running.close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which take no time."""
    taken: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", taken.append)
    return taken


def get(url: str, **options: object) -> requests.Response:
    return transport.request("GET", url, NETWORK, **options)  # type: ignore[arg-type]


STALLS = {
    "nothing at all": silent_after(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "half a status line": silent_after(b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 0\r\n\r\n"),
    "headers without an end": silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"\r\nab"),
    "headers, then nothing": silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ab"),
    "half a body, then nothing": silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", b"b"),
    "a chunk, then nothing": silent_after(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"0\r\n\r\n"
    ),
    "a byte at a time": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x", 0.1),
    "a chunk of a byte at a time": dripping(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", 0.1, b"0\r\n\r\n"
    ),
    "fast and without end": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x" * 2_000, 0.05),
    "headers a byte at a time": dripping(
        b"HTTP/1.1 200 OK\r\nX-Padding: ", b"x", 0.1, b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "headers without end": dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.25, b"Content-Length: 0\r\n\r\n"),
    "provisional answers without end": dripping(
        b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    ),
    "a redirection that trickles": dripping(
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n", b"x", 0.1
    ),
}


@pytest.mark.parametrize("stall", STALLS)
def test_a_request_to_a_server_that_stalls_ends_unreachable(peer: Peer, stall: str) -> None:
    peer.replies = [STALLS[stall], answer(b"late")]

    with pytest.raises(Unreachable) as caught:
        get(peer.url)

    assert "\n" not in str(caught.value)


def test_an_upload_that_nobody_reads_ends_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"

        with pytest.raises(Unreachable):
            transport.request("PUT", url, NETWORK, data=b"x" * (64 << 20))


def test_a_slow_answer_that_keeps_moving_comes_whole(peer: Peer) -> None:
    def steady(connection: socket.socket, released: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
        for _ in range(6):
            released.wait(0.1)
            connection.sendall(b"x" * 5_000)

    peer.replies = [steady]

    assert get(peer.url).content == b"x" * 30_000


BROKEN = {
    "nobody listens": None,
    "closed without a word": lambda connection, released: None,
    "not HTTP": lambda connection, released: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
    "a body shorter than announced": answer(b"half", Content_Length="8"),
    "an empty body where one was announced": answer(b"", Content_Length="8"),
    "a chunked body that breaks off": answer(
        b"4\r\nhalf\r\n", Content_Length=None, Transfer_Encoding="chunked"
    ),
    "a chunk of no length": answer(b"zz\r\nhalf\r\n", Content_Length=None, Transfer_Encoding="chunked"),
    "a length beyond all disks": answer(b"half", Content_Length="9" * 40),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_an_answer_that_is_not_whole_is_no_answer(peer: Peer, fault: str) -> None:
    if (reply := BROKEN[fault]) is None:
        peer.close()
    else:
        peer.replies = [reply]

    with pytest.raises(Unreachable) as caught:
        get(peer.url)

    assert "\n" not in str(caught.value)
    assert len(peer.requests) <= 1


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_an_answer_that_is_compressed_although_nobody_asked_is_refused(peer: Peer, encoding: str) -> None:
    peer.replies = [answer(gzip.compress(b"{}"), Content_Encoding=encoding)]

    with pytest.raises(Unreachable, match=f"the answer is {encoding}-compressed"):
        get(peer.url)

    assert peer.headers()["accept-encoding"] == "identity"


def test_an_answer_that_says_it_is_not_compressed_is_taken(peer: Peer) -> None:
    peer.replies = [answer(b"plain", Content_Encoding="identity")]

    assert get(peer.url).content == b"plain"


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "429 Too Many Requests", "503 Busy"])
def test_whatever_the_status_the_whole_answer_is_given_and_nothing_is_asked_twice(peer: Peer, status: str) -> None:
    peer.replies = [answer(b'{"errors": []}', status, Retry_After="7"), answer(b"second")]

    found = get(peer.url)

    assert found.status_code == int(status[:3])
    assert found.json() == {"errors": []}
    assert transport.retry_after_seconds(found) == 7.0
    assert len(peer.requests) == 1


def test_a_request_whose_answer_was_lost_is_not_sent_again(peer: Peer) -> None:
    peer.replies = [lambda connection, released: None, answer(b"second")]

    with pytest.raises(Unreachable):
        transport.request("POST", peer.url, NETWORK, json={"query": "mutation"})

    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("HEAD", answer(b"", Content_Length="12345", Content_Encoding="gzip")),
        ("GET", answer(b"", "204 No Content", Content_Length=None)),
        ("GET", answer(b"", "304 Not Modified", Content_Length="12345", ETag='"a"')),
    ],
)
def test_an_answer_that_has_no_body_is_whole_without_one(peer: Peer, method: str, reply: Reply) -> None:
    peer.replies = [reply]

    found = transport.request(method, peer.url, NETWORK)

    assert found.content == b""


def test_an_empty_body_is_whole(peer: Peer) -> None:
    peer.replies = [answer(b"")]

    assert get(peer.url).content == b""


def test_a_body_of_unknown_length_ends_with_the_connection(peer: Peer) -> None:
    peer.replies = [answer(b"x" * 3_000_000, Content_Length=None)]

    assert get(peer.url).content == b"x" * 3_000_000


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~/.netrc that has a password for this very host."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1\nlogin somebody\npassword something\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def test_netrc_never_takes_the_place_of_the_keys(peer: Peer, netrc: None) -> None:
    peer.replies = [answer(b"")]

    get(peer.url, headers={"Authorization": "Token a$b"})

    assert peer.headers()["authorization"] == "Token a$b"


def test_netrc_is_not_sent_with_a_public_request(peer: Peer, netrc: None) -> None:
    peer.replies = [answer(b"")]

    get(peer.url)

    assert "authorization" not in peer.headers()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_carries_keys_or_a_file_is_never_sent_on(peer: Peer, netrc: None, method: str, status: str) -> None:
    peer.replies = [answer(b"", status, Location="/elsewhere"), answer(b"{}")]

    with pytest.raises(Unreachable, match=f"answered {status}, a redirection that is not followed"):
        transport.request(method, peer.url, NETWORK, headers={"Authorization": "Token a$b"}, data=b"x")

    assert len(peer.requests) == 1


def test_a_download_follows_a_redirection(peer: Peer) -> None:
    peer.replies = [answer(b"", "302 Found", Location="/elsewhere"), answer(b"here")]

    assert get(peer.url).content == b"here"
    assert peer.requests[1].startswith(b"GET /elsewhere")


def test_keys_do_not_follow_a_redirection_to_another_server(peer: Peer) -> None:
    other = Peer()
    other.replies = [answer(b"")]
    peer.replies = [answer(b"", "307 Temporary Redirect", Location=other.url)]

    get(peer.url.replace("127.0.0.1", "localhost"), headers={"Authorization": "Token a$b"})

    assert len(other.requests) == 1
    assert "authorization" not in other.headers()
    other.close()


def test_an_address_that_is_none_is_unreachable() -> None:
    for address in ("", "no scheme", "http://", f"http://{'x' * 300}.invalid/"):
        with pytest.raises(Unreachable):
            get(address)


class Failing:
    """Raises the errors it was made with, one a call, then returns "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_passes_is_asked_again_until_it_comes(naps: list[float]) -> None:
    call = Failing(Unreachable("one"), Unreachable("two"))

    assert transport.persistently(call, Network(attempts=3)) == "done"
    assert call.calls == 3
    assert len(naps) == 2


def test_after_the_last_attempt_the_last_error_is_raised(naps: list[float]) -> None:
    call = Failing(*(Unreachable(str(number)) for number in range(9)))

    with pytest.raises(Unreachable, match=r"^3$"):
        transport.persistently(call, Network(attempts=4))

    assert call.calls == 4
    assert len(naps) == 3


@pytest.mark.parametrize("error", [TournamentError("refused"), SubmissionError("other"), KeyError("data")])
def test_a_refusal_is_not_asked_twice(naps: list[float], error: Exception) -> None:
    call = Failing(error)

    with pytest.raises(type(error)):
        transport.persistently(call, Network(attempts=4))

    assert call.calls == 1
    assert naps == []


def test_another_kind_of_error_may_be_what_is_tried_again(naps: list[float]) -> None:
    call = Failing(SubmissionError("not yet"))
    assert transport.persistently(call, Network(attempts=2), on=SubmissionError) == "done"

    call = Failing(Unreachable("of another kind"))
    with pytest.raises(Unreachable):
        transport.persistently(call, Network(attempts=2), on=SubmissionError)
    assert call.calls == 1


def test_waits_double_with_jitter_and_end_at_a_minute(naps: list[float]) -> None:
    call = Failing(*(Unreachable("no") for _ in range(12)))

    transport.persistently(call, Network(attempts=13, retry_seconds=1.0))

    assert all(0.5 * 2**n <= nap <= min(1.5 * 2**n, 60.0) or nap == 60.0 for n, nap in enumerate(naps))
    assert naps[-3:] == [60.0, 60.0, 60.0]


def test_two_clients_do_not_wait_in_step(naps: list[float]) -> None:
    for _ in range(20):
        transport.persistently(Failing(Unreachable("no")), Network(attempts=2, retry_seconds=1.0))

    assert len(set(naps)) > 10


@pytest.mark.parametrize(("stated", "taken"), [(0.0, 0.0), (7.0, 7.0), (60.0, 60.0), (86_400.0, 60.0)])
def test_the_wait_a_server_asks_for_is_kept_up_to_a_minute(naps: list[float], stated: float, taken: float) -> None:
    transport.persistently(Failing(Unreachable("busy", stated)), Network(attempts=2, retry_seconds=1.0))

    assert naps == [taken]


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_read_where_it_is_a_number_of_seconds(
    peer: Peer, stated: str | None, seconds: float | None
) -> None:
    peer.replies = [answer(b"", "429 Too Many Requests", Retry_After=stated)]

    assert transport.retry_after_seconds(get(peer.url)) == seconds


def test_a_wait_beyond_all_numbers_is_a_minute(peer: Peer, naps: list[float]) -> None:
    peer.replies = [answer(b"", "429 Too Many Requests", Retry_After="9" * 400)]
    stated = transport.retry_after_seconds(get(peer.url))

    transport.persistently(Failing(Unreachable("busy", stated)), Network(attempts=2))

    assert naps == [60.0]


def test_every_error_of_the_transport_is_one_of_this_project(peer: Peer) -> None:
    peer.replies = [answer(b"half", Content_Length="8")]
    with (
        pytest.raises(NumeraiAssetsError, match="ProtocolError"),
        transport.streamed("GET", peer.url, NETWORK) as found,
    ):
        list(transport.chunks(found, NETWORK))
