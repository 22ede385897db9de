"""Resolvers for leaderboards, profiles, payouts and stakes.

Nothing is staked in the sandbox: stakes and returns on them are null, payouts are zero. The rivals are the benchmark
models; they are scored in the rounds that the account's models submitted to.
"""

import datetime as dt
import functools
from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.rounds import RoundStatus
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES
from numerai_assets.sandbox.scoring import standings
from numerai_assets.sandbox.scoring.standings import DailyStanding, GivenScore, Participant, Standing
from numerai_assets.sandbox.server.resolving import ApiRequest, answers, mutation, query
from numerai_assets.sandbox.server.shapes import Json, model_json, payout_json, stored_utc, utc
from numerai_assets.sandbox.tournament import state

profile_type = ObjectType("UserProfile")
TYPES = (profile_type,)

_STAKING_V2 = "Legacy staking is disabled for this tournament: stakes are Atomic (v3) since round 1343"
_STAKING_V3 = "Atomic staking (v3) is not part of the sandbox: it needs Numerai's signer and a chain"


@answers(query, "v2Leaderboard")
def resolve_leaderboard(request: ApiRequest, limit: int = 50, offset: int = 0) -> list[Json]:
    """Models of the account and benchmarks, best first."""
    found = standings.leaderboard(_participants(request), request.view.now)
    return [_entry_json(standing) for standing in _page(found, limit, offset)]


@answers(query, "accountLeaderboard")
def resolve_account_leaderboard(request: ApiRequest, limit: int = 50, offset: int = 0) -> list[Json]:
    """Accounts, best first: that of the sandbox, with the scores of all its models, and one per benchmark."""
    own = {model.name for model in request.tournament.state.models()}
    models = _participants(request)
    account = Participant(state.USERNAME, tuple(s for each in models if each.name in own for s in each.scores))
    rivals = [each for each in models if each.name not in own]
    found = standings.leaderboard([account, *rivals], request.view.now)
    return [_account_entry_json(standing) for standing in _page(found, limit, offset)]


@answers(query, "v3UserProfile")
def resolve_user_profile(request: ApiRequest, model_name: str | None = None, modelName: str | None = None) -> Json:
    """The public profile of a model or of a benchmark."""
    name = model_name or modelName
    if name in BENCHMARK_NAMES:
        started = request.tournament.state.models()[0].inserted_at
        return {"id": state.named_id("rivals", name), "username": name, "startDate": stored_utc(started)}
    model = request.tournament.model_named(name)
    return {**model_json(model), "startDate": stored_utc(model.inserted_at)}


@profile_type.field("dailyModelPerformances")
def resolve_daily_performances(profile: Json, info: GraphQLResolveInfo) -> list[Json]:
    request: ApiRequest = info.context
    return [_daily_json(day) for day in standings.history(profile["username"], _participants(request))]


@answers(query, "pendingModelPayouts", with_keys=True)
def resolve_payouts(request: ApiRequest) -> Json:
    """Payouts of the resolved rounds of the account's models, and the current ones of unresolved rounds."""
    found: dict[str, list[Json]] = {"actual": [], "pending": []}
    for model in request.tournament.state.models():
        for submission in request.tournament.state.submissions(model_id=model.id, selected=1):
            scored = rounds.round_by_number(submission.round_number)
            is_resolved = scored.status(request.view.now) is RoundStatus.RESOLVED
            found["actual" if is_resolved else "pending"].append(payout_json(model, scored))
    return found


@answers(mutation, "v2ChangeStake", with_keys=True)
@answers(mutation, "releaseStake", with_keys=True)
def resolve_legacy_staking(request: ApiRequest, **__: Any) -> None:
    raise SandboxError(_STAKING_V2)


@answers(query, "v3StakeAuth", with_keys=True)
@answers(query, "v3StakeConfig", with_keys=True)
@answers(query, "v3StakeRound", with_keys=True)
@answers(query, "v3StakeClaim", with_keys=True)
def resolve_staking(request: ApiRequest, **__: Any) -> None:
    raise SandboxError(_STAKING_V3)


def _participants(request: ApiRequest) -> list[Participant]:
    """The account's models, then the benchmarks, with the scores published so far."""
    kept, now = request.tournament.state, request.view.now

    @functools.cache
    def given(round_number: int, day: int) -> dt.datetime:
        return rounds.round_by_number(round_number).scored_at(day)

    own = {
        model.name: [
            GivenScore(
                submission.round_number, score.display_name, given(submission.round_number, score.day), score.value
            )
            for submission, scores in kept.scores(model.id)
            for score in scores
        ]
        for model in kept.models()
    }
    rivals: dict[str, list[GivenScore]] = {name: [] for name in BENCHMARK_NAMES}
    for rival in kept.rival_scores():
        moment = given(rival.round_number, rival.day)
        rivals[rival.rival].append(GivenScore(rival.round_number, rival.display_name, moment, rival.value))
    return [
        Participant(name, tuple(score for score in scores if score.given_at <= now))
        for name, scores in (own | rivals).items()
    ]


def _page(found: list[Standing], limit: int, offset: int) -> list[Standing]:
    return found[max(offset, 0) :][: max(limit, 0)]


def _entry_json(standing: Standing) -> Json:
    return {
        "username": standing.name,
        "rank": standing.rank,
        "team": False,
        "corr20V2Rep": standing.reputation("v2_corr20"),
        "corr60Rep": standing.reputation("corr60"),
        "mmcRep": standing.reputation("mmc"),
        "mmc60Rep": standing.reputation("mmc60"),
        "bmcRep": standing.reputation("bmc"),
    }


def _account_entry_json(standing: Standing) -> Json:
    return {
        "username": standing.name,
        "displayName": standing.name,
        "rank": standing.rank,
        "v2Corr20": standing.reputation("v2_corr20"),
        "corr60": standing.reputation("corr60"),
        "mmc": standing.reputation("mmc"),
        "mmc60": standing.reputation("mmc60"),
        "bmc": standing.reputation("bmc"),
    }


_DAILY = {"corr": "v2_corr20", "corr60": "corr60", "mmc": "mmc"}


def _daily_json(day: DailyStanding) -> Json:
    return {
        "date": utc(dt.datetime.combine(day.at.date(), dt.time(), dt.UTC)),
        **{f"{field}Rep": day.reputations.get(name) for field, name in _DAILY.items()},
        **{f"{field}Rank": day.ranks.get(name) for field, name in _DAILY.items()},
    }
