"""How the command line reaches Dagster: its configuration, its history and its web server."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import dagster as dg

from numerai_assets.errors import SettingsError
from numerai_assets.settings import Settings


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Dagster's instance for the tournament of the settings. Raises SettingsError when it has no configuration."""
    point_dagster(settings)
    return dg.DagsterInstance.get()


def serve_ui(port: int) -> NoReturn:
    """Replaces this process by Dagster's web server and daemon; `point_dagster` comes first."""
    dagster = Path(sys.executable).with_name("dagster")
    # Of the two ways of serving code, the one in which the daemon restarts a code server that has died.
    restarting = "--use-legacy-code-server-behavior"
    os.execv(dagster, [str(dagster), "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml", restarting])


def point_dagster(settings: Settings) -> None:
    """Sets DAGSTER_HOME (the folder of dagster.yaml) and DAGSTER_STORAGE_DIR (this tournament's own history) where unset.

    Raises SettingsError when DAGSTER_HOME is unset and the working folder has no dagster.yaml.
    """
    if "DAGSTER_HOME" not in os.environ:
        if not Path("dagster.yaml").is_file():
            raise SettingsError(f"no dagster.yaml in {Path.cwd()}: run in the project's folder or set DAGSTER_HOME")
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
    storage = (settings.workspace / "dagster").resolve()
    storage.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DAGSTER_STORAGE_DIR", str(storage))
