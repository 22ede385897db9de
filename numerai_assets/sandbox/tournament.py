"""The local tournament itself: a World seen through a clock that moves only when told to.

Readers take `view`, one frozen picture of the time and the releases on offer, and never wait. What changes something
(an advance, a registration) holds one lock, works aside and swaps the picture at the end, so nobody sees half a step.
"""

import datetime as dt
import hashlib
import hmac
import io
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numerai_tools.submissions import validate_submission_numerai

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox import rounds
from numerai_assets.sandbox.rounds import Round
from numerai_assets.sandbox.scoring import DayScore, score_day
from numerai_assets.sandbox.state import TOURNAMENT, Model, Release, ReleaseFile, State, Submission, Upload
from numerai_assets.sandbox.world import World

NOT_OPEN = "Current round not open for submissions"
URL_LIFETIME = dt.timedelta(hours=1)

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class View:
    """What the outside sees at one moment. `releases`: oldest first, the last one is current."""

    now: dt.datetime
    releases: tuple[Release, ...]

    @property
    def latest_round(self) -> Round:
        return rounds.latest_round(self.now)

    @property
    def open_round(self) -> Round | None:
        return rounds.round_at(self.now)

    def release(self, round_number: int | None) -> Release:
        """The release of a round, the current one for None. Raises SandboxError when it is not on offer."""
        if round_number is None:
            return self.releases[-1]
        for release in self.releases:
            if release.round_number == round_number:
                return release
        offered = ", ".join(str(release.round_number) for release in self.releases)
        raise SandboxError(f"round {round_number}: its files are not on offer; those of rounds {offered} are")


