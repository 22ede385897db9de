"""Applies faults to the requests they strike, between the server and the application, which knows no faults.

Administration (/sandbox/...) passes untouched, and so does every request without a fault.
"""

import asyncio
import datetime as dt
import json
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, StringValueNode, VariableNode, parse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from numerai_assets.sandbox.faults import catalogue
from numerai_assets.sandbox.faults.alterations import changed_upload
from numerai_assets.sandbox.faults.catalogue import IncomingRequest, RequestKind
from numerai_assets.sandbox.faults.engine import Hit
from numerai_assets.sandbox.server import connection
from numerai_assets.sandbox.server.object_store import store_error
from numerai_assets.sandbox.tournament.local import LocalTournament

HIT = "numerai_assets.fault"
"""Key of a request's scope that holds its Hit."""

_ADMINISTRATION = "/sandbox/"
_RELEASE_FILE = re.compile(r"^/files/\d+/(?P<name>.+)$")
_RANGE_START = re.compile(r"^bytes=(\d+)-")
_RANGE_HEADERS = (b"range", b"if-range")
# A RST overtakes bytes that the kernel has not delivered yet; on loopback this wait is ample.
_HANDED_OVER_SECONDS = 0.05
_DISCONNECT_SECONDS = 5.0


class FaultMiddleware:
    """Applies the faults of a tournament."""

    def __init__(self, app: ASGIApp, tournament: LocalTournament) -> None:
        self._app = app
        self._tournament = tournament

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        faults = self._tournament.faults
        if scope["type"] != "http" or scope["path"].startswith(_ADMINISTRATION) or faults.is_quiet:
            await self._app(scope, receive, send)
            return
        body = await _body(receive) if scope["method"] in ("POST", "PUT") else None
        view = self._tournament.view
        hit = await run_in_threadpool(faults.meet, describe(scope, body or b""), view.now, view.latest_round.number)
        await self._answer(hit, _Exchange(scope, body, receive, send))

    async def _answer(self, hit: Hit | None, exchange: "_Exchange") -> None:
        match None if hit is None else hit.fault:
            case None:
                await self._pass_on(exchange)
            case catalogue.DROP:
                await exchange.sever(connection.close)
            case catalogue.UPLOAD_ALTERED:
                exchange.body = changed_upload(exchange.body or b"")
                await self._pass_on(exchange)
            case catalogue.RANGE_IGNORED:
                headers = [pair for pair in exchange.scope["headers"] if pair[0] not in _RANGE_HEADERS]
                exchange.scope = {**exchange.scope, "headers": headers}
                await self._pass_on(exchange)
            case catalogue.REGISTERED_WITH_ERROR:
                await self._registered_with_error(exchange)
            case catalogue.REGISTERED_TWICE:
                await self._registered_twice(exchange)
            case _:
                assert hit is not None
                await self._answer_by_parameters(hit, exchange)

    async def _answer_by_parameters(self, hit: Hit, exchange: "_Exchange") -> None:
        match hit.parameters:
            case catalogue.Delay(seconds=seconds):
                await asyncio.sleep(seconds)
                await self._pass_on(exchange)
            case catalogue.Stall(after_bytes=kept, seconds=seconds):
                await self._broken_off(exchange, _Cut(exchange, lambda length: kept))
                await exchange.disconnected(seconds)
                await exchange.sever(connection.close)
            case catalogue.Processing(minutes=minutes):
                await self._processing(exchange, minutes)
            case catalogue.Corruption() | catalogue.Truncation():
                await self._pass_on(exchange, hit)
            case _ if hit.fault is catalogue.REPLACED_FILE:
                await self._pass_on(exchange, hit)
            case _ if hit.fault is catalogue.RESET:
                await self._broken_off(exchange, _Cut(exchange, lambda length: length // 2))
                await asyncio.sleep(_HANDED_OVER_SECONDS)
                await exchange.sever(connection.reset)
            case _:
                await refusal(hit)(exchange.scope, exchange.receive, exchange.send)

    async def _pass_on(self, exchange: "_Exchange", hit: Hit | None = None) -> None:
        scope = exchange.scope if hit is None else {**exchange.scope, HIT: hit}
        await self._app(scope, exchange.receiver(), exchange.send)

    async def _broken_off(self, exchange: "_Exchange", cut: "_Cut") -> None:
        await self._app(exchange.scope, exchange.receiver(), cut)

    # -- registrations -------------------------------------------------------------------------------------------

    async def _registered_with_error(self, exchange: "_Exchange") -> None:
        answer = await self._captured(exchange)
        if answer.is_refusal:
            await answer.give(exchange.send)
        else:
            await _gateway_error(502)(exchange.scope, exchange.receive, exchange.send)

    async def _registered_twice(self, exchange: "_Exchange") -> None:
        answer = await self._captured(exchange)
        if not answer.is_refusal:
            first = filename_asked_for(exchange.body or b"")
            second = await run_in_threadpool(self._copied_upload, first)
            again = (exchange.body or b"").replace(first.encode(), second.encode())
            await self._captured(_Exchange(exchange.scope, again, exchange.receive, exchange.send))
        await answer.give(exchange.send)

    async def _processing(self, exchange: "_Exchange", minutes: float | str) -> None:
        answer = await self._captured(exchange)
        if not answer.is_refusal:
            until = None if isinstance(minutes, str) else self._tournament.view.now + dt.timedelta(minutes=minutes)
            await run_in_threadpool(self._tournament.hold, filename_asked_for(exchange.body or b""), until)
        await answer.give(exchange.send)

    def _copied_upload(self, filename: str) -> str:
        tournament = self._tournament
        upload = tournament.state.upload(filename)
        assert upload is not None, f"{filename} was just registered"
        copy = tournament.hand_out_upload(filename, upload.model_id)
        tournament.receive_upload(copy, tournament.upload_path(filename).read_bytes())
        return copy

    async def _captured(self, exchange: "_Exchange") -> "_Captured":
        answer = _Captured()
        await self._app(dict(exchange.scope), exchange.receiver(), answer)
        return answer


# -- requests ----------------------------------------------------------------------------------------------------


def describe(scope: Scope, body: bytes) -> IncomingRequest:
    """The request as faults see it. body: empty unless it is a POST."""
    path, method, headers = scope["path"], scope["method"], Headers(scope=scope)
    if path == "/":
        return (
            IncomingRequest(RequestKind.GRAPHQL, _root_field(body))
            if method == "POST"
            else IncomingRequest(RequestKind.CLOCK)
        )
    if method == "PUT":
        return IncomingRequest(RequestKind.UPLOAD, path.rpartition("/")[2])
    begins = None
    if (wanted := headers.get("Range")) is not None:
        match = _RANGE_START.match(wanted)
        begins = int(match.group(1)) if match else 0
    if file := _RELEASE_FILE.match(path):
        return IncomingRequest(RequestKind.FILE, file.group("name"), begins)
    return IncomingRequest(RequestKind.DOWNLOAD, path, begins)


def filename_asked_for(body: bytes) -> str:
    """The file name in a create_submission, as variable or literal; empty if there is none."""
    found, variables = _first_field(body)
    for argument in () if found is None else found.arguments:
        if argument.name.value == "filename":
            match argument.value:
                case VariableNode(name=name):
                    return str(variables.get(name.value, ""))
                case StringValueNode(value=value):
                    return value
    return ""


def _root_field(body: bytes) -> str:
    found, _ = _first_field(body)
    return "" if found is None else found.name.value


def _first_field(body: bytes) -> tuple[FieldNode | None, dict[str, Any]]:
    """First field of a GraphQL request and its variables; no field if the body is not a GraphQL request."""
    try:
        payload = json.loads(body)
        operation = next(d for d in parse(payload["query"]).definitions if isinstance(d, OperationDefinitionNode))
        field_ = next(s for s in operation.selection_set.selections if isinstance(s, FieldNode))
        return field_, payload.get("variables") or {}
    except (ValueError, KeyError, TypeError, AttributeError, GraphQLError, StopIteration):
        return None, {}


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


# -- answers -----------------------------------------------------------------------------------------------------


def refusal(hit: Hit) -> Response:
    """The answer that replaces the application's."""
    match hit.fault:
        case catalogue.SERVER_ERROR:
            assert isinstance(hit.parameters, catalogue.Refusal)
            return _gateway_error(hit.parameters.status)
        case catalogue.RATE_LIMIT:
            assert isinstance(hit.parameters, catalogue.RateLimit)
            wait = str(hit.parameters.retry_after_seconds)
            return PlainTextResponse("Too Many Requests", status_code=429, headers={"Retry-After": wait})
        case catalogue.EXPIRED_URL:
            return store_error(403, "AccessDenied", "Request has expired")
        case catalogue.UPLOAD_FORBIDDEN:
            return store_error(403, "AccessDenied", "Access Denied")
        case catalogue.UPLOAD_ERROR:
            return store_error(500, "InternalError", "We encountered an internal error. Please try again.")
        case catalogue.UPLOAD_LOST:
            return Response(status_code=200)
    raise AssertionError(f"{hit.fault.name} refuses nothing")


def _gateway_error(status: int) -> Response:
    return Response(f"<html><body><h1>{status}</h1></body></html>\n", status_code=status, media_type="text/html")


@dataclass
class _Exchange:
    """A request and its answer channel. body: None if it was not read yet."""

    scope: MutableMapping[str, Any]
    body: bytes | None
    receive: Receive
    send: Send

    def receiver(self) -> Receive:
        """Replays the body, then continues with the connection."""
        if self.body is None:
            return self.receive
        waiting = [{"type": "http.request", "body": self.body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else await self.receive()

        return receive

    async def disconnected(self, seconds: float) -> None:
        """Returns when the client has disconnected, at the latest after `seconds`."""

        async def gone() -> None:
            while (await self.receive())["type"] != "http.disconnect":
                pass

        try:
            await asyncio.wait_for(gone(), seconds)
        except TimeoutError:
            return

    async def sever(self, how: Any) -> None:
        how(self.scope)
        # Wait for the server to notice, or it would send an answer of its own.
        await self.disconnected(_DISCONNECT_SECONDS)


class _Cut:
    """Sends the head and the first bytes of an answer and drops the rest; sends nothing of an answer without a body.

    kept: number of bytes to send, as a function of the body's length; at least one is dropped.
    """

    def __init__(self, exchange: _Exchange, kept: Any) -> None:
        self._is_head = exchange.scope["method"] == "HEAD"
        self._send = exchange.send
        self._kept = kept
        self._left = -1

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            length = int(Headers(raw=message["headers"]).get("Content-Length", "0"))
            if not self._is_head and length:
                self._left = min(self._kept(length), length - 1)
                await self._send(message)
        elif self._left > 0:
            part = message.get("body", b"")[: self._left]
            self._left -= len(part)
            await self._send({"type": "http.response.body", "body": part, "more_body": True})


@dataclass
class _Captured:
    """An answer of the application that was not sent yet."""

    messages: list[Message] = field(default_factory=list)

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def is_refusal(self) -> bool:
        """True for a GraphQL answer with errors, and for anything that is not a GraphQL answer."""
        content = b"".join(message.get("body", b"") for message in self.messages)
        try:
            return "errors" in json.loads(content)
        except ValueError:
            return True

    async def give(self, send: Send) -> None:
        for message in self.messages:
            await send(message)
