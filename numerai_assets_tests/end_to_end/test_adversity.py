"""A full disk, a read-only one, a wrong clock, two at once: one clear line, nothing lost, the next run goes on."""

import datetime as dt
import errno
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from time_machine import TimeMachineFixture

from numerai_assets.automation.conductor import RunFailed, conduct
from numerai_assets.definitions import build_definitions
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.sandbox.tournament import state as sandbox_state
from numerai_assets.sandbox.tournament.state import State
from numerai_assets.settings import load_settings
from numerai_assets.tournament.receipt import Entry, Receipt
from numerai_assets_tests.end_to_end.conftest import open_rehearsal
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal
from numerai_assets_tests.sandbox.serving import served
from rehearsals import mortal_run

SLOT = "sandbox_one"


def in_effect(rehearsal: Rehearsal, number: int) -> list[str]:
    state = State(rehearsal.world / "server" / "state.sqlite")
    return [submission.id for submission in state.submissions(round_number=number, selected=1)]


def weekly_with_little_disk(settings_file: str, told: "multiprocessing.Queue[str]") -> None:
    """The weekly run while no file may grow beyond 60 kB, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    os.environ["NUMERAI_SETTINGS"] = settings_file
    settings = load_settings()
    try:
        conduct(build_definitions(settings), Workspace(settings), dg.DagsterInstance.ephemeral())
    except RunFailed as error:
        told.put(str(error))
    else:
        told.put("")


def test_a_full_disk_is_one_line_and_costs_nothing_that_was_there(rehearsal: Rehearsal) -> None:
    rehearsal.to_next_weekend()
    file = rehearsal.workspace.folder.parent.with_suffix(".toml")
    processes = multiprocessing.get_context("forkserver")
    told: multiprocessing.Queue[str] = processes.Queue()
    run = processes.Process(target=weekly_with_little_disk, args=(str(file), told))
    run.start()
    message = told.get(timeout=300)
    run.join(60)
    assert "File too large" in message
    assert "Finished files are intact" in message
    assert "\n" not in message
    assert rehearsal.workspace.store.verify() == []
    current, _ = rehearsal.weekly()
    assert current is not None
    assert rehearsal.workspace.desk.is_proven(current.number, SLOT)
    assert rehearsal.workspace.store.newest_era() == current.era


def test_a_read_only_disk_is_one_line(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal.advance()

    def refused(*_: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(options.get("dir")))

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkstemp", refused)
        with pytest.raises(OSError, match="Read-only file system"):
            rehearsal.weekly()
    current, _ = rehearsal.weekly()
    assert current is not None
    assert rehearsal.workspace.desk.is_proven(current.number, SLOT)


@pytest.mark.parametrize("off", [dt.timedelta(days=-3), dt.timedelta(days=4000)])
def test_a_wrong_local_clock_misses_no_round(
    rehearsal: Rehearsal, time_machine: TimeMachineFixture, off: dt.timedelta
) -> None:
    status = rehearsal.advance()
    assert status.now is not None
    time_machine.move_to(status.now + off)
    current, _ = rehearsal.weekly()
    assert current is not None
    receipt = rehearsal.workspace.desk.receipt(current.number, SLOT)
    assert receipt is not None
    assert receipt.history[-1] == ("proven", status.now.isoformat(timespec="seconds"))


def test_a_second_command_line_stands_back_while_one_is_at_work(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    file = rehearsal.workspace.folder.parent.with_suffix(".toml")
    outcomes: list[mortal_run.Outcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(mortal_run.weekly(file))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current = rehearsal.workspace.tournament.current_round()
    assert current is not None
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert all("another `numerai` is at work" in error for error in errors)
    assert len(errors) < 3
    assert len(in_effect(rehearsal, current.number)) == 1


def test_two_submitters_at_once_make_one_submission(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    workspace = rehearsal.workspace
    current = workspace.tournament.current_round()
    assert current is not None
    release = workspace.round_release(current.number)
    now = workspace.tournament.now()
    for name in ("features.json", "live.parquet"):
        release.fetch(workspace.tournament, name, round_number=current.number, now=now)
    ids = pd.read_parquet(release.path("live.parquet"), columns=["era"]).index.tolist()
    frame = pd.DataFrame({"id": ids, "prediction": (np.arange(len(ids)) + 0.5) / len(ids)})
    receipts: list[Receipt] = []

    def submit() -> None:
        desk, tournament = Workspace(rehearsal.settings).desk, Workspace(rehearsal.settings).tournament
        receipts.append(desk.submit(tournament, current, SLOT, Entry(frame, "benchmark", 638, "test"), live_ids=ids))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({receipt.submission_id for receipt in receipts}) == 1
    assert len(receipts) == 4
    assert in_effect(rehearsal, current.number) == [receipts[0].submission_id]


def test_keys_and_tokens_reach_no_file_log_or_history(
    tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole weekly run, an alert and a refused key: nothing secret is written anywhere, Dagster's database included."""
    secrets = {"public": "PUBLICIDxyzzy0001", "secret": "SECRETKEYxyzzy0002", "token": "ALERTTOKENxyzzy0003"}
    monkeypatch.setattr(sandbox_state, "PUBLIC_ID", secrets["public"])
    monkeypatch.setattr(sandbox_state, "SECRET_KEY", secrets["secret"])
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", secrets["public"])
    monkeypatch.setenv("NUMERAI_SECRET_KEY", secrets["secret"])
    monkeypatch.setenv("NUMERAI_ALERT_URLS", f"json://user:{secrets['token']}@127.0.0.1:1/")
    shutil.copytree(tiny_world, tmp_path / "world")
    (tmp_path / "dagster").mkdir()
    caplog.set_level(logging.DEBUG)
    with served(tmp_path / "world") as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        rehearsal = open_rehearsal(tmp_path, port, "live", "numerai", monkeypatch)
        instance = dg.DagsterInstance.local_temp(str(tmp_path / "dagster"))
        current, _ = conduct(rehearsal.definitions, rehearsal.workspace, instance)
        assert current is not None
        assert rehearsal.workspace.desk.is_proven(current.number, SLOT)
        rehearsal.workspace.alert("test", "an alert that cannot be delivered")
        sandbox.advance("next-round")
        monkeypatch.setenv("NUMERAI_SECRET_KEY", secrets["secret"] + "wrong")
        with pytest.raises(RunFailed, match="API keys refused"):
            conduct(rehearsal.definitions, rehearsal.workspace, instance)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in written)
    for path in written:
        content = path.read_bytes()
        for name, secret in secrets.items():
            assert secret.encode() not in content, f"{name} is in {path}"
    for secret in secrets.values():
        assert secret not in caplog.text
