"""The sandbox over HTTP: GraphQL endpoint, files under signed URLs like an object store's, uploads, administration.

The Date header of every answer is the sandbox's time, so that clients can take their clock from the server.
"""

import email.utils
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults import plan as fault_plan
from numerai_assets.sandbox.server import api, resolving
from numerai_assets.sandbox.server.fault_middleware import HIT, FaultMiddleware
from numerai_assets.sandbox.server.object_store import store_error
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import MODEL_NAMES
from numerai_assets.sandbox.world.history import World

SERVER_FOLDER = "server"
LOOPBACK = ("127.0.0.1", "::1")


def create_app(world_dir: Path, models: Sequence[str] = MODEL_NAMES) -> Starlette:
    """The sandbox of the World in `world_dir`; its state is in `world_dir`/server.

    models: model slots that the account must have. The first start opens the weekend round of the World's newest era.
    Raises SandboxError if there is no World.
    """
    tournament = LocalTournament(World.open(world_dir), world_dir / SERVER_FOLDER, models)
    tournament.start()
    return app_of(tournament)


def app_of(tournament: LocalTournament) -> Starlette:
    """The HTTP application of a started tournament."""
    app = Starlette(
        routes=[
            Route("/", _root, methods=["GET"]),
            Route("/", _graphql, methods=["POST"]),
            Route("/files/{datestamp:int}/{name:path}", _file, methods=["GET"]),
            Route("/uploads/{filename}", _upload, methods=["PUT"]),
            Route("/submissions/{filename}", _submission, methods=["GET"]),
            Route("/sandbox/status", _status, methods=["GET"]),
            Route("/sandbox/advance", _advance, methods=["POST"]),
            Route("/sandbox/faults", _faults, methods=["GET", "DELETE"]),
            Route("/sandbox/faults", _put_faults, methods=["PUT"]),
            Route("/sandbox/faults/log", _fault_log, methods=["GET"]),
        ],
        middleware=[
            Middleware(_SandboxDate, tournament=tournament),
            # A web page must not control the sandbox through a host name that resolves to loopback.
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"]),
            Middleware(FaultMiddleware, tournament=tournament),
        ],
        exception_handlers={SandboxError: _refused, Exception: _failed},
    )
    app.state.tournament = tournament
    return app


class _SandboxDate:
    """Sets the Date header of every answer to the sandbox's time."""

    def __init__(self, app: ASGIApp, tournament: LocalTournament) -> None:
        self._app = app
        self._tournament = tournament

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Date"] = _date(self._tournament)
            await send(message)

        await self._app(scope, receive, dated if scope["type"] == "http" else send)


async def _root(request: Request) -> Response:
    return PlainTextResponse("numerai_assets sandbox: POST GraphQL here\n")


async def _graphql(request: Request) -> Response:
    try:
        payload: Any = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return JSONResponse({"errors": [{"message": "The body is not JSON"}]}, status_code=400)
    tournament = _tournament(request)
    asked = resolving.ApiRequest(
        tournament=tournament,
        view=tournament.view,
        base_url=str(request.base_url).rstrip("/"),
        authorization=request.headers.get("Authorization"),
    )
    return JSONResponse(await run_in_threadpool(api.answer, asked, payload))


def _file(request: Request) -> Response:
    tournament = _tournament(request)
    if denied := _denied(request):
        return denied
    datestamp, name = request.path_params["datestamp"], request.path_params["name"]
    for release in tournament.view.releases:
        if release.datestamp == datestamp and (file := release.file(name)) is not None:
            path, etag = tournament.faults.served(
                tournament.release_path(file),
                file.sha256,
                datestamp=datestamp,
                name=name,
                round_number=release.round_number,
                now=tournament.view.now,
                hit=request.scope.get(HIT),
            )
            return _served(request, path, etag)
    return store_error(404, "NoSuchKey", "The specified key does not exist.")


def _submission(request: Request) -> Response:
    tournament = _tournament(request)
    if denied := _denied(request):
        return denied
    upload = tournament.state.upload(request.path_params["filename"])
    if upload is None or upload.sha256 is None:
        return store_error(404, "NoSuchKey", "The specified key does not exist.")
    return _served(request, tournament.upload_path(upload.filename), upload.sha256)


async def _upload(request: Request) -> Response:
    tournament, filename = _tournament(request), request.path_params["filename"]
    content = await request.body()
    if not await run_in_threadpool(tournament.receive_upload, filename, content):
        return store_error(403, "AccessDenied", "No upload is expected under this name")
    return Response(status_code=200)


def _status(request: Request) -> Response:
    return _administered(request, lambda: _tournament(request).status())


async def _advance(request: Request) -> Response:
    tournament = _tournament(request)
    if refused := _not_json(request):
        return refused
    try:
        to = (await request.json())["to"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return JSONResponse({"error": 'expected {"to": "next-round" | "+3d" | "2014-01-11T12:05"}'}, status_code=400)

    def advanced() -> dict[str, Any]:
        tournament.advance(str(to))
        return tournament.status()

    return await run_in_threadpool(_administered, request, advanced)


def _faults(request: Request) -> Response:
    tournament = _tournament(request)

    def act() -> dict[str, Any]:
        if request.method == "DELETE":
            tournament.put_faults(None)
        return tournament.faults.describe()

    return _administered(request, act)


async def _put_faults(request: Request) -> Response:
    tournament = _tournament(request)
    if refused := _not_json(request):
        return refused
    try:
        content = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return JSONResponse({"error": "expected a plan of faults as JSON"}, status_code=400)

    def act() -> dict[str, Any]:
        tournament.put_faults(fault_plan.parse(content, "plan of faults"))
        return tournament.faults.describe()

    return await run_in_threadpool(_administered, request, act)


def _fault_log(request: Request) -> Response:
    return _administered(request, lambda: {"log": _tournament(request).faults.log()})


def _not_json(request: Request) -> Response | None:
    # Browsers send other content types across sites without a preflight request, but not this one.
    if request.headers.get("Content-Type", "").split(";")[0] == "application/json":
        return None
    return JSONResponse({"error": "expected Content-Type application/json"}, status_code=415)


def _administered(request: Request, act: Callable[[], dict[str, Any]]) -> Response:
    if request.client is None or request.client.host not in LOOPBACK:
        return JSONResponse({"error": "administration is allowed from this machine only"}, status_code=403)
    return JSONResponse(act())


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    # Created outside the middleware, so it sets its own date.
    return PlainTextResponse("Internal Server Error", status_code=500, headers={"Date": _date(_tournament(request))})


def _date(tournament: LocalTournament) -> str:
    return email.utils.format_datetime(tournament.view.now, usegmt=True)


def _denied(request: Request) -> Response | None:
    """The answer to a URL with a wrong or expired signature, None if it is valid."""
    expires, signature = request.query_params.get("expires", ""), request.query_params.get("signature", "")
    try:
        _tournament(request).check_signature(request.url.path, expires, signature)
    except SandboxError as error:
        return store_error(403, "AccessDenied", str(error))
    return None


def _served(request: Request, path: Path, sha256: str) -> Response:
    etag = f'"{sha256}"'
    if request.headers.get("If-Match") not in (None, "*", etag):
        return store_error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return FileResponse(path, headers={"ETag": etag}, media_type="application/octet-stream")


def _tournament(request: Request) -> LocalTournament:
    tournament: LocalTournament = request.app.state.tournament
    return tournament
