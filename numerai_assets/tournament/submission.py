"""Proven submissions: built, validated, uploaded, registered, read back byte for byte.

numerapi ignores the status of the PUT, and a repeated call submits twice. Here each step is on disk before the next begins,
so a run that is killed at any point is simply run again: an upload is registered under the file name that the server gave
it, and that name is looked up among the slot's submissions before it is registered again. An attempt that cannot be
completed is abandoned, kept for inspection, and replaced by a new one.
"""

import csv
import datetime as dt
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numerai_tools.submissions import validate_submission_numerai
from numpy.typing import NDArray

from numerai_assets.errors import (
    AuthenticationError,
    RoundClosedError,
    StaleLiveError,
    SubmissionError,
    TournamentError,
    Unreachable,
)
from numerai_assets.store.atomic import replacing_file
from numerai_assets.tournament.client import TOURNAMENT, Round, Tournament, error_code
from numerai_assets.tournament.download import sha256_of_bytes
from numerai_assets.tournament.receipt import Entry, Receipt, Step, read_receipt, write_receipt
from numerai_assets.tournament.transport import persistently

_ATTEMPTS_A_RUN = 2
# Validation on the server is asynchronous; one that takes longer than this is lost.
PROCESSING_MINUTES = 15
# Numerai's error code for ids that are not those of the open round.
_STALE_IDS = "invalid_submission_ids"


class _Abandoned(SubmissionError):
    """This attempt cannot be completed; another one may."""


class _Displacing(_Abandoned):
    """This attempt is in effect on the server, and wrong: an earlier proven attempt no longer counts there."""


class _NotYet(SubmissionError):
    """The server has not decided yet."""


