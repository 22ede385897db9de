"""The queries of the docs run as they stand on what the weekly job leaves on disk."""

import re
from pathlib import Path

import duckdb
import pytest

from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

DOCS = Path(__file__).parents[2] / "docs"


def test_queries_of_the_evaluation_page_run_in_the_folder_of_a_workspace(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rehearsal.workspace.folder)
    queries = re.findall(r"```sql\n(.*?)```", (DOCS / "evaluation.md").read_text(encoding="utf-8"), flags=re.DOTALL)

    with duckdb.connect() as db:
        for query in queries:
            db.execute(query)
        counts = "select count(corr60) > 0, count(fnc60) > 0, min(largest_exposure) > 0 from scores"
        assert db.execute(counts).fetchall() == [(True, True, True)]
