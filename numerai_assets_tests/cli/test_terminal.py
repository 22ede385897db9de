"""Tables at the terminal: names of scores, signs, and every column of what was given."""

import datetime as dt

import pandas as pd
import pytest

from numerai_assets.cli import terminal
from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.submission import Receipt, Step
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> terminal.Console:
    """The console of the command line, wide, with its output recorded."""
    console = terminal.Console(highlight=False, width=200, record=True)
    monkeypatch.setattr(terminal, "console", console)
    return console


def test_validation_has_a_row_for_each_score_by_its_name(shown: terminal.Console) -> None:
    table = validation_table(synthetic_scores())

    terminal.show_validation("benchmark", table, first_era=900, last_era=1059, vintages=4)

    text = shown.export_text()
    assert "benchmark: out of sample, eras 0900-1059, 4 vintages" in text
    assert all(name in text for name in ("CORR ender_60", "BMC ender_20", "payout 3 CORR + 15 MMC"))
    assert f"{table['mean'][0]:+.4f}" in text


def test_submissions_show_their_state_and_whether_they_were_late(shown: terminal.Console) -> None:
    receipt = Receipt(
        1300, "one", 1, "benchmark", 892, "older vintage", (), Step.PROVEN, 5432, "f" * 64,
        (("built", "2026-10-03T12:00:00"),), submission_id="abc", is_late=True,
    )  # fmt: skip

    terminal.show_receipts([receipt])

    text = shown.export_text()
    assert all(cell in text for cell in ("1300", "0892", "older vintage", "5,432", "proven, late", "abc"))


def test_live_scores_leave_blanks_where_there_are_none(shown: terminal.Console) -> None:
    index = pd.MultiIndex.from_tuples([("one", 1300)], names=["slot", "round_number"])

    terminal.show_scores(pd.DataFrame({"corr60": [0.0123], "mmc60": [float("nan")]}, index=index))

    text = shown.export_text()
    assert "+0.0123" in text
    assert "nan" not in text


def test_contributions_carry_their_sign(shown: terminal.Console) -> None:
    table = pd.DataFrame({"feature": ["a", "b"], "group": "wisdom", "level": [4, 0], "part": [0.25, -0.5]})

    terminal.show_row("SHAP", table)

    text = shown.export_text()
    assert all(cell in text for cell in ("wisdom", "+0.2500", "-0.5000"))


def test_a_round_is_described_with_its_closing_time() -> None:
    opens = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
    current = Round(1369, opens, opens + dt.timedelta(hours=26), dt.date(2026, 10, 2))

    described = terminal.describe_round(current)

    assert described == f"round 1369 (era {current.era:04d}), open until Sun 2026-10-04 14:00 UTC"
