"""Resolvers for model uploads ("compute pickles")."""

import platform

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.release_writer import VERSION
from numerai_assets.sandbox.server.resolving import ApiRequest, answers, model_type, mutation, query
from numerai_assets.sandbox.server.shapes import Json, round_id, stored_utc
from numerai_assets.sandbox.tournament.hosted_models import NO_OPEN_ROUND, Pickle, PickleRun, RunType
from numerai_assets.sandbox.tournament.state import Purpose, named_id

pickle_type = ObjectType("ComputePickleUpload")
TYPES = (pickle_type,)


_PYTHON = ".".join(platform.python_version_tuple()[:2])
DATA_VERSIONS: tuple[Json, ...] = ({"id": named_id("data", VERSION), "name": VERSION, "default": True},)
# Numerai offers several versions of Python; the sandbox offers the one that it runs on.
DOCKER_IMAGES: tuple[Json, ...] = (
    {
        "id": named_id("images", _PYTHON),
        "name": f"Python {_PYTHON}",
        "image": f"sandbox_py_{_PYTHON.replace('.', '_')}",
        "tag": "latest",
        "default": True,
    },
)


@answers(query, "computePickleDataVersions", with_keys=True)
def resolve_data_versions(request: ApiRequest) -> tuple[Json, ...]:
    return DATA_VERSIONS


@answers(query, "computePickleDockerImages", with_keys=True)
def resolve_docker_images(request: ApiRequest) -> tuple[Json, ...]:
    return DOCKER_IMAGES


@answers(mutation, "createComputePickleUpload", with_keys=True)
def resolve_create(
    request: ApiRequest,
    filename: str,
    modelId: str | None = None,
    dataVersionId: str | None = None,
    dockerImageId: str | None = None,
) -> Pickle:
    found = request.tournament
    upload = found.uploaded(filename, found.model(modelId), Purpose.PICKLE)
    return found.hosted.create(
        upload,
        request.view.now,
        request.view.latest_round,
        _chosen("Data version", DATA_VERSIONS, dataVersionId),
        _chosen("Docker image", DOCKER_IMAGES, dockerImageId),
        found.submit_prediction,
    )


@answers(mutation, "assignPickleToModel", with_keys=True)
def resolve_assign(request: ApiRequest, modelId: str | None = None, pickleId: str | None = None) -> str:
    request.tournament.assign_pickle(modelId, pickleId)
    return "true"


@answers(mutation, "triggerComputePickleUpload", with_keys=True)
def resolve_trigger(
    request: ApiRequest, modelId: str | None = None, pickleId: str | None = None, triggerValidation: bool | None = None
) -> Pickle:
    """Runs a pickle now: to validate it again, or to submit to the open round for a model that uses it."""
    tournament, hosted = request.tournament, request.tournament.hosted
    found = hosted.pickle(pickleId or "")
    kind = RunType.VALIDATION if triggerValidation else RunType.SUBMISSION
    model_id = found.model_id if triggerValidation else tournament.model(modelId).id
    on = request.view.latest_round if triggerValidation else request.view.open_round
    if on is None:
        raise SandboxError(NO_OPEN_ROUND)
    if kind is RunType.SUBMISSION and model_id not in hosted.assigned_models(found.id):
        raise SandboxError(f"Model upload {found.id} is not assigned to model {tournament.model(modelId).name}")
    hosted.trigger(found, model_id, kind, request.view.now, on, tournament.submit_prediction)
    return found


@answers(query, "computePickles", with_keys=True)
def resolve_pickles(
    request: ApiRequest,
    id: str | None = None,  # noqa: A002
    modelId: str | None = None,
    unassigned: bool = False,
) -> list[Pickle]:
    """Uploads, newest first. unassigned: only those that no model uses."""
    hosted = request.tournament.hosted
    wanted = {name: value for name, value in (("id", id), ("model_id", modelId)) if value is not None}
    return [pickle for pickle in hosted.pickles(**wanted) if not (unassigned and hosted.assigned_models(pickle.id))]


@answers(query, "triggerLogs", with_keys=True)
def resolve_trigger_logs(request: ApiRequest, triggerId: str) -> list[Json]:
    """The state of a run, and why."""
    return [
        {"timestamp": stored_utc(run.inserted_at), "message": ": ".join(filter(None, (run.status, run.message)))}
        for run in request.tournament.hosted.runs(id=triggerId)
    ]


@model_type.field("computePickleUpload")
def resolve_assigned(model: Json, info: GraphQLResolveInfo) -> Pickle | None:
    found: Pickle | None = info.context.tournament.hosted.assigned_to(model["id"])
    return found


pickle_type.set_alias("modelId", "model_id")
pickle_type.set_alias("dataVersionId", "data_version_id")
pickle_type.set_alias("dockerImageId", "docker_image_id")
pickle_type.set_alias("validationStatus", "status")


@pickle_type.field("assignedModelSlots")
def resolve_assigned_slots(pickle: Pickle, info: GraphQLResolveInfo) -> list[str]:
    found: list[str] = info.context.tournament.hosted.assigned_models(pickle.id)
    return found


@pickle_type.field("dataVersion")
def resolve_data_version(pickle: Pickle, info: GraphQLResolveInfo) -> str:
    return _name_of(DATA_VERSIONS, pickle.data_version_id)


@pickle_type.field("dockerImageName")
def resolve_docker_image(pickle: Pickle, info: GraphQLResolveInfo) -> str:
    return _name_of(DOCKER_IMAGES, pickle.docker_image_id)


@pickle_type.field("insertedAt")
def resolve_inserted_at(pickle: Pickle, info: GraphQLResolveInfo) -> str:
    return stored_utc(pickle.inserted_at)


@pickle_type.field("updatedAt")
def resolve_updated_at(pickle: Pickle, info: GraphQLResolveInfo) -> str:
    return stored_utc(pickle.updated_at)


@pickle_type.field("triggerStatus")
def resolve_trigger_status(pickle: Pickle, info: GraphQLResolveInfo) -> str | None:
    runs: list[PickleRun] = info.context.tournament.hosted.runs(pickle_id=pickle.id, type=RunType.SUBMISSION)
    return runs[0].status if runs else None


@pickle_type.field("triggers")
def resolve_triggers(pickle: Pickle, info: GraphQLResolveInfo) -> list[Json]:
    return [_trigger_json(run) for run in info.context.tournament.hosted.runs(pickle_id=pickle.id)]


def _trigger_json(run: PickleRun) -> Json:
    return {
        "id": run.id,
        "computePickleUploadId": run.pickle_id,
        "type": run.type,
        "status": run.status,
        "statuses": [{"status": run.status, "description": run.message}],
        "roundId": round_id(run.round_number),
        "submissionId": run.submission_id,
        "insertedAt": stored_utc(run.inserted_at),
    }


def _chosen(what: str, options: tuple[Json, ...], identity: str | None) -> str:
    chosen = next((o for o in options if (o["default"] if identity is None else o["id"] == identity)), None)
    if chosen is None:
        raise SandboxError(f"{what} not found: {identity}")
    return str(chosen["id"])


def _name_of(options: tuple[Json, ...], identity: str) -> str:
    """Name of an option, or its id if the upload was made under another version of Python."""
    return next((str(option["name"]) for option in options if option["id"] == identity), identity)
