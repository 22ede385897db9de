"""Durations of the test files: kept in `durations.json` by `make durations`, used to begin with the longest.

The hooks of pytest here are taken over by `conftest.py`.
"""

import collections
import json
from pathlib import Path

import pytest

KEPT = Path(__file__).with_name("durations.json")
SLOWEST = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-durations", action="store_true", help=f"write how long each test file took to {KEPT.name}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker of the suite is left with one at the end."""
    seconds = json.loads(KEPT.read_text(encoding="utf-8"))["files"] if KEPT.is_file() else {}
    items.sort(key=lambda item: -seconds.get(_file_of(item.nodeid), 0.0))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--keep-durations"):
        return
    tests: collections.Counter[str] = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                tests[report.nodeid.removeprefix(f"{KEPT.parent.name}/")] += report.duration
    files: collections.Counter[str] = collections.Counter()
    for test, seconds in tests.items():
        files[_file_of(test)] += seconds
    kept = {
        "total": round(sum(files.values())),
        "slowest": {test: round(seconds, 1) for test, seconds in tests.most_common(SLOWEST)},
        "files": {file: round(seconds, 1) for file, seconds in files.most_common()},
    }
    KEPT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix(f"{KEPT.parent.name}/")
