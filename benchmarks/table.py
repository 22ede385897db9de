"""Tools of every benchmark: timing, memory in a separate process, and rows of one table."""

import multiprocessing
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

import psutil


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock and of CPU, and peak growth of memory in bytes: anonymous, and resident with file pages."""

    seconds: float
    cpu_seconds: float
    anonymous: int
    resident: int


@dataclass(frozen=True)
class Row:
    """One comparison. what: the task and its size. peer: name and version of the other side."""

    what: str
    ours: Cost
    peer: str
    theirs: Cost

    @property
    def ratio(self) -> float:
        """CPU time of the peer over ours."""
        return self.theirs.cpu_seconds / max(self.ours.cpu_seconds, 1e-9)


class Killed(RuntimeError):
    """The process of a task was killed, as the system does when memory runs out."""


def package(name: str) -> str:
    """Name and installed version, for `Row.peer`."""
    return f"{name} {version(name)}"


def timed(work: Callable[[], object], *, repeats: int = 5) -> Cost:
    """Median cost of several calls in this process, after one to warm up. Memory is the highest of all calls."""
    work()
    return _median([_watched(work) for _ in range(repeats)])


def in_process(work: Callable[..., object], *arguments: Any, repeats: int = 1) -> Cost:
    """Median cost of calls, each in a fresh process; `work` and its arguments must be picklable.

    The imports of the module that defines `work` are not included. Raises Killed when the process was killed, RuntimeError
    when it fails by itself.
    """
    return _median([_in_one_process(work, arguments) for _ in range(repeats)])


def print_rows(rows: Sequence[Row]) -> None:
    """Prints the rows as a table; memory in MB, anonymous."""
    print(f"{'what':<52}{'ours CPU s':>12}{'peer CPU s':>12}{'ratio':>8}{'ours MB':>9}{'peer MB':>9}  peer")
    for row in rows:
        print(
            f"{row.what:<52}{row.ours.cpu_seconds:>12.4g}{row.theirs.cpu_seconds:>12.4g}{row.ratio:>8.1f}"
            f"{row.ours.anonymous / 1e6:>9.0f}{row.theirs.anonymous / 1e6:>9.0f}  {row.peer}"
        )


def _in_one_process(work: Callable[..., object], arguments: tuple[Any, ...]) -> Cost:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        cost: Cost = ours.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            raise Killed(f"{work.__name__}: its process was killed, probably because memory ran out") from None
        raise RuntimeError(f"{work.__name__}: its process ended with exit code {process.exitcode}") from None
    process.join()
    return cost


def _answer(answer: Connection, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    answer.send(_watched(lambda: work(*arguments)))


def _watched(work: Callable[[], object]) -> Cost:
    process, peaks, over = psutil.Process(), [0, 0], threading.Event()
    before = process.memory_info()

    def look() -> None:
        now = process.memory_info()
        peaks[0] = max(peaks[0], (now.rss - now.shared) - (before.rss - before.shared))
        peaks[1] = max(peaks[1], now.rss - before.rss)

    def watch() -> None:
        while not over.wait(0.01):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu_began = time.perf_counter(), time.process_time()
    try:
        kept = work()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        look()
    finally:
        over.set()
        watcher.join()
    del kept
    return Cost(seconds, cpu_seconds, *peaks)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        max(cost.anonymous for cost in costs),
        max(cost.resident for cost in costs),
    )
