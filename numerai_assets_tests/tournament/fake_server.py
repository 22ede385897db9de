"""A tournament's server in memory, to be asked through a duck-typed Tournament, that misbehaves at any call it is told to."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import requests

from numerai_assets.errors import RoundClosedError, Unreachable
from numerai_assets.settings import Network
from numerai_assets.tournament.client import Round, refusal
from numerai_assets.tournament.transport import persistently

T = TypeVar("T")

OPENS = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
ROUND = Round(1369, OPENS, OPENS + dt.timedelta(hours=26), dt.date(2026, 10, 2))
NEXT_ROUND = Round(1370, OPENS + dt.timedelta(days=3), OPENS + dt.timedelta(days=3, hours=1), dt.date(2026, 10, 5))
# Of a signed address: no file or message may hold it.
SIGNATURE = "HUSHSIGNATURE"


class Mishap(StrEnum):
    """What happens at one call. Those that a call cannot meet leave it alone."""

    LOST = "the request never arrives"
    UNANSWERED = "it is carried out and the answer is lost"
    KILLED_BEFORE = "the process dies before it"
    KILLED_AFTER = "the process dies after it"
    ALTERED = "the bytes of an upload or download are changed on their way"
    DENIED = "an upload or download is answered 403"
    TWICE = "a registration is made twice"
    FAULTY = "a registered file is found faulty in validation"
    PROCESSING = "a registered file is processed for the next few looks at it"
    REFUSED = "a registration is refused"


class Killed(BaseException):
    """The process died here."""


@dataclass
class Registered:
    """A submission as the server has it."""

    identity: str
    filename: str
    round_number: int
    content: bytes
    inserted: int
    status: str = "on-time"
    error: str | None = None
    selected: bool = True
    looks_until_done: int = 0


@dataclass
class Server:
    """One model's submissions, rounds that open and close, and a clock that goes on by a second a call.

    mishaps: what happens at the call of a number, counted from 0 over all runs. of_kind: what happens at the next calls
    of a kind. calls: the kinds of calls so far. before_call: told of each call before it is made.
    """

    mishaps: dict[int, Mishap] = field(default_factory=dict)
    of_kind: dict[str, list[Mishap]] = field(default_factory=dict)
    clock: dt.datetime = OPENS + dt.timedelta(minutes=5)
    rounds: tuple[Round, ...] = (ROUND, NEXT_ROUND)
    uploads: dict[str, bytes | None] = field(default_factory=dict)
    registered: list[Registered] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    status: str = "on-time"
    refusal: str = "Internal error"
    fault: str = "invalid_submission_values: submission must not contain NaNs"
    before_call: Callable[[str], None] = lambda kind: None

    def call(self, kind: str, effect: Callable[[Mishap | None], T]) -> T:
        """The answer to one call, as its mishap has it."""
        self.before_call(kind)
        mishap = self.of_kind[kind].pop(0) if self.of_kind.get(kind) else self.mishaps.get(len(self.calls))
        self.calls.append(kind)
        self.clock += dt.timedelta(seconds=1)
        if mishap is Mishap.KILLED_BEFORE:
            raise Killed(kind)
        if mishap is Mishap.LOST:
            raise Unreachable("ConnectTimeout")
        answer = effect(mishap)
        if mishap is Mishap.KILLED_AFTER:
            raise Killed(kind)
        if mishap is Mishap.UNANSWERED:
            raise Unreachable("ReadTimeout")
        return answer

    def in_effect(self, number: int) -> list[Registered]:
        """What counts for a round."""
        return [item for item in self.registered if item.round_number == number and item.selected]

    def hand_out(self) -> dict[str, str]:
        name = f"predictions-{len(self.uploads) + 1:04d}.csv"
        self.uploads[name] = None
        return {"filename": name, "url": f"https://uploads.example.org/{name}?X-Signature={SIGNATURE}"}

    def register(self, filename: str, mishap: Mishap | None) -> dict[str, str]:
        current = next((r for r in self.rounds if r.is_open(self.clock)), None)
        if current is None:
            raise RoundClosedError("no round is open: Current round not open for submissions")
        content = self.uploads.get(filename)
        if content is None:
            raise refusal(f"File not found: {filename}")
        if mishap is Mishap.REFUSED:
            raise refusal(self.refusal)
        for _ in range(2 if mishap is Mishap.TWICE else 1):
            for other in self.in_effect(current.number):
                other.selected = False
            number = len(self.registered) + 1
            made = Registered(f"id-{number}", filename, current.number, content, number, status=self.status)
            if mishap is Mishap.FAULTY:
                made.error, made.selected = self.fault, False
            if mishap is Mishap.PROCESSING:
                made.looks_until_done, made.selected = 3, False
            self.registered.append(made)
        return {"id": made.identity}

    def look(self) -> list[dict[str, Any]]:
        for item in self.registered:
            if item.looks_until_done:
                item.looks_until_done -= 1
                item.selected = not item.looks_until_done
        return [
            {
                "id": item.identity,
                "filename": item.filename,
                "insertedAt": f"2026-10-03T12:00:00.{item.inserted:06d}Z",
                "status": "processing" if item.looks_until_done else item.status,
                "errorInfo": item.error,
                "selected": item.selected,
                "round": {"tournament": 8, "number": item.round_number},
            }
            for item in self.registered
        ]


class FakeTournament:
    """What SubmissionDesk asks of a Tournament, answered by a Server; `query` is retried like the real one."""

    def __init__(self, server: Server, attempts: int = 2) -> None:
        self.server = server
        self.network = Network(attempts=attempts, retry_seconds=0.0)

    def now(self) -> dt.datetime:
        return self._persistently(lambda: self.server.call("now", lambda _: self.server.clock))

    def model_id(self, slot: str) -> str:
        return self._persistently(lambda: self.server.call("model", lambda _: f"model-of-{slot}"))

    def query(self, query: str, variables: dict[str, Any], *, authorized: bool) -> dict[str, Any]:
        return self._persistently(lambda: self.ask_once(query, variables, authorized=authorized))

    def ask_once(self, query: str, variables: dict[str, Any], *, authorized: bool) -> dict[str, Any]:
        server = self.server
        assert authorized
        if "create_submission" in query:
            return server.call(
                "create", lambda mishap: {"create_submission": server.register(variables["filename"], mishap)}
            )
        if "submission_upload_auth" in query:
            return server.call("upload_auth", lambda _: {"submission_upload_auth": server.hand_out()})
        if "submissionDownloadAuth" in query:
            url = f"https://files.example.org/{variables['id']}?X-Signature={SIGNATURE}"
            return server.call("download_auth", lambda _: {"submissionDownloadAuth": {"filename": "x", "url": url}})
        assert "submissions" in query
        return server.call("look", lambda _: {"model": {"submissions": server.look()}})

    def put(self, url: str, content: bytes) -> requests.Response:
        name = url.rsplit("/", 1)[1].partition("?")[0]

        def keep(mishap: Mishap | None) -> requests.Response:
            if mishap is Mishap.DENIED or self.server.uploads.get(name, b"") is not None:
                return response(403, b"")
            self.server.uploads[name] = altered(content) if mishap is Mishap.ALTERED else content
            return response(200, b"")

        return self.server.call("put", keep)

    def get(self, url: str) -> requests.Response:
        identity = url.rsplit("/", 1)[1].partition("?")[0]

        def give(mishap: Mishap | None) -> requests.Response:
            (content,) = [item.content for item in self.server.registered if item.identity == identity]
            if mishap is Mishap.DENIED:
                return response(403, b"")
            return response(200, altered(content) if mishap is Mishap.ALTERED else content)

        return self.server.call("get", give)

    def _persistently(self, call: Callable[[], T]) -> T:
        return persistently(call, self.network)


def altered(content: bytes) -> bytes:
    """The same number of bytes, one of them another."""
    return content[:-2] + (b"8" if content[-2:-1] == b"9" else b"9") + content[-1:]


def response(status: int, content: bytes) -> requests.Response:
    """An answer as requests gives it."""
    made = requests.Response()
    made.status_code, made.reason, made._content = status, "OK" if status < 400 else "Forbidden", content
    return made
