"""Submitting one slot's predictions to one round."""

from collections.abc import Callable

from numerai_assets.errors import StaleLiveError
from numerai_assets.evaluation.gate import Finding
from numerai_assets.pipeline.ladder import Ladder, Rung
from numerai_assets.pipeline.predictions import live_panel
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.receipt import Entry, Receipt

Log = Callable[[str], None]


def submit(workspace: Workspace, slot: str, number: int, log: Log) -> tuple[Receipt, list[Finding]]:
    """Submits the best entry of the ladder. Sends an alert for a lower rung, a late submission and a stale live file.

    Raises what the desk and the ladder raise, and for a slot that is not on the account. A live file that the server did
    not take is set aside first.
    """
    workspace.tournament.model_id(slot)
    entry, findings = Ladder(workspace, slot, number).climb_down()
    _tell_of_rung(workspace, slot, number, entry)
    try:
        receipt = workspace.desk.submit(
            workspace.tournament,
            workspace.round(number),
            slot,
            entry,
            live_ids=list(live_panel(workspace.store, number).ids),
            log=log,
        )
    except StaleLiveError as error:
        kept = workspace.set_aside_live(number)
        raise StaleLiveError(f"{error}. The live file is kept in {kept}; run again to download it again") from None
    if receipt.is_late:
        workspace.alert(
            f"round {number} {slot} late", f"round {number}, {slot}: the server took it as {receipt.status}"
        )
    return receipt, findings


def _tell_of_rung(workspace: Workspace, slot: str, number: int, entry: Entry) -> None:
    if entry.rung == Rung.FRESH or (entry.rung == Rung.NEWEST and not entry.refused):
        return
    reasons = "; ".join(map(str, entry.refused))
    workspace.alert(f"round {number} {slot} {entry.rung}", f"round {number}, {slot}: submits {entry.rung}. {reasons}")
