"""Live scores of past submissions, as Numerai last published them, and what each round pays for them."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.payout import PayoutRule, rule_of_round
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.atomic import replacing_file, write_json
from numerai_assets.tournament.scores import COLUMNS, fetch_score_configs, fetch_scores, latest_scores

ScoreConfigs = Mapping[int, Sequence[Mapping[str, Any]]]


def refresh_live_scores(workspace: Workspace, slots: Sequence[str]) -> pd.DataFrame:
    """Fetches the scores of the slots, and the score configs of their rounds; stores and returns the scores."""
    current, configs = workspace.tournament.current_round(), read_score_configs(workspace)
    number = current.number if current else None
    scores = fetch_scores(
        workspace.tournament,
        list(slots),
        known=read_live_scores(workspace),
        as_of=scores_as_of(workspace),
        current=number,
    )
    absent = {int(scored) for scored in scores["round_number"].unique()} - set(configs)
    if absent and number is not None:
        configs |= fetch_score_configs(workspace.tournament, absent, current=number)
    with replacing_file(workspace.scores_path) as aside:
        scores.to_parquet(aside, index=False)
    write_json(_as_of_path(workspace), {"round": number, "score_configs": configs})
    return scores


def read_live_scores(workspace: Workspace) -> pd.DataFrame:
    """Live scores as last fetched; empty before the first time."""
    if not workspace.scores_path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_parquet(workspace.scores_path)


def scores_as_of(workspace: Workspace) -> int | None:
    """The round that was open when the live scores were last fetched; None before the first time or between rounds."""
    number: int | None = _as_of(workspace).get("round")
    return number


def read_score_configs(workspace: Workspace) -> dict[int, list[dict[str, Any]]]:
    """`roundScoreConfigs` by round, of the rounds with live scores; empty before the first time."""
    return {int(number): configs for number, configs in _as_of(workspace).get("score_configs", {}).items()}


def live_payouts(live: pd.DataFrame, configs: ScoreConfigs) -> pd.DataFrame:
    """Return of a stake on each slot and round (`tournament.scores.COLUMNS`) whose paying scores are known so far.

    Columns: slot, round, rule, factor and payout, as a share of the stake. Each round pays by its own score configs, or,
    where the tournament gave none, by the rule of its time. A payout whose factor is not known yet is NaN; a round without
    any rule says why in its rule.
    """
    rows: list[dict[str, object]] = []
    for scores in latest_scores(live).reset_index().to_dict("records") if len(live) else ():
        slot, number = scores["slot"], int(scores["round_number"])
        try:
            rule = PayoutRule.of_configs(configs[number]) if configs.get(number) else rule_of_round(number)
        except ScoringError as error:
            rows.append({"slot": slot, "round": number, "rule": str(error), "factor": math.nan, "payout": math.nan})
            continue
        paying = {name: np.array(scores.get(name, math.nan), np.float64) for name in rule.names}
        if not any(map(np.isnan, paying.values())):
            payout = math.nan if rule.payout_factor is None else float(rule.payouts(paying))
            row = {"slot": slot, "round": number, "rule": str(rule), "factor": rule.payout_factor, "payout": payout}
            rows.append(row)
    return pd.DataFrame(rows, columns=["slot", "round", "rule", "factor", "payout"])


def _as_of(workspace: Workspace) -> dict[str, Any]:
    path = _as_of_path(workspace)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _as_of_path(workspace: Workspace) -> Path:
    return workspace.scores_path.with_suffix(".json")
