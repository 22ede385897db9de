"""Rounds, models and scores in the form that numerapi parses."""

import datetime as dt

import pytest

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.scoring.daily import SCORES, DayScore
from numerai_assets.sandbox.server import shapes
from numerai_assets.sandbox.tournament.state import Model, Submission

ROUND = round_by_number(326)
SUBMISSION = Submission("s", "m", 326, "p.csv", "2015-04-11T12:05:00+00:00", "on-time", True, 1, 1, None, None)


def day_score(name: str, day: int, value: float | None) -> DayScore:
    return DayScore("s", name, day, value, 0.5, day == 60)


def test_a_round_is_resolved_when_its_scores_are() -> None:
    before, after = (shapes.round_json(ROUND, moment) for moment in (ROUND.opens, ROUND.resolves))
    assert (before["resolvedStaking"], after["resolvedStaking"]) == (False, True)
    assert before["openTime"] == "2015-04-11T12:00:00Z"
    assert len(before["roundScoreConfigs"](None)) == len(SCORES)


def test_times_end_in_z_whatever_their_zone() -> None:
    moment = dt.datetime(2015, 4, 11, 14, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert shapes.utc(moment) == "2015-04-11T12:05:00Z"
    assert shapes.stored_utc("2015-04-11T12:05:00+00:00") == "2015-04-11T12:05:00Z"


def test_a_performance_has_the_newest_score_of_each_name_and_all_of_them() -> None:
    scores = [day_score("corr60", 2, 0.02), day_score("mmc60", 2, None), day_score("corr60", 1, 0.01)]
    found = shapes.performance_json(SUBMISSION, scores, ROUND.opens)
    newest = {item["displayName"]: item["value"] for item in found["submissionScores"]}
    assert newest == {"corr60": 0.02, "mmc60": None}
    assert len(found["intraRoundSubmissionScores"]) == 3
    assert found["atRisk"] == "0"


@pytest.mark.parametrize(("day", "pending", "settled"), [(59, "0", None), (60, None, "0")])
def test_a_payout_is_pending_until_its_score_is_final(day: int, pending: str | None, settled: str | None) -> None:
    found = shapes.performance_json(SUBMISSION, [day_score("corr60", day, 0.02)], ROUND.opens)
    (item,) = found["submissionScores"]
    assert (item["payoutPending"], item["payoutSettled"]) == (pending, settled)


def test_a_model_shows_its_profile() -> None:
    model = Model("m", "mine", "2015-04-11T12:05:00+00:00", "bio", None, None, None)
    found = shapes.model_json(model)
    assert (found["name"], found["bio"], found["insertedAt"]) == ("mine", "bio", "2015-04-11T12:05:00Z")
    assert shapes.profile_json([model])["models"] == [found]
