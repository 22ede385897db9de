"""Resolvers of `schema.graphql`: each answers one question of the client from the tournament's current view.

A refused request raises SandboxError; its one line becomes `{"errors": [{"message": ...}]}`, as Numerai answers.
"""

import datetime as dt
import functools
import logging
from pathlib import Path
from typing import Any

from ariadne import ObjectType, graphql_sync, load_schema_from_path
from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.rounds import RoundStatus
from numerai_assets.sandbox.scoring.daily import DayScore
from numerai_assets.sandbox.server import api_diagnostics, api_hosted_models, api_standings
from numerai_assets.sandbox.server.resolving import ApiRequest, check_tournament, model_type, mutation, query, with_keys
from numerai_assets.sandbox.server.shapes import (
    TARGET,
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
from numerai_assets.sandbox.tournament.intake import NOT_OPEN
from numerai_assets.sandbox.tournament.local import LocalTournament, View
from numerai_assets.sandbox.tournament.state import Submission
from numerai_assets.sandbox.tournament.webhooks import check_webhook

_log = logging.getLogger(__name__)
# Refusals are answers, not failures of the server.
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
    # argument more, and every enum variable is then refused.
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
    return {"message": f"Internal error of the sandbox: {type(cause).__name__}; its log tells more"}


# -- rounds ------------------------------------------------------------------------------------------------------


@query.field("rounds")
def resolve_rounds(
    _: Any,
    info: GraphQLResolveInfo,
    tournament: int | None = None,
    number: int | None = None,
    target: str | None = None,
    status: str | None = None,
    limit: int | None = None,
) -> list[Json]:
    """Rounds up to one week ahead, newest first; number 0 is the open one.

    There is none once staking has closed, although the round still takes late submissions: a client that asks whether
    it may submit (numerapi's check_round_open) is never led to submit late.
    """
    check_tournament(tournament)
    view: View = info.context.view
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
    if target is not None and target != TARGET:
        found = []
    if limit is not None:
        found = found[: max(limit, 0)]
    return [round_json(each, view.now) for each in found]


@query.field("pipelineStatus")
def resolve_pipeline_status(_: Any, info: GraphQLResolveInfo, tournament: str, date: str | None = None) -> Json:
    """How far the scoring of a day has come; times are null until they have come."""
    if tournament != "classic":
        raise SandboxError(f"tournament {tournament!r}: the sandbox runs 'classic' alone")
    now = info.context.view.now
    try:
        day = now.date() if date is None else dt.date.fromisoformat(date)
    except ValueError:
        raise SandboxError(f"date {date!r}: expected YYYY-MM-DD") from None
    is_done = rounds.is_scoring_day(day) and rounds.scored_on(day) <= now
    moment = utc(rounds.scored_on(day)) if is_done else None
    times = dict.fromkeys(("dataReadyAt", "startedAt", "scoredAt", "resolvedAt"), moment)
    return {"tournament": tournament, "isScoringDay": rounds.is_scoring_day(day), **times}


# -- data --------------------------------------------------------------------------------------------------------


@query.field("listDatasets")
def resolve_list_datasets(
    _: Any,
    info: GraphQLResolveInfo,
    round: int | None = None,  # noqa: A002
    tournament: int | None = None,
) -> list[str]:
    check_tournament(tournament)
    return [file.name for file in info.context.view.release(round).files]


@query.field("dataset")
def resolve_dataset(
    _: Any,
    info: GraphQLResolveInfo,
    filename: str,
    round: int | None = None,  # noqa: A002
    tournament: int | None = None,
) -> str:
    check_tournament(tournament)
    request: ApiRequest = info.context
    file = request.view.release(round).file(filename)
    if file is None:
        raise SandboxError(f"Dataset not found: {filename}")
    return request.base_url + request.tournament.sign(f"/files/{file.datestamp}/{file.name}")


# -- account and models ------------------------------------------------------------------------------------------


@query.field("account")
@with_keys
def resolve_account(_: Any, info: GraphQLResolveInfo) -> Json:
    models = info.context.tournament.state.models()
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


@query.field("accountProfile")
def resolve_account_profile(_: Any, info: GraphQLResolveInfo, username: str, tournament: int | None = None) -> Json:
    check_tournament(tournament)
    if username != state.USERNAME:
        raise SandboxError(f"Account not found: {username}")
    return profile_json(info.context.tournament.state.models())


@query.field("model")
@with_keys
def resolve_model(_: Any, info: GraphQLResolveInfo, modelId: str | None = None) -> Json:
    return model_json(info.context.tournament.model(modelId))


@model_type.field("submissions")
def resolve_model_submissions(model: Json, info: GraphQLResolveInfo) -> list[Submission]:
    tournament: LocalTournament = info.context.tournament
    return tournament.state.submissions(model_id=model["id"])


@model_type.field("latestSubmissions")
def resolve_latest_submissions(model: Json, info: GraphQLResolveInfo) -> list[Submission]:
    tournament: LocalTournament = info.context.tournament
    return tournament.state.submissions(model_id=model["id"])[:1]


@mutation.field("setSubmissionWebhook")
@with_keys
def resolve_set_webhook(_: Any, info: GraphQLResolveInfo, modelId: str, newSubmissionWebhook: str | None = None) -> str:
    tournament: LocalTournament = info.context.tournament
    if newSubmissionWebhook is not None:
        check_webhook(newSubmissionWebhook)
        if tournament.hosted.assigned_to(tournament.model(modelId).id) is not None:
            raise SandboxError("A model with a model upload assigned cannot have a submission webhook")
    _change(info, modelId, webhook=newSubmissionWebhook)
    return "true"


@mutation.field("triggerModelWebhook")
@with_keys
def resolve_trigger_webhook(_: Any, info: GraphQLResolveInfo, modelId: str) -> str:
    """Calls a model's webhook now, on the newest round."""
    tournament: LocalTournament = info.context.tournament
    view: View = info.context.view
    tournament.webhooks.call(tournament.model(modelId), view.latest_round, view.now)
    return "true"


@mutation.field("setUserBio")
@with_keys
def resolve_set_bio(_: Any, info: GraphQLResolveInfo, value: str, modelId: str | None = None) -> bool:
    return _change(info, modelId, bio=value)


@mutation.field("setUserLink")
@with_keys
def resolve_set_link(
    _: Any, info: GraphQLResolveInfo, linkUrl: str, linkText: str | None = None, modelId: str | None = None
) -> bool:
    return _change(info, modelId, link_url=linkUrl, link_text=linkText)


def _change(info: GraphQLResolveInfo, identity: str | None, **columns: str | None) -> bool:
    tournament: LocalTournament = info.context.tournament
    tournament.state.change_model(tournament.model(identity).id, **columns)
    return True


# -- submissions -------------------------------------------------------------------------------------------------


@query.field("submission_upload_auth")
@with_keys
def resolve_upload_auth(
    _: Any, info: GraphQLResolveInfo, filename: str, tournament: int, modelId: str | None = None
) -> Json:
    check_tournament(tournament)
    name = info.context.tournament.hand_out_upload(filename, modelId)
    return {"filename": name, "url": f"{info.context.base_url}/uploads/{name}"}


@mutation.field("create_submission")
@with_keys
def resolve_create_submission(
    _: Any,
    info: GraphQLResolveInfo,
    filename: str,
    tournament: int,
    modelId: str | None = None,
    triggerId: str | None = None,
    source: str | None = None,
    dataDatestamp: int | None = None,
) -> Submission:
    check_tournament(tournament)
    made: Submission = info.context.tournament.register(
        filename, modelId, trigger_id=triggerId, source=source, data_datestamp=dataDatestamp
    )
    return made


@query.field("submissions")
@with_keys
def resolve_submissions(_: Any, info: GraphQLResolveInfo, modelId: str | None = None) -> list[Submission]:
    tournament: LocalTournament = info.context.tournament
    if modelId is None:
        return tournament.state.submissions()
    return tournament.state.submissions(model_id=tournament.model(modelId).id)


@query.field("submissionDownloadAuth")
@with_keys
def resolve_download_auth(_: Any, info: GraphQLResolveInfo, id: str | None = None) -> Json:  # noqa: A002
    tournament: LocalTournament = info.context.tournament
    submission = tournament.submission(id)
    url = info.context.base_url + tournament.sign(f"/submissions/{submission.filename}")
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


@query.field("submissionScores")
def resolve_submission_scores(
    _: Any,
    info: GraphQLResolveInfo,
    modelId: str,
    displayName: str | None = None,
    version: str | None = None,
    day: int | None = None,
    resolved: bool | None = None,
    tournament: int | None = None,
    lastNRounds: int | None = None,
    distinctOnRound: bool | None = None,
) -> list[Json]:
    """Scores of a model, newest round and day first."""
    check_tournament(tournament)
    by_round = _scores_of(info, modelId)
    if lastNRounds is not None:
        by_round = by_round[: max(lastNRounds, 0)]
    wanted = {"displayName": displayName, "version": version, "day": day, "resolved": resolved}
    found: list[Json] = []
    for submission, scores in by_round:
        items = [submission_score_json(submission, score) for score in scores]
        items = [item for item in items if all(value is None or item[key] == value for key, value in wanted.items())]
        found += items[:1] if distinctOnRound else items
    return found


@query.field("v2RoundModelPerformances")
def resolve_performances(_: Any, info: GraphQLResolveInfo, modelId: str, tournament: int) -> list[Json]:
    """Rounds that the model submitted to, newest first."""
    check_tournament(tournament)
    now = info.context.view.now
    return [performance_json(submission, scores, now) for submission, scores in _scores_of(info, modelId)]


def _scores_of(info: GraphQLResolveInfo, identity: str) -> list[tuple[Submission, list[DayScore]]]:
    tournament, view = info.context.tournament, info.context.view
    found = tournament.state.scores(tournament.model(identity).id)
    return [(submission, _given_by(view.now, submission, scores)) for submission, scores in found]


def _given_by(now: dt.datetime, submission: Submission, scores: list[DayScore]) -> list[DayScore]:
    scored = rounds.round_by_number(submission.round_number)
    return [score for score in scores if scored.scored_at(score.day) <= now]
