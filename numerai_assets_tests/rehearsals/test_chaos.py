"""Four weeks of everything going wrong; `make chaos` does the same for a year."""

from pathlib import Path

import pytest

from rehearsals.chaos import Rehearsal, bad_year


@pytest.mark.slow(reason="twenty rounds with every fault, some of the runs killed")
def test_four_bad_weeks_lose_no_round_that_could_be_met(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path / "chaos", seed=1, weeks=4, kills=0.2)
    try:
        ledger = rehearsal.run()
    finally:
        rehearsal.stop()
    assert ledger.rounds == 20
    assert ledger.wrong == []
    assert ledger.submitted + len(ledger.lost) == 20
    assert {item["round"] for item in ledger.lost} <= rehearsal.impossible_rounds
    assert all(item["alerted"] for item in ledger.lost)
    assert ledger.killed > 0
    assert ledger.files > 20
    assert ledger.parts > 0
    assert len(ledger.faults) >= 4


def test_a_bad_year_is_the_same_for_the_same_seed() -> None:
    assert bad_year(3, first_round=326, rounds=260) == bad_year(3, first_round=326, rounds=260)
    assert bad_year(3, first_round=326, rounds=260) != bad_year(4, first_round=326, rounds=260)
