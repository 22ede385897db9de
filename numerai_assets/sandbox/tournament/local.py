"""The local tournament: a World under a clock that moves only on request.

Readers take `view`, a frozen snapshot of the time and the offered releases, and never wait. Changes (an advance, a
registration) hold one lock and replace the snapshot at the end, so that no reader sees a half-finished change.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.calendar.hours import Hours
from numerai_assets.sandbox.calendar.rounds import CalendarRound
from numerai_assets.sandbox.faults.engine import Faults
from numerai_assets.sandbox.faults.plan import Plan
from numerai_assets.sandbox.published.files import sha256_of, write_bytes
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES
from numerai_assets.sandbox.scoring.daily import DayScore, RivalScore, score_round
from numerai_assets.sandbox.tournament.diagnostics_desk import DiagnosticsDesk
from numerai_assets.sandbox.tournament.hosted_models import HostedModels
from numerai_assets.sandbox.tournament.intake import Intake, newest_selected
from numerai_assets.sandbox.tournament.state import (
    MODEL_NAMES,
    TOURNAMENT,
    Arrival,
    Model,
    OfferedRelease,
    Purpose,
    ReleaseFile,
    State,
    Submission,
    Upload,
)
from numerai_assets.sandbox.tournament.submission_rules import read_submission, validated
from numerai_assets.sandbox.tournament.webhooks import Webhooks
from numerai_assets.sandbox.world.history import World

URL_LIFETIME = dt.timedelta(hours=1)

_Scored = tuple[list[DayScore], list[RivalScore]]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class View:
    """The public state at one moment. releases: oldest first, the last one is current."""

    now: dt.datetime
    releases: tuple[OfferedRelease, ...]
    hours: Hours

    @property
    def latest_round(self) -> CalendarRound:
        return self.hours.latest_round(self.now)

    @property
    def open_round(self) -> CalendarRound | None:
        return self.hours.round_at(self.now)

    def release(self, round_number: int | None) -> OfferedRelease:
        """The release of a round, the current one for None. Raises SandboxError when it is not offered."""
        if round_number is None:
            return self.releases[-1]
        for release in self.releases:
            if release.round_number == round_number:
                return release
        offered = ", ".join(str(release.round_number) for release in self.releases)
        raise SandboxError(f"round {round_number}: its files are not offered; those of rounds {offered} are")


class LocalTournament:
    """Rounds, releases, submissions and scores over one World, with their state under `directory`.

    models: model slots that the account must have.
    """

    def __init__(self, world: World, directory: Path, models: Sequence[str] = MODEL_NAMES) -> None:
        if taken := set(models) & set(BENCHMARK_NAMES):
            raise SandboxError(f"model {min(taken)}: the name of a benchmark model; choose another one")
        self.world = world
        self._models = models
        self.directory = directory
        self.state = State(directory / "state.sqlite")
        self.faults = Faults(directory)
        self.diagnostics = DiagnosticsDesk(world, self.state, self._uploads)
        self._intake = Intake(world, self.state, self._uploads, self.faults)
        self.hosted = HostedModels(world, self.state, self._uploads)
        self.webhooks = Webhooks(self.state)
        self._secret = self.state.url_secret()
        self._lock = threading.Lock()
        self._view: View | None = None

    @property
    def view(self) -> View:
        """The current snapshot. Raises SandboxError before `start`."""
        if self._view is None:
            raise SandboxError(f"{self.directory}: the tournament was not started")
        return self._view

    # -- clock ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens the first weekend round on the first start; later, finishes an interrupted advance."""
        with self._lock:
            now, pending = self.state.now(), self.state.pending()
            if now is None:
                first = rounds.weekend_round(self.world.newest_era)
                now = first.opens + rounds.LANDING
                self.state.commit_advance(now, self._publish(first), [])
            elif pending is not None:
                self._carry_out(now, pending)
            self.state.add_models(self._models, pending or now)
            self._refresh()
        self.diagnostics.resume()
        self.hosted.resume(self.submit_prediction)

    def advance(self, to: str) -> None:
        """Moves the clock to `to` (see `rounds.destination`), with everything that happens on the way.

        Raises SandboxError for an invalid time or one past the end of the market.
        """
        with self._lock:
            now = self.view.now
            at = self.view.hours.destination(to, now)
            if (era := rounds.latest_round(at).era) > self.world.last_era:
                end = rounds.weekend_round(self.world.last_era + 1).opens
                raise SandboxError(
                    f"cannot advance to {at:%Y-%m-%d %H:%M}: the market ends with era {self.world.last_era:04d}, era "
                    f"{era:04d} would be needed. Stay before {end:%Y-%m-%d %H:%M} or create a new sandbox"
                )
            self.state.begin_advance(at)
            self._carry_out(now, at)
            self._refresh()
            self._call_webhooks(now)

    def _call_webhooks(self, before: dt.datetime) -> None:
        """Calls the models' webhooks for a round that opened since `before` and is open now.

        Rounds that the clock jumped over call no webhook: no answer could have been in time.
        """
        opened = self.view.open_round
        if opened is not None and opened.opens > before:
            for model in self.state.models():
                if model.webhook is not None:
                    self.webhooks.call(model, opened, self.view.now)

    def put_faults(self, plan: Plan | None) -> None:
        """Activates a plan of faults (None: no faults). A round that the previous plan kept late opens at once."""
        with self._lock:
            now = self.view.now
            self.state.begin_advance(now)
            self.faults.put(plan, now)
            self._carry_out(now, now)
            self._refresh()

    def _carry_out(self, now: dt.datetime, to: dt.datetime) -> None:
        self.faults.meet_round(rounds.latest_round(to), to)
        latest = self.faults.hours.latest_round(to)
        self.state.settle(to)
        while self.world.newest_era < latest.era:
            self.world.advance_era()
        arrivals = self._arrivals(now, to)
        scored = list(self._scored_between(now, to, arrivals))
        scores = [score for submitted, _ in scored for score in submitted]
        rival_scores = [score for _, of_rivals in scored for score in of_rivals]
        releases = self.state.releases()
        current = releases[-1] if releases[-1].round_number == latest.number else self._publish(latest)
        self.state.commit_advance(to, current, scores, rival_scores, arrivals)

    def _arrivals(self, now: dt.datetime, to: dt.datetime) -> list[Arrival]:
        """Automatic submissions to the rounds that open after `now`, up to `to`.

        First the queued ones, then those of assigned pickles.
        """
        arrivals: list[Arrival] = []

        def submit(model_id: str, opened: CalendarRound, content: bytes) -> str:
            arrivals.append(self._intake.hosted_arrival(model_id, opened, content))
            return arrivals[-1].submission.id

        hours = self.faults.hours
        for number in range(hours.latest_round(now).number + 1, hours.latest_round(to).number + 1):
            opened = hours.actual(number)
            arrivals += self._intake.queued_arrivals(opened)
            if self.hosted.has_assignments():
                self.world.open_round(number, opened.data_day)
                self.hosted.run_for(opened, submit)
        return newest_selected(arrivals)

    def _publish(self, released: CalendarRound) -> OfferedRelease:
        """Opens a round in the world and writes its release folder."""
        self.world.open_round(released.number, released.data_day)
        folder = self._release_folder(released.datestamp)
        self.world.write_release(folder, round_number=released.number)
        files = tuple(
            ReleaseFile(released.datestamp, path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
        return OfferedRelease(released.datestamp, released.number, files)

    def _scored_between(self, now: dt.datetime, to: dt.datetime, arrivals: list[Arrival]) -> Iterator[_Scored]:
        """Scores of the selected submissions, and of their rivals, that are due after `now`, up to `to`."""
        by_round: dict[int, list[Submission]] = {}
        for submission in [
            *self.state.submissions(selected=1),
            *(arrival.submission for arrival in arrivals if arrival.submission.selected),
        ]:
            by_round.setdefault(submission.round_number, []).append(submission)
        for number, submissions in sorted(by_round.items()):
            scored = rounds.round_by_number(number)
            due = [day for day in range(1, rounds.SCORED_WEEKDAYS + 1) if now < scored.scored_at(day) <= to]
            if not due:
                continue
            live = self._live(number)
            predictions = pd.DataFrame({s.id: self._predictions(s, live) for s in submissions})
            for day in due:
                yield score_round(number, predictions, live, self._target_of(number), day)

    def _live(self, round_number: int) -> pd.DataFrame:
        """`World.live` without the rows that were not published."""
        return self.faults.accepted(round_number, self.world.live(round_number))

    def _target_of(self, round_number: int) -> Callable[[str, int], pd.Series]:
        return lambda target, weekdays: self.faults.accepted(
            round_number, self.world.live_target(round_number, target, weekdays)
        )

    def _predictions(self, submission: Submission, live: pd.DataFrame) -> pd.Series:
        return validated(read_submission(self.upload_path(submission.filename).read_bytes()), live)

    def _refresh(self) -> None:
        now = self.state.current
        self._view = View(now, tuple(self.state.releases()), self.faults.hours)
        self.faults.keep_files(release.datestamp for release in self._view.releases)
        kept = {str(release.datestamp) for release in self._view.releases}
        for folder in (self.directory / "releases").iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    # -- files ---------------------------------------------------------------------------------------------------

    def sign(self, path: str) -> str:
        """The path with a signature that expires in an hour of the sandbox's time."""
        expires = int((self.view.now + URL_LIFETIME).timestamp())
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires))}"

    def check_signature(self, path: str, expires: str, signature: str) -> None:
        """Raises SandboxError for a signature that is wrong or has expired."""
        if not hmac.compare_digest(self._signature(path, expires).encode(), signature.encode()):
            raise SandboxError("Signature does not match")
        if self.view.now.timestamp() >= int(expires):
            raise SandboxError("Request has expired")

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def release_path(self, file: ReleaseFile) -> Path:
        return self._release_folder(file.datestamp) / file.name

    def _release_folder(self, datestamp: int) -> Path:
        return self.directory / "releases" / str(datestamp)

    def upload_path(self, filename: str) -> Path:
        """Path of an upload's bytes. filename: one that was issued."""
        return self._uploads / filename

    @property
    def _uploads(self) -> Path:
        return self.directory / "uploads"

    # -- submissions ---------------------------------------------------------------------------------------------

    def model(self, identity: str | None) -> Model:
        """The model with an id. Raises SandboxError when the account has none."""
        for model in self.state.models():
            if model.id == identity:
                return model
        raise SandboxError(f"Model not found: {identity}")

    def model_named(self, name: str | None) -> Model:
        for model in self.state.models():
            if model.name == name:
                return model
        raise SandboxError(f"User not found: {name}")

    def hand_out_upload(self, filename: str, identity: str | None, purpose: Purpose = Purpose.SUBMISSION) -> str:
        """A new file name for an upload: the client's own with a random part."""
        stem, _, suffix = _UNSAFE.sub("_", Path(filename).name)[-80:].rpartition(".")
        name = f"{stem or 'predictions'}-{secrets.token_hex(6)}.{suffix}"
        self.state.add_upload(name, self.model(identity).id, purpose)
        return name

    def expects_upload(self, filename: str) -> bool:
        """True for a name that was issued and not used yet."""
        upload = self.state.upload(filename)
        return upload is not None and upload.sha256 is None

    def receive_upload(self, filename: str, content: bytes) -> bool:
        """Stores the bytes of an upload; False if no upload is expected under the name."""
        with self._lock:
            if not self.expects_upload(filename):
                return False
            write_bytes(self.upload_path(filename), content)
            return self.state.receive_upload(filename, hashlib.sha256(content).hexdigest())

    def register(
        self,
        filename: str,
        identity: str | None,
        *,
        trigger_id: str | None = None,
        source: str | None = None,
        data_datestamp: int | None = None,
    ) -> Submission:
        """Makes an uploaded file the model's submission to the round that it belongs to (see `intake`).

        Raises SandboxError, with numerai-tools' own words for a file that breaks a rule, when it is not accepted.
        """
        with self._lock:
            model = self.model(identity)
            if self.hosted.assigned_to(model.id) is not None:
                raise SandboxError(
                    f"Model {model.name} has a model upload assigned and takes no submissions over the API; "
                    "unassign it first"
                )
            upload = self.uploaded(filename, model, Purpose.SUBMISSION)
            if self.state.submissions(filename=filename):
                raise SandboxError(f"File already submitted: {filename}")
            return self._intake.register(
                upload, self.view.now, trigger_id=trigger_id, source=source, data_datestamp=data_datestamp
            )

    def uploaded(self, filename: str, model: Model, purpose: Purpose) -> Upload:
        """The upload of a file for a model and a purpose. Raises SandboxError when there is none."""
        upload = self.state.upload(filename)
        if upload is None or (upload.model_id, upload.purpose) != (model.id, purpose) or upload.sha256 is None:
            raise SandboxError(f"File not found: {filename} was not uploaded for model {model.name}")
        return upload

    def hold(self, filename: str, until: dt.datetime | None) -> None:
        """Keeps the submission made of an upload in processing, not selected, until `until` (None: forever)."""
        with self._lock:
            for submission in self.state.submissions(filename=filename):
                self.state.hold(submission, until)

    def assign_pickle(self, identity: str | None, pickle_id: str | None) -> None:
        """Assigns a valid pickle, or none, to a model. Raises SandboxError where that is not allowed."""
        with self._lock:
            self.hosted.assign(self.model(identity), pickle_id)

    def submit_prediction(self, model_id: str, to: CalendarRound, content: bytes) -> str:
        """Makes a hosted model's predictions its submission to the open round `to`; returns the submission's id.

        Raises SandboxError when the round has closed in the meantime.
        """
        with self._lock:
            return self._intake.hosted(model_id, to, self.view.now, content).id

    def submission(self, identity: str | None) -> Submission:
        """The submission with an id. Raises SandboxError when there is none."""
        found = self.state.submissions(id=identity)
        if not found:
            raise SandboxError(f"Submission not found: {identity}")
        return found[0]

    # ------------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The sandbox's part of `numerai status`, ready for JSON."""
        view = self.view
        current = view.open_round
        return {
            "directory": str(self.directory),
            "tournament": TOURNAMENT,
            "now": view.now.isoformat(),
            "open_round": None if current is None else current.number,
            "newest_era": view.latest_round.era,
            "last_era": self.world.last_era,
            "next_opening": view.hours.next_opening(view.now).isoformat(),
            "submissions": len(self.state.submissions()),
        }
