"""The sandbox as a background process, for `numerai sandbox start | stop | status | advance`.

A pid file in the World's folder names the process that serves it and its port. A pid counts only while that process is
the one that was started, so a stale file neither blocks a start nor makes `stop` end an unrelated process.
"""

import contextlib
import datetime as dt
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from filelock import FileLock

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults.engine import Faults
from numerai_assets.sandbox.faults.plan import Plan
from numerai_assets.sandbox.published.files import write_text
from numerai_assets.sandbox.server.app import SERVER_FOLDER
from numerai_assets.sandbox.server.serve import HOST, command
from numerai_assets.sandbox.tournament.state import MODEL_NAMES, State
from numerai_assets.sandbox.world.history import Progress, World

START_SECONDS = 600.0
STOP_SECONDS = 15.0
LOG_TAIL_LINES = 15

_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Status:
    """A sandbox at one moment. All but `running` is None if it was never started."""

    running: bool
    url: str | None = None
    now: dt.datetime | None = None
    open_round: int | None = None
    newest_era: int | None = None
    next_opening: dt.datetime | None = None
    submissions: int | None = None


@dataclass(frozen=True)
class _Running:
    """A server process. born: its start time, which distinguishes it from a later process with the same pid."""

    pid: int
    born: float
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def start(
    world_dir: Path,
    *,
    port: int,
    models: Sequence[str] = MODEL_NAMES,
    progress: Progress | None = None,
    **create: Any,
) -> str:
    """Starts the sandbox of `world_dir` in the background and returns its URL once it answers.

    Creates the World first if there is none, with the options of `World.create`. models: model slots that the account
    must have. If the sandbox runs already, only returns its URL. Raises SandboxError when the port is taken or the
    server does not start.
    """
    world_dir = world_dir.resolve()
    world_dir.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(world_dir.with_name(f".{world_dir.name}.lock")):
        if (running := _running(world_dir)) is not None:
            return running.url
        _check_port(port)
        if not world_dir.is_dir() or not any(world_dir.iterdir()):
            World.create(world_dir, progress=progress, **create)
        return _spawn(world_dir, port, models).url


def stop(world_dir: Path) -> bool:
    """Stops the sandbox; False when it was not running. Its state stays on disk."""
    world_dir = world_dir.resolve()
    running = _running(world_dir)
    if running is not None:
        _end(psutil.Process(running.pid))
    _pid_file(world_dir).unlink(missing_ok=True)
    return running is not None


def status(world_dir: Path) -> Status:
    """State of the sandbox, running or stopped."""
    world_dir = world_dir.resolve()
    running = _running(world_dir)
    if running is None:
        return _remembered(world_dir)
    return _parse(running, _ask(running, "GET", "/sandbox/status", timeout=_ANSWER_SECONDS))


def advance(world_dir: Path, to: str) -> Status:
    """Moves the sandbox's clock to `to`, as `rounds.destination` reads it. Raises SandboxError when refused."""
    running = _running_now(world_dir)
    return _parse(running, _ask(running, "POST", "/sandbox/advance", json={"to": to}, timeout=None))


def put_faults(world_dir: Path, plan: Plan | None) -> dict[str, Any]:
    """Activates a plan of faults (None: no faults) and returns the result of `faults`. Raises SandboxError when refused."""
    running = _running_now(world_dir)
    if plan is None:
        return _ask(running, "DELETE", "/sandbox/faults", timeout=None)
    return _ask(running, "PUT", "/sandbox/faults", json=plan.model_dump(mode="json"), timeout=None)


def faults(world_dir: Path) -> dict[str, Any]:
    """The active plan of faults, see `Faults.describe`; also of a stopped sandbox."""
    return Faults(world_dir.resolve() / SERVER_FOLDER).describe()


def fault_log(world_dir: Path) -> list[dict[str, Any]]:
    """Every fault that occurred, oldest first; also of a stopped sandbox."""
    return Faults(world_dir.resolve() / SERVER_FOLDER).log()


