"""A weekly run in a process of its own that can be made to die by SIGKILL at any boundary.

A boundary is the moment right after something became visible outside the process: a file took its name, or an answer
of the server began to come. Runs are forked (see `rehearsals.forks`), so that hundreds of them cost little more than
their work.
"""

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rehearsals.forks import FORKS

RENAMES, ALL = "renames", "all"


@dataclass(frozen=True)
class Outcome:
    """How a run ended. passed: the boundaries that it passed. error: the message of a run that failed.

    did: keys of the steps it carried out. was_killed: it died right after the last boundary of `passed`.
    """

    passed: tuple[str, ...]
    error: str | None = None
    did: tuple[str, ...] = ()
    was_killed: bool = False


def weekly(
    settings_file: Path,
    *,
    die_after: int | None = None,
    which: str = ALL,
    keeps_history: bool = False,
    limit_seconds: float = 600,
) -> Outcome:
    """`numerai weekly` with the settings of a file, killed right after boundary number `die_after`, if that comes.

    which: ALL boundaries count, or only RENAMES. keeps_history: Dagster's history is kept beside the data.
    Raises TimeoutError for a run that goes on longer than `limit_seconds`.
    """
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run, args=(theirs, str(settings_file), die_after, which, keeps_history))
    process.start()
    theirs.close()
    process.join(limit_seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"the run went on for more than {limit_seconds:.0f} s")
    try:
        return Outcome(**ours.recv())
    except EOFError:
        raise RuntimeError(f"the run ended with exit code {process.exitcode} and said nothing") from None


def _run(told: Connection, settings_file: str, die_after: int | None, which: str, keeps_history: bool) -> None:
    os.environ["NUMERAI_SETTINGS"] = settings_file
    boundaries = _Boundaries(die_after, which, told)
    boundaries.install()
    error: str | None = None
    did: tuple[str, ...] = ()
    try:
        did = _weekly(keeps_history)
    except BaseException as caught:  # noqa: BLE001 - told to the parent
        from numerai_assets.errors import NumeraiAssetsError

        error = str(caught) if isinstance(caught, NumeraiAssetsError) else "".join(traceback.format_exception(caught))
    told.send({"passed": tuple(boundaries.passed), "error": error, "did": did})


def _weekly(keeps_history: bool) -> tuple[str, ...]:
    import dagster as dg

    from numerai_assets.automation.conductor import conduct
    from numerai_assets.definitions import build_definitions
    from numerai_assets.pipeline.workspace import Workspace
    from numerai_assets.settings import load_settings

    settings = load_settings()
    if keeps_history:
        folder = settings.workspace / "dagster"
        folder.mkdir(parents=True, exist_ok=True)
        instance = dg.DagsterInstance.local_temp(str(folder))
    else:
        instance = dg.DagsterInstance.ephemeral()
    _, done = conduct(build_definitions(settings), Workspace(settings), instance)
    return tuple(item.step.key for item in done)


class _Boundaries:
    """Notes boundaries and kills the process right after the one that was set."""

    def __init__(self, die_after: int | None, which: str, told: Connection) -> None:
        self.passed: list[str] = []
        self._told = told
        self._die_after = die_after
        self._which = which

    def install(self) -> None:
        import requests

        os.replace = self._noted(os.replace, lambda _, target: f"file {Path(target).name}")
        if self._which == ALL:
            requests.Session.send = self._noted(  # type: ignore[method-assign]
                requests.Session.send, lambda _, request: f"{request.method} {urlsplit(request.url).path}"
            )

    def _noted(self, effect: Any, name: Callable[[Any, Any], str]) -> Any:
        def noted(first: Any, second: Any, *args: Any, **kwargs: Any) -> Any:
            answer = effect(first, second, *args, **kwargs)
            self.passed.append(name(first, second))
            if len(self.passed) == self._die_after:
                self._told.send({"passed": tuple(self.passed), "was_killed": True})
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return noted
