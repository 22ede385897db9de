"""Live scores: fetched with the score configs of their rounds, and paid by these."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from numerai_assets.pipeline.live_scores import (
    live_payouts,
    read_live_scores,
    read_score_configs,
    refresh_live_scores,
    scores_as_of,
)
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings
from numerai_assets.store.atomic import write_json
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.scores import COLUMNS

OPENS = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)


class Tournament:
    """Answers with one CORR and one MMC for each round up to the open one."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.listed: list[int] = []

    def current_round(self) -> Round | None:
        return None if self.number is None else Round(self.number, OPENS, OPENS + dt.timedelta(hours=26), OPENS.date())

    def models(self) -> dict[str, str]:
        return {"one": "id-one"}

    def query(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "roundScoreConfigs" in text:
            self.listed.append(variables["limit"])
            return {"rounds": [{"number": number, "roundScoreConfigs": configs()} for number in range(1380, 1340, -1)]}
        return {
            "submissionScores": [
                {
                    "roundNumber": number,
                    "value": value,
                    "percentile": None,
                    "displayName": name,
                    "date": "2026-10-03T18:00:00Z",
                    "day": 1,
                    "resolved": False,
                }
                for number in (1350, 1351)
                for name, value in (("corr60", 0.02), ("mmc60", 0.01))
            ]
        }


def configs(factor: float | None = 1.0) -> list[dict[str, Any]]:
    paying = {"isPayout": True, "clipThreshold": "0.05", "payoutFactor": factor}
    return [
        paying | {"displayName": "corr60", "defaultMultiplier": "1.0"},
        paying | {"displayName": "mmc60", "defaultMultiplier": "2.0"},
        {"displayName": "bmc60", "isPayout": False, "defaultMultiplier": None},
    ]


def workspace_of(tmp_path: Path, tournament: Tournament) -> Workspace:
    workspace = Workspace(Settings(home=tmp_path))
    workspace.__dict__["tournament"] = tournament
    workspace.folder.mkdir(parents=True, exist_ok=True)
    return workspace


def scored(number: int, **values: float) -> pd.DataFrame:
    rows = [("one", number, name, 1, OPENS.date(), value, None, False) for name, value in values.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_a_workspace_without_live_scores_has_none(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, Tournament(1352))

    assert read_live_scores(workspace).empty
    assert scores_as_of(workspace) is None
    assert read_score_configs(workspace) == {}
    assert live_payouts(read_live_scores(workspace), {}).empty


def test_scores_are_stored_with_the_configs_of_their_rounds_which_are_asked_for_once(tmp_path: Path) -> None:
    tournament = Tournament(1352)
    workspace = workspace_of(tmp_path, tournament)

    scores = refresh_live_scores(workspace, ["one"])
    refresh_live_scores(workspace, ["one"])

    pd.testing.assert_frame_equal(read_live_scores(workspace), scores, check_dtype=False)
    assert scores_as_of(workspace) == 1352
    assert set(read_score_configs(workspace)) == {1350, 1351}
    (limit,) = tournament.listed
    assert limit >= 1352 - 1350 + 1


def test_between_rounds_the_configs_wait_for_the_next_round(tmp_path: Path) -> None:
    tournament = Tournament(None)
    workspace = workspace_of(tmp_path, tournament)

    refresh_live_scores(workspace, ["one"])

    assert (tournament.listed, scores_as_of(workspace), read_score_configs(workspace)) == ([], None, {})


def test_a_file_of_an_older_version_has_no_configs_yet(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, Tournament(1352))
    write_json(workspace.scores_path.with_suffix(".json"), {"round": 1300})

    assert (scores_as_of(workspace), read_score_configs(workspace)) == (1300, {})


def test_a_round_pays_by_its_own_configs_and_else_by_the_rule_of_its_time() -> None:
    live = pd.concat([scored(number, corr60=0.02, mmc60=0.01) for number in (1350, 1351)])

    payouts = live_payouts(live, {1351: configs(0.5)})

    assert payouts["payout"].tolist() == pytest.approx([3 * 0.02 + 15 * 0.01, 0.5 * (0.02 + 2 * 0.01)])
    assert payouts["rule"].tolist() == ["3 corr60 + 15 mmc60, clipped at 1", "1 corr60 + 2 mmc60, clipped at 0.05"]


def test_a_round_without_all_paying_scores_has_no_payout_yet() -> None:
    assert live_payouts(scored(1350, corr60=0.02), {}).empty
    assert live_payouts(scored(1350, corr60=0.02, mmc60=math.nan), {}).empty


def test_a_factor_that_is_not_known_leaves_the_payout_open() -> None:
    (row,) = live_payouts(scored(1200, v2_corr20=0.02, mmc=0.01), {}).to_dict("records")

    assert math.isnan(row["payout"])
    assert row["rule"] == "0.75 v2_corr20 + 2.25 mmc, clipped at 0.05"


@pytest.mark.parametrize(
    ("number", "given", "reason"),
    [
        (600, {}, "no payout rule is known for rounds before 650"),
        (1350, {1350: [{"displayName": "a"}]}, "none of 1 pays"),
    ],
)
def test_a_round_without_a_rule_says_why(number: int, given: dict[int, Any], reason: str) -> None:
    (row,) = live_payouts(scored(number, corr60=0.02, mmc60=0.01), given).to_dict("records")

    assert math.isnan(row["payout"])
    assert reason in row["rule"]