class SubmissionDesk:
    """Receipts and files of all attempts, under `folder`/<round>/submissions/<slot>/<attempt>/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempts(self, round_number: int, slot: str) -> list[Receipt]:
        """All attempts of one slot and round, oldest first."""
        place = self.folder / str(round_number) / "submissions" / slot
        numbers = sorted(int(path.parent.name) for path in place.glob("*/receipt.json"))
        return [read_receipt(place / str(number) / "receipt.json") for number in numbers]

    def receipt(self, round_number: int, slot: str) -> Receipt | None:
        """The attempt that counts: the newest that is proven, unless a later one displaces it, else the newest.

        None before anything was built.
        """
        attempts = self.attempts(round_number, slot)
        counting = next((a for a in reversed(attempts) if a.step is Step.PROVEN or a.displaces), None)
        return counting or (attempts[-1] if attempts else None)

    def receipts(self) -> list[Receipt]:
        """The receipt that counts of every round and slot, oldest round first."""
        places = sorted((int(path.parts[-3]), path.name) for path in self.folder.glob("*/submissions/*"))
        return [receipt for place in places if (receipt := self.receipt(*place)) is not None]

    def is_proven(self, round_number: int, slot: str) -> bool:
        receipt = self.receipt(round_number, slot)
        return receipt is not None and receipt.step is Step.PROVEN

    def content(self, receipt: Receipt) -> bytes:
        """The file of an attempt. Raises SubmissionError when it has changed since it was built."""
        path = self._place(receipt) / "predictions.csv"
        content = path.read_bytes()
        if sha256_of_bytes(content) != receipt.sha256:
            raise SubmissionError(f"{path}: changed since it was built; remove its folder and run again")
        return content

    def predictions(self, receipt: Receipt) -> "pd.Series[float]":
        """Predictions of an attempt, index id. Raises SubmissionError when the file has changed since it was built."""
        frame = pd.read_csv(io.BytesIO(self.content(receipt)), dtype={"id": str}, index_col="id")
        return frame["prediction"]

    def submit(
        self,
        tournament: Tournament,
        current: Round,
        slot: str,
        entry: Entry,
        *,
        live_ids: Sequence[str],
        log: Callable[[str], None] = lambda line: None,
    ) -> Receipt:
        """Completes the slot's submission to the round until it is proven, from wherever an earlier run left it.

        An attempt whose file is already on the server is completed; otherwise `entry` is submitted, one row for each of
        `live_ids`. A proven attempt counts until a later one is proven too. Two processes at once make one submission:
        the second waits for the first and finds its receipt.
        Raises SubmissionError when the predictions break Numerai's rules or cannot be proven, StaleLiveError when the
        server expects other ids, RoundClosedError when the round is over, TournamentError when it refuses or cannot be
        reached.
        """
        place = self.folder / str(current.number) / "submissions" / slot
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):
            for last in range(_ATTEMPTS_A_RUN):
                receipt = self._begun(current, slot, entry, tournament)
                if receipt.step is Step.PROVEN:
                    return receipt
                try:
                    return self._finish(receipt, tournament, current, live_ids, log)
                except _Abandoned as reason:
                    log(f"round {current.number}, {slot}: attempt {receipt.attempt} abandoned: {reason}")
                    if last == _ATTEMPTS_A_RUN - 1:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _begun(self, current: Round, slot: str, entry: Entry, tournament: Tournament) -> Receipt:
        """The attempt to continue: one that is on the server, the proven one of the same file, or a new one."""
        attempts = self.attempts(current.number, slot)
        newest = attempts[-1] if attempts else None
        if newest is not None and newest.reached(Step.UPLOADED) and not newest.is_final:
            return newest
        content = submission_csv(entry.predictions["id"].tolist(), entry.predictions["prediction"].to_numpy(np.float64))
        digest = sha256_of_bytes(content)
        proven = [attempt for attempt in attempts if attempt.step is Step.PROVEN]
        if proven and proven[-1].sha256 == digest and newest is proven[-1]:
            return proven[-1]
        number = 1 if newest is None else newest.attempt + newest.is_final
        receipt = Receipt(
            round_number=current.number,
            slot=slot,
            attempt=number,
            method=entry.method,
            vintage=entry.vintage,
            rung=entry.rung,
            refused=entry.refused,
            step=Step.BUILT,
            rows=len(entry.predictions),
            sha256=digest,
            history=((Step.BUILT.value, _stamp(tournament)),),
        )
        with replacing_file(self._place(receipt) / "predictions.csv") as aside:
            aside.write_bytes(content)
        self._keep(receipt)
        return receipt

    def _finish(
        self,
        receipt: Receipt,
        tournament: Tournament,
        current: Round,
        live_ids: Sequence[str],
        log: Callable[[str], None],
    ) -> Receipt:
        content = self.content(receipt)
        advance: dict[Step, Callable[[Receipt], Receipt]] = {
            Step.VALIDATED: lambda r: _validated(r, content, live_ids),
            Step.UPLOADED: lambda r: _uploaded(r, content, tournament, current),
            Step.REGISTERED: lambda r: _registered(r, tournament, current),
            Step.PROVEN: lambda r: _proven(r, content, tournament),
        }
        for step, take in advance.items():
            if receipt.reached(step):
                continue
            # The time is requested first: nothing may fail between an effect and its record.
            when = _stamp(tournament)
            try:
                receipt = take(receipt)
            except (_Abandoned, StaleLiveError) as reason:
                abandoned = replace(receipt, abandoned_over=str(reason), displaces=isinstance(reason, _Displacing))
                self._keep(_at(abandoned, Step.ABANDONED, when))
                raise
            receipt = _at(receipt, step, when)
            self._keep(receipt)
            log(f"round {current.number}, {receipt.slot}: {step.value}")
        return receipt

    def _keep(self, receipt: Receipt) -> None:
        write_receipt(self._place(receipt) / "receipt.json", receipt)

    def _place(self, receipt: Receipt) -> Path:
        return self.folder / str(receipt.round_number) / "submissions" / receipt.slot / str(receipt.attempt)


def _at(receipt: Receipt, step: Step, when: str) -> Receipt:
    return replace(receipt, step=step, history=(*receipt.history, (step.value, when)))


def _stamp(tournament: Tournament) -> str:
    return tournament.now().isoformat(timespec="seconds")


def submission_csv(ids: Sequence[str], predictions: NDArray[np.float64]) -> bytes:
    """The file Numerai takes: header `id,prediction`, a row an id, floats written so that they read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "prediction"))
    writer.writerows((i, repr(float(p))) for i, p in zip(ids, predictions, strict=True))
    return text.getvalue().encode("ascii")


