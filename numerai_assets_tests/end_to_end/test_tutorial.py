"""docs/tutorial.md as a reader follows it: its files are written, its commands run, its output is what the page shows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from numerai_assets.sandbox.server import process
from numerai_assets_tests.end_to_end.conftest import free_port

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.mark.slow(reason="makes a world and runs two rounds, each command in a process of its own")
def test_every_command_of_the_tutorial_runs_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    files = re.findall(r"`([\w.]+)`:\n\n```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)
    assert len(files) == len(blocks("python") + blocks("toml"))
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = os.environ | {"NUMERAI_SANDBOX__PORT": str(free_port()), "COLUMNS": "200"}

    try:
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join(blocks("sh"))],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        process.stop(tmp_path / "data" / "tutorial" / "sandbox-synthetic-tiny" / "world")

    assert done.returncode == 0, done.stdout + done.stderr
    printed = " ".join(done.stdout.replace("┃", "│").split())
    for line in "".join(blocks("text")).splitlines():
        assert " ".join(line.split()) in printed
    assert "vintage 0638 was trained with other settings" in printed
    assert printed.count("proven") >= 2
    assert (tmp_path / "report.html").is_file()
