"""A submission as a proven fact: built, validated, uploaded, registered, read back byte for byte.

numerapi uploads without looking at the status of the PUT and cannot be asked twice without submitting twice. Here each
step is on disk before the next begins, so a run that is killed anywhere is simply run again and ends in the same one
submission: an upload is registered under the file name the server gave it, and that name is looked for among the
slot's submissions before it is registered again.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests
from filelock import FileLock
from numerai_tools.submissions import validate_submission_numerai
from numpy.typing import NDArray

from numerai_assets.errors import RoundClosedError, SubmissionError
from numerai_assets.store.atomic import replacing_file, write_json
from numerai_assets.tournament.client import TOURNAMENT, Round, Tournament
from numerai_assets.tournament.download import sha256_of_bytes


class Step(StrEnum):
    """How far a submission has come. Each step is reached only after the one before it."""

    BUILT = "built"
    VALIDATED = "validated"
    UPLOADED = "uploaded"
    REGISTERED = "registered"
    PROVEN = "proven"


_ORDER = list(Step)


@dataclass(frozen=True)
class Receipt:
    """What is known of the submission of one slot to one round. Holds no secret."""

    round_number: int
    slot: str
    method: str
    vintage: int
    step: Step
    rows: int
    sha256: str
    history: tuple[tuple[str, str], ...]
    server_filename: str | None = None
    submission_id: str | None = None

    def reached(self, step: Step) -> bool:
        return _ORDER.index(self.step) >= _ORDER.index(step)


class SubmissionDesk:
    """Receipts and files of all submissions, under `folder`/<round>/submissions/<slot>/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def receipt(self, round_number: int, slot: str) -> Receipt | None:
        """The receipt of one slot and round, None before anything was built."""
        path = self._place(round_number, slot) / "receipt.json"
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        history = tuple((step, when) for step, when in content["history"])
        return Receipt(**content | {"step": Step(content["step"]), "history": history})

    def receipts(self) -> list[Receipt]:
        """All receipts, oldest round first."""
        paths = self.folder.glob("*/submissions/*/receipt.json")
        places = sorted((int(path.parts[-4]), path.parts[-2]) for path in paths)
        return [receipt for place in places if (receipt := self.receipt(*place)) is not None]

    def is_proven(self, round_number: int, slot: str) -> bool:
        receipt = self.receipt(round_number, slot)
        return receipt is not None and receipt.step is Step.PROVEN

    def submit(
        self,
        tournament: Tournament,
        current: Round,
        slot: str,
        *,
        predictions: pd.DataFrame,
        live_ids: Sequence[str],
        method: str,
        vintage: int,
        log: Callable[[str], None] = lambda line: None,
    ) -> Receipt:
        """Brings the slot's submission to the round to its proven end, from wherever an earlier run left it.

        predictions: columns id (str) and prediction (float in (0, 1)), one row for each of `live_ids`.
        Two processes at once make one submission too: the second waits for the first and finds its receipt.
        Raises SubmissionError when the predictions break Numerai's rules or the server holds other bytes than were
        sent, RoundClosedError when the round is over, TournamentError when it refuses or cannot be reached.
        """
        place = self._place(current.number, slot)
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):
            receipt = self.receipt(current.number, slot)
            if receipt is None or not receipt.reached(Step.UPLOADED):
                receipt = self._build(current, slot, predictions, method=method, vintage=vintage, now=tournament.now())
            content = self._csv(receipt).read_bytes()
            if sha256_of_bytes(content) != receipt.sha256:
                raise SubmissionError(
                    f"{self._csv(receipt)}: changed since it was built; remove its folder and run again"
                )
            advance: dict[Step, Callable[[Receipt], Receipt]] = {
                Step.VALIDATED: lambda r: _validated(r, content, live_ids),
                Step.UPLOADED: lambda r: _uploaded(r, content, tournament, current),
                Step.REGISTERED: lambda r: _registered(r, tournament, current),
                Step.PROVEN: lambda r: _proven(r, content, tournament),
            }
            for step, take in advance.items():
                if not receipt.reached(step):
                    # The time is asked for first: nothing may fail between an effect and its record.
                    when = tournament.now().isoformat(timespec="seconds")
                    receipt = take(receipt)
                    receipt = replace(receipt, step=step, history=(*receipt.history, (step.value, when)))
                    self._keep(receipt)
                    log(f"round {current.number}, {slot}: {step.value}")
            return receipt

    def _build(
        self, current: Round, slot: str, predictions: pd.DataFrame, *, method: str, vintage: int, now: dt.datetime
    ) -> Receipt:
        content = submission_csv(predictions["id"].tolist(), predictions["prediction"].to_numpy(np.float64))
        receipt = Receipt(
            round_number=current.number,
            slot=slot,
            method=method,
            vintage=vintage,
            step=Step.BUILT,
            rows=len(predictions),
            sha256=sha256_of_bytes(content),
            history=((Step.BUILT.value, now.isoformat(timespec="seconds")),),
        )
        with replacing_file(self._csv(receipt)) as aside:
            aside.write_bytes(content)
        self._keep(receipt)
        return receipt

    def _keep(self, receipt: Receipt) -> None:
        write_json(self._place(receipt.round_number, receipt.slot) / "receipt.json", asdict(receipt))

    def _csv(self, receipt: Receipt) -> Path:
        return self._place(receipt.round_number, receipt.slot) / "predictions.csv"

    def _place(self, round_number: int, slot: str) -> Path:
        return self.folder / str(round_number) / "submissions" / slot


