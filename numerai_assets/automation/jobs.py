"""The jobs, and the run of a job for each step of the plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from numerai_assets.assets.blocks import block_key, live_block_key
from numerai_assets.assets.diagnostics import diagnostics_key
from numerai_assets.assets.explanations import explanations_key
from numerai_assets.assets.models import model_key
from numerai_assets.assets.partitions import era_partition
from numerai_assets.assets.predictions import live_predictions_key, out_of_sample_key
from numerai_assets.assets.release import asset_key
from numerai_assets.assets.submissions import submission_key
from numerai_assets.eras import parse_era
from numerai_assets.features.registry import learned, per_era
from numerai_assets.pipeline.equal_blend import judged_names
from numerai_assets.pipeline.plan import Step
from numerai_assets.settings import Settings
from numerai_assets.tournament.client import Round
from numerai_assets.tournament.release import ROUND_FILES, WEEKLY_FILES, YARDSTICK_FILES

STEP_TAG = "numerai/step"
ROUND_TAG = "numerai/round"
PLANNED_TAG = "numerai/planned"
WHY_TAG = "numerai/why"
# A run whose machine died still looks active; after this time Dagster's monitor ends it and the next one may start.
_MAX_RUNTIME_SECONDS = {
    "release": 6 * 3600,
    "yardsticks": 6 * 3600,
    "eras": 6 * 3600,
    "blocks": 48 * 3600,
    "vintage": 48 * 3600,
    "out_of_sample": 12 * 3600,
    "round": 1800,
    "diagnostics": 7200,
    "explanations": 6 * 3600,
    "performance": 900,
}
_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def build_jobs(settings: Settings) -> Sequence[Any]:
    """All jobs of the pipeline for the methods and slots of the settings (Dagster does not export their type)."""
    methods = settings.active_methods
    computed = per_era(settings.active_blocks)
    selections = {
        "release": [asset_key(file) for file in WEEKLY_FILES],
        "yardsticks": [asset_key(file) for file in YARDSTICK_FILES],
        "eras": [dg.AssetKey(["store", "era_store"]), dg.AssetKey(["features", "cleaned_features"])],
        "blocks": [block_key(name) for name in computed],
        "vintage": _of_vintage(learned(settings.active_blocks), methods),
        "out_of_sample": [out_of_sample_key(m) for m in methods],
        "diagnostics": [diagnostics_key(name) for name in judged_names(methods)],
        "explanations": [explanations_key(m) for m in methods],
        "round": [
            *(asset_key(file) for file in ROUND_FILES),
            dg.AssetKey(["features", "live_features"]),
            *(live_block_key(name) for name in computed),
            *(live_predictions_key(m) for m in methods),
            *(submission_key(slot) for slot in settings.slots),
        ],
        "performance": [dg.AssetKey(["performance", name]) for name in ("live_scores", "weekly_report")],
    }
    descriptions = {
        "release": "Fetch the features and targets of the data version that changed.",
        "yardsticks": "Fetch the references of validation: meta model, benchmarks, example predictions.",
        "eras": "Write eras that are new, or whose targets have resolved, into the store and clean them.",
        "blocks": "Compute the columns of feature blocks for eras that lack them.",
        "vintage": "Fit every method for one vintage and predict its out-of-sample eras.",
        "out_of_sample": "Predict eras that came after a vintage was fitted.",
        "diagnostics": "Score the out-of-sample predictions of all vintages.",
        "explanations": "Compute feature importance of the out-of-sample predictions.",
        "round": "Predict a round's live rows and submit them.",
        "performance": "Read the scores of past submissions and write the report.",
    }
    return [
        dg.define_asset_job(name, dg.AssetSelection.assets(*keys), description=descriptions[name])
        for name, keys in selections.items()
        if keys
    ]


def _of_vintage(blocks: Sequence[str], methods: Sequence[str]) -> list[dg.AssetKey]:
    """The assets of learned blocks and of methods."""
    return [*map(block_key, blocks), *(key(method) for method in methods for key in (model_key, out_of_sample_key))]


@dataclass(frozen=True)
class RunOf:
    """Dagster's arguments for a step: partition key (None without one, or for a range), tags, dynamic partition.

    assets: the selected assets of the job; None for all.
    """

    partition_key: str | None
    tags: dict[str, str]
    adds_partition: tuple[str, str] | None
    assets: tuple[dg.AssetKey, ...] | None = None


def run_of(step: Step, current: Round | None = None) -> RunOf:
    """The run of a step of the plan, while `current` is the open round."""
    tags = {STEP_TAG: step.key, WHY_TAG: step.why, PLANNED_TAG: "yes"}
    if current is not None:
        tags[ROUND_TAG] = str(current.number)
    if step.job in _MAX_RUNTIME_SECONDS:
        tags["dagster/max_runtime"] = str(_MAX_RUNTIME_SECONDS[step.job])
    if step.job in ("eras", "blocks"):
        first, last = (era_partition(parse_era(label)) for label in step.partitions)
        if first == last:
            return RunOf(first, tags, None)
        return RunOf(None, tags | {_RANGE_START: first, _RANGE_END: last}, None)
    if step.partitions:
        (key,) = step.partitions
        assets = tuple(_of_vintage(step.lacking.blocks, step.lacking.methods)) if step.lacking else None
        return RunOf(key, tags, ("rounds" if step.job == "round" else "vintages", key), assets)
    return RunOf(None, tags, None)
