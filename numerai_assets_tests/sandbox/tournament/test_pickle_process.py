"""Runs of uploaded pickles; each is a real process."""

import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from numerai_assets.sandbox.tournament import pickle_runner
from numerai_assets.sandbox.tournament.pickle_process import Ran, RunLimits, run_pickle
from numerai_assets.sandbox.world.history import World
from numerai_assets_tests.sandbox.pickles import first_feature, pickled
from numerai_assets_tests.sandbox.serving import FIRST_ROUND

MINUTE = RunLimits(seconds=60)


@pytest.fixture(scope="module")
def live_folder(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    World.open(tiny_world).write_live(folder, round_number=FIRST_ROUND)
    return folder


@pytest.fixture
def ran(live_folder: Path, tmp_path: Path) -> Callable[..., Ran]:
    def run(predict: Any, limits: RunLimits = MINUTE) -> Ran:
        path = tmp_path / "model.pkl"
        path.write_bytes(predict if isinstance(predict, bytes) else pickled(predict))
        return run_pickle(path, live_folder / "live.parquet", live_folder / "live_benchmark_models.parquet", limits)

    return run


def none(x: pd.DataFrame) -> None:
    return None


def series(x: pd.DataFrame) -> pd.Series:
    return first_feature(x)["prediction"]


def half(x: pd.DataFrame) -> pd.DataFrame:
    return first_feature(x)[::2]


def with_nan(x: pd.DataFrame) -> pd.DataFrame:
    return first_feature(x).assign(more=np.nan)


def too_large(x: pd.DataFrame) -> pd.DataFrame:
    return first_feature(x) * 2


def three(a: Any, b: Any, c: Any) -> None:
    return None


def wrong_call(x: pd.DataFrame) -> Any:
    return len(3)  # type: ignore[arg-type]


def raises(x: pd.DataFrame) -> Any:
    raise LookupError("no such\ncolumn")


def leaves(x: pd.DataFrame) -> Any:
    sys.exit(0)


def hungry(x: pd.DataFrame) -> Any:
    return np.ones(2**40, dtype=np.int8)


INVALID = {
    "none": (none, "Pickle function is invalid - returned None"),
    "series": (series, "instead of pd.DataFrame"),
    "half": (half, "predictions, expected 10"),
    "nan": (with_nan, "Pickle function returned at least 1 NaN prediction"),
    "range": (too_large, "Ensure values are between 0 and 1."),
    "arguments": (three, "must have 1 or 2 arguments"),
    "type error": (wrong_call, "Pickle function is invalid - object of type 'int' has no len()"),
    "raises": (raises, "LookupError: no such"),
    "exits": (leaves, "SystemExit: 0"),
    "memory": (hungry, "Out of memory: a run has 4 GB"),
    "no function": (pickle.dumps(3), "Pickle function is invalid - int is not callable"),
    "unknown module": (b"cnowhere\nthing\n.", "Import error reading pickle - No module named 'nowhere'"),
    "cut short": (pickled(first_feature)[:-20], "Invalid pickle"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_model_that_answers_wrongly_is_told_why(ran: Callable[..., Ran], case: str) -> None:
    predict, message = INVALID[case]
    found = ran(predict)
    assert (found.content, found.is_models_fault) == (None, True)
    assert message in str(found.message)


def test_the_whole_live_frame_comes_to_the_model(ran: Callable[..., Ran]) -> None:
    def looks(live_features: pd.DataFrame) -> pd.DataFrame:
        assert set(live_features["era"]) == {"X"}
        assert live_features["target_ender_60"].isna().all()
        assert live_features.index.name == "id"
        return first_feature(live_features)

    found = ran(looks)
    assert (found.message, found.content is not None) == (None, True)


def sleeps(x: pd.DataFrame) -> None:
    time.sleep(600)


def spins(x: pd.DataFrame) -> None:
    while True:
        pass


def crashes(x: pd.DataFrame) -> None:
    os.kill(os.getpid(), 11)


def test_a_run_ends_when_its_time_is_over(ran: Callable[..., Ran]) -> None:
    for predict in (sleeps, spins):
        found = ran(predict, RunLimits(seconds=3))
        assert (found.content, found.is_models_fault) == (None, False)
        assert found.message == "The run took longer than 3 seconds and was ended"


def test_a_run_ends_with_the_server_that_started_it(live_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickled(sleeps))
    paths = tmp_path / "model.pkl", live_folder / "live.parquet", live_folder / "live_benchmark_models.parquet"
    code = (
        "from pathlib import Path; from numerai_assets.sandbox.tournament.pickle_process import NUMERAI_LIMITS, run_pickle; "
        f"run_pickle(*map(Path, {[str(path) for path in paths]}), NUMERAI_LIMITS)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(pickle_runner.__file__).parents[3])}
    server = psutil.Popen([sys.executable, "-c", code], env=environment)
    while not (runs := server.children()) or "pandas" not in " ".join(f.path for f in runs[0].memory_maps()):
        time.sleep(0.05)
    server.kill()
    server.wait()
    psutil.wait_procs(runs, timeout=120)
    assert not any(run.is_running() and run.status() != psutil.STATUS_ZOMBIE for run in runs)


def test_a_crash_is_told_in_numerais_words(ran: Callable[..., Ran]) -> None:
    found = ran(crashes)
    assert found.message == "Segmentation fault! Ensure python and library versions match our environment."


def test_a_run_has_no_network(ran: Callable[..., Ran]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def calls(x: pd.DataFrame) -> None:
            import socket

            socket.create_connection(("127.0.0.1", port), timeout=2)

        found = ran(calls)
    assert (found.content, found.is_models_fault) == (None, True)
    assert found.network in (pickle_runner.NAMESPACE, pickle_runner.AUDIT_HOOK)
    assert "Error: " in str(found.message)


def test_the_audit_hook_alone_refuses_sockets(live_folder: Path, tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, runpy, ctypes; ctypes.CDLL = lambda *a, **k: object(); "
        f"found = runpy.run_path({pickle_runner.__file__!r})['_cut_network'](); import socket; print(found); "
        "socket.create_connection(('127.0.0.1', 9))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == pickle_runner.AUDIT_HOOK
    assert "PermissionError: socket." in done.stderr
    assert "a model run has no internet" in done.stderr


def test_a_run_sees_an_empty_folder_and_no_secret(ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "secret")

    def tells(x: pd.DataFrame) -> None:
        raise ValueError(f"{sorted(os.environ)} {list(Path().iterdir())}")

    message = str(ran(tells).message)
    assert "SECRET" not in message
    assert message.endswith(" []")
    assert "PYTHONPATH" not in message
