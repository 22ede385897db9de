"""Faults of the exchange itself, as a plain client, a raw socket and the unmodified numerapi meet them."""

import email.utils
import socket
import time
from typing import Any

import numerapi.base_api
import pytest
import requests

from numerai_assets_tests.sandbox.faulty import event, live_url, log, plan
from numerai_assets_tests.sandbox.serving import Served

ROUNDS = {"query": "query { rounds(number: 0) { number } }", "variables": None}


def raw(sandbox: Served, request: bytes, quiet_seconds: float = 60.0) -> tuple[bytes, str]:
    """Bytes of an answer to a raw request, and how it ended: "closed", "reset", or "silence" of so many seconds."""
    host, _, port = sandbox.url.removeprefix("http://").partition(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=60.0) as connection:
        connection.sendall(request)
        while True:
            try:
                part = connection.recv(1 << 16)
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silence"
            if not part:
                return got, "closed"
            got += part
            connection.settimeout(quiet_seconds)


def get(url: str) -> bytes:
    path = url.split("/", 3)[3]
    return f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_a_burst_of_server_errors_ends(sandbox: Served) -> None:
    event(sandbox, "server-error", status=503, requests=3)
    answers = [requests.post(sandbox.url, json=ROUNDS, timeout=60) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 503, 200]


def test_numerapi_answers_an_outage_with_a_key_error(sandbox: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    event(sandbox, "server-error", requests=3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(KeyError, match="data"):
        sandbox.client().get_current_round()
    assert sandbox.client().get_current_round() == 326
    assert [entry["why"] for entry in log(sandbox)[-3:]] == ["event 1", "burst", "burst"]


def test_a_rate_limit_says_when_to_come_back(sandbox: Served) -> None:
    event(sandbox, "rate-limit", retry_after_seconds=7)
    answer = requests.post(sandbox.url, json=ROUNDS, timeout=60)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_a_drop_closes_before_any_byte(sandbox: Served) -> None:
    event(sandbox, "drop", count=2)
    assert raw(sandbox, get(f"{sandbox.url}/")) == (b"", "closed")
    with pytest.raises(requests.ConnectionError, match="without response"):
        requests.post(sandbox.url, json=ROUNDS, timeout=60)


def test_a_slow_answer_comes_late_and_whole(sandbox: Served) -> None:
    event(sandbox, "slow", seconds=3)
    with pytest.raises(requests.ReadTimeout):
        requests.post(sandbox.url, json=ROUNDS, timeout=0.2)
    event(sandbox, "slow", seconds=0.2)
    begun = time.monotonic()
    assert requests.post(sandbox.url, json=ROUNDS, timeout=60).json()["data"]["rounds"] == [{"number": 326}]
    assert time.monotonic() - begun >= 0.2


def test_a_stalled_answer_gives_its_head_and_some_bytes_then_nothing(sandbox: Served) -> None:
    url = live_url(sandbox)
    event(sandbox, "stall", after_bytes=10, seconds=30)
    got, end = raw(sandbox, get(url), quiet_seconds=2.0)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert (body, end) == (b"PAR1" + body[4:10], "silence")


def test_a_stall_ends_after_its_seconds(sandbox: Served) -> None:
    event(sandbox, "stall", seconds=0.3)
    with pytest.raises(requests.RequestException):
        requests.get(sandbox.url, timeout=60)
    assert requests.get(sandbox.url, timeout=60).ok


def test_a_reset_breaks_a_file_off_in_its_middle(sandbox: Served) -> None:
    url = live_url(sandbox)
    whole = requests.get(url, timeout=60).content
    event(sandbox, "reset", count=2)
    got, end = raw(sandbox, get(url))
    head, _, body = got.partition(b"\r\n\r\n")
    assert f"content-length: {len(whole)}".encode() in head.lower()
    assert (body, end) == (whole[: len(whole) // 2], "reset")
    with pytest.raises(requests.RequestException):
        _ = requests.get(url, timeout=60).content


@pytest.mark.parametrize("fault", ["server-error", "drop", "reset", "stall", "slow"])
def test_the_clock_is_struck_like_everything_else(sandbox: Served, fault: str) -> None:
    parameters: dict[str, Any] = {"stall": {"seconds": 0.1}, "slow": {"seconds": 0.1}}.get(fault, {})
    event(sandbox, fault, "clock", **parameters)
    try:
        answer = requests.head(sandbox.url, timeout=60)
    except requests.RequestException:
        assert fault in ("drop", "reset", "stall")
    else:
        assert answer.status_code == {"server-error": 502, "slow": 200}[fault]
        now = sandbox.tournament.view.now.replace(microsecond=0)
        assert email.utils.parsedate_to_datetime(answer.headers["Date"]) == now
    assert requests.post(sandbox.url, json=ROUNDS, timeout=60).status_code in (200, 502)


@pytest.mark.parametrize("fault", ["server-error", "rate-limit", "drop", "stall", "reset"])
def test_administration_is_never_struck(sandbox: Served, fault: str) -> None:
    plan(sandbox, rates={fault: 1})
    for path in ("status", "faults", "faults/log"):
        assert requests.get(f"{sandbox.url}/sandbox/{path}", timeout=60).ok
    refused = requests.post(f"{sandbox.url}/sandbox/advance", json={"to": "never"}, timeout=60)
    assert (refused.status_code, "cannot advance" in refused.json()["error"]) == (400, True)
    assert requests.delete(f"{sandbox.url}/sandbox/faults", timeout=60).json()["plan"] is None
    assert requests.post(sandbox.url, json=ROUNDS, timeout=60).ok


def test_a_plan_is_shown_as_it_was_given_and_a_wrong_one_changes_nothing(sandbox: Served) -> None:
    content = {"seed": 3, "rates": {"slow": {"rate": 0.5}}}
    plan(sandbox, **content)
    refused = requests.put(f"{sandbox.url}/sandbox/faults", json={"rates": {"slwo": 1}}, timeout=60)
    assert (refused.status_code, "did you mean 'slow'" in refused.json()["error"]) == (400, True)
    found = requests.get(f"{sandbox.url}/sandbox/faults", timeout=60).json()
    assert (found["plan"], found["struck"]) == (content, {})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": 3}', b'{"query": "{"}', b'{"query": "fragment f on X {a}"}']
)
def test_a_body_that_is_no_request_is_answered_as_without_faults(sandbox: Served, body: bytes) -> None:
    requests.delete(f"{sandbox.url}/sandbox/faults", timeout=60)
    before = requests.post(sandbox.url, data=body, timeout=60)
    plan(sandbox, rates={"slow": 0})
    assert requests.post(sandbox.url, data=body, timeout=60).content == before.content


def test_numerapi_hides_a_reset_behind_a_key_error(sandbox: Served) -> None:
    event(sandbox, "reset", "graphql:rounds")
    assert sandbox.url == numerapi.base_api.API_TOURNAMENT_URL
    with pytest.raises(KeyError, match="data"):
        sandbox.client().get_current_round()
