"""SIGKILL at every boundary of a weekday round: the next run ends in one proven submission."""

import itertools
import shutil
from pathlib import Path

import pytest

from numerai_assets_tests.end_to_end.conftest import rehearsal_on
from numerai_assets_tests.end_to_end.killed import assert_submitted_once, settings_of
from rehearsals import mortal_run

# The boundaries are dealt out to this many tests, so that both workers of the suite get some.
SHARES = 8


@pytest.mark.slow(reason="a weekday round for each of some eighty boundaries, each killed and finished")
@pytest.mark.parametrize("share", range(SHARES))
def test_a_weekday_round_survives_a_kill_at_every_boundary(
    first_weekend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: int
) -> None:
    died = 0
    for boundary in itertools.count(1 + share, SHARES):
        folder = shutil.copytree(first_weekend, tmp_path / str(boundary))
        with rehearsal_on(folder, monkeypatch) as rehearsal:
            status = rehearsal.advance()
            assert status.now is not None and status.open_round is not None
            assert status.now.weekday() != 5
            file = settings_of(rehearsal)
            killed = mortal_run.weekly(file, die_after=boundary)
            if not killed.was_killed:
                break
            died += 1
            finished = mortal_run.weekly(file)
            assert finished.error is None, f"after a kill right after {killed.passed[-1]}: {finished.error}"
            assert_submitted_once(rehearsal, status.open_round)
            assert rehearsal.workspace.store.verify() == []
        shutil.rmtree(folder)
    assert died > 40 / SHARES
