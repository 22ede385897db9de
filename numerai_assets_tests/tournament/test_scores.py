"""Scores: all of them once, and from then on those that can still change."""

from typing import Any

import pandas as pd
import pytest

from numerai_assets.tournament.scores import COLUMNS, SETTLED_AFTER_ROUNDS, fetch_scores, latest_scores

NOTHING = pd.DataFrame(columns=list(COLUMNS))


class Scored:
    """A tournament that answers with a score a round and day, as many rounds back as it is asked for."""

    def __init__(self, rounds: range) -> None:
        self.rounds = rounds
        self.asked: list[int | None] = []

    def models(self) -> dict[str, str]:
        return {"one": "id-one", "two": "id-two"}

    def query(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(variables["lastNRounds"])
        last = variables["lastNRounds"] or len(self.rounds)
        return {"submissionScores": [score(number, day) for number in list(self.rounds)[-last:] for day in (1, 2)]}


def score(number: int, day: int) -> dict[str, Any]:
    return {
        "roundNumber": number,
        "value": number + day / 100,
        "percentile": None,
        "displayName": "canon_corr60",
        "date": f"2026-01-0{day}T18:00:00Z",
        "day": day,
        "resolved": day == 2,
    }


def fetched(tournament: Any, known: pd.DataFrame = NOTHING, as_of: int | None = None, current: int | None = 300) -> Any:
    return fetch_scores(tournament, ["one", "gone"], known=known, as_of=as_of, current=current)


def test_the_first_time_all_are_asked_for() -> None:
    tournament = Scored(range(1, 301))
    scores = fetched(tournament)

    assert tournament.asked == [None]
    assert len(scores) == 600 and set(scores["slot"]) == {"one"}


def test_later_only_rounds_that_were_not_settled_are() -> None:
    tournament = Scored(range(1, 301))
    known = fetched(Scored(range(1, 291)))
    scores = fetched(tournament, known, as_of=290)

    assert tournament.asked == [300 - (290 - SETTLED_AFTER_ROUNDS) + 1]
    pd.testing.assert_frame_equal(scores, fetched(Scored(range(1, 301))))


def test_rounds_left_out_repeat_nothing() -> None:
    tournament = Scored(range(2, 301, 2))
    known = fetched(Scored(range(2, 291, 2)))
    scores = fetched(tournament, known, as_of=290)

    assert not scores.duplicated(["round_number", "day"]).any()
    pd.testing.assert_frame_equal(scores, fetched(Scored(range(2, 301, 2))))


@pytest.mark.parametrize(("as_of", "current"), [(None, 300), (290, None)])
def test_without_a_round_to_count_from_all_are_asked_for(as_of: int | None, current: int | None) -> None:
    tournament = Scored(range(1, 301))
    fetched(tournament, fetched(Scored(range(1, 291))), as_of, current)

    assert tournament.asked == [None]


def test_a_slot_that_is_new_is_asked_for_whole() -> None:
    tournament = Scored(range(1, 301))
    known = fetched(Scored(range(1, 291)))
    scores = fetch_scores(tournament, ["one", "two"], known=known, as_of=290, current=300)  # type: ignore[arg-type]

    assert tournament.asked == [300 - (290 - SETTLED_AFTER_ROUNDS) + 1, None]
    assert scores.groupby("slot").size().to_dict() == {"one": 600, "two": 600}
    assert latest_scores(scores).loc[("two", 7), "canon_corr60"] == pytest.approx(7.02)
