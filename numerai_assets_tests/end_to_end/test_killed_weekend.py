"""SIGKILL all along a weekend's chain: it ends, byte for byte, as one that nobody disturbed."""

import pytest

from numerai_assets_tests.end_to_end.killed import assert_submitted_once, settings_of
from numerai_assets_tests.end_to_end.rehearsal import NewRehearsal, Rehearsal
from rehearsals import mortal_run


@pytest.mark.slow(reason="a weekend's chain killed some sixty times, and the same weekend undisturbed beside it")
def test_a_weekend_killed_after_every_file_ends_as_one_that_was_not(
    rehearsal: Rehearsal, new_rehearsal: NewRehearsal
) -> None:
    """Runs die right after their first, second, ... eighth file, in turns: an era is five files that belong together.

    What they leave in the end is, byte for byte, an undisturbed run's.
    """
    while True:
        rehearsal.to_next_weekend()
        due = rehearsal.workspace.settings.retrain.every_eras
        current = rehearsal.workspace.tournament.current_round()
        assert current is not None
        if (current.era - 1 - 574) % due == 0:
            break
        mortal_run.weekly(settings_of(rehearsal))
    before = set(rehearsal.workspace.vintages.vintages("benchmark"))
    died = 0
    while mortal_run.weekly(settings_of(rehearsal), die_after=1 + died % 8, which=mortal_run.RENAMES).was_killed:
        died += 1
        assert died < 200
    assert died > 12
    assert set(rehearsal.workspace.vintages.vintages("benchmark")) - before
    assert_submitted_once(rehearsal, current.number)
    assert rehearsal.workspace.store.verify() == []

    calm = new_rehearsal(beside=rehearsal, home="calm")
    assert mortal_run.weekly(settings_of(calm)).error is None
    compared = 0
    for kind in ("store/released/*.npy", "store/cleaned/*.npy", "store/targets/*.parquet", "vintages/*/*/model.txt"):
        for path in sorted(calm.workspace.folder.glob(kind)):
            ours = rehearsal.workspace.folder / path.relative_to(calm.workspace.folder)
            assert ours.read_bytes() == path.read_bytes(), path.name
            compared += 1
    assert compared > 300
