"""Submissions: one asset a model slot, each round's file proven to be on the server."""

import dagster as dg
import pandas as pd

from numerai_assets.assets.partitions import rounds
from numerai_assets.assets.predictions import live_predictions_key
from numerai_assets.assets.reporting import measured, result, table
from numerai_assets.eras import era_label
from numerai_assets.evaluation.gate import Finding
from numerai_assets.pipeline.submit import submit
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.receipt import Receipt


def submission_key(slot: str) -> dg.AssetKey:
    return dg.AssetKey(["submissions", slot])


def submission_asset(slot: str, method: str, methods: list[str]) -> dg.AssetsDefinition:
    """The asset of one slot's submissions. methods: all that are active, whose predictions may have to stand in."""

    @dg.asset(
        key=submission_key(slot),
        partitions_def=rounds,
        group_name="submissions",
        description=f"`{method}` submitted to slot `{slot}`: gated, validated, uploaded, registered, read back.",
        # One submitter per slot, wherever it is started.
        pool=f"slot_{slot}",
        deps=[live_predictions_key(name) for name in methods],
    )
    def _submission(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        with measured() as cost:
            receipt, findings = submit(workspace, slot, number, log=context.log.info)
        return result(
            {
                "round": number,
                "slot": slot,
                "model": f"{receipt.method} {era_label(receipt.vintage)}",
                "rung": receipt.rung,
                "refused": table(_refusals(receipt)) if receipt.refused else "none",
                "gate": table(_as_frame(findings)),
                "rows": receipt.rows,
                "step": receipt.step.value,
                "status": receipt.status or "",
                "submission_id": receipt.submission_id or "",
                "sha256": receipt.sha256,
                "receipt": dg.MetadataValue.md(
                    "| step | time (UTC) |\n|---|---|\n" + "\n".join(f"| {s} | {t} |" for s, t in receipt.history)
                ),
            },
            cost,
        )

    return _submission


def _refusals(receipt: Receipt) -> pd.DataFrame:
    return pd.DataFrame([(item.label, item.reason) for item in receipt.refused], columns=["rung", "why"])


def _as_frame(findings: list[Finding]) -> pd.DataFrame:
    rows = [(f.name, float(f.value), float(f.least), float(f.greatest)) for f in findings]
    return pd.DataFrame(rows, columns=["finding", "value", "least", "greatest"])