def submission_csv(ids: Sequence[str], predictions: NDArray[np.float64]) -> bytes:
    """The file Numerai takes: header `id,prediction`, a row an id, floats written so that they read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "prediction"))
    writer.writerows((i, repr(float(p))) for i, p in zip(ids, predictions, strict=True))
    return text.getvalue().encode("ascii")


def check_predictions(predictions: pd.DataFrame, live_ids: Sequence[str], where: str) -> None:
    """Raises SubmissionError, naming `where`, unless the predictions hold Numerai's rules and our stricter ones.

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
    auth: dict[str, str] = tournament.query(query, variables, authorized=True)["submission_upload_auth"]
    try:
        answer = requests.put(auth["url"], data=content, timeout=tournament.timeout_seconds)
    except requests.RequestException as error:
        raise SubmissionError(f"{receipt.slot}: the upload broke off ({type(error).__name__}); run again") from None
    if not answer.ok:
        raise SubmissionError(
            f"{receipt.slot}: the upload was answered {answer.status_code} {answer.reason}; run again"
        )
    return replace(receipt, server_filename=auth["filename"])


def _check_open(current: Round, slot: str, now: dt.datetime) -> None:
    if not current.is_open(now):
        raise RoundClosedError(
            f"round {current.number} closed at {current.closes:%a %Y-%m-%d %H:%M} UTC, it is {now:%a %Y-%m-%d %H:%M}; "
            f"{slot} was not submitted"
        )


def _registered(receipt: Receipt, tournament: Tournament, current: Round) -> Receipt:
    model_id = tournament.model_id(receipt.slot)
    found = [s["id"] for s in _submissions(tournament, model_id) if s["filename"] == receipt.server_filename]
    if found:
        return replace(receipt, submission_id=found[0])
    # The server takes a file for whatever round is open: one uploaded for an earlier round must not be registered now.
    _check_open(current, receipt.slot, tournament.now())
    mutation = (
        "mutation($filename: String! $tournament: Int! $modelId: String $triggerId: String, $dataDatestamp: Int) "
        "{ create_submission(filename: $filename tournament: $tournament modelId: $modelId triggerId: $triggerId "
        'source: "numerai_assets" dataDatestamp: $dataDatestamp) { id } }'
    )
    variables = {"filename": receipt.server_filename, "tournament": TOURNAMENT, "modelId": model_id}
    answer = tournament.ask_once(mutation, variables, authorized=True)["create_submission"]
    return replace(receipt, submission_id=answer["id"])


def _proven(receipt: Receipt, content: bytes, tournament: Tournament) -> Receipt:
    query = "query($id: String) { submissionDownloadAuth(id: $id) { filename url } }"
    auth = tournament.query(query, {"id": receipt.submission_id}, authorized=True)["submissionDownloadAuth"]
    try:
        answer = requests.get(auth["url"], timeout=tournament.timeout_seconds)
    except requests.RequestException as error:
        raise SubmissionError(f"{receipt.slot}: could not be read back ({type(error).__name__}); run again") from None
    if not answer.ok:
        raise SubmissionError(
            f"{receipt.slot}: reading back was answered {answer.status_code} {answer.reason}; run again"
        )
    if answer.content != content:
        raise SubmissionError(
            f"{receipt.slot}, round {receipt.round_number}: the server holds {len(answer.content):,} bytes that are not the "
            f"{len(content):,} sent (sha256 {receipt.sha256[:12]}); submission {receipt.submission_id} is not proven"
        )
    return receipt


def _submissions(tournament: Tournament, model_id: str) -> list[dict[str, Any]]:
    query = "query($modelId: String) { submissions(modelId: $modelId) { id filename insertedAt } }"
    found: list[dict[str, Any]] = tournament.query(query, {"modelId": model_id}, authorized=True)["submissions"] or []
    return found
