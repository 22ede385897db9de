"""Commands that run no asset start without Dagster, which takes seconds and hundreds of megabytes to import."""

import os
import subprocess
import sys
from pathlib import Path

from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

PROGRAM = """
import sys
from click.testing import CliRunner
from numerai_assets.cli.main import main

def run(*arguments):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, (arguments, done.output)
    assert "dagster" not in sys.modules, arguments

row = sys.argv[1]
run("--help")
run("status")
run("report", "--output", sys.argv[2])
run("explain", "benchmark", "--id", row)
run("search", "benchmark", "--trials", "1", "--folds", "2")
"""


def test_status_report_explain_and_search_do_not_import_dagster(rehearsal: Rehearsal, tmp_path: Path) -> None:
    workspace = rehearsal.workspace
    (number,) = workspace.known_rounds()
    row = workspace.store.panel([f"X@{number}"]).ids[0]

    # A later first vintage: the tiny world has too few eras before its own to search on.
    environment = os.environ | {"NUMERAI_RETRAIN__FIRST_VINTAGE": "626"}
    command = [sys.executable, "-c", PROGRAM, row, str(tmp_path / "report.html")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
