"""State of the sandbox across restarts: clock, models, uploads, submissions, scores and releases.

One SQLite file in WAL mode with one connection per call, so that any thread may read while another writes. Only
`commit_advance` moves the clock, in one transaction with all that the advance brings.
"""

import datetime as dt
import secrets
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.scoring.daily import DayScore, RivalScore

TOURNAMENT = 8
USERNAME = "sandbox"
# Public on purpose: the sandbox takes no real keys and protects nothing.
PUBLIC_ID = "SANDBOX"
SECRET_KEY = "sandbox"
MODEL_NAMES = ("sandbox_one", "sandbox_two", "sandbox_three")
KEPT_RELEASES = 2
PROCESSING = "processing"
ON_TIME, LATE, QUEUED = "on-time", "late", "queued"

_FORMAT = "1"
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, inserted_at TEXT NOT NULL,
    bio TEXT, link_text TEXT, link_url TEXT, webhook TEXT);
CREATE TABLE IF NOT EXISTS uploads (
    filename TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models, sha256 TEXT,
    purpose TEXT NOT NULL DEFAULT 'submission');
CREATE TABLE IF NOT EXISTS submissions (
    id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES models, round_number INTEGER NOT NULL,
    filename TEXT NOT NULL UNIQUE REFERENCES uploads, inserted_at TEXT NOT NULL, status TEXT NOT NULL,
    selected INTEGER NOT NULL, submitted_count INTEGER NOT NULL, filtered_count INTEGER NOT NULL,
    trigger_id TEXT, source TEXT);
CREATE INDEX IF NOT EXISTS submissions_of_model ON submissions (model_id, round_number);
CREATE TABLE IF NOT EXISTS queued (
    submission_id TEXT PRIMARY KEY REFERENCES submissions, from_round INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
    submission_id TEXT NOT NULL REFERENCES submissions, display_name TEXT NOT NULL, day INTEGER NOT NULL,
    value REAL, percentile REAL, is_final INTEGER NOT NULL, PRIMARY KEY (submission_id, display_name, day));
