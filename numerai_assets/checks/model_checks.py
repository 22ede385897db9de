"""Checks of models and predictions: the wall is recomputed from the records of the vintages."""

from collections.abc import Sequence

import dagster as dg

from numerai_assets.assets.blocks import block_key
from numerai_assets.assets.models import model_key
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.wall_crossings import Crossing, crossings


def wall_held(method: str) -> dg.AssetChecksDefinition:
    """No vintage used a target after its wall, for any purpose."""

    @dg.asset_check(asset=model_key(method), name="wall_held", blocking=True)
    def _wall_held(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        """All eras used to fit, select, stop early, scale, neutralise or weigh are at or before the wall of their vintage."""
        facts = [workspace.vintages.facts(method, vintage) for vintage in workspace.vintages.vintages(method)]
        uses = sorted({use for fact in facts for use in fact.uses})
        return _result([crossing for fact in facts for crossing in crossings(fact)], len(facts), uses)

    return _wall_held


def block_wall_held(name: str) -> dg.AssetChecksDefinition:
    """No vintage of a learned feature block used a target after its wall."""

    @dg.asset_check(asset=block_key(name), name="wall_held", blocking=True)
    def _wall_held(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        """All training eras of the block are at or before the wall of their vintage."""
        facts = [workspace.fitted_blocks.facts(name, vintage) for vintage in workspace.fitted_blocks.vintages(name)]
        return _result([crossing for fact in facts for crossing in crossings(fact)], len(facts), ["fit"])

    return _wall_held


def judged_after_vintage(method: str) -> dg.AssetChecksDefinition:
    """No vintage predicted, out of sample, an era that is not after it or that overlaps what it used."""

    @dg.asset_check(asset=out_of_sample_key(method), name="judged_after_vintage", blocking=True)
    def _judged_after_vintage(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        """Every era predicted out of sample is after its vintage and past the purge of every era the vintage used."""
        facts = [workspace.vintages.facts(method, vintage) for vintage in workspace.vintages.vintages(method)]
        found = [c for fact in facts for c in crossings(fact, workspace.predictions.eras(method, fact.vintage))]
        return _result(found, len(facts), sorted({use for fact in facts for use in fact.uses}))

    return _judged_after_vintage


def checks_of(method: str) -> list[dg.AssetChecksDefinition]:
    """All checks of one method's assets."""
    return [wall_held(method), judged_after_vintage(method)]


def _result(found: Sequence[Crossing], vintages: int, uses: list[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(map(str, found[:20])) or None,
        metadata={"vintages": vintages, "uses": uses, "broken": sorted({crossing.vintage for crossing in found})},
    )
