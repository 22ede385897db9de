"""SIGKILL at every boundary of a weekday round: the next run ends in one proven submission.

Named so that it is begun early: it is the longest of all tests.
"""

import pytest

from numerai_assets_tests.end_to_end.killed import assert_submitted_once, settings_of
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal
from rehearsals import mortal_run


@pytest.mark.slow(reason="a weekday round for each of some sixty boundaries, each killed and finished")
def test_a_weekday_round_survives_a_kill_at_every_boundary(rehearsal: Rehearsal) -> None:
    file = settings_of(rehearsal)
    boundary, died = 0, 0
    while True:
        status = rehearsal.advance()
        assert status.now is not None and status.open_round is not None
        if status.now.weekday() == 5:
            mortal_run.weekly(file)
            continue
        boundary += 1
        killed = mortal_run.weekly(file, die_after=boundary)
        if not killed.was_killed:
            break
        died += 1
        finished = mortal_run.weekly(file)
        assert finished.error is None, f"after a kill at boundary {boundary}: {finished.error}"
        assert_submitted_once(rehearsal, status.open_round)
    assert died > 40
    assert rehearsal.workspace.store.verify() == []