CREATE TABLE IF NOT EXISTS held (
    submission_id TEXT PRIMARY KEY REFERENCES submissions, until TEXT, status TEXT NOT NULL, selected INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rival_scores (
    rival TEXT NOT NULL, round_number INTEGER NOT NULL, display_name TEXT NOT NULL, day INTEGER NOT NULL, value REAL,
    PRIMARY KEY (rival, round_number, display_name, day));
CREATE TABLE IF NOT EXISTS releases (datestamp INTEGER PRIMARY KEY, round_number INTEGER NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS files (
    datestamp INTEGER NOT NULL REFERENCES releases ON DELETE CASCADE, name TEXT NOT NULL, size INTEGER NOT NULL,
    sha256 TEXT NOT NULL, PRIMARY KEY (datestamp, name));
"""


class Purpose(StrEnum):
    """Purpose of an uploaded file."""

    SUBMISSION = "submission"
    DIAGNOSTICS = "diagnostics"
    PICKLE = "pickle"


@dataclass(frozen=True)
class Model:
    """A model slot of the account."""

    id: str
    name: str
    inserted_at: str
    bio: str | None
    link_text: str | None
    link_url: str | None
    webhook: str | None


@dataclass(frozen=True)
class Upload:
    """An issued file name, for one purpose. sha256: None until the file has arrived."""

    filename: str
    model_id: str
    sha256: str | None
    purpose: str


@dataclass(frozen=True)
class Submission:
    """A valid submission. selected: it is the one that is scored for its model and round, the newest on time."""

    id: str
    model_id: str
    round_number: int
    filename: str
    inserted_at: str
    status: str
    selected: bool
    submitted_count: int
    filtered_count: int
    trigger_id: str | None
    source: str | None


@dataclass(frozen=True)
class Arrival:
    """A submission that an advance of the clock brings, new or queued before.

    sha256: of its file, which is already there.
    """

    submission: Submission
    sha256: str


@dataclass(frozen=True)
class ReleaseFile:
    """One offered file, by its name below the release folder ("v5.3/live.parquet")."""

    datestamp: int
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class OfferedRelease:
    """The files of one round's data."""

    datestamp: int
    round_number: int
    files: tuple[ReleaseFile, ...]

    def file(self, name: str) -> ReleaseFile | None:
        return next((file for file in self.files if file.name == name), None)


def named_id(kind: str, name: str) -> str:
    """An id that is the same in every sandbox; a UUID, as the client expects."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"numerai-assets/sandbox/{kind}/{name}"))


def model_id(name: str) -> str:
    """The id of a model slot."""
    return named_id("models", name)


def insert(db: sqlite3.Connection, table: str, row: Any, *, replace: bool = False) -> None:
    """Adds a row whose fields are the table's columns. sqlite3.IntegrityError if a unique value exists already."""
    names = ", ".join(f":{name}" for name in vars(row))
    db.execute(f"INSERT {'OR REPLACE ' if replace else ''}INTO {table} VALUES ({names})", vars(row))


class State:
    """The database at `path`, created if absent. Raises SandboxError for another format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.connected() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_TABLES)
            _add_missing_columns(db)
            db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (_FORMAT,))
            db.execute("INSERT OR IGNORE INTO meta VALUES ('url_secret', ?)", (secrets.token_hex(32),))
        if (found := self._meta("format")) != _FORMAT:
            raise SandboxError(f"{path}: state of format {found}, expected {_FORMAT}; create a new sandbox folder")

    # -- clock ---------------------------------------------------------------------------------------------------

    def now(self) -> dt.datetime | None:
        """The sandbox's time, None before the first start."""
        return _time(self._meta("now"))

    @property
    def current(self) -> dt.datetime:
        """The time of a sandbox that was started."""
        now = self.now()
        assert now is not None, "the sandbox was never started"
        return now

    def pending(self) -> dt.datetime | None:
        """Target time of an interrupted advance, else None."""
        return _time(self._meta("pending"))

    def url_secret(self) -> bytes:
        return bytes.fromhex(self._meta("url_secret") or "")

    def begin_advance(self, to: dt.datetime) -> None:
        """Records the target time of an advance, so that a start after a crash can finish it."""
        with self.connected() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('pending', ?)", (to.isoformat(),))

    def commit_advance(
        self,
        to: dt.datetime,
        release: OfferedRelease,
        scores: Sequence[DayScore],
        rival_scores: Sequence[RivalScore] = (),
        arrivals: Sequence[Arrival] = (),
    ) -> None:
        """Moves the clock and publishes release, submissions and scores in one transaction."""
        with self.connected() as db:
            for arrival in arrivals:
                made = arrival.submission
                db.execute(
                    "INSERT INTO uploads (filename, model_id, sha256) VALUES (?, ?, ?)",
                    (made.filename, made.model_id, arrival.sha256),
                )
                _insert_submission(db, made)
            db.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?)", [astuple(score) for score in scores]
            )
            db.executemany(
                "INSERT OR REPLACE INTO rival_scores VALUES (?, ?, ?, ?, ?)", [astuple(score) for score in rival_scores]
            )
            db.execute("INSERT OR IGNORE INTO releases VALUES (?, ?)", (release.datestamp, release.round_number))
            db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", [astuple(file) for file in release.files]
            )
            db.execute(
                "DELETE FROM releases WHERE datestamp NOT IN (SELECT datestamp FROM releases ORDER BY datestamp DESC LIMIT ?)",
                (KEPT_RELEASES,),
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('now', ?)", (to.isoformat(),))
            db.execute("DELETE FROM meta WHERE key = 'pending'")

    def releases(self) -> list[OfferedRelease]:
        """The offered releases, oldest first."""
        with self.connected() as db:
            files = [ReleaseFile(*row) for row in db.execute("SELECT * FROM files ORDER BY datestamp, name")]
            rows = db.execute("SELECT datestamp, round_number FROM releases ORDER BY datestamp").fetchall()
        return [
            OfferedRelease(stamp, number, tuple(f for f in files if f.datestamp == stamp)) for stamp, number in rows
        ]

    # -- models --------------------------------------------------------------------------------------------------

    def models(self) -> list[Model]:
        """All models, oldest first."""
        with self.connected() as db:
            return [Model(*row) for row in db.execute("SELECT * FROM models ORDER BY rowid")]

    def add_models(self, names: Sequence[str], now: dt.datetime) -> None:
        """Adds the models of these names that do not exist yet. Models are never removed."""
        rows = [(model_id(name), name, now.isoformat()) for name in names]
        with self.connected() as db:
            db.executemany("INSERT OR IGNORE INTO models (id, name, inserted_at) VALUES (?, ?, ?)", rows)

    def change_model(self, identity: str, **columns: str | None) -> None:
        """Sets columns bio, link_text, link_url or webhook of one model."""
        assert set(columns) <= {"bio", "link_text", "link_url", "webhook"}
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self.connected() as db:
            db.execute(f"UPDATE models SET {assignments} WHERE id = ?", (*columns.values(), identity))

    # -- uploads and submissions ---------------------------------------------------------------------------------

    def add_upload(self, filename: str, identity: str, purpose: str) -> None:
        with self.connected() as db:
            db.execute(
                "INSERT INTO uploads (filename, model_id, purpose) VALUES (?, ?, ?)", (filename, identity, purpose)
            )

    def upload(self, filename: str) -> Upload | None:
        with self.connected() as db:
            row = db.execute("SELECT * FROM uploads WHERE filename = ?", (filename,)).fetchone()
        return None if row is None else Upload(*row)

    def receive_upload(self, filename: str, sha256: str) -> bool:
        """Marks the file as arrived; False if it had arrived before or the name was never issued."""
        with self.connected() as db:
            changed = db.execute(
                "UPDATE uploads SET sha256 = ? WHERE filename = ? AND sha256 IS NULL", (sha256, filename)
            ).rowcount
        return changed == 1

    def add_submission(
        self,
        *,
        upload: Upload,
        round_number: int,
        now: dt.datetime,
        status: str,
        submitted_count: int,
        filtered_count: int,
        trigger_id: str | None,
        source: str | None,
    ) -> Submission:
        """Registers a valid upload. Selected if on time, or if late and the model has none on time; never if queued."""
        with self.connected() as db:
            count = db.execute("SELECT COUNT(*) FROM submissions").fetchone()[0]
            # The clock stands still between advances, but clients find the newest submission by its time.
            inserted = (now + dt.timedelta(microseconds=count + 1)).isoformat(timespec="microseconds")
            made = Submission(
                id=str(uuid.uuid4()),
                model_id=upload.model_id,
                round_number=round_number,
                filename=upload.filename,
                inserted_at=inserted,
                status=status,
                selected=status == ON_TIME or (status == LATE and not _has_on_time(db, upload.model_id, round_number)),
                submitted_count=submitted_count,
                filtered_count=filtered_count,
                trigger_id=trigger_id,
                source=source,
            )
            _insert_submission(db, made)
        return made

    def hold(self, submission: Submission, until: dt.datetime | None) -> None:
        """Makes a submission "processing", and the one that it replaced selected again, until `settle`."""
        with self.connected() as db:
            db.execute(
                "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)",
                (submission.id, None if until is None else until.isoformat(), submission.status, submission.selected),
            )
            db.execute("UPDATE submissions SET status = ?, selected = 0 WHERE id = ?", (PROCESSING, submission.id))
            if submission.selected:
                db.execute(
                    "UPDATE submissions SET selected = 1 WHERE id = (SELECT id FROM submissions WHERE model_id = ? AND "
                    "round_number = ? AND status = ? AND inserted_at < ? ORDER BY inserted_at DESC LIMIT 1)",
                    (submission.model_id, submission.round_number, submission.status, submission.inserted_at),
                )

    def settle(self, now: dt.datetime) -> None:
        """Ends the processing of submissions due by `now`: restores status, and selection unless a newer one has it."""
        with self.connected() as db:
            query = (
                "SELECT held.*, model_id, round_number, inserted_at FROM held JOIN submissions ON id = submission_id "
                "WHERE until IS NOT NULL ORDER BY inserted_at"
            )
            for row in db.execute(query).fetchall():
                if dt.datetime.fromisoformat(row["until"]) > now:
                    continue
                of_round = (row["model_id"], row["round_number"])
                newer = db.execute(
                    "SELECT 1 FROM submissions WHERE model_id = ? AND round_number = ? AND selected = 1 AND inserted_at > ?",
                    (*of_round, row["inserted_at"]),
                ).fetchone()
                is_selected = bool(row["selected"]) and newer is None
                if is_selected:
                    db.execute("UPDATE submissions SET selected = 0 WHERE model_id = ? AND round_number = ?", of_round)
                db.execute(
                    "UPDATE submissions SET status = ?, selected = ? WHERE id = ?",
                    (row["status"], is_selected, row["submission_id"]),
                )
                db.execute("DELETE FROM held WHERE submission_id = ?", (row["submission_id"],))

    def note_queued(self, submission_id: str, from_round: int) -> None:
        """Records which round's ids a queued submission has."""
        with self.connected() as db:
            db.execute("INSERT INTO queued VALUES (?, ?)", (submission_id, from_round))

    def queued_from(self, submission_id: str) -> int:
        """The round whose ids a queued submission has."""
        with self.connected() as db:
            row = db.execute("SELECT from_round FROM queued WHERE submission_id = ?", (submission_id,)).fetchone()
        return int(row[0])

    def submissions(self, **where: Any) -> list[Submission]:
        """Submissions, newest first, that match columns such as model_id, round_number, id, filename or selected."""
        rows = self.rows("submissions", order="inserted_at", **where)
        return [Submission(**row | {"selected": bool(row["selected"])}) for row in rows]

    def scores(self, identity: str) -> list[tuple[Submission, list[DayScore]]]:
        """Selected submissions of a model, newest round first, with their scores, newest day first."""
        query = (
            "SELECT scores.* FROM scores JOIN submissions ON submissions.id = submission_id WHERE model_id = ? "
            "ORDER BY day DESC, display_name"
        )
        with self.connected() as db:
            rows = [
                DayScore(**dict(row) | {"is_final": bool(row["is_final"])}) for row in db.execute(query, (identity,))
            ]
        by_submission: dict[str, list[DayScore]] = {}
        for score in rows:
            by_submission.setdefault(score.submission_id, []).append(score)
        found = sorted(self.submissions(model_id=identity, selected=1), key=lambda s: -s.round_number)
        return [(submission, by_submission.get(submission.id, [])) for submission in found]

    def rival_scores(self) -> list[RivalScore]:
        """All scores of the benchmarks."""
        with self.connected() as db:
            return [RivalScore(*row) for row in db.execute("SELECT * FROM rival_scores")]

    # ------------------------------------------------------------------------------------------------------------

    def rows(self, table: str, *, order: str = "rowid", **where: Any) -> list[dict[str, Any]]:
        """Rows of a table with the column values in `where`, last first."""
        condition = " AND ".join(f"{name} = ?" for name in where) or "1"
        query = f"SELECT * FROM {table} WHERE {condition} ORDER BY {order} DESC"
        with self.connected() as db:
            return [dict(row) for row in db.execute(query, tuple(where.values()))]

    def _meta(self, key: str) -> str | None:
        with self.connected() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements form one transaction, rolled back on an error."""
        db = sqlite3.connect(self._path, timeout=30)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA foreign_keys=ON")
            with db:
                yield db
        finally:
            db.close()


def _insert_submission(db: sqlite3.Connection, made: Submission) -> None:
    """Adds a submission; a selected one replaces the one selected before."""
    if made.selected:
        db.execute(
            "UPDATE submissions SET selected = 0 WHERE model_id = ? AND round_number = ?",
            (made.model_id, made.round_number),
        )
    db.execute(
        f"INSERT INTO submissions VALUES ({', '.join('?' * 11)}) ON CONFLICT (id) DO UPDATE SET "
        "filename = excluded.filename, inserted_at = excluded.inserted_at, status = excluded.status, "
        "selected = excluded.selected, submitted_count = excluded.submitted_count, "
        "filtered_count = excluded.filtered_count",
        astuple(made),
    )


def _has_on_time(db: sqlite3.Connection, identity: str, round_number: int) -> bool:
    query = "SELECT 1 FROM submissions WHERE model_id = ? AND round_number = ? AND status = ?"
    return db.execute(query, (identity, round_number, ON_TIME)).fetchone() is not None


def _add_missing_columns(db: sqlite3.Connection) -> None:
    """Adds the columns that a database of an earlier version lacks; its rows stay."""
    if "purpose" not in {row["name"] for row in db.execute("PRAGMA table_info(uploads)")}:
        db.execute("ALTER TABLE uploads ADD COLUMN purpose TEXT NOT NULL DEFAULT 'submission'")


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
