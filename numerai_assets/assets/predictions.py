"""Predictions of every vintage: out of sample over the eras it is judged on, and live for each round."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from numerai_assets.assets.blocks import live_block_key
from numerai_assets.assets.features import cleaned_features, live_features
from numerai_assets.assets.models import model_key
from numerai_assets.assets.partitions import rounds, vintage_of_partition, vintages
from numerai_assets.assets.reporting import measured, progress, result
from numerai_assets.eras import era_label
from numerai_assets.features.registry import per_era
from numerai_assets.pipeline.predictions import judged_eras, live_prediction, predict_era
from numerai_assets.pipeline.vintages import load_vintage
from numerai_assets.pipeline.workspace import Workspace


def out_of_sample_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["predictions", f"{method}_out_of_sample"])


def live_predictions_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["predictions", f"{method}_live_predictions"])


def out_of_sample_asset(method: str) -> dg.AssetsDefinition:
    """The asset of a method's predictions for the eras each vintage is judged on."""

    @dg.asset(
        key=out_of_sample_key(method),
        partitions_def=vintages,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="predictions",
        description=f"Predictions of each `{method}` vintage for every stored era after it, up to the next vintage.",
        kinds={"parquet"},
        pool="training",
        deps=[model_key(method), dg.AssetDep(cleaned_features, partition_mapping=dg.AllPartitionMapping())],
    )
    def _predictions(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        with measured() as cost:
            for key in context.partition_keys:
                vintage = vintage_of_partition(key)
                held = workspace.predictions.eras(method, vintage)
                wanted = [era for era in judged_eras(workspace, method, vintage) if era not in held]
                estimator = load_vintage(workspace, method, vintage)
                for era in progress(context, wanted, f"{method} {key} predicting eras"):
                    predict_era(workspace, method, vintage, estimator, era_label(era))
                everything = sorted({*held, *wanted})
                shown = {
                    "eras": f"{everything[0]:04d}-{everything[-1]:04d}" if everything else "none yet",
                    "eras_predicted_now": len(wanted),
                    "eras_predicted": len(everything),
                }
                context.add_asset_metadata(shown, partition_key=key)
        return result({"vintages": len(context.partition_keys)}, cost)

    return _predictions


def live_predictions_asset(method: str, blocks: Sequence[str] = ()) -> dg.AssetsDefinition:
    """The asset of a method's predictions for each round's live rows. blocks: feature blocks whose columns it is given."""
    key = live_predictions_key(method)

    @dg.asset(
        key=key,
        partitions_def=rounds,
        group_name="predictions",
        description=f"Predictions of the newest `{method}` vintage that is older than the round's era.",
        kinds={"parquet"},
        deps=[
            live_features,
            dg.AssetDep(model_key(method), partition_mapping=dg.LastPartitionMapping()),
            *(live_block_key(name) for name in per_era(blocks)),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "newest_vintage_predicts",
                asset=key,
                description="The newest vintage predicts the live rows; where it does not, submissions take the next rung.",
            )
        ],
    )
    def _predictions(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        held = workspace.vintages.before(method, workspace.round(number).era)
        if not held:
            return _not_predicted(context, number, f"{method} has no vintage older than round {number}")
        try:
            with measured() as cost:
                prediction = live_prediction(workspace, method, held[0], number)
        except Exception as error:
            context.log.exception(f"{method} {era_label(held[0])}: does not predict round {number}")
            return _not_predicted(context, number, f"{type(error).__name__}: {error}")
        counts, _ = np.histogram(prediction, bins=10, range=(0, 1))
        shown: dict[str, Any] = {"rows": len(prediction), "vintage": era_label(held[0]), "tenths": str(counts.tolist())}
        return dg.MaterializeResult(
            metadata=shown | cost.metadata(), check_results=[dg.AssetCheckResult(passed=True, metadata=shown)]
        )

    return _predictions


def _not_predicted(context: dg.AssetExecutionContext, number: int, why: str) -> dg.MaterializeResult:
    context.log.error(why)
    return dg.MaterializeResult(
        metadata={"rows": 0, "why": why},
        # A warning: another rung may be submitted still, and when none is, the submission says so of each.
        check_results=[
            dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"round": number, "why": why}
            )
        ],
    )
