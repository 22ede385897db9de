"""What matters to a method: gain, permutation and SHAP of its features, on eras that its vintages predicted out of sample."""

from typing import Any

import dagster as dg
import pandas as pd

from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.assets.reporting import measured, picture, progress, result, table
from numerai_assets.eras import era_label
from numerai_assets.evaluation.importance import (
    by_group,
    over_time,
)
from numerai_assets.pipeline.diagnostics import note_look
from numerai_assets.pipeline.explanations import Explainer, Swarm, eras_to_explain, write_explanations
from numerai_assets.pipeline.workspace import Workspace

_SHOWN = 20


def explanations_key(method: str) -> dg.AssetKey:
    return dg.AssetKey(["explanations", f"{method}_explanations"])


def explanations_asset(method: str) -> dg.AssetsDefinition:
    """The asset of what matters to a method."""

    @dg.asset(
        key=explanations_key(method),
        group_name="explanations",
        description=f"Gain, permutation importance and SHAP of the features of `{method}`, on eras out of sample.",
        kinds={"parquet"},
        pool="training",
        deps=[dg.AssetDep(out_of_sample_key(method), partition_mapping=dg.AllPartitionMapping())],
    )
    def _explanations(
        context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]
    ) -> dg.MaterializeResult:
        with measured() as cost:
            wanted = eras_to_explain(workspace, method)
            note_look(workspace, method, [method], "explanations")
            explainer = Explainer(workspace, method)
            eras = progress(context, list(wanted), f"explaining {method}")
            by_era = pd.concat([explainer.explained(era, wanted[era]) for era in eras], ignore_index=True)
            whole = write_explanations(workspace, method, by_era)
        shown = {
            "most_important": table(whole.head(_SHOWN)),
            "groups": table(by_group(whole)),
            "dagster/uri": dg.MetadataValue.path(str(workspace.importances_path(method))),
            "eras": ", ".join(map(era_label, wanted)),
            "features": len(whole),
        }
        return result(shown | _pictures(method, whole, by_era, explainer.swarm(max(wanted), wanted[max(wanted)])), cost)

    return _explanations


def _pictures(method: str, whole: pd.DataFrame, by_era: pd.DataFrame, swarm: Swarm | None) -> dict[str, Any]:
    from numerai_assets.evaluation.importance_plots import beeswarm, group_bars
    from numerai_assets.evaluation.plots import heat_map

    best = whole["feature"].head(_SHOWN).tolist()
    shares = 100 * over_time(by_era, best)
    shown = {
        "by_group": picture(group_bars(by_group(whole), f"{method}: what matters, by group"), "by group"),
        "over_time": picture(
            heat_map(shares.rename(columns=era_label), f"{method}: % of all |SHAP|, by era", is_signed=False),
            "over time",
        ),
    }
    if swarm is None:
        return shown
    places = [swarm.features.index(name) for name in best if name in swarm.features]
    title = f"{method}: what moved {len(swarm.parts)} rows of era {era_label(swarm.era)}"
    drawn = beeswarm(swarm.parts[:, places], swarm.levels[:, places], [swarm.features[p] for p in places], title)
    return {"beeswarm": picture(drawn, "beeswarm")} | shown
