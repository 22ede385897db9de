"""The report of a workspace: validation of each method, submissions, live scores, on one HTML page."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from numerai_assets.assets.diagnostics import read_scores
from numerai_assets.assets.performance import read_live_scores
from numerai_assets.assets.workspace import Workspace
from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.evaluation.plots import cumulative_scores
from numerai_assets.evaluation.report import Section, html_report
from numerai_assets.store.atomic import replacing_file
from numerai_assets.tournament.scores import latest_scores


def write_report(workspace: Workspace, path: Path) -> None:
    """Writes the page to `path`, whole or not at all."""
    sections = [section for method in workspace.settings.active_methods if (section := _validation(workspace, method))]
    receipts = pd.DataFrame([asdict(receipt) for receipt in workspace.desk.receipts()])
    if len(receipts):
        receipts["sha256"] = receipts["sha256"].str[:12]
        shown = receipts[
            ["round_number", "slot", "method", "vintage", "rung", "rows", "step", "submission_id", "sha256"]
        ]
        sections.append(
            Section("Submissions", shown.iloc[::-1], "Proven means read back from the server byte for byte.")
        )
    scores = read_live_scores(workspace)
    if len(scores):
        sections.append(
            Section("Live scores", latest_scores(scores).reset_index().iloc[::-1], "Newest value of each score.")
        )
    settings = workspace.settings
    heading = f"{settings.tournament}, data {settings.data_version}, {len(workspace.store.eras())} eras in the store"
    with replacing_file(path) as aside:
        aside.write_text(html_report(heading, sections), encoding="utf-8")


def _validation(workspace: Workspace, method: str) -> Section | None:
    scores = read_scores(workspace, method)
    if scores.empty:
        return None
    note = (
        f"Eras {scores.index[0]:04d} to {scores.index[-1]:04d}, {scores['vintage'].nunique()} vintages, each era scored "
        "with the newest vintage older than it. Standard errors are Newey-West over the eras that share returns."
    )
    return Section(f"Validation: {method}", validation_table(scores), note, cumulative_scores(scores, method))
