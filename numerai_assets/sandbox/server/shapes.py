"""Rounds, models and scores as the API returns them: dictionaries with the client's field names.

Decimals are strings or null and times end in Z, as numerapi expects.
"""

import datetime as dt
import functools
from decimal import Decimal
from typing import Any

from numerai_assets.eras import PAYOUT_TARGET
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.rounds import CalendarRound, RoundStatus
from numerai_assets.sandbox.scoring.daily import CLIP_THRESHOLD, PAYOUT_FACTOR, SCORES, DayScore, ScoreConfig, payouts
from numerai_assets.sandbox.tournament import state
from numerai_assets.sandbox.tournament.state import TOURNAMENT, Model, Submission

Json = dict[str, Any]

AT_RISK = Decimal(0)


def round_json(found: CalendarRound, now: dt.datetime) -> Json:
    """A round at time `now`. Between closeStakingTime and closeTime it accepts late submissions."""
    is_resolved = found.status(now) is RoundStatus.RESOLVED
    return {
        "id": round_id(found.number),
        "tournament": TOURNAMENT,
        "number": found.number,
        "target": PAYOUT_TARGET,
        "openTime": utc(found.opens),
        "closeTime": utc(found.closes_late),
        "closeStakingTime": utc(found.closes),
        "scoreTime": utc(found.scored_at(1)),
        "resolveTime": utc(found.resolves),
        "resolvedGeneral": is_resolved,
        "resolvedStaking": is_resolved,
        "payoutFactor": f"{PAYOUT_FACTOR:g}",
        "stakeThreshold": None,
        "dataDatestamp": found.datestamp,
        "roundScoreConfigs": lambda info: [score_config_json(config, found) for config in SCORES],
    }


def score_config_json(config: ScoreConfig, scored: CalendarRound) -> Json:
    """Definition and payout of one score of a round."""
    return {
        "id": f"{round_id(scored.number)}-{config.name}",
        "scoreConfigId": f"score-{config.name}",
        "roundNumberStart": 1,
        "roundNumberEnd": None,
        "name": config.name,
        "version": config.version,
        "displayName": config.display_name,
        "totalScoreDays": config.days,
        "returnsLagDays": rounds.LAG_WEEKDAYS,
        "dataDelayDays": rounds.DATA_DELAY_WEEKDAYS,
        "universe": None,
        "isCanonScore": config.is_payout,
        "isPayout": config.is_payout,
        "scoringStart": utc(scored.scored_at(1)),
        "scoringEnd": utc(scored.scored_at(config.days)),
        "minMultiplier": config.multiplier,
        "maxMultiplier": config.multiplier,
        "defaultMultiplier": config.multiplier,
        "clipThreshold": CLIP_THRESHOLD if config.is_payout else None,
        "stakeThreshold": None,
        "payoutFactor": PAYOUT_FACTOR if config.is_payout else None,
    }


def profile_json(models: list[Model]) -> Json:
    """The account's public profile."""
    return {"id": "sandbox-account", "username": state.USERNAME, "models": [model_json(model) for model in models]}


def model_json(model: Model) -> Json:
    """A model without its submissions, which have a resolver of their own."""
    return {
        "id": model.id,
        "name": model.name,
        "username": model.name,
        "displayName": model.name,
        "tournament": TOURNAMENT,
        "insertedAt": stored_utc(model.inserted_at),
        "bio": model.bio,
        "linkText": model.link_text,
        "linkUrl": model.link_url,
        "submissionWebhook": model.webhook,
        "v2Stake": None,
    }


def submission_score_json(submission: Submission, score: DayScore) -> Json:
    """One score of one day."""
    scored, config = rounds.round_by_number(submission.round_number), _config_of(score)
    return {
        "roundId": round_id(scored.number),
        "submissionId": submission.id,
        "roundNumber": scored.number,
        "roundResolveTime": utc(scored.resolves),
        "roundScoreTime": utc(scored.scored_at(1)),
        "roundCloseStakingTime": utc(scored.closes),
        "value": score.value,
        "percentile": score.percentile,
        "displayName": score.display_name,
        "version": config.version,
        "date": utc(scored.scored_at(score.day)),
        "day": score.day,
        "resolveDate": utc(scored.scored_at(config.days)),
        "resolved": score.is_final,
    }


def performance_json(submission: Submission, scores: list[DayScore], now: dt.datetime) -> Json:
    """A model's round with its newest and all its scores. scores: newest day first."""
    scored = rounds.round_by_number(submission.round_number)
    newest = list({score.display_name: score for score in reversed(scores)}.values())
    configs = [score_config_json(config, scored) for config in SCORES if config.is_payout]
    return {
        "atRisk": f"{AT_RISK}",
        "payoutMultipliers": [config | {"multiplier": config["defaultMultiplier"]} for config in configs],
        "roundId": round_id(scored.number),
        "roundPayoutFactor": PAYOUT_FACTOR,
        "roundNumber": scored.number,
        "roundOpenTime": utc(scored.opens),
        "roundResolveTime": utc(scored.resolves),
        "roundResolved": scored.status(now) is RoundStatus.RESOLVED,
        "roundTarget": PAYOUT_TARGET,
        "submissionScores": _payout_scores(scored, newest),
        "intraRoundSubmissionScores": _payout_scores(scored, scores),
    }


def payout_json(model: Model, scored: CalendarRound) -> Json:
    """Payout of a round to a model: zero, because nothing is staked."""
    return {
        "roundId": round_id(scored.number),
        "roundNumber": scored.number,
        "roundResolveTime": utc(scored.resolves),
        "modelId": model.id,
        "modelName": model.name,
        "modelDisplayName": model.name,
        "payoutNmr": f"{AT_RISK}",
        "payoutValue": f"{AT_RISK}",
        "currencySymbol": "$",
    }


def _payout_scores(scored: CalendarRound, scores: list[DayScore]) -> list[Json]:
    values: dict[int, dict[str, float | None]] = {}
    for score in scores:
        values.setdefault(score.day, {})[score.display_name] = score.value
    paid = {day: payouts(of_day, AT_RISK) for day, of_day in values.items()}
    return [_payout_score(scored, score, paid[score.day].get(score.display_name)) for score in scores]


def _payout_score(scored: CalendarRound, score: DayScore, payout: Decimal | None) -> Json:
    amount = None if payout is None else f"{payout.normalize() + 0:f}"
    return {
        "date": utc(scored.scored_at(score.day)),
        "day": score.day,
        "displayName": score.display_name,
        "payoutPending": None if score.is_final else amount,
        "payoutSettled": amount if score.is_final else None,
        "percentile": score.percentile,
        "value": score.value,
    }


def _config_of(score: DayScore) -> ScoreConfig:
    return next(config for config in SCORES if config.display_name == score.display_name)


def round_id(number: int) -> str:
    return f"round-{number}"


@functools.lru_cache(1 << 14)
def utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stored_utc(stored: str) -> str:
    return stored.replace("+00:00", "Z")
