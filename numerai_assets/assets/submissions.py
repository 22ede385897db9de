"""Submissions: one asset a model slot, each round's file proven to be on the server."""

import dagster as dg

from numerai_assets.assets.partitions import rounds
from numerai_assets.assets.predictions import live_predictions_key, vintage_for_round
from numerai_assets.assets.reporting import measured, result
from numerai_assets.assets.workspace import Workspace
from numerai_assets.eras import era_label, live_key
from numerai_assets.store.panel import EraPanel


def submission_key(slot: str) -> dg.AssetKey:
    return dg.AssetKey(["submissions", slot])


def submission_asset(slot: str, method: str) -> dg.AssetsDefinition:
    """The asset of one slot's submissions."""

    @dg.asset(
        key=submission_key(slot),
        partitions_def=rounds,
        group_name="submissions",
        description=f"`{method}` submitted to slot `{slot}`: validated, uploaded, registered, read back byte for byte.",
        pool="network",
        deps=[live_predictions_key(method)],
    )
    def _submission(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        vintage = vintage_for_round(workspace, method, number)
        with measured() as cost:
            receipt = workspace.desk.submit(
                workspace.tournament,
                workspace.round(number),
                slot,
                predictions=workspace.predictions.read(method, vintage, live_key(number))[["id", "prediction"]],
                live_ids=list(live_panel(workspace, number).ids),
                method=method,
                vintage=vintage,
                log=context.log.info,
            )
        return result(
            {
                "round": number,
                "slot": slot,
                "vintage": era_label(receipt.vintage),
                "rows": receipt.rows,
                "step": receipt.step.value,
                "submission_id": receipt.submission_id or "",
                "sha256": receipt.sha256,
                "receipt": dg.MetadataValue.md(
                    "| step | time (UTC) |\n|---|---|\n" + "\n".join(f"| {s} | {t} |" for s, t in receipt.history)
                ),
            },
            cost,
        )

    return _submission


def live_panel(workspace: Workspace, number: int) -> EraPanel:
    """The stored live rows of a round."""
    return workspace.store.panel([live_key(number)])
