"""Models that run at Numerai ("model uploads"): pickles, the slots they are assigned to, and their runs.

An upload is validated by a run on the current round's live data. A valid upload can be assigned to a model slot: it then
runs at every opening of a round, and its predictions are the slot's submission. Only `pickle_runner` opens a pickle, in a
process of its own.
"""

import datetime as dt
import logging
import sqlite3
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import CalendarRound, round_by_number
from numerai_assets.sandbox.published.release_writer import LIVE, LIVE_BENCHMARK
from numerai_assets.sandbox.tournament.background import Background, internal_error
from numerai_assets.sandbox.tournament.pickle_process import NUMERAI_LIMITS, run_pickle
from numerai_assets.sandbox.tournament.state import Model, State, Upload, insert
from numerai_assets.sandbox.tournament.submission_rules import read_submission, validated
from numerai_assets.sandbox.world.history import World

NO_OPEN_ROUND = "No currently open rounds!"

_log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS pickles (
    id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models, filename TEXT NOT NULL UNIQUE REFERENCES uploads,
    data_version_id TEXT NOT NULL, docker_image_id TEXT NOT NULL, inserted_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pickle_assignments (
    model_id TEXT PRIMARY KEY REFERENCES models, pickle_id TEXT NOT NULL REFERENCES pickles);
CREATE TABLE IF NOT EXISTS pickle_runs (
    id TEXT PRIMARY KEY, pickle_id TEXT NOT NULL REFERENCES pickles, model_id TEXT NOT NULL REFERENCES models,
    type TEXT NOT NULL, round_number INTEGER NOT NULL, inserted_at TEXT NOT NULL, status TEXT NOT NULL, message TEXT,
    submission_id TEXT);
"""


class RunStatus(StrEnum):
    """State of a run. ERROR: the model is wrong; FAILED: the run was ended or could not start."""

    PENDING = "Pending"
    RUNNING = "Running"
    VALIDATING = "Validating"
    SUCCESS = "Success"
    ERROR = "Error"
    FAILED = "Failed"


class RunType(StrEnum):
    """Purpose of a run."""

    VALIDATION = "validation"
    SUBMISSION = "submission"


ENDED = (RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.FAILED)


@dataclass(frozen=True)
class Pickle:
    """An uploaded pickle. model_id: the slot it was uploaded for. status: of its validation."""

    id: str
    model_id: str
    filename: str
    data_version_id: str
    docker_image_id: str
    inserted_at: str
    updated_at: str
    status: str


@dataclass(frozen=True)
class PickleRun:
    """One run of a pickle for a model, on the live data of a round."""

    id: str
    pickle_id: str
    model_id: str
    type: str
    round_number: int
    inserted_at: str
    status: str
    message: str | None
    submission_id: str | None


# Submits a model's predictions (CSV) for a round and returns the submission's id.
Submit = Callable[[str, CalendarRound, bytes], str]


class HostedModels:
    """Stores and runs pickles. uploads: the folder of uploaded files."""

    def __init__(self, world: World, state: State, uploads: Path) -> None:
        self._world = world
        self._state = state
        self._uploads = uploads
        self._background = Background("hosted models")
        with state.connected() as db:
            db.executescript(_TABLES)

    # -- stored -------------------------------------------------------------------------------------------------

    def pickles(self, **where: str) -> list[Pickle]:
        """Uploads that match columns id or model_id, newest first."""
        return [Pickle(**row) for row in self._state.rows("pickles", **where)]

    def pickle(self, identity: str) -> Pickle:
        """The upload with an id. Raises SandboxError when there is none."""
        if not (found := self.pickles(id=identity)):
            raise SandboxError(f"Model upload not found: {identity}")
        return found[0]

    def runs(self, **where: str) -> list[PickleRun]:
        """Runs that match columns pickle_id, type, status or id, newest first."""
        return [PickleRun(**row) for row in self._state.rows("pickle_runs", **where)]

    def assigned_models(self, pickle_id: str) -> list[str]:
        """Ids of the slots that use a pickle."""
        return [row["model_id"] for row in self._state.rows("pickle_assignments", pickle_id=pickle_id)]

    def assigned_to(self, model_id: str) -> Pickle | None:
        """The pickle that a slot uses, or None."""
        rows = self._state.rows("pickle_assignments", model_id=model_id)
        return self.pickle(rows[0]["pickle_id"]) if rows else None

    # -- requests ------------------------------------------------------------------------------------------------

    def resume(self, submit: Submit) -> None:
        """Continues the runs that a stopped server left unfinished."""
        for run in reversed(self.runs()):
            if run.status not in ENDED:
                self._queue(run, submit)

    def create(
        self,
        upload: Upload,
        now: dt.datetime,
        on: CalendarRound,
        data_version_id: str,
        docker_image_id: str,
        submit: Submit,
    ) -> Pickle:
        """Stores an uploaded pickle and starts its validation. Raises SandboxError if it was submitted before."""
        moment = now.isoformat()
        made = Pickle(
            str(uuid.uuid4()),
            upload.model_id,
            upload.filename,
            data_version_id,
            docker_image_id,
            moment,
            moment,
            RunStatus.PENDING,
        )
        try:
            with self._state.connected() as db:
                insert(db, "pickles", made)
        except sqlite3.IntegrityError:
            raise SandboxError(f"File already submitted: {upload.filename}") from None
        self.trigger(made, made.model_id, RunType.VALIDATION, now, on, submit)
        return made

    def assign(self, model: Model, pickle_id: str | None) -> None:
        """Assigns a valid pickle, or none, to a slot. Raises SandboxError where that is not allowed."""
        if pickle_id is not None:
            found = self.pickle(pickle_id)
            if found.status != RunStatus.SUCCESS:
                raise SandboxError(f"Model upload {pickle_id} is not valid (its validation: {found.status})")
            if model.webhook is not None:
                raise SandboxError(f"Model {model.name} has a submission webhook: remove it before assigning a pickle")
        with self._state.connected() as db:
            db.execute("DELETE FROM pickle_assignments WHERE model_id = ?", (model.id,))
            if pickle_id is not None:
                db.execute("INSERT INTO pickle_assignments VALUES (?, ?)", (model.id, pickle_id))

    def trigger(
        self, pickle: Pickle, model_id: str, kind: RunType, now: dt.datetime, on: CalendarRound, submit: Submit
    ) -> PickleRun:
        """Starts a run in the background."""
        run = _begun(str(uuid.uuid4()), pickle.id, model_id, kind, on, now)
        with self._state.connected() as db:
            insert(db, "pickle_runs", run, replace=True)
        self._queue(run, submit)
        return run

    def run_for(self, opened: CalendarRound, submit: Submit) -> None:
        """Runs every assigned pickle on a round that just opened, and submits its predictions.

        Runs of a round always have the same ids, so that repeating them replaces them.
        """
        for row in self._state.rows("pickle_assignments"):
            identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{row['pickle_id']}/{row['model_id']}/{opened.number}"))
            run = _begun(identity, row["pickle_id"], row["model_id"], RunType.SUBMISSION, opened, opened.opens)
            with self._state.connected() as db:
                insert(db, "pickle_runs", run, replace=True)
            self._carry_out(run, submit)

    def has_assignments(self) -> bool:
        return bool(self._state.rows("pickle_assignments"))

    def wait(self) -> None:
        """Returns when all background runs have ended."""
        self._background.wait()

    # -- a run ---------------------------------------------------------------------------------------------------

    def _queue(self, run: PickleRun, submit: Submit) -> None:
        self._background.do(lambda: self._carry_out(run, submit))

    def _carry_out(self, run: PickleRun, submit: Submit) -> None:
        try:
            submission = self._predict(run, submit)
        except _RunEndedError as ended:
            self._note(run, ended.status, str(ended))
        except SandboxError as error:
            self._note(run, RunStatus.ERROR, str(error))
        except Exception as error:  # noqa: BLE001 - the run has ended, and its state must say so
            _log.exception("run %s of pickle %s failed", run.id, run.pickle_id)
            self._note(run, RunStatus.FAILED, internal_error(error))
        else:
            self._note(run, RunStatus.SUCCESS, None, submission)

    def _predict(self, run: PickleRun, submit: Submit) -> str | None:
        self._note(run, RunStatus.RUNNING, None)
        path = self._uploads / self.pickle(run.pickle_id).filename
        with tempfile.TemporaryDirectory(prefix="live-") as folder:
            self._world.write_live(Path(folder), round_number=run.round_number)
            ran = run_pickle(path, Path(folder) / LIVE, Path(folder) / LIVE_BENCHMARK, NUMERAI_LIMITS)
        _log.info("pickle %s on round %d: network cut by %s", run.pickle_id, run.round_number, ran.network)
        if ran.content is None:
            raise _RunEndedError(
                RunStatus.ERROR if ran.is_models_fault else RunStatus.FAILED, ran.message or "no message"
            )
        self._note(run, RunStatus.VALIDATING, None)
        validated(read_submission(ran.content), self._world.live(run.round_number))
        if run.type == RunType.VALIDATION:
            return None
        return submit(run.model_id, round_by_number(run.round_number), ran.content)

    def _note(self, run: PickleRun, status: RunStatus, message: str | None, submission_id: str | None = None) -> None:
        now = self._state.current
        with self._state.connected() as db:
            db.execute(
                "UPDATE pickle_runs SET status = ?, message = ?, submission_id = ? WHERE id = ?",
                (status, message, submission_id, run.id),
            )
            if run.type == RunType.VALIDATION:
                db.execute("UPDATE pickles SET status = ? WHERE id = ?", (status, run.pickle_id))
            db.execute("UPDATE pickles SET updated_at = ? WHERE id = ?", (now.isoformat(), run.pickle_id))


class _RunEndedError(Exception):
    def __init__(self, status: RunStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def _begun(
    identity: str, pickle_id: str, model_id: str, kind: RunType, on: CalendarRound, now: dt.datetime
) -> PickleRun:
    return PickleRun(identity, pickle_id, model_id, kind, on.number, now.isoformat(), RunStatus.PENDING, None, None)
