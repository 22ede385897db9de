"""What the out-of-sample predictions of all vintages of a method would have scored."""

from collections.abc import Sequence

import dagster as dg

from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.reporting import measured, metadata_of, result
from numerai_assets.pipeline.diagnostics import churn_of_newest, diagnose
from numerai_assets.pipeline.equal_blend import EQUAL_BLEND, write_equal_blend
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.release import META_MODEL, TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS


def diagnostics_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["diagnostics", f"{method}_diagnostics"])


def diagnostics_asset(method: str) -> dg.AssetsDefinition:
    """The asset of a method's validation scores."""

    @dg.asset(
        key=diagnostics_key(method),
        group_name="diagnostics",
        description=f"CORR, MMC and BMC of `{method}` per era, each era scored with the newest vintage older than it.",
        kinds={"duckdb", "parquet"},
        deps=_judged_by([method]),
    )
    def _diagnostics(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        with measured() as cost:
            found = diagnose(workspace, method, [method]) | churn_of_newest(workspace, method)
        return result(metadata_of(found, workspace.diagnostics_path(method)), cost)

    return _diagnostics


def equal_blend_diagnostics_asset(methods: Sequence[str]) -> dg.AssetsDefinition:
    """The asset of the validation scores of the methods' equal blend."""

    @dg.asset(
        key=diagnostics_key(EQUAL_BLEND),
        group_name="diagnostics",
        description=f"Scores of the mean rank of {', '.join(methods)}: what a blend with learned weights has to beat.",
        kinds={"duckdb", "parquet"},
        deps=_judged_by(methods),
    )
    def _diagnostics(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        with measured() as cost:
            if not write_equal_blend(workspace.predictions, methods):
                return result({"eras": 0, "why": "no era was predicted by all methods yet"})
            found = diagnose(workspace, EQUAL_BLEND, methods)
        return result(metadata_of(found, workspace.diagnostics_path(EQUAL_BLEND)), cost)

    return _diagnostics


def _judged_by(methods: Sequence[str]) -> list[dg.AssetDep | dg.AssetKey]:
    predicted = [dg.AssetDep(out_of_sample_key(m), partition_mapping=dg.AllPartitionMapping()) for m in methods]
    return [*predicted, *map(asset_key, (META_MODEL, VALIDATION_BENCHMARKS, TRAIN_BENCHMARKS))]
