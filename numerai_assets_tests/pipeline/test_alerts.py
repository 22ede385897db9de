"""Alerts: told once, kept until they are told, never with a token in the file."""

import datetime as dt
import json
import multiprocessing
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.pipeline.alerts import URLS_VARIABLE, Alerts

NOW = dt.datetime(2026, 10, 3, 12, 30, 15, 500, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
TOKEN = "HUSHTOKEN"


class Receiver:
    """A messaging service on loopback, as Apprise's json:// reaches one; answers with `status`."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.append(self.path)
                if outer.status < 400:
                    outer.messages.append(json.loads(body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.http.server_address[1]}/{TOKEN}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(item["title"], item["message"]) for item in self.messages]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A service that the environment names."""
    running = Receiver()
    monkeypatch.setenv(URLS_VARIABLE, running.url)
    yield running
    running.close()


@pytest.fixture
def alerts(tmp_path: Path) -> Alerts:
    return Alerts(tmp_path / "workspace" / "alerts.jsonl")


def test_an_alert_is_sent_and_kept_with_the_time_of_the_tournament(alerts: Alerts, receiver: Receiver) -> None:
    assert alerts.alert("round 7 mine late", "round 7, mine: late", NOW)

    assert receiver.told == [("numerai_assets: round 7 mine late", "round 7, mine: late")]
    (kept,) = alerts.raised()
    assert (kept.key, kept.text, kept.at, kept.sent) == (
        "round 7 mine late",
        "round 7, mine: late",
        "2026-10-03T12:30:15+00:00",
        True,
    )


def test_what_it_is_about_is_told_once(alerts: Alerts, receiver: Receiver) -> None:
    assert alerts.alert("a", "first", NOW)
    assert not alerts.alert("a", "second", LATER)
    assert not Alerts(alerts.path).alert("a", "third", LATER)

    assert receiver.told == [("numerai_assets: a", "first")]
    assert len(alerts.raised()) == 1


def test_alerts_about_other_things_are_told_each_in_their_order(alerts: Alerts, receiver: Receiver) -> None:
    for key in ("b", "a", "c"):
        assert alerts.alert(key, f"text of {key}", NOW)

    assert [alert.key for alert in alerts.raised()] == ["b", "a", "c"]
    assert len(receiver.told) == 3


def test_without_an_address_an_alert_is_kept_and_sent_once_there_is_one(
    alerts: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.delenv(URLS_VARIABLE)
        assert alerts.alert("a", "first", NOW)
        assert not alerts.alert("a", "again", NOW)
        assert [alert.sent for alert in alerts.raised()] == [False]
    assert receiver.told == []

    assert not alerts.alert("a", "later", LATER)

    assert receiver.told == [("numerai_assets: a", "first")]
    (kept,) = alerts.raised()
    assert kept.sent
    assert kept.at == NOW.isoformat(timespec="seconds")


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_alert_that_the_service_refuses_is_kept_and_sent_later(
    alerts: Alerts, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    assert alerts.alert("a", "first", NOW)
    assert [alert.sent for alert in alerts.raised()] == [False]

    receiver.status = 200
    assert not alerts.alert("a", "again", LATER)

    assert receiver.told == [("numerai_assets: a", "first")]
    assert [alert.sent for alert in alerts.raised()] == [True]


def test_what_could_not_be_sent_goes_with_the_next_alert_about_something_else(
    alerts: Alerts, receiver: Receiver
) -> None:
    receiver.status = 500
    alerts.alert("a", "text of a", NOW)
    receiver.status = 200

    alerts.alert("b", "text of b", LATER)

    assert receiver.told == [("numerai_assets: b", "text of b\ntext of a")]
    assert all(alert.sent for alert in alerts.raised())


def test_a_service_that_is_gone_loses_no_alert(alerts: Alerts, receiver: Receiver) -> None:
    receiver.close()

    assert alerts.alert("a", "first", NOW)

    assert [(alert.text, alert.sent) for alert in alerts.raised()] == [("first", False)]


@pytest.mark.parametrize("urls", ["nonsense", "nonsense://x", "json://", " "])
def test_an_address_that_is_none_loses_no_alert(alerts: Alerts, monkeypatch: pytest.MonkeyPatch, urls: str) -> None:
    monkeypatch.setenv(URLS_VARIABLE, urls)

    assert alerts.alert("a", "first", NOW)

    assert [alert.sent for alert in alerts.raised()] == [False]


def test_every_address_is_told(alerts: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Receiver()
    monkeypatch.setenv(URLS_VARIABLE, f"{receiver.url}  {other.url}")

    alerts.alert("a", "first", NOW)

    assert receiver.told == other.told == [("numerai_assets: a", "first")]
    other.close()


def test_an_address_that_fails_makes_no_other_be_told_twice(
    alerts: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Receiver()
    broken.status = 500
    monkeypatch.setenv(URLS_VARIABLE, f"{broken.url} nonsense://x {receiver.url}")

    for _ in range(3):
        alerts.alert("a", "first", NOW)

    assert receiver.told == [("numerai_assets: a", "first")]
    assert [alert.sent for alert in alerts.raised()] == [True]
    broken.close()


def test_an_address_that_is_mistyped_is_named_by_its_place_not_by_its_token(
    alerts: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(URLS_VARIABLE, f"{receiver.url} nonsense://{TOKEN} slack://{TOKEN}")

    with caplog.at_level("INFO"):
        alerts.alert("a", "first", NOW)

    assert f"address 2 of {URLS_VARIABLE}: Apprise does not know this kind of address" in caplog.text
    assert f"address 3 of {URLS_VARIABLE}: Apprise does not know this kind of address" in caplog.text
    assert TOKEN not in caplog.text


def test_tokens_of_addresses_are_in_no_file_log_or_terminal(
    alerts: Alerts,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO")
    for status in (200, 401, 500):
        receiver.status = status
        alerts.alert(f"a {status}", "text", NOW)
    receiver.close()
    alerts.alert("gone", "text", NOW)

    assert f"/{TOKEN}/" in receiver.paths
    assert all(TOKEN not in path.read_text() for path in alerts.path.parent.iterdir())
    shown = capfd.readouterr()
    assert TOKEN not in caplog.text + shown.out + shown.err


@pytest.mark.parametrize("text", ['quotes " and \\', "two\nlines", "Zürich ≥ 3", "\u2028", "", "<b>&amp;</b>"])
def test_whatever_it_says_is_told_and_kept_as_it_is(alerts: Alerts, receiver: Receiver, text: str) -> None:
    alerts.alert("a", f"says: {text}", NOW)
    alerts.alert("b", "another", NOW)

    assert [alert.text for alert in alerts.raised()] == [f"says: {text}", "another"]
    assert receiver.messages[0]["message"].startswith("says:")


def test_many_threads_at_once_tell_each_thing_once(alerts: Alerts, receiver: Receiver) -> None:
    new: list[bool] = []
    begin = threading.Barrier(8)

    def raise_all() -> None:
        begin.wait()
        # An Alerts of its own, as in another process.
        new.extend(Alerts(alerts.path).alert(f"key {number}", "text", NOW) for number in range(5))

    threads = [threading.Thread(target=raise_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(alert.key for alert in alerts.raised()) == [f"key {number}" for number in range(5)]
    assert all(alert.sent for alert in alerts.raised())
    assert len(receiver.told) == 5
    assert sum(new) == 5


def raise_many(path: str, first: int) -> None:
    alerts = Alerts(Path(path))
    for number in range(first, first + 10):
        alerts.alert(f"key {number}", "text", NOW)


def test_processes_at_once_lose_no_alert_of_each_other(alerts: Alerts) -> None:
    forks = multiprocessing.get_context("spawn")
    processes = [forks.Process(target=raise_many, args=(str(alerts.path), first)) for first in (0, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(alert.key for alert in alerts.raised()) == sorted(f"key {number}" for number in range(15))


def test_nothing_was_raised_before_the_first_alert(alerts: Alerts) -> None:
    assert alerts.raised() == []
    assert not alerts.path.parent.exists()
