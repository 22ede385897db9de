"""The Dagster entry point: assets, checks, jobs, schedules, sensors and resources put together, nothing else."""

from collections.abc import Sequence

import dagster as dg

from numerai_assets.assets.blocks import block_assets
from numerai_assets.assets.diagnostics import diagnostics_asset, equal_blend_diagnostics_asset
from numerai_assets.assets.explanations import explanations_asset
from numerai_assets.assets.features import cleaned_features, era_store, live_features
from numerai_assets.assets.models import model_asset
from numerai_assets.assets.performance import scores_asset, weekly_report
from numerai_assets.assets.predictions import live_predictions_asset, out_of_sample_asset
from numerai_assets.assets.prices import price_assets
from numerai_assets.assets.release import round_files, weekly_files
from numerai_assets.assets.submissions import submission_asset
from numerai_assets.automation.jobs import build_jobs
from numerai_assets.automation.triggers import build_schedule, build_sensor
from numerai_assets.checks.data_checks import CHECKS
from numerai_assets.checks.model_checks import block_wall_held, checks_of
from numerai_assets.features.registry import learned
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings, load_settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """All definitions for the methods and slots of the settings."""
    methods = settings.active_methods
    jobs = build_jobs(settings)
    return dg.Definitions(
        assets=[
            *weekly_files,
            *round_files,
            era_store,
            cleaned_features,
            live_features,
            *block_assets(settings),
            *price_assets(settings),
            *(asset for method in methods for asset in _stages(method, settings.methods[method].blocks)),
            *([equal_blend_diagnostics_asset(methods)] if len(methods) > 1 else []),
            *(submission_asset(slot, method, methods) for slot, method in settings.slots.items()),
            scores_asset(list(settings.slots)),
            weekly_report,
        ],
        asset_checks=[
            *CHECKS,
            *(check for method in methods for check in checks_of(method)),
            *(block_wall_held(name) for name in learned(settings.active_blocks)),
        ],
        jobs=jobs,
        schedules=[build_schedule(next(job for job in jobs if job.name == "release"))],
        sensors=[build_sensor(jobs)],
        resources={"workspace": Workspace(settings)},
        # Steps are small and the libraries heavy: one process a run, not one a step.
        executor=dg.in_process_executor,
    )


def _stages(method: str, blocks: Sequence[str]) -> list[dg.AssetsDefinition]:
    return [
        model_asset(method, blocks),
        out_of_sample_asset(method),
        diagnostics_asset(method),
        explanations_asset(method),
        live_predictions_asset(method, blocks),
    ]


defs = build_definitions(load_settings())
