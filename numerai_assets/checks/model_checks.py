"""Checks of models and predictions: the wall held."""

import dagster as dg

from numerai_assets.assets.models import model_key
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.assets.workspace import Workspace
from numerai_assets.eras import Wall, horizon_of


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


def checks_of(method: str) -> list[dg.AssetChecksDefinition]:
    """All checks of one method's assets."""
    return [wall_held(method), judged_after_vintage(method)]
