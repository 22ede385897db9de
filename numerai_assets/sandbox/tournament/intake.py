"""Accepts submissions: on time, late, or queued for the next round.

A submission is on time until staking on its round closes. It is late until the round finally closes, or if its data's
datestamp names the last closed round or the one before: late submissions are scored, never staked, and selected only if
the model has none on time. A late one is also queued for the next possible round, under that round's ids; it counts as
on time when that round opens, unless the model submits to it directly.

Source: Numerai docs, "Submissions" (late submissions); this module decides the details that the docs leave open.
"""

import datetime as dt
import hashlib
import secrets
import uuid
from dataclasses import replace
from pathlib import Path

import pandas as pd
from numerai_tools.submissions import clean_submission

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import CalendarRound
from numerai_assets.sandbox.faults.engine import Faults
from numerai_assets.sandbox.published.files import write_bytes
from numerai_assets.sandbox.tournament.state import LATE, ON_TIME, QUEUED, Arrival, Purpose, State, Submission, Upload
from numerai_assets.sandbox.tournament.submission_rules import read_submission, validated
from numerai_assets.sandbox.world.history import World

NOT_OPEN = "Current round not open for submissions"

_HOSTED_SOURCE = "model upload"
_AFTER_THE_QUEUED = 1000


class Intake:
    """Registers submissions. uploads: the folder of uploaded files. faults: actual hours and accepted rows.

    Not safe for two threads at once.
    """

    def __init__(self, world: World, state: State, uploads: Path, faults: Faults) -> None:
        self._faults = faults
        self._world = world
        self._state = state
        self._uploads = uploads

    def register(
        self,
        upload: Upload,
        now: dt.datetime,
        *,
        trigger_id: str | None = None,
        source: str | None = None,
        data_datestamp: int | None = None,
    ) -> Submission:
        """Makes an uploaded file its model's submission to the round that it belongs to.

        Raises SandboxError, with numerai-tools' own words for a file that breaks a rule, when it is not accepted.
        """
        hours = self._faults.hours
        found = destination(now, data_datestamp, hours)
        is_late = not hours.actual(found.number).is_open(now)
        self._world.open_round(found.number, found.data_day)
        frame = read_submission((self._uploads / upload.filename).read_bytes())
        matched = validated(frame, self._faults.accepted(found.number, self._world.live(found.number)))
        made = self._state.add_submission(
            upload=upload,
            round_number=found.number,
            now=now,
            status=LATE if is_late else ON_TIME,
            submitted_count=len(frame),
            filtered_count=len(matched),
            trigger_id=trigger_id,
            source=source,
        )
        if is_late:
            self._carry_over(made, now)
        return made

    def hosted(self, model_id: str, to: CalendarRound, now: dt.datetime, content: bytes) -> Submission:
        """Makes a hosted model's predictions its submission to the open round `to`. SandboxError once it has closed."""
        if not self._faults.hours.actual(to.number).is_open(now):
            raise SandboxError(NOT_OPEN)
        upload = self._add_upload(f"hosted-{secrets.token_hex(6)}.csv", model_id, content)
        rows = len(read_submission(content))
        return self._state.add_submission(
            upload=upload,
            round_number=to.number,
            now=now,
            status=ON_TIME,
            submitted_count=rows,
            filtered_count=rows,
            trigger_id=None,
            source=_HOSTED_SOURCE,
        )

    def hosted_arrival(self, model_id: str, opened: CalendarRound, content: bytes) -> Arrival:
        """The submission of a hosted model to a round that an advance of the clock opens."""
        rows = len(read_submission(content))
        made = Submission(
            id=str(uuid.uuid4()),
            model_id=model_id,
            round_number=opened.number,
            filename=f"hosted-{model_id[:8]}-{opened.number}.csv",
            inserted_at=_after(opened, _AFTER_THE_QUEUED),
            status=ON_TIME,
            selected=True,
            submitted_count=rows,
            filtered_count=rows,
            trigger_id=None,
            source=_HOSTED_SOURCE,
        )
        return self._arrival(made, content)

    def queued_arrivals(self, opened: CalendarRound) -> list[Arrival]:
        """The submissions queued for a round that an advance of the clock opens, oldest first."""
        waiting = self._state.submissions(round_number=opened.number, status=QUEUED)[::-1]
        if not waiting:
            return []
        self._world.open_round(opened.number, opened.data_day)
        return [self._arrive(submission, opened, place) for place, submission in enumerate(waiting)]

    def _carry_over(self, late: Submission, now: dt.datetime) -> None:
        """Queues a late submission for the next round, or submits it if that round is already open."""
        hours = self._faults.hours
        following = hours.round_at(now) or hours.actual(hours.latest_round(now).number + 1)
        is_open = hours.actual(following.number).is_open(now)
        if is_open and self._state.submissions(
            model_id=late.model_id, round_number=following.number, status=ON_TIME, selected=1
        ):
            return
        content = (self._uploads / late.filename).read_bytes()
        if is_open:
            content = self._remapped(content, late.round_number, following.number)
        upload = self._add_upload(f"queued-{secrets.token_hex(6)}.csv", late.model_id, content)
        rows = len(read_submission(content))
        queued = self._state.add_submission(
            upload=upload,
            round_number=following.number,
            now=now,
            status=ON_TIME if is_open else QUEUED,
            submitted_count=rows,
            filtered_count=rows,
            trigger_id=late.trigger_id,
            source=late.source,
        )
        if not is_open:
            self._state.note_queued(queued.id, late.round_number)

    def _arrive(self, queued: Submission, opened: CalendarRound, place: int) -> Arrival:
        content = (self._uploads / queued.filename).read_bytes()
        remapped = self._remapped(content, self._state.queued_from(queued.id), opened.number)
        rows = len(read_submission(remapped))
        # A new name: if the advance is interrupted, the queued file is still there unchanged.
        name = f"{Path(queued.filename).stem}-{opened.number}.csv"
        arrived = replace(
            queued,
            filename=name,
            inserted_at=_after(opened, place),
            status=ON_TIME,
            selected=True,
            submitted_count=rows,
            filtered_count=rows,
        )
        return self._arrival(arrived, remapped)

    def _remapped(self, content: bytes, from_round: int, to_round: int) -> bytes:
        return remapped(read_submission(content), self._world.id_map(from_round, to_round))

    def _arrival(self, made: Submission, content: bytes) -> Arrival:
        write_bytes(self._uploads / made.filename, content)
        return Arrival(made, hashlib.sha256(content).hexdigest())

    def _add_upload(self, filename: str, model_id: str, content: bytes) -> Upload:
        self._state.add_upload(filename, model_id, Purpose.SUBMISSION)
        write_bytes(self._uploads / filename, content)
        sha256 = hashlib.sha256(content).hexdigest()
        self._state.receive_upload(filename, sha256)
        return Upload(filename, model_id, sha256, Purpose.SUBMISSION)


