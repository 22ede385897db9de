"""Resolvers for `schema.graphql`: each answers one field from the tournament's current view.

A refused request raises SandboxError; its message becomes `{"errors": [{"message": ...}]}`, as at Numerai.
"""

import datetime as dt
import functools
import logging
from pathlib import Path
from typing import Any

from ariadne import ObjectType, graphql_sync, load_schema_from_path
from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema

from numerai_assets.eras import PAYOUT_TARGET
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.rounds import RoundStatus
from numerai_assets.sandbox.scoring.daily import DayScore
from numerai_assets.sandbox.server import api_diagnostics, api_hosted_models, api_standings
from numerai_assets.sandbox.server.resolving import CLASSIC, ApiRequest, answers, model_type, mutation, query
from numerai_assets.sandbox.server.shapes import (
    Json,
    model_json,
    performance_json,
    profile_json,
    round_json,
    stored_utc,
    submission_score_json,
    utc,
)
from numerai_assets.sandbox.tournament import state
from numerai_assets.sandbox.tournament.background import internal_error
from numerai_assets.sandbox.tournament.intake import NOT_OPEN
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import Purpose, Submission
from numerai_assets.sandbox.tournament.webhooks import check_webhook

_log = logging.getLogger(__name__)
# Refusals are normal answers and not worth a traceback in the log.
_log.addFilter(lambda record: not (record.exc_info and isinstance(_cause(record.exc_info[1]), SandboxError)))

submission_type = ObjectType("V2Submission")

_OTHER_TYPES = (*api_diagnostics.TYPES, *api_hosted_models.TYPES, *api_standings.TYPES)
_SCHEMA_FILE = Path(__file__).with_name("schema.graphql")
_SCOPES = ("upload_submission", "read_submission_info", "read_user_info", "download_submission")


def answer(request: ApiRequest, payload: Any) -> Json:
    """The GraphQL answer to a decoded request body, errors included."""
    _, result = graphql_sync(_schema(), payload, context_value=request, logger=_log, error_formatter=_format_error)
    return result


@functools.cache
def _schema() -> GraphQLSchema:
    # Not make_executable_schema: ariadne 1.1.1 patches enums with a function that graphql-core 3.2.14 calls with one
    # argument too many, so that every enum variable is refused.
    schema = build_schema(load_schema_from_path(str(_SCHEMA_FILE)))
    for bindable in (query, mutation, model_type, submission_type, *_OTHER_TYPES):
        bindable.bind_to_schema(schema)
    return schema


def _cause(error: BaseException | None) -> BaseException | None:
    return getattr(error, "original_error", None) or error


def _format_error(error: GraphQLError, debug: bool = False) -> Json:
    cause = _cause(error)
    if isinstance(cause, (SandboxError, GraphQLError)):
        return dict(error.formatted)
    return {"message": internal_error(cause)}


# -- rounds ------------------------------------------------------------------------------------------------------


@answers(query, "rounds")
def resolve_rounds(
    request: ApiRequest,
    number: int | None = None,
    target: str | None = None,
    status: str | None = None,
    limit: int | None = None,
) -> list[Json]:
    """Rounds up to one week ahead, newest first; number 0 is the open one.

    No round is open once staking has closed, although the round still takes late submissions: so a client that checks
    whether it may submit (numerapi's check_round_open) never submits late by accident.
    """
    view = request.view
    if number == 0:
        if view.open_round is None:
            raise SandboxError(NOT_OPEN)
        found = [view.open_round]
    else:
        announced = view.latest_round.number + rounds.ROUNDS_PER_ERA
        numbers = range(announced, 0, -1) if number is None else [number] if 1 <= number <= announced else []
        found = [view.hours.announced(each, view.now) for each in numbers]
    if status is not None:
        found = [each for each in found if view.hours.actual(each.number).status(view.now) is RoundStatus(status)]
    if target is not None and target != PAYOUT_TARGET:
        found = []
    if limit is not None:
        found = found[: max(limit, 0)]
    return [round_json(each, view.now) for each in found]


