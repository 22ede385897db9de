"""What a round must look like after a run that was killed and one that finished its work."""

from pathlib import Path

from numerai_assets.sandbox.tournament.state import State
from numerai_assets.tournament.receipt import Step
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

SLOT = "sandbox_one"


def settings_of(rehearsal: Rehearsal) -> Path:
    """The settings file that the rehearsal was opened with."""
    return rehearsal.workspace.folder.parent.with_suffix(".toml")


def assert_submitted_once(rehearsal: Rehearsal, number: int) -> None:
    receipt = rehearsal.workspace.desk.receipt(number, SLOT)
    assert receipt is not None and receipt.step is Step.PROVEN
    assert receipt.round_number == number
    state = State(rehearsal.world / "server" / "state.sqlite")
    in_effect = state.submissions(round_number=number, selected=1)
    assert [s.id for s in in_effect] == [receipt.submission_id]
    # A run that died between an upload and its record may upload again, never register again.
    assert len(state.submissions(round_number=number)) == 1
