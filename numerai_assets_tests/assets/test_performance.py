"""The report of the weekly job: a page a week."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from numerai_assets.assets.performance import weekly_report
from numerai_assets.eras import era_label
from numerai_assets.pipeline.report import Judged
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings


def test_the_report_is_drawn_once_for_each_newest_era(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, drawn = Workspace(Settings(home=tmp_path)), []

    def draw(_: Workspace, path: Path, judged: Judged) -> None:
        assert judged.scores == {}
        drawn.append(path.name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("page")

    monkeypatch.setattr("numerai_assets.pipeline.report.write_report", draw)
    for era in (1, 1, 2):
        workspace.store.write_era(
            era_label(era),
            era=era,
            ids=["n1", "n2"],
            features=np.array([[0], [1]], np.int8),
            feature_names=["a"],
            targets=pd.DataFrame({"target_ender_20": np.zeros(2, np.float32)}),
            targets_as_of=era,
        )
        assert dg.materialize([weekly_report], resources={"workspace": workspace}).success

    assert drawn == ["era-0001.html", "era-0002.html"]
