"""Predictions of every vintage: out of sample over the eras it is judged on, and live for each round."""

import dagster as dg
import numpy as np

from numerai_assets.assets.features import cleaned_features, live_features
from numerai_assets.assets.models import feature_set, model_key
from numerai_assets.assets.partitions import rounds, vintage_of_partition, vintages
from numerai_assets.assets.reporting import measured, progress, result
from numerai_assets.assets.workspace import Workspace
from numerai_assets.eras import Wall, era_label, horizon_of, live_key
from numerai_assets.errors import StoreError
from numerai_assets.methods.contract import Method


def out_of_sample_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["predictions", f"{method}_out_of_sample"])


def live_predictions_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["predictions", f"{method}_live_predictions"])


def judged_eras(workspace: Workspace, method: str, vintage: int) -> list[int]:
    """Stored eras that a vintage is judged on: those after it, up to the next vintage that is held."""
    later = [v for v in workspace.vintages.vintages(method) if v > vintage]
    wall = Wall(vintage, horizon_of(workspace.settings.methods[method].target))
    return wall.judged_eras(workspace.store.eras(), next_vintage=min(later, default=None))


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


def live_predictions_asset(method: str) -> dg.AssetsDefinition:
    """The asset of a method's predictions for each round's live rows."""

    @dg.asset(
        key=live_predictions_key(method),
        partitions_def=rounds,
        group_name="predictions",
        description=f"Predictions of the newest `{method}` vintage that is older than the round's era.",
        kinds={"parquet"},
        deps=[live_features, dg.AssetDep(model_key(method), partition_mapping=dg.LastPartitionMapping())],
    )
    def _predictions(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        number = int(context.partition_key)
        vintage = vintage_for_round(workspace, method, number)
        with measured() as cost:
            rows = predict_era(workspace, method, vintage, load_vintage(workspace, method, vintage), live_key(number))
        frame = workspace.predictions.read(method, vintage, live_key(number))
        counts, _ = np.histogram(frame["prediction"], bins=10, range=(0, 1))
        return result({"rows": rows, "vintage": era_label(vintage), "tenths": str(counts.tolist())}, cost)

    return _predictions


def vintage_for_round(workspace: Workspace, method: str, number: int) -> int:
    """The vintage that predicts a round. Raises StoreError when there is none that is older than its era."""
    era = workspace.round(number).era
    vintage = workspace.vintages.newest_before(method, era)
    if vintage is None:
        raise StoreError(f"round {number} (era {era_label(era)}): {method} has no older vintage; train one first")
    return vintage


def load_vintage(workspace: Workspace, method: str, vintage: int) -> Method:
    """The fitted estimator of a vintage, its files compared with their checksums."""
    from numerai_assets.methods.registry import method_class

    return method_class(method).load(workspace.vintages.verified(method, vintage))


def predict_era(workspace: Workspace, method: str, vintage: int, estimator: Method, key: str) -> int:
    """Predicts one era or live round of the store and keeps the predictions; returns the number of rows."""
    names = feature_set(workspace, workspace.vintages.facts(method, vintage).feature_set)
    panel = workspace.store.panel([key], features=names)
    workspace.predictions.write(
        method, vintage, key, era=panel.eras[0], ids=list(panel.ids), prediction=estimator.predict(panel)
    )
    return panel.rows