def check_predictions(predictions: pd.DataFrame, live_ids: Sequence[str], where: str) -> None:
    """Raises SubmissionError, naming `where`, unless the predictions obey Numerai's rules and our stricter ones.

    Numerai's rules are numerai-tools' own. Stricter: no row beyond the live ids, and values strictly inside (0, 1).
    """
    universe = pd.Series(list(live_ids), name="id")
    try:
        _, _, _, stray = validate_submission_numerai(universe, predictions[["id", "prediction"]])
    except AssertionError as error:
        raise SubmissionError(f"{where}: {error}") from None
    if len(stray):
        raise SubmissionError(f"{where}: {len(stray)} ids are not live, e.g. {sorted(stray)[0]}")
    values = predictions["prediction"]
    if not ((values > 0) & (values < 1)).all():
        raise SubmissionError(
            f"{where}: predictions must lie strictly between 0 and 1, found {values.min()}..{values.max()}"
        )


def _validated(receipt: Receipt, content: bytes, live_ids: Sequence[str]) -> Receipt:
    frame = pd.read_csv(io.BytesIO(content), dtype={"id": str})
    check_predictions(frame, live_ids, f"round {receipt.round_number}, {receipt.slot}")
    return receipt


def _uploaded(receipt: Receipt, content: bytes, tournament: Tournament, current: Round) -> Receipt:
    _check_open(current, receipt.slot, tournament.now())
    query = (
        "query($filename: String! $tournament: Int! $modelId: String) "
        "{ submission_upload_auth(filename: $filename tournament: $tournament modelId: $modelId) { filename url } }"
    )
    variables = {
        "filename": f"{receipt.slot}_round_{receipt.round_number}.csv",
        "tournament": TOURNAMENT,
        "modelId": tournament.model_id(receipt.slot),
    }

    def upload() -> str:
        # An upload name is valid for one file, so every attempt requests a new one.
        auth: dict[str, str] = tournament.query(query, variables, authorized=True)["submission_upload_auth"]
        try:
            answer = tournament.put(auth["url"], content)
        except Unreachable as error:
            raise _NotYet(f"{receipt.slot}: the upload broke off ({error}); run again") from None
        if not answer.ok:
            raise _NotYet(f"{receipt.slot}: the upload was answered {answer.status_code} {answer.reason}; run again")
        return auth["filename"]

    filename = persistently(upload, tournament.network, on=_NotYet)
    return replace(receipt, server_filename=filename)


def _check_open(current: Round, slot: str, now: dt.datetime) -> None:
    if not current.is_open(now):
        raise RoundClosedError(
            f"round {current.number} closed at {current.closes:%a %Y-%m-%d %H:%M} UTC, it is {now:%a %Y-%m-%d %H:%M}; "
            f"{slot} was not submitted"
        )


def _registered(receipt: Receipt, tournament: Tournament, current: Round) -> Receipt:
    model_id = tournament.model_id(receipt.slot)
    mutation = (
        "mutation($filename: String! $tournament: Int! $modelId: String $triggerId: String, $dataDatestamp: Int) "
        "{ create_submission(filename: $filename tournament: $tournament modelId: $modelId triggerId: $triggerId "
        'source: "numerai_assets" dataDatestamp: $dataDatestamp) { id } }'
    )
    variables = {"filename": receipt.server_filename, "tournament": TOURNAMENT, "modelId": model_id}

    def register() -> str:
        # A request whose answer was lost may have been executed: look before asking again.
        if (known := _on_server(tournament, model_id, receipt)) is not None:
            return str(known["id"])
        # The server accepts a file for any open round: one of an earlier round must not be registered now.
        _check_open(current, receipt.slot, tournament.now())
        return str(tournament.ask_once(mutation, variables, authorized=True)["create_submission"]["id"])

    try:
        identity = persistently(register, tournament.network)
    except (Unreachable, RoundClosedError, AuthenticationError):
        raise
    except TournamentError as error:
        if error.code == _STALE_IDS:
            raise StaleLiveError(f"round {receipt.round_number}, {receipt.slot}: {error}") from None
        raise _Abandoned(f"round {receipt.round_number}, {receipt.slot}: {error}") from None
    return replace(receipt, submission_id=identity)


