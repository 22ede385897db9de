"""Live scores of past submissions, as the tournament publishes them, and the report."""

from typing import Any

import dagster as dg

from numerai_assets.assets.reporting import picture, result, table
from numerai_assets.assets.submissions import submission_key
from numerai_assets.eras import era_label
from numerai_assets.pipeline.live_scores import refresh_live_scores
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.scores import latest_scores


def scores_asset(slots: list[str]) -> dg.AssetsDefinition:
    """The asset of all slots' live scores."""

    @dg.asset(
        key=["performance", "live_scores"],
        group_name="performance",
        description="Scores of every submission and day, read from the tournament.",
        kinds={"parquet"},
        pool="network",
        deps=[dg.AssetDep(submission_key(slot), partition_mapping=dg.AllPartitionMapping()) for slot in slots],
    )
    def live_scores(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
        scores = refresh_live_scores(workspace, slots)
        newest = latest_scores(scores).reset_index() if len(scores) else scores
        return result(
            {
                "scores": len(scores),
                "rounds": int(scores["round_number"].nunique()),
                "newest": table(newest.tail(64)),
                "dagster/uri": dg.MetadataValue.path(str(workspace.scores_path)),
            }
        )

    return live_scores


@dg.asset(
    key=["performance", "weekly_report"],
    group_name="performance",
    kinds={"html"},
    deps=[dg.AssetKey(["performance", "live_scores"])],
)
def weekly_report(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
    """The report on one HTML page, once a week: with the first round after a new era. See `numerai report`."""
    path = workspace.folder / "reports" / f"era-{era_label(workspace.store.newest_era())}.html"
    plots: dict[str, Any] = {}
    if not path.is_file():
        # Drawing takes longer than everything else in a weekday round.
        from numerai_assets.pipeline.report import Judged, inline_plots, write_report

        judged = Judged.of(workspace)
        write_report(workspace, path, judged)
        plots = {name: picture(image, what) for name, (image, what) in inline_plots(workspace, judged).items()}
    shown: dict[str, Any] = {"page": dg.MetadataValue.path(str(path)), "bytes": path.stat().st_size}
    return dg.MaterializeResult(metadata=shown | plots)
