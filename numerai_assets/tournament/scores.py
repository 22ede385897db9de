"""Scores of past submissions as the tournament gives them, one row a round, slot, score and day."""

import datetime as dt
from collections.abc import Collection
from typing import Any

import pandas as pd

from numerai_assets.tournament.client import TOURNAMENT, Tournament

COLUMNS = ("slot", "round_number", "display_name", "day", "date", "value", "percentile", "resolved")


# The last score of a round is final 64 weekdays after its data day, and a round opens on every weekday but Monday.
SETTLED_AFTER_ROUNDS = 80
_ANNOUNCED_ROUNDS = 10


def fetch_scores(
    tournament: Tournament, slots: list[str], *, known: pd.DataFrame, as_of: int | None, current: int | None
) -> pd.DataFrame:
    """All scores of the slots: `COLUMNS`, values as floats, newest day last. Empty frame when there are none yet.

    known: the frame fetched when round `as_of` was open. Scores that were settled then are not requested again, since a
    year has some hundred thousand; without `as_of`, or a `current` round to count from, all are requested.
    """
    query = (
        "query($modelId: ID! $tournament: Int $lastNRounds: Int) "
        "{ submissionScores(modelId: $modelId tournament: $tournament lastNRounds: $lastNRounds) "
        "{ roundNumber value percentile displayName date day resolved } }"
    )
    models = tournament.models()
    since = 0 if as_of is None or current is None else max(as_of - SETTLED_AFTER_ROUNDS, 0)
    settled = known[known["slot"].isin(slots) & (known["round_number"] < since)]
    rows: list[dict[str, Any]] = []
    for slot in slots:
        if slot not in models:
            continue
        first = since if (settled["slot"] == slot).any() else 0
        last_rounds = current - first + 1 if first and current is not None else None
        asked = {"modelId": models[slot], "tournament": TOURNAMENT, "lastNRounds": last_rounds}
        found = [_row(slot, item) for item in tournament.query(query, asked)["submissionScores"] or []]
        # The last rounds may be counted among submitted rounds, and so reach further back.
        rows += [row for row in found if row["value"] is not None and row["round_number"] >= first]
    fetched = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = pd.concat([settled, fetched], ignore_index=True) if len(settled) else fetched
    return frame.sort_values(["slot", "round_number", "display_name", "day"], ignore_index=True)


def fetch_score_configs(
    tournament: Tournament, rounds: Collection[int], *, current: int
) -> dict[int, list[dict[str, Any]]]:
    """`roundScoreConfigs` of the given rounds; rounds that the tournament does not list are left out."""
    query = (
        "query($tournament: Int $limit: Int) { rounds(tournament: $tournament limit: $limit) "
        "{ number roundScoreConfigs { displayName isPayout defaultMultiplier clipThreshold payoutFactor } } }"
    )
    # Newest first, the rounds announced for the next week included.
    limit = max(current - min(rounds), 0) + 1 + _ANNOUNCED_ROUNDS
    found = tournament.query(query, {"tournament": TOURNAMENT, "limit": limit})["rounds"] or []
    return {int(item["number"]): item["roundScoreConfigs"] or [] for item in found if int(item["number"]) in rounds}


def _row(slot: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "slot": slot,
        "round_number": int(item["roundNumber"]),
        "display_name": item["displayName"],
        "day": int(item["day"]),
        "date": dt.datetime.fromisoformat(item["date"]).date(),
        "value": None if item["value"] is None else float(item["value"]),
        "percentile": None if item["percentile"] is None else float(item["percentile"]),
        "resolved": bool(item["resolved"]),
    }


def latest_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The newest value of each slot, round and score: index (slot, round_number), one column a score."""
    newest = scores.sort_values("day").groupby(["slot", "round_number", "display_name"], sort=True)["value"].last()
    table: pd.DataFrame = newest.unstack("display_name")
    return table
