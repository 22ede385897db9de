"""Scores of past submissions, as Numerai last published them."""

import json
from pathlib import Path

import pandas as pd

from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.tournament.scores import COLUMNS


def read_live_scores(workspace: Workspace) -> pd.DataFrame:
    """Live scores as last fetched; empty before the first time."""
    if not workspace.scores_path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_parquet(workspace.scores_path)


def scores_as_of(workspace: Workspace) -> int | None:
    """Round that was open when the live scores were last fetched; None before the first time or between rounds."""
    path = _as_of_path(workspace)
    if not path.is_file():
        return None
    number: int | None = json.loads(path.read_text(encoding="utf-8"))["round"]
    return number


def _as_of_path(workspace: Workspace) -> Path:
    return workspace.scores_path.with_suffix(".json")
