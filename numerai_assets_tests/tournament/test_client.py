"""The door to the tournament: every failure is one clear line, and no key ever stands in it."""

import datetime as dt
import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from numerai_assets.errors import AuthenticationError, RoundClosedError, TournamentError, Unreachable
from numerai_assets.settings import Settings
from numerai_assets.tournament.client import Round, Tournament, parse_round, refusal

KEYS = {"NUMERAI_PUBLIC_ID": "HUSHPUBLIC", "NUMERAI_SECRET_KEY": "HUSHSECRET"}
SATURDAY = {
    "number": 1369,
    "openTime": "2026-10-03T12:00:00Z",
    "closeStakingTime": "2026-10-04T14:00:00Z",
    "dataDatestamp": 20261002,
}


def tournament_at(url: str, kind: str = "numerai") -> Tournament:
    network = {"attempts": 1, "timeout_seconds": 5.0, "api_url": url}
    return Tournament(Settings(tournament=kind, network=network))  # type: ignore[arg-type]


@pytest.fixture
def closed_url() -> str:
    """Address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


class Api:
    """Answers every request with `content`; keeps what it was sent."""

    def __init__(self) -> None:
        self.content: Any = {"data": {}}
        self.status = 200
        self.sent: list[tuple[dict[str, str], dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.sent.append((dict(self.headers.items()), json.loads(body)))
                self.reply(outer.content if isinstance(outer.content, bytes) else json.dumps(outer.content).encode())

            def do_HEAD(self) -> None:
                self.reply(b"")

            def reply(self, content: bytes) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return "Sat, 03 Oct 2026 12:30:00 GMT"

            def log_message(self, *args: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def api() -> Iterator[Api]:
    running = Api()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Current round not open for submissions", RoundClosedError),
        ("No currently open rounds!", RoundClosedError),
        ("API keys required for this action.", AuthenticationError),
        ("Not authenticated", AuthenticationError),
        ("Unauthorized", AuthenticationError),
        ("You are not authorized to do this", AuthenticationError),
        ("Invalid API key", AuthenticationError),
        ("invalid_submission_ids: Duplicates detected in id for live period.", TournamentError),
        ("Dataset v9.9/train.parquet not found", TournamentError),
        ("", TournamentError),
    ],
)
def test_a_message_of_the_server_becomes_the_error_it_stands_for(message: str, kind: type[TournamentError]) -> None:
    error = refusal(message)

    assert type(error) is kind
    assert message in str(error)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("invalid_submission_ids: Duplicates detected in id for live period.", "invalid_submission_ids"),
        ("Refused for invalid_submission_ids: duplicates", None),
        ("Dataset: not found", None),
        ("", None),
    ],
)
def test_a_code_of_the_server_is_the_word_its_message_begins_with(message: str, code: str | None) -> None:
    assert refusal(message).code == code


def test_a_round_is_read_in_utc_with_the_day_of_its_data() -> None:
    current = parse_round(SATURDAY)

    assert current == Round(
        number=1369,
        opens=dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC),
        closes=dt.datetime(2026, 10, 4, 14, tzinfo=dt.UTC),
        data_day=dt.date(2026, 10, 2),
    )
    assert current.is_weekend
    # Era 1232 is Friday 2026-08-14; seven weeks later is 2026-10-02.
    assert current.era == 1239


def test_times_of_other_zones_are_the_same_moments() -> None:
    item = SATURDAY | {"openTime": "2026-10-03T14:00:00+02:00", "closeStakingTime": "2026-10-04T07:00:00.000-07:00"}

    assert parse_round(item) == parse_round(SATURDAY)


@pytest.mark.parametrize(
    "item", [SATURDAY | {"dataDatestamp": None}, {k: v for k, v in SATURDAY.items() if k != "dataDatestamp"}]
)
def test_a_round_that_does_not_tell_its_data_stands_for_the_eve_of_its_opening(item: dict[str, Any]) -> None:
    assert parse_round(item).data_day == dt.date(2026, 10, 2)


@pytest.mark.parametrize(("stamp", "era"), [(20261005, 1239), (20261008, 1239), (20261009, 1240)])
def test_a_weekday_round_stands_in_the_era_of_the_friday_before(stamp: int, era: int) -> None:
    item = SATURDAY | {"openTime": "2026-10-06T12:00:00Z", "closeStakingTime": "2026-10-06T13:00:00Z"}

    current = parse_round(item | {"dataDatestamp": stamp})

    assert not current.is_weekend
    assert current.era == era


def test_a_round_is_open_from_its_opening_until_just_before_it_closes() -> None:
    current, second = parse_round(SATURDAY), dt.timedelta(seconds=1)

    moments = [current.opens - second, current.opens, current.closes - second, current.closes]

    assert [current.is_open(moment) for moment in moments] == [False, True, True, False]


@pytest.mark.parametrize("call", ["now", "current_round", "next_round", "models", "dataset_url"])
def test_a_server_that_is_not_there_is_one_clear_line(keys: None, closed_url: str, call: str) -> None:
    tournament = tournament_at(closed_url)
    arguments = ["train.parquet"] if call == "dataset_url" else []

    with pytest.raises(Unreachable) as caught:
        getattr(tournament, call)(*arguments)

    assert isinstance(caught.value, TournamentError)
    assert str(caught.value).startswith(f"no answer from {closed_url} (")
    assert "run again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sandbox_that_is_not_there_says_how_to_start_it(closed_url: str) -> None:
    with pytest.raises(TournamentError, match="start it with `numerai sandbox start`"):
        tournament_at(closed_url, "sandbox").models()


@pytest.mark.parametrize("present", [[], ["NUMERAI_PUBLIC_ID"], ["NUMERAI_SECRET_KEY"]])
def test_without_keys_nothing_is_sent_and_both_variables_are_named(
    api: Api, monkeypatch: pytest.MonkeyPatch, present: list[str]
) -> None:
    for name in present:
        monkeypatch.setenv(name, KEYS[name])

    with pytest.raises(AuthenticationError) as caught:
        tournament_at(api.url).models()

    assert "NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY" in str(caught.value)
    assert "HUSH" not in str(caught.value)
    assert api.sent == []


def test_public_questions_need_no_keys_and_carry_none(api: Api, keys: None) -> None:
    api.content = {"data": {"dataset": "https://example.org/train"}}

    address = tournament_at(api.url).dataset_url("train.parquet")

    assert address == "https://example.org/train"
    assert "HUSH" not in str(api.sent)


def test_keys_are_sent_to_numerai_and_never_to_the_sandbox(api: Api, keys: None) -> None:
    api.content = {"data": {"account": {"models": [{"id": "1", "name": "mine", "tournament": 8}]}}}

    tournament_at(api.url, "sandbox").models()
    tournament_at(api.url, "numerai").models()

    to_sandbox, to_numerai = (headers["Authorization"] for headers, _ in api.sent)
    assert "HUSH" not in to_sandbox
    assert to_numerai == "Token HUSHPUBLIC$HUSHSECRET"


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@pytest.mark.parametrize(
    "content",
    [
        {"errors": [{"message": "Your API key is not valid"}]},
        {"errors": [{"message": "boom"}]},
        {"errors": {"detail": "Internal Server Error"}},
        {"data": None},
        [],
        b"<html>Bad gateway</html>",
    ],
)
def test_whatever_is_answered_no_key_stands_in_the_error_or_the_log(
    api: Api, keys: None, caplog: pytest.LogCaptureFixture, content: Any
) -> None:
    api.content = content
    tournament = tournament_at(api.url)

    with caplog.at_level(logging.DEBUG), pytest.raises(TournamentError) as caught:
        tournament.models()

    assert "HUSH" not in text_of(caught.value)
    assert "HUSH" not in caplog.text
    assert "HUSH" not in repr(vars(tournament))


def test_no_key_stands_in_the_error_of_a_server_that_is_not_there(
    keys: None, closed_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(TournamentError) as caught:
        tournament_at(closed_url).models()

    assert "HUSH" not in text_of(caught.value) + caplog.text


def test_the_open_round_is_told_by_the_clock_of_the_server(api: Api) -> None:
    api.content = {"data": {"rounds": [SATURDAY]}}
    tournament = tournament_at(api.url)

    assert tournament.now() == dt.datetime(2026, 10, 3, 12, 30, tzinfo=dt.UTC)
    assert tournament.current_round() == parse_round(SATURDAY)


@pytest.mark.parametrize(
    "content",
    [
        {"errors": [{"message": "Current round not open for submissions"}]},
        {"data": {"rounds": []}},
        {"data": {"rounds": [None]}},
        {"data": {"rounds": [SATURDAY | {"closeStakingTime": "2026-10-03T12:29:59Z"}]}},
        {"data": {"rounds": [SATURDAY | {"openTime": "2026-10-03T12:30:01Z"}]}},
    ],
)
def test_between_rounds_there_is_no_current_round(api: Api, content: dict[str, Any]) -> None:
    api.content = content

    assert tournament_at(api.url).current_round() is None


def test_the_next_round_is_the_earliest_that_has_not_opened(api: Api) -> None:
    def opening(day: int, number: int) -> dict[str, Any]:
        times = {"openTime": f"2026-10-{day:02d}T12:00:00Z", "closeStakingTime": f"2026-10-{day:02d}T13:00:00Z"}
        return SATURDAY | times | {"number": number}

    api.content = {"data": {"rounds": [opening(8, 1372), opening(3, 1369), opening(6, 1370), opening(7, 1371)]}}

    upcoming = tournament_at(api.url).next_round()

    assert upcoming is not None
    assert upcoming.number == 1370


def test_slots_are_those_of_this_tournament_and_an_unknown_one_is_answered_with_them(api: Api, keys: None) -> None:
    models = [{"id": "1", "name": "mine", "tournament": 8}, {"id": "2", "name": "signals", "tournament": 11}]
    api.content = {"data": {"account": {"models": models}}}
    tournament = tournament_at(api.url)

    assert tournament.models() == {"mine": "1"}
    assert tournament.model_id("mine") == "1"
    with pytest.raises(TournamentError, match=r"slot 'signals' is not on this account; it has mine\."):
        tournament.model_id("signals")


def test_a_file_is_asked_for_under_its_data_version(api: Api) -> None:
    api.content = {"data": {"dataset": "http://127.0.0.1/signed"}}

    url = tournament_at(api.url).dataset_url("live.parquet", 1369)

    assert url == "http://127.0.0.1/signed"
    assert api.sent[0][1]["variables"] == {"filename": "v5.3/live.parquet", "round": 1369, "tournament": 8}


def test_a_mutation_is_sent_once_even_when_the_server_fails(
    api: Api, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    api.status = 502

    with pytest.raises(Unreachable):
        tournament_at(api.url).ask_once("mutation { create_submission { id } }", authorized=True)

    assert len(api.sent) == 1
