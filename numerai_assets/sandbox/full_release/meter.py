"""Cost of the stages of a long job: seconds, CPU seconds, rows, bytes, peak memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_EVERY_SECONDS = 0.02


@dataclass
class StageCost:
    """Cost of one stage, summed over its calls. anonymous, resident: peak memory of the process during any of them."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    rows: int = 0
    bytes: int = 0
    anonymous: int = 0
    resident: int = 0


class Meter:
    """Times stages, which may run in several threads at once, and samples the memory of the process."""

    def __init__(self) -> None:
        self.costs: dict[str, StageCost] = {}
        self._whole = StageCost()
        self._under_way: list[StageCost] = []
        self._process = psutil.Process()
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the block, and sample the memory every 20 ms until its end."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        began, cpu_began = time.perf_counter(), time.process_time()
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()
            self._whole.seconds = time.perf_counter() - began
            self._whole.cpu_seconds = time.process_time() - cpu_began

    @contextmanager
    def stage(self, name: str, *, rows: int = 0) -> Iterator[StageCost]:
        """Count the block as part of stage `name`; rows and bytes can be added to the yielded cost."""
        cost = self.costs.setdefault(name, StageCost())
        self._under_way.append(cost)
        began, cpu_began = time.perf_counter(), time.thread_time()
        try:
            yield cost
        finally:
            cost.seconds += time.perf_counter() - began
            cost.cpu_seconds += time.thread_time() - cpu_began
            cost.rows += rows
            self._sample([cost])
            self._under_way.remove(cost)

    def table(self) -> str:
        """One line per stage, and one for the whole watched block, whose seconds are fewer if stages overlap."""
        head = f"{'stage':<14}{'s':>8}{'CPU s':>9}{'rows':>13}{'MB':>9}{'anonymous MB':>14}{'resident MB':>13}"
        return "\n".join([head, *map(_line, [*self.costs, "in all"], [*self.costs.values(), self._whole])])

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self._sample([*self._under_way])

    def _sample(self, costs: list[StageCost]) -> None:
        now = self._process.memory_info()
        for cost in (*costs, self._whole):
            cost.anonymous = max(cost.anonymous, now.rss - now.shared)
            cost.resident = max(cost.resident, now.rss)


def _line(name: str, cost: StageCost) -> str:
    return (
        f"{name:<14}{cost.seconds:>8.1f}{cost.cpu_seconds:>9.1f}{cost.rows:>13,}{cost.bytes / 1e6:>9.0f}"
        f"{cost.anonymous / 1e6:>14.0f}{cost.resident / 1e6:>13.0f}"
    )
