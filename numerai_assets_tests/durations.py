"""Durations of the test files: kept in `durations.json` by `make durations`, used to begin with the longest.

The hooks of pytest here are taken over by `conftest.py`.
"""

import collections
import json
from pathlib import Path

import pytest

KEPT = Path(__file__).with_name("durations.json")
SLOWEST = 10
QUICK_SECONDS = 4.0
"""Files that took longer are left out of `make quick`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-durations", action="store_true", help=f"write how long each test file took to {KEPT.name}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left with one at the end; they and whole rounds count as slow."""
    seconds = json.loads(KEPT.read_text(encoding="utf-8"))["files"] if KEPT.is_file() else {}
    for item in items:
        file = _file_of(item.nodeid)
        if file.startswith("end_to_end/") or seconds.get(file, 0.0) > QUICK_SECONDS:
            item.add_marker(pytest.mark.slow(reason="whole rounds through real processes, or a long file"))
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
