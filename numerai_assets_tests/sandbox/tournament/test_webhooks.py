"""Webhooks, set through the unmodified numerapi and answered by a small server on loopback."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.tournament.webhooks import Webhooks
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served


@contextlib.contextmanager
def node(status: int = 200, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A participant's machine: its URL, and the bodies of the calls that it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def outcomes(sandbox: Served, model: str) -> list[str | None]:
    sandbox.tournament.webhooks.wait()
    return [call.outcome for call in sandbox.tournament.webhooks.calls(model)]


def trigger(sandbox: Served, model: str) -> Any:
    query = "mutation($m: String!) { triggerModelWebhook(modelId: $m) }"
    return sandbox.ask(query, m=model)["triggerModelWebhook"]


def test_a_round_that_opens_calls_the_models_webhook_once(fresh_sandbox: Served) -> None:
    model = fresh_sandbox.slot()
    with node() as (url, got):
        assert fresh_sandbox.client().set_submission_webhook(model, url) is True
        fresh_sandbox.advance("next-round")
        fresh_sandbox.advance("+10h")
        assert outcomes(fresh_sandbox, model) == ["HTTP 200"]
    (call,) = fresh_sandbox.tournament.webhooks.calls(model)
    assert got == [{"roundNumber": FIRST_ROUND + 1, "dataVersion": 1, "triggerId": call.trigger_id}]
    assert fresh_sandbox.tournament.webhooks.calls(fresh_sandbox.slot("sandbox_two")) == []


def test_rounds_that_were_jumped_over_call_nobody(fresh_sandbox: Served) -> None:
    model = fresh_sandbox.slot()
    with node() as (url, got):
        fresh_sandbox.client().set_submission_webhook(model, url)
        fresh_sandbox.advance("+1w")
        assert outcomes(fresh_sandbox, model) == ["HTTP 200"]
        fresh_sandbox.advance(round_by_number(FIRST_ROUND + 6).closes.isoformat())
        assert len(outcomes(fresh_sandbox, model)) == 1
    assert [body["roundNumber"] for body in got] == [FIRST_ROUND + 5]


def test_the_trigger_id_comes_back_with_the_submission(fresh_sandbox: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    api, model = fresh_sandbox.client(), fresh_sandbox.slot()
    with node() as (url, got):
        api.set_submission_webhook(model, url)
        assert trigger(fresh_sandbox, model) == "true"
        fresh_sandbox.tournament.webhooks.wait()
    assert got[0]["roundNumber"] == FIRST_ROUND
    monkeypatch.setenv("TRIGGER_ID", got[0]["triggerId"])
    api.upload_predictions(df=fresh_sandbox.predictions(), model_id=model)
    query = "query($m: String) { submissions(modelId: $m) { triggerId } }"
    assert fresh_sandbox.ask(query, m=model)["submissions"] == [{"triggerId": got[0]["triggerId"]}]


def test_a_failing_webhook_is_kept_and_stops_nothing(fresh_sandbox: Served, unused_port: int) -> None:
    model = fresh_sandbox.slot()
    fresh_sandbox.client().set_submission_webhook(model, f"http://localhost:{unused_port}/")
    fresh_sandbox.advance("next-round")
    assert outcomes(fresh_sandbox, model) == ["no answer (ConnectionError)"]
    with node(status=503) as (url, _):
        fresh_sandbox.client().set_submission_webhook(model, url)
        fresh_sandbox.advance("next-round")
        assert outcomes(fresh_sandbox, model)[0] == "HTTP 503"
    assert fresh_sandbox.client().get_current_round() == FIRST_ROUND + 2


def test_a_redirect_is_not_followed(fresh_sandbox: Served) -> None:
    model = fresh_sandbox.slot()
    with node() as (elsewhere, got), node(status=307, headers={"Location": elsewhere}) as (url, _):
        fresh_sandbox.client().set_submission_webhook(model, url)
        trigger(fresh_sandbox, model)
        assert outcomes(fresh_sandbox, model) == ["HTTP 307"]
    assert got == []


def test_a_machine_that_does_not_answer_is_waited_for_briefly(fresh_sandbox: Served) -> None:
    state, model = fresh_sandbox.tournament.state, fresh_sandbox.slot()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fresh_sandbox.client().set_submission_webhook(model, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        webhooks, view = Webhooks(state, seconds=0.2), fresh_sandbox.tournament.view
        webhooks.call(fresh_sandbox.tournament.model(model), view.latest_round, view.now)
        webhooks.wait()
    assert [call.outcome for call in webhooks.calls(model)] == ["no answer (ReadTimeout)"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://10.0.0.1/hook",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "file://127.0.0.1/etc/passwd",
        "http://localhost:notaport/",
        "http://[::1/",
        "",
    ],
)
def test_a_webhook_beyond_this_machine_is_refused(sandbox: Served, url: str) -> None:
    with pytest.raises(ValueError, match="the sandbox calls only this machine"):
        sandbox.client().set_submission_webhook(sandbox.slot(), url)


def test_a_model_without_a_webhook_cannot_be_called(sandbox: Served) -> None:
    with pytest.raises(ValueError, match="Model sandbox_three has no submission webhook"):
        trigger(sandbox, sandbox.slot("sandbox_three"))
