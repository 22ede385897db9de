"""Resolvers of diagnostics."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from numerai_assets.sandbox.server.resolving import ApiRequest, check_tournament, mutation, query, with_keys
from numerai_assets.sandbox.server.shapes import Json, stored_utc
from numerai_assets.sandbox.tournament.diagnostics_desk import DiagnosticsRun
from numerai_assets.sandbox.tournament.state import Purpose

TYPES: tuple[ObjectType, ...] = ()


@query.field("diagnosticsUploadAuth")
@with_keys
def resolve_upload_auth(
    _: Any, info: GraphQLResolveInfo, filename: str, tournament: int, modelId: str | None = None
) -> Json:
    check_tournament(tournament)
    request: ApiRequest = info.context
    name = request.tournament.hand_out_upload(filename, modelId, Purpose.DIAGNOSTICS)
    return {"filename": name, "url": f"{request.base_url}/uploads/{name}"}


@mutation.field("createDiagnostics")
@with_keys
def resolve_create(
    _: Any, info: GraphQLResolveInfo, filename: str, tournament: int, modelId: str | None = None
) -> Json:
    check_tournament(tournament)
    request: ApiRequest = info.context
    found = request.tournament
    upload = found.uploaded(filename, found.model(modelId), Purpose.DIAGNOSTICS)
    return _json(found.diagnostics.create(upload, request.view.now, request.view.latest_round.era))


@query.field("diagnostics")
@with_keys
def resolve_diagnostics(_: Any, info: GraphQLResolveInfo, modelId: str, id: str | None = None) -> list[Json]:  # noqa: A002
    request: ApiRequest = info.context
    model = request.tournament.model(modelId)
    return [_json(run) for run in request.tournament.diagnostics.found(model.id, id)]


def _json(run: DiagnosticsRun) -> Json:
    return {
        "id": run.id,
        "filename": run.filename,
        "insertedAt": stored_utc(run.inserted_at),
        "updatedAt": stored_utc(run.updated_at),
        "status": run.status,
        "message": run.message,
        **run.numbers,
    }
