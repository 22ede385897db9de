"""Scores of past submissions as the tournament gives them, one row a round, slot, score and day."""

import datetime as dt
from typing import Any

import pandas as pd

from numerai_assets.tournament.client import TOURNAMENT, Tournament

COLUMNS = ("slot", "round_number", "display_name", "day", "date", "value", "percentile", "resolved")


def fetch_scores(tournament: Tournament, slots: list[str]) -> pd.DataFrame:
    """All scores of the slots: `COLUMNS`, values as floats, newest day last. Empty frame when there are none yet."""
    query = (
        "query($modelId: ID! $tournament: Int) { submissionScores(modelId: $modelId tournament: $tournament) "
        "{ roundNumber value percentile displayName date day resolved } }"
    )
    models = tournament.models()
    rows: list[dict[str, Any]] = []
    for slot in slots:
        if slot not in models:
            continue
        answer = tournament.query(query, {"modelId": models[slot], "tournament": TOURNAMENT})["submissionScores"] or []
        rows += [_row(slot, item) for item in answer if item["value"] is not None]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["slot", "round_number", "display_name", "day"], ignore_index=True)


def _row(slot: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "slot": slot,
        "round_number": int(item["roundNumber"]),
        "display_name": item["displayName"],
        "day": int(item["day"]),
        "date": dt.datetime.fromisoformat(item["date"]).date(),
        "value": float(item["value"]),
        "percentile": None if item["percentile"] is None else float(item["percentile"]),
        "resolved": bool(item["resolved"]),
    }


def latest_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The newest value of each slot, round and score: index (slot, round_number), one column a score."""
    newest = scores.sort_values("day").groupby(["slot", "round_number", "display_name"], sort=True)["value"].last()
    table: pd.DataFrame = newest.unstack("display_name")
    return table
