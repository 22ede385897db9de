"""Resolvers for diagnostics."""

from ariadne import ObjectType

from numerai_assets.sandbox.server.resolving import ApiRequest, answers, mutation, query
from numerai_assets.sandbox.server.shapes import Json, stored_utc
from numerai_assets.sandbox.tournament.diagnostics_desk import DiagnosticsRun
from numerai_assets.sandbox.tournament.state import Purpose

TYPES: tuple[ObjectType, ...] = ()


@answers(mutation, "createDiagnostics", with_keys=True)
def resolve_create(request: ApiRequest, filename: str, modelId: str | None = None) -> Json:
    found = request.tournament
    upload = found.uploaded(filename, found.model(modelId), Purpose.DIAGNOSTICS)
    return _json(found.diagnostics.create(upload, request.view.now, request.view.latest_round.era))


@answers(query, "diagnostics", with_keys=True)
def resolve_diagnostics(request: ApiRequest, modelId: str, id: str | None = None) -> list[Json]:  # noqa: A002
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