def _proven(receipt: Receipt, content: bytes, tournament: Tournament) -> Receipt:
    model_id = tournament.model_id(receipt.slot)
    where = f"round {receipt.round_number}, {receipt.slot}"

    def judged() -> dict[str, Any]:
        known = _on_server(tournament, model_id, receipt)
        if known is None:
            raise _Abandoned(f"{where}: the server no longer knows submission {receipt.submission_id}")
        if (found := known["round"]["number"]) != receipt.round_number:
            raise _Abandoned(f"{where}: the server took submission {known['id']} for round {found}")
        if known["errorInfo"]:
            # A server may check a file only some time after accepting it.
            kind = StaleLiveError if error_code(known["errorInfo"]) == _STALE_IDS else _Abandoned
            raise kind(f"{where}: the server refused submission {known['id']}: {known['errorInfo']}")
        if not known["selected"]:
            raise _NotYet(f"{where}: submission {known['id']} is not in effect yet ({known['status']}); run again")
        return known

    try:
        known = persistently(judged, tournament.network, on=_NotYet)
    except _NotYet as error:
        registered = dt.datetime.fromisoformat(receipt.history[-1][1])
        if tournament.now() - registered > dt.timedelta(minutes=PROCESSING_MINUTES):
            raise _Abandoned(f"{error}, for more than {PROCESSING_MINUTES} minutes") from None
        raise
    sent_back = _read_back(tournament, str(known["id"]), receipt)
    if sent_back != content:
        # Once more: the fault may be in the transfer back.
        sent_back = _read_back(tournament, str(known["id"]), receipt)
    if sent_back != content:
        raise _Displacing(
            f"{where}: the server holds {len(sent_back):,} bytes that are not the {len(content):,} sent "
            f"(sha256 {receipt.sha256[:12]}); submission {known['id']} is not proven"
        )
    status = str(known["status"])
    return replace(receipt, submission_id=str(known["id"]), status=status, is_late="late" in status.lower())


def _read_back(tournament: Tournament, identity: str, receipt: Receipt) -> bytes:
    query = "query($id: String) { submissionDownloadAuth(id: $id) { filename url } }"

    def read() -> bytes:
        auth = tournament.query(query, {"id": identity}, authorized=True)["submissionDownloadAuth"]
        try:
            answer = tournament.get(auth["url"])
        except Unreachable as error:
            raise _NotYet(f"{receipt.slot}: could not be read back ({error}); run again") from None
        if not answer.ok:
            raise _NotYet(f"{receipt.slot}: reading back was answered {answer.status_code} {answer.reason}; run again")
        return answer.content

    return persistently(read, tournament.network, on=_NotYet)


def _on_server(tournament: Tournament, model_id: str, receipt: Receipt) -> dict[str, Any] | None:
    """The server's record of the attempt's file: the submission in effect where it was registered more than once."""
    query = (
        "query($modelId: String) { model(modelId: $modelId) "
        "{ submissions { id filename insertedAt status errorInfo selected round { tournament number } } } }"
    )
    model = tournament.query(query, {"modelId": model_id}, authorized=True)["model"]
    if model is None:
        # This does not mean "none": registering again on such an answer would submit a file twice.
        raise Unreachable(f"the tournament does not list the submissions of {receipt.slot}; run again")
    ours = [item for item in model["submissions"] or [] if item["filename"] == receipt.server_filename]
    return max(ours, key=lambda item: (bool(item["selected"]), item["insertedAt"]), default=None)