class Tournament:
    """Rounds, releases, submissions and scores over one World, remembered under `directory`."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.state = State(directory / "state.sqlite")
        self._secret = self.state.url_secret()
        self._lock = threading.Lock()
        self._view: View | None = None

    @property
    def view(self) -> View:
        """The current picture. Raises SandboxError before `start`."""
        if self._view is None:
            raise SandboxError(f"{self.directory}: the tournament was not started")
        return self._view

    # -- clock ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens the first weekend round on the first start; later, finishes an advance that was cut short."""
        with self._lock:
            now, pending = self.state.now(), self.state.pending()
            if now is None:
                first = rounds.weekend_round(self.world.newest_era)
                now = first.opens + rounds.LANDING
                self.state.commit_advance(now, self._publish(first), [])
            elif pending is not None:
                self._carry_out(now, pending)
            self._refresh()

    def advance(self, to: str) -> None:
        """Moves the clock to `to` (see `rounds.destination`) through everything that happens on the way.

        Raises SandboxError for a time that cannot be meant or that lies past the end of the market.
        """
        with self._lock:
            now = self.view.now
            at = rounds.destination(to, now)
            if (era := rounds.latest_round(at).era) > self.world.last_era:
                end = rounds.weekend_round(self.world.last_era + 1).opens
                raise SandboxError(
                    f"cannot advance to {at:%Y-%m-%d %H:%M}: the market ends with era {self.world.last_era:04d}, era "
                    f"{era:04d} would be needed. Stay before {end:%Y-%m-%d %H:%M} or create a new sandbox"
                )
            self.state.begin_advance(at)
            self._carry_out(now, at)
            self._refresh()

    def _carry_out(self, now: dt.datetime, to: dt.datetime) -> None:
        latest = rounds.latest_round(to)
        while self.world.newest_era < latest.era:
            self.world.advance_era()
        scores = [score for day in self._scored_between(now, to) for score in day]
        releases = self.state.releases()
        current = releases[-1] if releases[-1].round_number == latest.number else self._publish(latest)
        self.state.commit_advance(to, current, scores)

    def _publish(self, released: Round) -> Release:
        """Opens a round in the world and writes its release folder."""
        self.world.open_round(released.number, released.data_day)
        folder = self._release_folder(released.datestamp)
        self.world.write_release(folder, round_number=released.number)
        files = tuple(
            ReleaseFile(released.datestamp, path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
        return Release(released.datestamp, released.number, files)

    def _scored_between(self, now: dt.datetime, to: dt.datetime) -> Iterator[list[DayScore]]:
        """Scores of the selected submissions that fall due after `now` and not after `to`."""
        by_round: dict[int, list[Submission]] = {}
        for submission in self.state.submissions(selected=1):
            by_round.setdefault(submission.round_number, []).append(submission)
        for number, submissions in sorted(by_round.items()):
            scored = rounds.round_by_number(number)
            due = [day for day in range(1, rounds.SCORED_WEEKDAYS + 1) if now < scored.scored_at(day) <= to]
            if not due:
                continue
            live = self.world.live(number)
            predictions = pd.DataFrame({s.id: self._predictions(s, live) for s in submissions})
            for day in due:
                yield score_day(predictions, live, self._target_of(number), day)

    def _target_of(self, round_number: int) -> Callable[[str, int], pd.Series]:
        return lambda target, weekdays: self.world.live_target(round_number, target, weekdays)

    def _predictions(self, submission: Submission, live: pd.DataFrame) -> pd.Series:
        frame = read_submission(self.upload_path(submission.filename).read_bytes())
        id_column, prediction_column, matched, _ = validate_submission_numerai(_ids(live), frame)
        series: pd.Series = matched.set_index(id_column)[prediction_column]
        return series

    def _refresh(self) -> None:
        now = self.state.now()
        assert now is not None
        self._view = View(now, tuple(self.state.releases()))
        kept = {str(release.datestamp) for release in self._view.releases}
        for folder in (self.directory / "releases").iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    # -- files ---------------------------------------------------------------------------------------------------

    def sign(self, path: str) -> str:
        """The path with a signature that ends an hour (of the sandbox's time) from now."""
        expires = int((self.view.now + URL_LIFETIME).timestamp())
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires))}"

    def check_signature(self, path: str, expires: str, signature: str) -> None:
        """Raises SandboxError for a signature that is wrong or has ended."""
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
        """Where the bytes of an upload are. `filename` must be one that was handed out."""
        return self.directory / "uploads" / filename

    # -- submissions ---------------------------------------------------------------------------------------------

    def model(self, identity: str | None) -> Model:
        """The model of an id. Raises SandboxError when it is not the account's."""
        for model in self.state.models():
            if model.id == identity:
                return model
        raise SandboxError(f"Model not found: {identity}")

    def model_named(self, name: str | None) -> Model:
        for model in self.state.models():
            if model.name == name:
                return model
        raise SandboxError(f"User not found: {name}")

    def hand_out_upload(self, filename: str, identity: str | None) -> str:
        """A new file name for an upload, made of the client's own and something random."""
        stem, _, suffix = _UNSAFE.sub("_", Path(filename).name)[-80:].rpartition(".")
        name = f"{stem or 'predictions'}-{secrets.token_hex(6)}.{suffix}"
        self.state.add_upload(name, self.model(identity).id)
        return name

    def expects_upload(self, filename: str) -> bool:
        """True for a name that was handed out and not used yet."""
        upload = self.state.upload(filename)
        return upload is not None and upload.sha256 is None

    def receive_upload(self, filename: str, content: bytes) -> bool:
        """Keeps the bytes of an upload under its name; False when the name is not (or no more) expected."""
        with self._lock:
            if not self.expects_upload(filename):
                return False
            path = self.upload_path(filename)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.part")
            aside.write_bytes(content)
            aside.replace(path)
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
        """Makes an uploaded file the model's submission to the open round.

        Raises SandboxError, with numerai-tools' own words for a file that breaks a rule, when it is not accepted.
        """
        with self._lock:
            model = self.model(identity)
            current = self.view.open_round
            if current is None:
                raise SandboxError(NOT_OPEN)
            if data_datestamp is not None and data_datestamp != current.datestamp:
                raise SandboxError(
                    f"dataDatestamp {data_datestamp} is not that of round {current.number}, {current.datestamp}"
                )
            upload = self._uploaded(filename, model)
            frame = read_submission(self.upload_path(filename).read_bytes())
            matched = validated(frame, self.world.live(current.number))
            return self.state.add_submission(
                upload=upload,
                round_number=current.number,
                now=self.view.now,
                submitted_count=len(frame),
                filtered_count=len(matched),
                trigger_id=trigger_id,
                source=source,
            )

    def _uploaded(self, filename: str, model: Model) -> Upload:
        upload = self.state.upload(filename)
        if upload is None or upload.model_id != model.id or upload.sha256 is None:
            raise SandboxError(f"File not found: {filename} was not uploaded for model {model.name}")
        if self.state.submissions(filename=filename):
            raise SandboxError(f"File already submitted: {filename}")
        return upload

    def submission(self, identity: str | None) -> Submission:
        """The submission of an id. Raises SandboxError when there is none."""
        found = self.state.submissions(id=identity)
        if not found:
            raise SandboxError(f"Submission not found: {identity}")
        return found[0]

    # ------------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `numerai status` shows of the sandbox, ready for JSON."""
        view = self.view
        current = view.open_round
        return {
            "directory": str(self.directory),
            "tournament": TOURNAMENT,
            "now": view.now.isoformat(),
            "open_round": None if current is None else current.number,
            "newest_era": view.latest_round.era,
            "last_era": self.world.last_era,
            "next_opening": rounds.next_round(view.now).opens.isoformat(),
            "submissions": len(self.state.submissions()),
        }


def read_submission(content: bytes) -> pd.DataFrame:
    """The table in a submitted CSV. Raises SandboxError when it is none."""
    try:
        return pd.read_csv(io.BytesIO(content), dtype={"id": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise SandboxError(f"invalid_submission_file: not a CSV file ({' '.join(str(error).split())})") from None


def validated(frame: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """Rows of a submission that are live, checked by numerai-tools, whose messages become SandboxErrors."""
    try:
        _, _, matched, _ = validate_submission_numerai(_ids(live), frame)
    except AssertionError as error:
        raise SandboxError(str(error)) from None
    except TypeError:
        raise SandboxError("invalid_submission_values: values must be numbers") from None
    return matched


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ids(live: pd.DataFrame) -> pd.Series:
    return pd.Series(live.index.astype(str), name="id")
