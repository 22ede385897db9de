"""Receipts of submissions: how far each attempt has come, what it sends, and why better candidates were refused."""

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_assets.eras import era_label
from numerai_assets.store.atomic import write_json

Model = tuple[str, int]
"""A method and its vintage."""


class Step(StrEnum):
    """How far an attempt has come. Each step is reached only after the one before it; the last two are final."""

    BUILT = "built"
    VALIDATED = "validated"
    UPLOADED = "uploaded"
    REGISTERED = "registered"
    PROVEN = "proven"
    ABANDONED = "abandoned"


_ORDER = [Step.BUILT, Step.VALIDATED, Step.UPLOADED, Step.REGISTERED, Step.PROVEN]


@dataclass(frozen=True)
class RejectedCandidate:
    """A candidate of the deadline ladder that was not submitted: its rung, its models, and the reason."""

    rung: str
    models: tuple[Model, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"

    @property
    def label(self) -> str:
        """Rung and models, for people."""
        return f"{self.rung} ({', '.join(f'{method} {era_label(vintage)}' for method, vintage in self.models)})"


@dataclass(frozen=True)
class Entry:
    """Predictions to submit. predictions: columns id (str) and prediction (float in (0, 1)).

    rung: its step of the deadline ladder. refused: the candidates of higher rungs.
    """

    predictions: pd.DataFrame
    method: str
    vintage: int
    rung: str
    refused: tuple[RejectedCandidate, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """State of one attempt to submit a slot to a round. Holds no secret.

    status: the server's own word for the submission. is_late: it counts for scores, not for stakes.
    abandoned_over: why the attempt was abandoned. displaces: it is in effect on the server all the same.
    """

    round_number: int
    slot: str
    attempt: int
    method: str
    vintage: int
    rung: str
    refused: tuple[RejectedCandidate, ...]
    step: Step
    rows: int
    sha256: str
    history: tuple[tuple[str, str], ...]
    server_filename: str | None = None
    submission_id: str | None = None
    status: str | None = None
    is_late: bool = False
    abandoned_over: str | None = None
    displaces: bool = False

    def reached(self, step: Step) -> bool:
        """True when the attempt is not abandoned and has come as far as `step`."""
        return self.step is not Step.ABANDONED and _ORDER.index(self.step) >= _ORDER.index(step)

    @property
    def is_final(self) -> bool:
        return self.step in (Step.PROVEN, Step.ABANDONED)


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Writes a receipt as JSON."""
    write_json(path, asdict(receipt))


def read_receipt(path: Path) -> Receipt:
    """The receipt that `write_receipt` wrote, now or in an earlier version."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return Receipt(
        **content
        | {
            "refused": tuple(map(_refusal, content["refused"])),
            "history": tuple((step, when) for step, when in content["history"]),
            "step": Step(content["step"]),
        }
    )


def _refusal(item: dict[str, Any] | list[str]) -> RejectedCandidate:
    if isinstance(item, dict):
        return RejectedCandidate(
            item["rung"], tuple((method, vintage) for method, vintage in item["models"]), item["reason"]
        )
    # Earlier versions wrote the label and the reason: "older vintage (benchmark 0638)", "too flat".
    label, reason = item
    models = re.findall(r"(\w+) (\d{4})(?=[,)])", label)
    return RejectedCandidate(
        label.partition(" (")[0], tuple((method, int(vintage)) for method, vintage in models), reason
    )
