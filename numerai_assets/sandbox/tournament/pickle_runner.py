"""Runs one uploaded pickle: `python -I pickle_runner.py --pickle P --live L --benchmarks B --output DIR ...`.

Unpickling executes code from the pickle. It happens here, in a process of its own, and never in the server; the server
reads only the CSV and the report that this process writes. The file is run as a script and imports nothing of the
package, so that the pickle runs in a plain Python as at Numerai.

Limits of the participant's code: address space, processor time, no network. Where the kernel allows it, the process moves
to a network namespace without interfaces, which also covers the processes that it starts. Elsewhere an audit hook refuses
every connect, bind, send and name look-up through Python's `socket`; native code that calls the system directly, and
child processes, are not covered. The report names the method used. Files are not hidden: the pickle can read every file
that the user can read. This rehearses Numerai's runner; it does not contain hostile code.

The checks and their messages are those of Numerai's own runner (numerai/numerai-predict, predict.py).
"""

import argparse
import ctypes
import json
import resource
import signal
import sys
from inspect import signature
from pathlib import Path
from typing import Any

NAMESPACE, AUDIT_HOOK = "namespace", "audit hook"
PREDICTIONS, REPORT = "predictions.csv", "report.json"

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NETWORK_EVENTS = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
    }
)


class _InvalidModelError(Exception):
    """Numerai would not accept the model; the message says why."""


def main() -> int:
    """Returns 0 if predictions.csv was written, 1 if the model is at fault; report.json has the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pickle", "live", "benchmarks", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    parser.add_argument("--seconds", type=int, required=True, help="of processor time")
    options = parser.parse_args()
    report: dict[str, Any] = {"network": _cut_network(), "error": None}
    _end_with_parent()
    _limit(options.memory, options.seconds)
    try:
        _run(options)
    except _InvalidModelError as error:
        report["error"] = str(error)
    except MemoryError:
        report["error"] = f"Out of memory: a run has {options.memory / 2**30:.3g} GB"
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit included
        report["error"] = f"{type(error).__name__}: {error}"
    (options.output / REPORT).write_text(json.dumps(report), encoding="utf-8")
    return 0 if report["error"] is None else 1


def _cut_network() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    # Before any thread is started: only a process with a single thread can enter a user namespace.
    if hasattr(libc, "unshare") and (
        libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    ):
        return NAMESPACE

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NETWORK_EVENTS:
            raise PermissionError(f"{event}: a model run has no internet")

    sys.addaudithook(refuse)
    return AUDIT_HOOK


def _end_with_parent() -> None:
    """Asks the kernel to end this run when the server that started it ends."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(options: argparse.Namespace) -> None:
    import pandas as pd

    predict = _load(options.pickle)
    arguments = [pd.read_parquet(options.live)]
    match _arity(predict):
        case 1:
            pass
        case 2:
            arguments.append(pd.read_parquet(options.benchmarks).loc[arguments[0].index])
        case _:
            raise _InvalidModelError(f"Invalid pickle function - {options.pickle.name} must have 1 or 2 arguments")
    rows = len(arguments[0])
    try:
        predictions = predict(*arguments)
    except TypeError as error:
        raise _InvalidModelError(f"Pickle function is invalid - {error}") from error
    _check(predictions, rows)
    first = predictions.iloc[:, :1].set_axis(["prediction"], axis=1).rename_axis("id")
    first.to_csv(options.output / PREDICTIONS)


def _load(path: Path) -> Any:
    import pickle

    import pandas as pd

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        return pd.read_pickle(path, compression=None)
    except (pickle.UnpicklingError, EOFError) as error:
        raise _InvalidModelError(f"Invalid pickle - {error}") from error
    except TypeError as error:
        raise _InvalidModelError(f"Pickle incompatible with {version} - {error}") from error
    except (ImportError, AttributeError) as error:
        raise _InvalidModelError(f"Import error reading pickle - {error}") from error


def _arity(predict: Any) -> int:
    if not callable(predict):
        raise _InvalidModelError(f"Pickle function is invalid - {type(predict).__name__} is not callable")
    try:
        return len(signature(predict).parameters)
    except ValueError as error:
        raise _InvalidModelError(f"Pickle function is invalid - {error}") from error


def _check(predictions: Any, rows: int) -> None:
    import pandas as pd

    if predictions is None:
        raise _InvalidModelError("Pickle function is invalid - returned None")
    if not isinstance(predictions, pd.DataFrame):
        raise _InvalidModelError(f"Pickle function is invalid - returned {type(predictions)} instead of pd.DataFrame")
    if len(predictions) != rows:
        raise _InvalidModelError(f"Pickle function returned {len(predictions)} predictions, expected {rows}")
    if predictions.isna().any(axis=None) or predictions.shape[1] == 0:
        raise _InvalidModelError("Pickle function returned at least 1 NaN prediction")
    if not predictions.iloc[:, 0].between(0, 1).all():
        raise _InvalidModelError("Pickle function returned invalid predictions. Ensure values are between 0 and 1.")


if __name__ == "__main__":
    sys.exit(main())
