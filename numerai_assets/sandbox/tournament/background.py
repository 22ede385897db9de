"""Background jobs of the server."""

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


def internal_error(error: BaseException | None) -> str:
    """The answer to a client when the sandbox itself failed."""
    return f"Internal error of the sandbox: {type(error).__name__}; see its log"


class Background:
    """Runs jobs one after another in a thread, which starts with the first job and ends with the process.

    Jobs handle their own errors; an error that escapes a job is logged, and the next job runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, job: Callable[[], None]) -> None:
        """Queues a job and returns immediately."""
        self._jobs.put(job)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Returns when every queued job is done."""
        self._jobs.join()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:  # noqa: BLE001 - the thread must outlive a job's bug, which is logged
                _log.exception("a job of %s failed", self._name)
            finally:
                self._jobs.task_done()
