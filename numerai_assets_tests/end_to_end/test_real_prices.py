"""The main job on real prices."""

from pathlib import Path

import pytest

from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.pipeline.diagnostics import read_scores
from numerai_assets.sandbox.server import process
from numerai_assets_tests.end_to_end.conftest import free_port, open_rehearsal

PANEL = "us_equities_nasdaq_2003_2017.parquet"


@pytest.mark.slow(reason="encodes 116 weeks of 755 stocks")
def test_the_weekly_job_runs_end_to_end_on_real_prices(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    process.start(tmp_path / "world", port=port, market="prices", size="tiny", prices=shared_data / PANEL)
    try:
        rehearsal = open_rehearsal(tmp_path, port, "home", "sandbox", monkeypatch)
        current, _ = rehearsal.weekly()
        assert current is not None
        assert rehearsal.workspace.desk.is_proven(current.number, "sandbox_one")
        table = validation_table(read_scores(rehearsal.workspace, "benchmark")).set_index("score")
        assert table.loc["corr60", "eras"] == current.era - 13 - 574
        # Real stocks, factor-neutral: nobody predicts them well, and a leak would show.
        assert abs(table.loc["corr60", "mean"]) < 0.15
    finally:
        process.stop(tmp_path / "world")
