"""The time a round has left: when nothing is waited for any more, and when a person has to be told."""

import datetime as dt
from collections.abc import Mapping

from numerai_assets.errors import NumeraiAssetsError, SubmissionError
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.submission import SubmissionDesk


def is_near(workspace: Workspace, current: Round | None, now: dt.datetime) -> bool:
    """True when the open round closes within the minutes of the settings."""
    if current is None:
        return False
    settings = workspace.settings.deadline
    minutes = settings.weekend_minutes if current.is_weekend else settings.weekday_minutes
    return now >= current.closes - dt.timedelta(minutes=minutes)


def unsubmitted(desk: SubmissionDesk, slots: Mapping[str, str], number: int) -> list[str]:
    """Slots whose submission to a round is not proven."""
    return [slot for slot in slots if not desk.is_proven(number, slot)]


def watch(workspace: Workspace, current: Round | None, now: dt.datetime) -> None:
    """Alerts while there is still time: about slots that the open round, soon to close, does not have."""
    if current is None or not is_near(workspace, current, now):
        return
    for slot in unsubmitted(workspace.desk, workspace.settings.slots, current.number):
        left = (current.closes - now).total_seconds() / 60
        workspace.alert(
            f"round {current.number} {slot} closing",
            f"round {current.number} closes in {left:.0f} minutes ({current.closes:%a %H:%M} UTC) and {slot} has no proven "
            "submission. See `numerai doctor` and Dagster's UI",
        )


def tell_blocked(workspace: Workspace, error: NumeraiAssetsError) -> None:
    """Alerts, once an hour, that not even the next step can be known: the tournament does not answer, most likely."""
    known, hour = workspace.known_rounds(), dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H h")
    after = f" after round {known[-1]}" if known else ""
    workspace.alert(f"blocked {hour}{after}", f"what to do next{after} cannot be known: {error}")


def expect_submitted(workspace: Workspace, grace_minutes: int) -> str:
    """One line on the round that should be submitted by now: the open one, else the last that closed.

    Raises SubmissionError when a slot's submission to it is not proven, but for an open round's first minutes, and
    TournamentError when the tournament, which alone can tell the round, does not answer.
    """
    now, latest = workspace.tournament.now(), workspace.tournament.latest_round()
    if latest is None:
        return "no round has opened yet"
    missing = unsubmitted(workspace.desk, workspace.settings.slots, latest.number)
    state = (
        f"open until {latest.closes:%a %H:%M} UTC" if latest.is_open(now) else f"closed {latest.closes:%a %H:%M} UTC"
    )
    if not missing:
        return f"round {latest.number} ({state}): every slot is submitted, proven"
    if latest.is_open(now) and now < latest.opens + dt.timedelta(minutes=grace_minutes):
        return f"round {latest.number} ({state}): {', '.join(missing)} not submitted yet"
    raise SubmissionError(f"round {latest.number} ({state}): {', '.join(missing)} has no proven submission")