@answers(query, "pipelineStatus")
def resolve_pipeline_status(request: ApiRequest, date: str | None = None) -> Json:
    """Progress of the scoring of a day; times are null until they are reached."""
    now = request.view.now
    try:
        day = now.date() if date is None else dt.date.fromisoformat(date)
    except ValueError:
        raise SandboxError(f"date {date!r}: expected YYYY-MM-DD") from None
    is_done = rounds.is_scoring_day(day) and rounds.scored_on(day) <= now
    moment = utc(rounds.scored_on(day)) if is_done else None
    times = dict.fromkeys(("dataReadyAt", "startedAt", "scoredAt", "resolvedAt"), moment)
    return {"tournament": CLASSIC, "isScoringDay": rounds.is_scoring_day(day), **times}


# -- data --------------------------------------------------------------------------------------------------------


@answers(query, "listDatasets")
def resolve_list_datasets(request: ApiRequest, round: int | None = None) -> list[str]:  # noqa: A002
    return [file.name for file in request.view.release(round).files]


@answers(query, "dataset")
def resolve_dataset(request: ApiRequest, filename: str, round: int | None = None) -> str:  # noqa: A002
    file = request.view.release(round).file(filename)
    if file is None:
        raise SandboxError(f"Dataset not found: {filename}")
    return request.base_url + request.tournament.sign(f"/files/{file.datestamp}/{file.name}")


# -- account and models ------------------------------------------------------------------------------------------


@answers(query, "account", with_keys=True)
def resolve_account(request: ApiRequest) -> Json:
    models = request.tournament.state.models()
    return {
        **profile_json(models),
        "email": "sandbox@example.com",
        "walletAddress": None,
        "availableNmr": "0",
        "mfaEnabled": False,
        "status": "VERIFIED",
        "insertedAt": stored_utc(models[0].inserted_at),
        "walletTxns": [],
        "apiTokens": [{"name": "sandbox", "public_id": state.PUBLIC_ID, "scopes": _SCOPES}],
    }


@answers(query, "accountProfile")
def resolve_account_profile(request: ApiRequest, username: str) -> Json:
    if username != state.USERNAME:
        raise SandboxError(f"Account not found: {username}")
    return profile_json(request.tournament.state.models())


@answers(query, "model", with_keys=True)
def resolve_model(request: ApiRequest, modelId: str | None = None) -> Json:
    return model_json(request.tournament.model(modelId))


@model_type.field("submissions")
def resolve_model_submissions(model: Json, info: GraphQLResolveInfo) -> list[Submission]:
    tournament: LocalTournament = info.context.tournament
    return tournament.state.submissions(model_id=model["id"])


@model_type.field("latestSubmissions")
def resolve_latest_submissions(model: Json, info: GraphQLResolveInfo) -> list[Submission]:
    tournament: LocalTournament = info.context.tournament
    return tournament.state.submissions(model_id=model["id"])[:1]


@answers(mutation, "setSubmissionWebhook", with_keys=True)
def resolve_set_webhook(request: ApiRequest, modelId: str, newSubmissionWebhook: str | None = None) -> str:
    tournament = request.tournament
    if newSubmissionWebhook is not None:
        check_webhook(newSubmissionWebhook)
        if tournament.hosted.assigned_to(tournament.model(modelId).id) is not None:
            raise SandboxError("A model with a model upload assigned cannot have a submission webhook")
    _change(request, modelId, webhook=newSubmissionWebhook)
    return "true"


@answers(mutation, "triggerModelWebhook", with_keys=True)
def resolve_trigger_webhook(request: ApiRequest, modelId: str) -> str:
    """Calls a model's webhook now, for the newest round."""
    tournament, view = request.tournament, request.view
    tournament.webhooks.call(tournament.model(modelId), view.latest_round, view.now)
    return "true"


@answers(mutation, "setUserBio", with_keys=True)
def resolve_set_bio(request: ApiRequest, value: str, modelId: str | None = None) -> bool:
    return _change(request, modelId, bio=value)


@answers(mutation, "setUserLink", with_keys=True)
def resolve_set_link(
    request: ApiRequest, linkUrl: str, linkText: str | None = None, modelId: str | None = None
) -> bool:
    return _change(request, modelId, link_url=linkUrl, link_text=linkText)


