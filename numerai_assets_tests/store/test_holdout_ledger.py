"""The ledger of looks at the holdout: it counts every variant once, and survives whoever dies while writing it."""

import datetime as dt
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import StoreError
from numerai_assets.store.holdout_ledger import HoldoutLedger, Look

NOON = dt.datetime(2026, 3, 7, 12, tzinfo=dt.UTC)


def look(*variants: str, first: int = 1100, last: int = 1150, who: str = "benchmark", purpose: str = "gate") -> Look:
    return Look(NOON, who, purpose, first, last, variants)


def test_what_was_recorded_is_read_back_in_order(tmp_path: Path) -> None:
    ledger = HoldoutLedger(tmp_path / "ledger" / "holdout.jsonl")
    recorded = [look("a"), look("a", "b", who="blend", purpose="search"), look("c", first=1, last=1)]

    for item in recorded:
        ledger.record(item)

    assert ledger.looks() == recorded
    assert len(ledger.path.read_text().splitlines()) == 3


def test_before_the_first_look_there_is_nothing(tmp_path: Path) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")

    assert ledger.looks() == []
    assert ledger.trials(range(1, 2000)) == 0
    assert not ledger.path.exists()


def test_the_same_variant_on_the_same_eras_is_one_trial(tmp_path: Path) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")
    for item in (look("a"), look("a", purpose="diagnostics"), look("a", "b", who="blend"), look("c", last=1200)):
        ledger.record(item)

    assert ledger.trials(range(1100, 1151)) == 3


def test_only_variants_judged_on_some_of_the_eras_count(tmp_path: Path) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")
    for item in (look("a", first=100, last=110), look("b", first=111, last=120), look("c", first=105, last=115)):
        ledger.record(item)

    assert ledger.trials([110]) == 2
    assert ledger.trials([120, 121]) == 1
    assert ledger.trials([99, 121]) == 0
    assert ledger.trials([]) == 0


looks = st.lists(
    st.builds(
        lambda first, more, variants: Look(NOON, "m", "search", first, first + more, tuple(variants)),
        st.integers(1, 30),
        st.integers(0, 10),
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3),
    ),
    max_size=6,
)


@given(recorded=looks, eras=st.sets(st.integers(1, 45)), more=st.sets(st.integers(1, 45)))
@settings(deadline=None, max_examples=25)
def test_trials_never_fall_with_more_eras_and_do_not_depend_on_order(
    recorded: list[Look], eras: set[int], more: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there, back = HoldoutLedger(Path(folder) / "there.jsonl"), HoldoutLedger(Path(folder) / "back.jsonl")
        for item in recorded:
            there.record(item)
        for item in reversed(recorded):
            back.record(item)

        trials = there.trials(eras)

        assert trials == back.trials(eras) <= there.trials(eras | more)
        assert trials <= len({variant for item in recorded for variant in item.variants})


def test_wherever_a_line_is_cut_the_ledger_is_read_and_goes_on(tmp_path: Path) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")
    ledger.record(look("a"))
    whole = ledger.path.read_bytes()
    ledger.record(look("b"))
    both = ledger.path.read_bytes()

    for end in [*range(len(whole), len(both) - 1, 8), len(both) - 1]:
        ledger.path.write_bytes(both[:end])
        assert ledger.looks() == [look("a")]
        ledger.record(look("c"))
        after = ledger.path.read_bytes()
        assert ledger.looks() == [look("a"), look("c")]
        # Torn again, in the mark itself or behind it.
        ledger.path.write_bytes(after[: end + 3])
        ledger.record(look("d"))
        assert ledger.looks() == [look("a"), look("d")]
        assert ledger.path.read_bytes().startswith(both[:end])


_KILLED_IN_A_WRITE = """
import os, resource, signal, sys
from pathlib import Path
from numerai_assets_tests.store.test_holdout_ledger import look
from numerai_assets.store.holdout_ledger import HoldoutLedger

ledger = HoldoutLedger(Path(sys.argv[1]))
# The kernel takes the bytes up to the limit and answers the rest with a signal: the write is cut in the middle.
signal.signal(signal.SIGXFSZ, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
limit = ledger.path.stat().st_size + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
ledger.record(look("x" * 40))
print("survived")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("taken", [1, 60])
def test_a_process_killed_in_the_middle_of_a_write_leaves_a_readable_ledger(tmp_path: Path, taken: int) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")
    ledger.record(look("a"))
    size = ledger.path.stat().st_size

    died = subprocess.run(
        [sys.executable, "-c", _KILLED_IN_A_WRITE, str(ledger.path), str(taken)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert ledger.path.stat().st_size == size + taken
    assert ledger.looks() == [look("a")]
    ledger.record(look("b"))
    assert ledger.looks() == [look("a"), look("b")]
    assert ledger.trials([1100]) == 2


def _record_many(path: Path, who: str) -> None:
    for number in range(25):
        HoldoutLedger(path).record(look(f"{who}{number}", who=who))


def test_two_processes_at_once_lose_no_look(tmp_path: Path) -> None:
    path = tmp_path / "holdout.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_record_many, args=(path, who)) for who in ("one", "two")]

    for process in processes:
        process.start()
    for process in processes:
        process.join(600)

    assert [process.exitcode for process in processes] == [0, 0]
    assert HoldoutLedger(path).trials([1120]) == 50


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "[]", '{"time": "2026-03-07T12:00:00+00:00"}', json.dumps({"who": "x"})],
)
def test_a_line_that_nobody_here_wrote_is_named_not_skipped(tmp_path: Path, line: str) -> None:
    ledger = HoldoutLedger(tmp_path / "holdout.jsonl")
    ledger.record(look("a"))
    with ledger.path.open("a") as file:
        file.write(line + "\n")
    ledger.record(look("b"))

    with pytest.raises(StoreError, match="line 2 is no look at the holdout"):
        ledger.looks()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"who": ""}, "who asks and what for"),
        ({"purpose": ""}, "who asks and what for"),
        ({"first": 10, "last": 9}, "the first not after the last"),
        ({"first": 0}, "eras from 1 on"),
    ],
)
def test_a_look_that_says_too_little_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        look("a", **wrong)


@pytest.mark.parametrize("variants", [(), ("a", "")])
def test_a_look_without_variants_is_refused(variants: tuple[str, ...]) -> None:
    with pytest.raises(StoreError, match="digest of each variant"):
        look(*variants)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(StoreError, match="with its zone"):
        Look(NOON.replace(tzinfo=None), "benchmark", "gate", 1, 2, ("a",))
