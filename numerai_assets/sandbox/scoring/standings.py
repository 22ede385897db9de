"""Leaderboards: reputations, ranks and their history, from the sandbox's scores.

A reputation is the mean, over the rounds of the last year, of a model's newest score of each, final or not (Numerai takes
final scores; a young sandbox would show none for months). Models rank by Numerai's season score: the sum of each
reputation times its multiplier, a missing one counting as zero. Pure functions of values.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from numerai_assets.sandbox.scoring.daily import SCORES

YEAR = dt.timedelta(days=365)


@dataclass(frozen=True)
class GivenScore:
    """A score of one round, and the time when it was given."""

    round_number: int
    display_name: str
    given_at: dt.datetime
    value: float | None


@dataclass(frozen=True)
class Participant:
    """A model, by its public name, and all its scores."""

    name: str
    scores: tuple[GivenScore, ...]


@dataclass(frozen=True)
class Standing:
    """A participant's rank. reputations: by display name, absent where there is no score."""

    name: str
    rank: int
    reputations: dict[str, float]

    def reputation(self, display_name: str) -> float | None:
        return self.reputations.get(display_name)


@dataclass(frozen=True)
class DailyStanding:
    """A participant's reputations and their ranks (1 is best) after the scoring of a day."""

    at: dt.datetime
    reputations: dict[str, float]
    ranks: dict[str, int]


def reputations(scores: Iterable[GivenScore], moments: Sequence[dt.datetime]) -> list[dict[str, float]]:
    """Reputation by display name at each of the moments (ascending), from the scores given by then."""
    waiting = sorted((score for score in scores if score.value is not None), key=lambda score: score.given_at)
    newest: dict[tuple[str, int], GivenScore] = {}
    found, given = [], 0
    for at in moments:
        while given < len(waiting) and waiting[given].given_at <= at:
            newest[waiting[given].display_name, waiting[given].round_number] = waiting[given]
            given += 1
        values: dict[str, list[float]] = {}
        for (name, _), score in newest.items():
            if score.value is not None and score.given_at > at - YEAR:
                values.setdefault(name, []).append(score.value)
        found.append({name: float(np.mean(held)) for name, held in values.items()})
    return found


def season_score(found: dict[str, float]) -> float:
    """Sum of each payout reputation times its multiplier, a missing one counting as zero."""
    return sum(config.multiplier * found.get(config.display_name, 0.0) for config in SCORES)


def leaderboard(participants: Sequence[Participant], at: dt.datetime) -> list[Standing]:
    """All participants, best first; those without a score last, in the given order."""
    found = [(each.name, reputations(each.scores, [at])[0]) for each in participants]
    found.sort(key=lambda item: (not item[1], -season_score(item[1])))
    return [Standing(name, rank, held) for rank, (name, held) in enumerate(found, start=1)]


def history(name: str, participants: Sequence[Participant]) -> list[DailyStanding]:
    """A participant's standing after each day with a score of its own, newest first."""
    (own,) = (each for each in participants if each.name == name)
    days = sorted({score.given_at for score in own.scores})
    held = {each.name: reputations(each.scores, days) for each in participants}
    found = []
    for place, at in enumerate(days):
        ranks = {
            score: 1 + sum(other[place].get(score, -np.inf) > value for other in held.values())
            for score, value in held[name][place].items()
        }
        found.append(DailyStanding(at, held[name][place], ranks))
    return found[::-1]