def _change(request: ApiRequest, identity: str | None, **columns: str | None) -> bool:
    tournament = request.tournament
    tournament.state.change_model(tournament.model(identity).id, **columns)
    return True


# -- submissions -------------------------------------------------------------------------------------------------


def _answer_upload_auth(field: str, purpose: Purpose) -> None:
    @answers(query, field, with_keys=True)
    def resolve_upload_auth(request: ApiRequest, filename: str, modelId: str | None = None) -> Json:
        name = request.tournament.hand_out_upload(filename, modelId, purpose)
        return {"filename": name, "url": f"{request.base_url}/uploads/{name}"}


_answer_upload_auth("submission_upload_auth", Purpose.SUBMISSION)
_answer_upload_auth("diagnosticsUploadAuth", Purpose.DIAGNOSTICS)
_answer_upload_auth("computePickleUploadAuth", Purpose.PICKLE)


@answers(mutation, "create_submission", with_keys=True)
def resolve_create_submission(
    request: ApiRequest,
    filename: str,
    modelId: str | None = None,
    triggerId: str | None = None,
    source: str | None = None,
    dataDatestamp: int | None = None,
) -> Submission:
    return request.tournament.register(
        filename, modelId, trigger_id=triggerId, source=source, data_datestamp=dataDatestamp
    )


@answers(query, "submissions", with_keys=True)
def resolve_submissions(request: ApiRequest, modelId: str | None = None) -> list[Submission]:
    tournament = request.tournament
    if modelId is None:
        return tournament.state.submissions()
    return tournament.state.submissions(model_id=tournament.model(modelId).id)


@answers(query, "submissionDownloadAuth", with_keys=True)
def resolve_download_auth(request: ApiRequest, id: str | None = None) -> Json:  # noqa: A002
    tournament = request.tournament
    submission = tournament.submission(id)
    url = request.base_url + tournament.sign(f"/submissions/{submission.filename}")
    return {"filename": submission.filename, "url": url}


submission_type.set_alias("submittedCount", "submitted_count")
submission_type.set_alias("filteredCount", "filtered_count")
submission_type.set_alias("triggerId", "trigger_id")


@submission_type.field("insertedAt")
def resolve_inserted_at(submission: Submission, info: GraphQLResolveInfo) -> str:
    return stored_utc(submission.inserted_at)


@submission_type.field("round")
def resolve_round_of_submission(submission: Submission, info: GraphQLResolveInfo) -> Json:
    return round_json(rounds.round_by_number(submission.round_number), info.context.view.now)


# -- scores ------------------------------------------------------------------------------------------------------


@answers(query, "submissionScores")
def resolve_submission_scores(
    request: ApiRequest,
    modelId: str,
    displayName: str | None = None,
    version: str | None = None,
    day: int | None = None,
    resolved: bool | None = None,
    lastNRounds: int | None = None,
    distinctOnRound: bool | None = None,
) -> list[Json]:
    """Scores of a model, newest round and day first."""
    by_round = _scores_of(request, modelId)
    if lastNRounds is not None:
        by_round = by_round[: max(lastNRounds, 0)]
    wanted = {"displayName": displayName, "version": version, "day": day, "resolved": resolved}
    found: list[Json] = []
    for submission, scores in by_round:
        items = [submission_score_json(submission, score) for score in scores]
        items = [item for item in items if all(value is None or item[key] == value for key, value in wanted.items())]
        found += items[:1] if distinctOnRound else items
    return found


@answers(query, "v2RoundModelPerformances")
def resolve_performances(request: ApiRequest, modelId: str) -> list[Json]:
    """Rounds that the model submitted to, newest first."""
    now = request.view.now
    return [performance_json(submission, scores, now) for submission, scores in _scores_of(request, modelId)]


def _scores_of(request: ApiRequest, identity: str) -> list[tuple[Submission, list[DayScore]]]:
    tournament, view = request.tournament, request.view
    found = tournament.state.scores(tournament.model(identity).id)
    return [(submission, _given_by(view.now, submission, scores)) for submission, scores in found]


def _given_by(now: dt.datetime, submission: Submission, scores: list[DayScore]) -> list[DayScore]:
    scored = rounds.round_by_number(submission.round_number)
    return [score for score in scores if scored.scored_at(score.day) <= now]
