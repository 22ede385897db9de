"""Diagnostics of validation files: the files, their scoring in the background, and the results.

A run is "running" until it is "done" or has an "error", described in `message`. A run that a stopped server left
unfinished is continued by the next.
"""

import datetime as dt
import json
import logging
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_assets.eras import era_label, resolved_through
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.release_writer import FEATURES_JSON
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA
from numerai_assets.sandbox.scoring import diagnostics
from numerai_assets.sandbox.scoring.diagnostics import JudgedEra
from numerai_assets.sandbox.tournament.background import Background, internal_error
from numerai_assets.sandbox.tournament.state import State, Upload, insert
from numerai_assets.sandbox.tournament.submission_rules import read_submission
from numerai_assets.sandbox.world.history import World

_log = logging.getLogger(__name__)

RUNNING, DONE, ERROR = "running", "done", "error"

_TABLES = """
CREATE TABLE IF NOT EXISTS diagnostics (
    id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models, filename TEXT NOT NULL UNIQUE REFERENCES uploads,
    newest_era INTEGER NOT NULL, inserted_at TEXT NOT NULL, updated_at TEXT NOT NULL, status TEXT NOT NULL,
    message TEXT, result TEXT);
"""


@dataclass(frozen=True)
class DiagnosticsRun:
    """One file and its result. newest_era: when it was submitted. result: JSON, once it is done."""

    id: str
    model_id: str
    filename: str
    newest_era: int
    inserted_at: str
    updated_at: str
    status: str
    message: str | None
    result: str | None

    @property
    def numbers(self) -> dict[str, Any]:
        """Computed fields of V2Diagnostics; empty before the run is done."""
        return {} if self.result is None else json.loads(self.result)


class DiagnosticsDesk:
    """Accepts validation files and scores them. uploads: the folder of uploaded files."""

    def __init__(self, world: World, state: State, uploads: Path) -> None:
        self._world = world
        self._state = state
        self._uploads = uploads
        self._background = Background("diagnostics")
        with state.connected() as db:
            db.executescript(_TABLES)

    def resume(self) -> None:
        """Continues unfinished runs."""
        for run in self._runs(status=RUNNING):
            self._queue(run)

    def create(self, upload: Upload, now: dt.datetime, newest_era: int) -> DiagnosticsRun:
        """Starts the diagnostics of an uploaded file. Raises SandboxError if it was submitted before."""
        run = DiagnosticsRun(
            id=str(uuid.uuid4()),
            model_id=upload.model_id,
            filename=upload.filename,
            newest_era=newest_era,
            inserted_at=now.isoformat(),
            updated_at=now.isoformat(),
            status=RUNNING,
            message=None,
            result=None,
        )
        try:
            with self._state.connected() as db:
                insert(db, "diagnostics", run)
        except sqlite3.IntegrityError:
            raise SandboxError(f"File already submitted: {upload.filename}") from None
        self._queue(run)
        return run

    def found(self, model_id: str, identity: str | None) -> list[DiagnosticsRun]:
        """A model's diagnostics, newest first, or the one with an id. Raises SandboxError for an unknown id."""
        if identity is None:
            return self._runs(model_id=model_id)
        if not (runs := self._runs(model_id=model_id, id=identity)):
            raise SandboxError(f"Diagnostics not found: {identity}")
        return runs

    def wait(self) -> None:
        """Returns when all runs have ended."""
        self._background.wait()

    def _queue(self, run: DiagnosticsRun) -> None:
        self._background.do(lambda: self._carry_out(run))

    def _carry_out(self, run: DiagnosticsRun) -> None:
        try:
            result = json.dumps(self._judge(run))
        except SandboxError as error:
            self._finish(run, ERROR, str(error), None)
        except Exception as error:  # noqa: BLE001 - the run has ended, and its state must say so
            _log.exception("diagnostics %s of %s failed", run.id, run.filename)
            self._finish(run, ERROR, internal_error(error), None)
        else:
            self._finish(run, DONE, None, result)

    def _judge(self, run: DiagnosticsRun) -> dict[str, Any]:
        frame = read_submission((self._uploads / run.filename).read_bytes())
        ids = {era: self._world.ids(era) for era in range(FIRST_VALIDATION_ERA, run.newest_era + 1)}
        predictions = diagnostics.split_by_era(frame, ids)
        resolved = range(FIRST_VALIDATION_ERA, resolved_through(run.newest_era, 60) + 1)
        judged = [era for era in resolved if era in predictions]
        sets = json.loads((self._world.directory / FEATURES_JSON).read_text(encoding="utf-8"))["feature_sets"]
        numbers = diagnostics.judge(
            (self._judged_era(era, predictions[era]) for era in judged), sets[diagnostics.NEUTRALIZERS_V3]
        )
        return {
            **numbers,
            "erasAcceptedCount": len(judged),
            "erasMissing": [era_label(era) for era in resolved if era not in predictions],
        }

    def _judged_era(self, era: int, predictions: pd.Series) -> JudgedEra:
        ids, world = self._world.ids(era), self._world
        return JudgedEra(
            era=era,
            predictions=predictions,
            rivals=world.predictions(era),
            target=pd.Series(world.target(era, diagnostics.TARGET), index=ids, name=diagnostics.TARGET),
            features=pd.DataFrame(world.features(era), index=ids, columns=list(world.feature_names)),
        )

    def _finish(self, run: DiagnosticsRun, status: str, message: str | None, result: str | None) -> None:
        with self._state.connected() as db:
            db.execute(
                "UPDATE diagnostics SET status = ?, message = ?, result = ?, updated_at = ? WHERE id = ?",
                (status, message, result, self._state.current.isoformat(), run.id),
            )

    def _runs(self, **where: str) -> list[DiagnosticsRun]:
        return [DiagnosticsRun(**row) for row in self._state.rows("diagnostics", **where)]
