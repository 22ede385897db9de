"""A weekly run in a process of its own that can be made to die by SIGKILL at any boundary.

A boundary is the moment right after something became visible outside the process: a file took its name, or an answer
of the server began to come. Runs are forked off a server process that has the libraries loaded, so that hundreds of
them cost little more than what they do.
"""

import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
# Not the definitions themselves: importing them reads settings.
_FORKS.set_forkserver_preload(
    [
        "numerai_assets.automation.conductor",
        "numerai_assets.automation.triggers",
        "numerai_assets.assets.diagnostics",
        "numerai_assets.assets.performance",
        "numerai_assets.checks.data_checks",
        "numerai_assets.checks.model_checks",
        "numerai_assets.evaluation.importance_plots",
        "numerai_assets.evaluation.plots",
        "numerai_assets.methods.benchmark",
        "numerai_assets.methods.permuted_predictions",
        "requests",
    ]
)

RENAMES, ALL = "renames", "all"


@dataclass(frozen=True)
class Outcome:
    """How a run ended. boundaries: how many it had passed. error: what it ended in, None for a good end.

    did: keys of the steps it carried out. was_killed: it died at the boundary that was set for it, named in died_after.
    """

    boundaries: int
    error: str | None = None
    did: tuple[str, ...] = ()
    was_killed: bool = False
    died_after: str = ""


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
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_run, args=(theirs, str(settings_file), die_after, which, keeps_history))
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
    told.send({"boundaries": boundaries.passed, "error": error, "did": did})


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
    """Counts boundaries and kills the process right after the one that was set."""

    def __init__(self, die_after: int | None, which: str, told: Connection) -> None:
        self.passed = 0
        self._told = told
        self._die_after = die_after
        self._which = which

    def install(self) -> None:
        import requests

        os.replace = self._counted(os.replace)
        if self._which == ALL:
            requests.Session.send = self._counted(requests.Session.send)  # type: ignore[method-assign]

    def _counted(self, effect: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = effect(*args, **kwargs)
            self.passed += 1
            if self.passed == self._die_after:
                self._told.send({"boundaries": self.passed, "was_killed": True, "died_after": str(args[1])})
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted
