"""Reputations and ranks from plain scores, and as the unmodified numerapi shows them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.scoring.standings import GivenScore, Participant, history, leaderboard, reputations
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served

START = dt.datetime(2015, 1, 1, 10, tzinfo=dt.UTC)


def on(day: int) -> dt.datetime:
    return START + dt.timedelta(days=day)


def score(round_number: int, day: int, value: float | None, name: str = "corr60") -> GivenScore:
    return GivenScore(round_number, name, on(day), value)


def test_a_reputation_is_the_mean_of_each_rounds_newest_score() -> None:
    scores = [score(1, 2, 0.3), score(1, 1, 0.9), score(2, 2, 0.1), score(2, 3, None), score(2, 4, 0.7)]
    assert reputations(scores, [on(0), on(1), on(2), on(4)]) == [
        {},
        {"corr60": 0.9},
        {"corr60": pytest.approx(0.2)},
        {"corr60": pytest.approx(0.5)},
    ]


def test_a_reputation_forgets_after_a_year() -> None:
    scores = [score(1, 0, 0.4), score(2, 200, 0.2)]
    assert [found["corr60"] for found in reputations(scores, [on(364), on(365)])] == [pytest.approx(0.3), 0.2]


def test_models_rank_by_what_their_payout_scores_earn() -> None:
    models = [
        Participant("none", ()),
        Participant("corr", (score(1, 0, 0.02),)),
        Participant("mmc", (score(1, 0, 0.005, "mmc60"),)),
        Participant("loser", (score(1, 0, -0.01),)),
        Participant("unpaid", (score(1, 0, 0.5, "v2_corr20"),)),
    ]
    assert [(each.name, each.rank) for each in leaderboard(models, on(1))] == [
        ("mmc", 1),
        ("corr", 2),
        ("unpaid", 3),
        ("loser", 4),
        ("none", 5),
    ]


def test_a_history_ranks_each_day_among_all() -> None:
    models = [
        Participant("one", (score(1, 1, 0.1), score(1, 2, 0.3))),
        Participant("two", (score(1, 1, 0.2), score(1, 3, 0.5))),
    ]
    assert [(each.at, each.reputations, each.ranks) for each in history("one", models)] == [
        (on(2), {"corr60": 0.3}, {"corr60": 1}),
        (on(1), {"corr60": 0.1}, {"corr60": 2}),
    ]


@pytest.fixture(scope="module")
def scored(sandbox: Served) -> Served:
    """A sandbox whose first model submitted once and was scored for a week."""
    api = sandbox.client()
    api.upload_predictions(df=sandbox.predictions(), model_id=api.get_models()["sandbox_one"])
    sandbox.advance(round_by_number(FIRST_ROUND).scored_at(5).isoformat())
    return sandbox


def test_the_leaderboard_shows_models_and_benchmarks(scored: Served) -> None:
    api = scored.client()
    board = api.get_leaderboard()
    assert {item["username"] for item in board} == {
        "sandbox_one",
        "sandbox_two",
        "sandbox_three",
        "v53_lgbm_ender20",
        "v53_lgbm_ender60",
    }
    assert [item["rank"] for item in board] == [1, 2, 3, 4, 5]
    assert {item["nmrStaked"] for item in board} == {None}
    (own,) = [item for item in board if item["username"] == "sandbox_one"]
    newest = {item["displayName"]: item["value"] for item in newest_scores(scored)}
    assert own["corr20V2Rep"] == pytest.approx(newest["v2_corr20"])
    assert (own["mmcRep"], own["bmcRep"]) == (pytest.approx(newest["mmc"]), pytest.approx(newest["bmc"]))
    assert own["tcRep"] is None
    assert api.get_leaderboard(limit=2, offset=1) == board[1:3]
    rival = next(item for item in board if item["username"] == "v53_lgbm_ender60")
    assert isinstance(rival["corr20V2Rep"], float)


def newest_scores(sandbox: Served) -> list[dict[str, Any]]:
    api = sandbox.client()
    found: list[dict[str, Any]] = api.submission_scores(api.get_models()["sandbox_one"], day=5)
    return found


def test_the_account_leaderboard_has_the_account_and_its_rivals(scored: Served) -> None:
    board = scored.client().get_account_leaderboard()
    assert {item["username"] for item in board} == {"sandbox", "v53_lgbm_ender20", "v53_lgbm_ender60"}
    own = next(item for item in board if item["username"] == "sandbox")
    newest = {item["displayName"]: item["value"] for item in newest_scores(scored)}
    assert own["v2Corr20"] == pytest.approx(newest["v2_corr20"])
    assert (own["returnAllTimeNmr"], own["return1y"]) == (None, None)


def test_daily_performances_follow_the_scores(scored: Served) -> None:
    api = scored.client()
    days = api.daily_model_performances("sandbox_one")
    expected = [round_by_number(FIRST_ROUND).scored_at(day).date() for day in range(5, 0, -1)]
    assert [item["date"].date() for item in days] == expected
    assert days[0]["date"].time() == dt.time()
    newest = {item["displayName"]: item["value"] for item in newest_scores(scored)}
    assert days[0]["corrRep"] == pytest.approx(newest["v2_corr20"])
    assert 1 <= days[0]["corrRank"] <= 3
    assert (days[0]["fncRep"], days[0]["tcRank"]) == (None, None)
    assert api.daily_model_performances("sandbox_two") == []
    assert len(api.daily_model_performances("v53_lgbm_ender20")) == 5


def test_payouts_are_pending_until_their_round_resolves(fresh_sandbox: Served) -> None:
    api = fresh_sandbox.client()
    model = api.get_models()["sandbox_one"]
    api.upload_predictions(df=fresh_sandbox.predictions(), model_id=model)
    ours = {
        "roundId": f"round-{FIRST_ROUND}",
        "roundNumber": FIRST_ROUND,
        "roundResolveTime": round_by_number(FIRST_ROUND).resolves,
        "modelId": model,
        "modelName": "sandbox_one",
        "modelDisplayName": "sandbox_one",
        "payoutNmr": Decimal(0),
        "payoutValue": Decimal(0),
        "currencySymbol": "$",
    }
    assert api.pending_model_payouts() == {"actual": [], "pending": [ours]}
    fresh_sandbox.advance(round_by_number(FIRST_ROUND).resolves.isoformat())
    assert api.pending_model_payouts() == {"actual": [ours], "pending": []}
