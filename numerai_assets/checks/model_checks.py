"""Checks of models and predictions: the wall held, and what is about to be submitted keeps Numerai's rules."""

from typing import Any

import dagster as dg

from numerai_assets.assets.models import model_key
from numerai_assets.assets.predictions import live_predictions_key, out_of_sample_key, vintage_for_round
from numerai_assets.assets.submissions import live_panel
from numerai_assets.assets.workspace import Workspace
from numerai_assets.eras import Wall, era_label, horizon_of, live_key
from numerai_assets.errors import SubmissionError
from numerai_assets.tournament.submission import check_predictions


def wall_held(method: str) -> dg.AssetChecksDefinition:
    """No vintage was fitted on an era behind its wall."""

    @dg.asset_check(asset=model_key(method), name="wall_held", blocking=True)
    def _wall_held(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        """Every vintage's last fitted era is at or before its wall."""
        facts = [workspace.vintages.facts(method, vintage) for vintage in workspace.vintages.vintages(method)]
        broken = [f.vintage for f in facts if f.last_fit_era > Wall(f.vintage, horizon_of(f.target)).last_fit_era]
        return dg.AssetCheckResult(passed=not broken, metadata={"vintages": len(facts), "broken": broken})

    return _wall_held


def judged_after_vintage(method: str) -> dg.AssetChecksDefinition:
    """No vintage predicted, out of sample, an era that is not after it."""

    @dg.asset_check(asset=out_of_sample_key(method), name="judged_after_vintage", blocking=True)
    def _judged_after_vintage(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        """Every era predicted out of sample is after the vintage that predicted it."""
        vintages = workspace.vintages.vintages(method)
        broken = [v for v in vintages if min(workspace.predictions.eras(method, v), default=v + 1) <= v]
        return dg.AssetCheckResult(passed=not broken, metadata={"vintages": len(vintages), "broken": broken})

    return _judged_after_vintage


def live_predictions_valid(method: str) -> dg.AssetChecksDefinition:
    """Live predictions keep Numerai's own rules before anything is uploaded."""

    @dg.asset_check(asset=live_predictions_key(method), name="live_predictions_valid", blocking=True)
    def _live_predictions_valid(
        context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.AssetCheckResult:
        """One value in (0, 1) for every live id, not constant, as numerai-tools demands."""
        number = int(context.op_execution_context.partition_key)
        vintage = vintage_for_round(workspace, method, number)
        frame = workspace.predictions.read(method, vintage, live_key(number))
        metadata: dict[str, Any] = {"rows": len(frame), "vintage": era_label(vintage)}
        try:
            check_predictions(frame, list(live_panel(workspace, number).ids), f"round {number}, {method}")
        except SubmissionError as error:
            return dg.AssetCheckResult(passed=False, metadata=metadata | {"why": str(error)})
        return dg.AssetCheckResult(passed=True, metadata=metadata)

    return _live_predictions_valid


def checks_of(method: str) -> list[dg.AssetChecksDefinition]:
    """All checks of one method's assets."""
    return [wall_held(method), judged_after_vintage(method), live_predictions_valid(method)]
