"""Receipts on disk: what was written is read back, also what earlier versions wrote."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from numerai_assets.tournament.receipt import Receipt, RejectedCandidate, Step, read_receipt, write_receipt

REFUSED = (
    RejectedCandidate("fresh vintage", (("benchmark", 638),), "correlation (with the vintage before) is -0.5"),
    RejectedCandidate("blend of the other methods", (("mixer_boosting", 638), ("era_mlp", 634)), "too flat"),
)
RECEIPT = Receipt(
    1300,
    "mine",
    2,
    "benchmark",
    634,
    "older vintage",
    REFUSED,
    Step.PROVEN,
    20,
    "f" * 64,
    (("built", "2026-10-03T12:00:00+00:00"), ("proven", "2026-10-03T12:01:00+00:00")),
    submission_id="id-1",
)


@pytest.mark.parametrize("refused", [(), REFUSED])
def test_a_receipt_reads_back_as_it_was_written(tmp_path: Path, refused: tuple[RejectedCandidate, ...]) -> None:
    written = replace(RECEIPT, refused=refused)

    write_receipt(tmp_path / "receipt.json", written)

    assert read_receipt(tmp_path / "receipt.json") == written


def test_a_receipt_of_an_earlier_version_has_the_same_refusals(tmp_path: Path) -> None:
    labels = [
        ["fresh vintage (benchmark 0638)", "correlation (with the vintage before) is -0.5"],
        ["blend of the other methods (mixer_boosting 0638, era_mlp 0634)", "too flat"],
    ]
    content = asdict(RECEIPT) | {"refused": labels}
    # Fields that came later.
    del content["is_late"], content["displaces"]
    (tmp_path / "receipt.json").write_text(json.dumps(content))

    assert read_receipt(tmp_path / "receipt.json") == RECEIPT
    assert [refusal.label for refusal in RECEIPT.refused] == [label for label, _ in labels]


@pytest.mark.parametrize(
    ("step", "reached"),
    [(Step.BUILT, []), (Step.UPLOADED, [Step.VALIDATED, Step.UPLOADED]), (Step.ABANDONED, [])],
)
def test_an_attempt_has_reached_its_step_and_those_before_unless_it_was_abandoned(
    step: Step, reached: list[Step]
) -> None:
    receipt = replace(RECEIPT, step=step)

    assert [known for known in list(Step)[1:5] if receipt.reached(known)] == reached
    assert receipt.is_final == (step is Step.ABANDONED)
