"""Where and how fast something is trained. It says nothing about what is trained, so it is no part of a spec."""

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

LOCAL = "local"
"""`Execution.compute` of a fit on this machine."""


@dataclass(frozen=True)
class Execution:
    """Settings of every method and learned block that never make a stored model count as outdated.

    threads: 0 for every core the process may use. compute: "local", or a Dask scheduler "dask://HOST:PORT".
    device: what nets are trained on, "cpu" or "cuda". processes: of a training that is distributed over processes.
    """

    threads: int = 0
    compute: str = LOCAL
    device: str = "cpu"
    processes: int = 1

    def beyond(self, honoured: Collection[str]) -> list[str]:
        """Fields that are set to something else than their default and are not among the honoured ones."""
        return [f.name for f in fields(self) if f.name not in honoured and getattr(self, f.name) != f.default]

    @property
    def cores(self) -> int:
        """Threads to use: `threads`, or every core the process may use."""
        return self.threads or usable_cores()


DEFAULT_EXECUTION = Execution()
"""This machine, every core, no GPU."""


def usable_cores() -> int:
    """Cores that this process may use: its CPU affinity, the CPU limit of its cgroup, and OMP_NUM_THREADS where it is set."""
    # Imported here: the settings load without it.
    import joblib

    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(joblib.cpu_count())
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores


@contextmanager
def threads_limited(cores: int) -> Iterator[None]:
    """Gives the numerical libraries, and torch where it is loaded, `cores` threads; without it they ignore cgroup limits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(cores):
        try:
            if torch:
                torch.set_num_threads(cores)
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


ONCE_PARAMETERS = frozenset({"num_threads"})
"""Hyperparameters of older versions that say where or how fast something is trained."""


def without_execution(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Stored hyperparameters without those that say where or how fast something is trained."""
    return {name: value for name, value in parameters.items() if name not in ONCE_PARAMETERS}
