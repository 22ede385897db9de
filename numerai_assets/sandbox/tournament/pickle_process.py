"""Starts `pickle_runner` on an uploaded pickle and waits for its result, up to a time limit."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from numerai_assets.sandbox.tournament import pickle_runner

SEGMENTATION_FAULT = "Segmentation fault! Ensure python and library versions match our environment."

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "ARROW_IO_THREADS"), "1"
)


@dataclass(frozen=True)
class RunLimits:
    """Limits of one run: bytes of address space, and seconds of processor time and of wall time."""

    memory_bytes: int = 4 * 2**30
    seconds: int = 600


NUMERAI_LIMITS = RunLimits()
"""Numerai's own: 4 GB and 10 minutes, on one processor."""


@dataclass(frozen=True)
class Ran:
    """Result of a run.

    content: the CSV `id,prediction`, or None; then `message` has the reason, and `is_models_fault` is True if the model
    is wrong, False if the run was ended. network: the method that cut it off.
    """

    content: bytes | None
    message: str | None
    is_models_fault: bool
    network: str | None


def run_pickle(pickle: Path, live: Path, benchmarks: Path, limits: RunLimits) -> Ran:
    """Runs the pickle on a round's live file and its benchmarks, in an empty folder and a clean environment."""
    with tempfile.TemporaryDirectory(prefix="pickle-run-") as scratch:
        output = Path(scratch)
        code = _execute(_command(pickle, live, benchmarks, output, limits), output, limits.seconds)
        if code is None or code == -signal.SIGXCPU:
            return Ran(None, f"The run took longer than {limits.seconds} seconds and was ended", False, None)
        if code == -signal.SIGSEGV:
            return Ran(None, SEGMENTATION_FAULT, False, None)
        try:
            report = json.loads((output / pickle_runner.REPORT).read_text(encoding="utf-8"))
            error, network = report["error"], str(report["network"])
        except (OSError, ValueError, KeyError, TypeError):
            return Ran(None, f"The run ended without a report (exit {code})", False, None)
        if error is not None or code != 0:
            return Ran(None, str(error), True, network)
        return Ran((output / pickle_runner.PREDICTIONS).read_bytes(), None, False, network)


def _command(pickle: Path, live: Path, benchmarks: Path, output: Path, limits: RunLimits) -> list[str]:
    options = {
        "pickle": pickle.resolve(),
        "live": live.resolve(),
        "benchmarks": benchmarks.resolve(),
        "output": output,
        "memory": limits.memory_bytes,
        "seconds": limits.seconds,
    }
    # Isolated (-I): imports of the pickle do not depend on the server's folder or environment.
    script = [sys.executable, "-I", str(Path(pickle_runner.__file__).resolve())]
    return script + [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _execute(command: list[str], folder: Path, seconds: int) -> int | None:
    """Exit code, None if the process had to be ended. Its child processes end with it."""
    environment = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8", **_ONE_THREAD}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