def newest_selected(arrivals: list[Arrival]) -> list[Arrival]:
    """The same arrivals, with only the last of each model and round selected."""
    last = {(each.submission.model_id, each.submission.round_number): each for each in arrivals}
    return [
        each
        if each is last[each.submission.model_id, each.submission.round_number]
        else replace(each, submission=replace(each.submission, selected=False))
        for each in arrivals
    ]


def _after(opened: CalendarRound, microseconds: int) -> str:
    """Time of an arrival: clients find the newest of a model's submissions by it."""
    return (opened.opens + dt.timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def destination(now: dt.datetime, data_datestamp: int | None, hours: Hours) -> CalendarRound:
    """The round that a submission belongs to. Raises SandboxError when no round accepts it."""
    latest = hours.latest_round(now)
    if data_datestamp is None:
        if now < latest.closes_late:
            return latest
        raise SandboxError(NOT_OPEN)
    recent = [hours.actual(number) for number in (latest.number, latest.number - 1) if number >= 1]
    for found in recent:
        if found.datestamp == data_datestamp:
            return found
    offered = " or ".join(f"{found.number}, {found.datestamp}" for found in recent)
    raise SandboxError(f"dataDatestamp {data_datestamp} is not that of round {offered}")


def remapped(submission: pd.DataFrame, id_map: pd.DataFrame) -> bytes:
    """CSV of a submission under the ids of another round: ranked, with .5 for stocks that it lacks.

    submission: columns id and prediction. id_map: columns id (None for a stock that the submission's round lacks)
    and new_id. Uses Numerai's own `clean_submission`.
    """
    column = submission.columns[1]
    series = clean_submission(id_map, submission, "id", column, "new_id", "prediction", rank_and_fill=True)
    return series.rename_axis("id").to_csv().encode()