# -- process -----------------------------------------------------------------------------------------------------


def _spawn(world_dir: Path, port: int, models: Sequence[str]) -> _Running:
    log = world_dir / SERVER_FOLDER / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(world_dir, port, models),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    spawned = _Running(process.pid, psutil.Process(process.pid).create_time(), port)
    try:
        _await_answer(world_dir, spawned, process, log)
    except BaseException:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end(psutil.Process(process.pid))
        raise
    _note(world_dir, spawned)
    return spawned


def _await_answer(world_dir: Path, spawned: _Running, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(world_dir, spawned.port):
        if (code := process.poll()) is not None:
            raise SandboxError(f"the sandbox ended while starting (exit {code}); the end of {log}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise SandboxError(
                f"the sandbox did not answer within {START_SECONDS:.0f} s; the end of {log}:\n{_tail(log)}"
            )
        time.sleep(_POLL_SECONDS)


def _running_now(world_dir: Path) -> _Running:
    world_dir = world_dir.resolve()
    running = _running(world_dir)
    if running is None:
        raise SandboxError(f"the sandbox of {world_dir} is not running; start it with `numerai sandbox start`")
    return running


def _running(world_dir: Path) -> _Running | None:
    """The process that the pid file names, if it still runs."""
    try:
        noted = _Running(**json.loads(_pid_file(world_dir).read_text(encoding="utf-8")))
        process = psutil.Process(noted.pid)
        is_same = process.create_time() == noted.born and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, TypeError, psutil.NoSuchProcess):
        return None
    return noted if is_same else None


def _note(world_dir: Path, running: _Running) -> None:
    write_text(_pid_file(world_dir), json.dumps(vars(running)))


def _end(process: psutil.Process) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SandboxError(
                f"port {port} on {HOST} cannot be used ({error.strerror}): another program listens there; "
                "stop it or set another sandbox.port"
            ) from None


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _pid_file(world_dir: Path) -> Path:
    return world_dir / SERVER_FOLDER / "server.pid"


# -- requests ----------------------------------------------------------------------------------------------------


def _answers(world_dir: Path, port: int) -> bool:
    try:
        found = _request("GET", f"http://{HOST}:{port}/sandbox/status", timeout=_ANSWER_SECONDS)
        return bool(found.ok and found.json()["directory"] == str(world_dir / SERVER_FOLDER))
    except (requests.RequestException, KeyError, TypeError):
        return False


def _ask(running: _Running, method: str, path: str, **options: Any) -> dict[str, Any]:
    try:
        answer = _request(method, running.url + path, **options)
        content: dict[str, Any] = answer.json()
    except requests.RequestException as error:
        raise SandboxError(f"the sandbox at {running.url} does not answer ({type(error).__name__})") from None
    if not answer.ok:
        raise SandboxError(content["error"])
    return content


def _request(method: str, url: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        # Loopback is never behind a proxy, whatever the environment sets.
        session.trust_env = False
        return session.request(method, url, **options)


def _parse(running: _Running, content: dict[str, Any]) -> Status:
    return Status(
        running=True,
        url=running.url,
        now=dt.datetime.fromisoformat(content["now"]),
        open_round=content["open_round"],
        newest_era=content["newest_era"],
        next_opening=dt.datetime.fromisoformat(content["next_opening"]),
        submissions=content["submissions"],
    )


def _remembered(world_dir: Path) -> Status:
    """Status of a stopped sandbox, from its state on disk."""
    path = world_dir / SERVER_FOLDER / "state.sqlite"
    if not path.is_file():
        return Status(running=False)
    state = State(path)
    if (now := state.now()) is None:
        return Status(running=False)
    hours = Faults(world_dir / SERVER_FOLDER).hours
    current = hours.round_at(now)
    return Status(
        running=False,
        now=now,
        open_round=None if current is None else current.number,
        newest_era=hours.latest_round(now).era,
        next_opening=hours.next_opening(now),
        submissions=len(state.submissions()),
    )
