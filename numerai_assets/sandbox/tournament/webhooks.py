"""Webhooks: one POST to a model's own machine when a round has opened, as Numerai Compute does.

Calls go to this machine only, without redirects and without a proxy. A call that fails is logged and recorded, not
repeated.
"""

import datetime as dt
import logging
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import CalendarRound
from numerai_assets.sandbox.tournament.background import Background
from numerai_assets.sandbox.tournament.state import Model, State, insert

ANSWER_SECONDS = 5.0
# The value in Numerai's description of the call; no newer one is published.
DATA_VERSION = 1

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TABLES = """
CREATE TABLE IF NOT EXISTS webhook_calls (
    trigger_id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models, round_number INTEGER NOT NULL,
    url TEXT NOT NULL, called_at TEXT NOT NULL, outcome TEXT);
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebhookCall:
    """One call. outcome: "HTTP 200" or the reason for no answer; None until it is known."""

    trigger_id: str
    model_id: str
    round_number: int
    url: str
    called_at: str
    outcome: str | None


class Webhooks:
    """Calls webhooks in the background, one after another. seconds: time limit for an answer."""

    def __init__(self, state: State, seconds: float = ANSWER_SECONDS) -> None:
        self._state = state
        self._seconds = seconds
        self._background = Background("webhooks")
        with state.connected() as db:
            db.executescript(_TABLES)

    def call(self, model: Model, on: CalendarRound, now: dt.datetime) -> str:
        """Starts a call and returns its trigger id. Raises SandboxError for a model without a webhook."""
        if model.webhook is None:
            raise SandboxError(f"Model {model.name} has no submission webhook")
        call = WebhookCall(str(uuid.uuid4()), model.id, on.number, model.webhook, now.isoformat(), None)
        with self._state.connected() as db:
            insert(db, "webhook_calls", call)
        self._background.do(lambda: self._carry_out(call))
        return call.trigger_id

    def calls(self, model_id: str) -> list[WebhookCall]:
        """A model's calls, newest first."""
        return [WebhookCall(**row) for row in self._state.rows("webhook_calls", model_id=model_id)]

    def wait(self) -> None:
        """Returns when every call has its outcome."""
        self._background.wait()

    def _carry_out(self, call: WebhookCall) -> None:
        body = {"roundNumber": call.round_number, "dataVersion": DATA_VERSION, "triggerId": call.trigger_id}
        outcome = _post(call.url, body, self._seconds)
        level = logging.INFO if outcome.startswith("HTTP 2") else logging.WARNING
        _log.log(level, "webhook %s for round %d: %s", call.url, call.round_number, outcome)
        with self._state.connected() as db:
            db.execute("UPDATE webhook_calls SET outcome = ? WHERE trigger_id = ?", (outcome, call.trigger_id))


def check_webhook(url: str) -> None:
    """Raises SandboxError for a URL that is not an HTTP address of this machine."""
    try:
        parts = urlsplit(url)
        is_ours = parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK and (parts.port or 0) >= 0
    except ValueError:
        is_ours = False
    if not is_ours:
        raise SandboxError(
            f"webhook {url!r}: the sandbox calls only this machine; use an http URL on 127.0.0.1, localhost or [::1]"
        )


def _post(url: str, body: dict[str, object], seconds: float) -> str:
    try:
        check_webhook(url)
        with requests.Session() as session:
            session.trust_env = False
            # The body of the answer is not needed.
            with session.post(url, json=body, timeout=seconds, allow_redirects=False, stream=True) as answer:
                return f"HTTP {answer.status_code}"
    except SandboxError as error:
        return str(error)
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})"
