"""Processes forked off a server process that has the libraries loaded: each starts in milliseconds.

A Python process has one such server, and the last list of modules to preload wins. So the list stands here alone, and
each user of forked processes takes `FORKS`. The modules are imported in the server and run only in its children: none of
them starts a thread when it is imported.
"""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# Not `numerai_assets.definitions` itself: importing it reads settings.
FORKS.set_forkserver_preload(
    [
        "numerai_assets.assets.blocks",
        "numerai_assets.assets.diagnostics",
        "numerai_assets.assets.explanations",
        "numerai_assets.assets.features",
        "numerai_assets.assets.models",
        "numerai_assets.assets.performance",
        "numerai_assets.assets.predictions",
        "numerai_assets.assets.prices",
        "numerai_assets.assets.release",
        "numerai_assets.assets.submissions",
        "numerai_assets.automation.conductor",
        "numerai_assets.automation.jobs",
        "numerai_assets.automation.triggers",
        "numerai_assets.checks.data_checks",
        "numerai_assets.checks.model_checks",
        "numerai_assets.evaluation.importance_plots",
        "numerai_assets.evaluation.plots",
        "numerai_assets.methods.benchmark",
        "numerai_assets.methods.permuted_predictions",
        "numerai_assets.sandbox.server.serve",
        "numerai_assets.store.out_of_sample",
        # Imported by Dagster and pandas only when they are first used.
        "alembic.command",
        "dagster._core.storage.event_log",
        "dagster._core.storage.legacy_storage",
        "dagster._core.storage.runs",
        "dagster._core.storage.upath_io_manager",
        "dagster._core.launcher.sync_in_memory_run_launcher",
        "dagster._core.run_coordinator.default_run_coordinator",
        "duckdb",
        "fsspec.implementations.local",
        "plotly.graph_objects",
        "pyarrow.dataset",
        "pyarrow.parquet",
        "upath.implementations.local",
    ]
)
