"""One fit on all workers of a Dask cluster: `compute = "dask://HOST:PORT"` in the settings of a method.

Dask finds the workers, places one task on each, returns the model and reports lost workers. The boosting itself is the
data-parallel one of LightGBM and XGBoost, between the workers. `lightgbm.dask` and `xgboost.dask` work this way too, but
they want the rows as Dask arrays (one byte per cell that Dask keeps, and another while a worker joins its chunks), and they
search for bins. Here each worker runs the same code as a fit on one machine, over its share of the eras: half a byte per
cell in LightGBM, a file in XGBoost. The five bins are declared, so all workers have the same ones.

A worker receives the paths of its eras' files, not their bytes: cluster and client share the disk of the era store. Only
the labels travel, four bytes per row.

A fit ends whole or with one ComputeError. LightGBM waits for ever for a peer that is gone (lightgbm-org/LightGBM 4074,
5920). Therefore the client watches the workers, and the nannies restart the workers of a fit that failed.
"""

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa

from numerai_assets.errors import ComputeError
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent

_HOLDER = "numerai_assets_fit_of"
# Sockets of the ports that a worker reserves for a fit that is about to begin.
_reserved: dict[int, socket.socket] = {}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """Seconds to wait for the cluster before a fit is given up.

    connect: for a scheduler and a first worker. answer: for a scheduler that took part, or for a worker to restart; both
    may be busy. turn: for another fit on the same cluster to end. word: for workers to report progress.
    """

    connect: float = 20.0
    answer: float = 120.0
    turn: float = 60.0
    word: float = 3600.0


@dataclass(frozen=True)
class Peers:
    """The workers of one fit, seen from worker `rank`. addresses: HOST:PORT of each. threads: of this worker."""

    rank: int
    addresses: tuple[str, ...]
    threads: int

    @property
    def port(self) -> int:
        """The port reserved for this worker; it is released, so that the worker can listen on it."""
        port = int(self.addresses[self.rank].rpartition(":")[2])
        if port in _reserved:
            _reserved.pop(port).close()
        return port


_PATIENCE = Patience()
_LOOK_SECONDS = 0.5
_RUMOUR_SECONDS = 3.0

Work = Callable[[EraPanel, Peers, Progress], Result]
"""A worker's part of a fit: a function of its share of the eras, its peers and a progress callback."""


def on_cluster(
    compute: str,
    panel: EraPanel,
    target: str,
    work: "Work[Result]",
    *,
    progress: Progress = silent,
    patience: Patience = _PATIENCE,
) -> Result:
    """Run `work` on every worker over its share of the panel's eras; returns the result of the first worker.

    compute: "dask://HOST:PORT". Each of n workers gets every n-th era in which `target` is known, with the features and
    that target alone. `work` is sent to the workers as a pickle. Raises ComputeError, naming the address, when the cluster
    cannot be reached, is busy, goes away or loses a worker, or when a worker fails.
    """
    with _connected(compute, patience) as client:
        _take_turn(client, compute, patience)
        try:
            client.wait_for_workers(1, timeout=patience.connect)
        except TimeoutError:
            raise ComputeError(
                f"{compute}: has no worker; start some with `dask worker`. Nothing was written"
            ) from None
        held = client.nthreads()
        shares = shares_of(panel, target, len(held))
        # Sorted by address, so that the same cluster gets the same shares.
        threads = dict(sorted(held.items())[: len(shares)])
        try:
            return _together(_Fit(client, compute, threads, patience), shares, work, progress)
        except BaseException:
            _restart(client, threads, patience)
            raise


def threads_of(compute: str, *, patience: Patience = _PATIENCE) -> list[int]:
    """Threads of each worker of a cluster. Raises ComputeError when it cannot be reached."""
    with _connected(compute, patience) as client:
        return list(client.nthreads().values())


def _restart(client: Any, workers: Iterable[str], patience: Patience) -> None:
    """Ends the rest of a fit, which would otherwise wait for lost peers, or keep a thread busy until its worker ends."""
    if client.status != "running":
        return
    # A worker that cannot be restarted is gone already, or ends with the scheduler.
    with contextlib.suppress(OSError, TimeoutError, KeyError):
        left = [worker for worker in client.nthreads() if worker in workers]
        client.restart_workers(left, timeout=patience.answer, raise_for_error=False)


def shares_of(panel: EraPanel, target: str, count: int) -> list[EraPanel]:
    """At most `count` panels of every `count`-th era in which the target is known, without ids and other targets.

    Neighbouring eras have about as many rows, so they go to different shares. A share has no cache, because another
    cluster would have other shares.
    """
    known = panel.eras_with(target)
    bare = replace(
        panel,
        ids_of_block=tuple(pa.nulls(rows) for rows in panel.rows_of_era),
        targets_of_block={target: panel.targets_of_block[target]},
        cache=None,
    )
    return [bare.with_eras(known[rank::count]) for rank in range(min(count, len(known)))]


@dataclass(frozen=True)
class _Fit:
    """One running fit. threads: of each worker, by its address."""

    client: Any
    compute: str
    threads: dict[str, int]
    patience: Patience

    def gone(self) -> list[str]:
        """Workers that the scheduler has lost. Raises ComputeError when it does not answer."""
        if self.client.status == "running":
            try:
                found = self.client.sync(
                    self.client.scheduler.identity, n_workers=-1, callback_timeout=self.patience.answer
                )
                return [worker for worker in self.threads if worker not in found["workers"]]
            except (OSError, TimeoutError):
                pass
        raise self.lost("the scheduler went away")

    def lost(self, what: str) -> ComputeError:
        """The error of a fit that cannot continue."""
        return ComputeError(f"{self.compute}: {what}. The fit was given up and nothing was written; run it again")


def _together(fit: _Fit, shares: list[EraPanel], work: "Work[Result]", progress: Progress) -> Result:
    """Runs all shares at the same time; returns the result of the first worker."""
    import dask

    topic, heard = f"numerai_assets-{uuid.uuid4().hex}", _Heard()
    fit.client.subscribe_topic(topic, heard)
    ports = [_on(fit, worker, _reserve) for worker in fit.threads]
    addresses = tuple(
        f"{urlsplit(worker).hostname}:{port}"
        for worker, port in zip(fit.threads, _watched(fit, ports, heard, progress), strict=True)
    )
    # The labels may exceed the size at which Dask warns.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        futures = [
            _on(fit, worker, _share, work, share, Peers(rank, addresses, threads), topic)
            for rank, ((worker, threads), share) in enumerate(zip(fit.threads.items(), shares, strict=True))
        ]
    made: Result = _watched(fit, futures, heard, progress)[0]
    return made


def _on(fit: _Fit, worker: str, task: Callable[..., Any], *arguments: Any) -> Any:
    """Future of a task that may only run on that worker."""
    return fit.client.submit(task, *arguments, workers=[worker], allow_other_workers=False, pure=False, retries=0)


def _reserve() -> int:
    """A free port of this worker, reserved until `Peers.port` is read."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("", 0))
    port: int = kept.getsockname()[1]
    _reserved[port] = kept
    return port


def _share(work: "Work[Result]", share: EraPanel, peers: Peers, topic: str) -> Result | None:
    """Runs on a worker. Only the first worker reports progress, which holds for all, and returns the result."""
    from distributed import get_worker

    worker, told = get_worker(), [0.0]

    def tell(stage: str, done: int, total: int) -> None:
        if done >= total or time.monotonic() - told[0] >= 1:
            told[0] = time.monotonic()
            worker.log_event(topic, [stage, done, total])

    made = work(share, peers, tell if peers.rank == 0 else silent)
    return made if peers.rank == 0 else None


class _Heard:
    """The last progress report of the first worker: received in Dask's thread, passed on in the thread of the fit."""

    def __init__(self) -> None:
        self.at = time.monotonic()
        self._last: list[Any] | None = None

    def __call__(self, event: tuple[Any, list[Any]]) -> None:
        self.at, self._last = time.monotonic(), event[1]

    def pass_on(self, progress: Progress) -> None:
        last, self._last = self._last, None
        if last is not None:
            progress(*last)


def _watched(fit: _Fit, futures: list[Any], heard: _Heard, progress: Progress) -> list[Any]:
    """Results of tasks that need each other, watched until all are done. Raises ComputeError when one cannot end."""
    while not all(future.status == "finished" for future in futures):
        time.sleep(_LOOK_SECONDS)
        heard.pass_on(progress)
        failed = [
            f"worker {worker}: {_why(future)}"
            for worker, future in zip(fit.threads, futures, strict=True)
            if future.status not in ("pending", "finished")
        ]
        # A worker may fail because another one is gone, and the scheduler may learn that a little later.
        gone = fit.gone()
        if failed and not gone:
            time.sleep(_RUMOUR_SECONDS)
            gone = fit.gone()
        if gone:
            raise fit.lost(f"{len(gone)} of {len(fit.threads)} workers are gone: {', '.join(gone)}")
        if failed:
            raise fit.lost("; ".join(failed))
        if time.monotonic() - heard.at > fit.patience.word:
            raise fit.lost(f"its workers reported no progress for {fit.patience.word:.0f} s")
    heard.pass_on(progress)
    return list(fit.client.gather(futures))


def _why(future: Any) -> str:
    error = future.exception() if future.status == "error" else None
    return future.status if error is None else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _connected(compute: str, patience: Patience) -> Iterator[Any]:
    """A client of the cluster. Raises ComputeError when Dask is not installed or the scheduler does not answer."""
    try:
        from distributed import Client
    except ImportError:
        raise ComputeError(f"{compute}: needs Dask; `pip install numerai-assets[dask]`") from None
    address = compute.replace("dask://", "tcp://")
    try:
        client = Client(address, timeout=patience.connect, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ComputeError(
            f"{compute}: no Dask scheduler answers ({error or type(error).__name__}); start one with "
            '`dask scheduler`, or set compute = "local". Nothing was written'
        ) from None
    with client:
        try:
            yield client
        except (OSError, TimeoutError, asyncio.CancelledError) as error:
            raise ComputeError(
                f"{compute}: the scheduler went away ({type(error).__name__} {error}). Nothing was written; run the fit again"
            ) from None


def _take_turn(client: Any, compute: str, patience: Patience) -> None:
    """Waits for the cluster: two fits at once would each block workers that the other waits for (LightGBM 4942)."""
    until = time.monotonic() + patience.turn
    while not client.run_on_scheduler(_is_taken_by, client_id=client.id):
        if time.monotonic() > until:
            raise ComputeError(
                f"{compute}: another fit has used the cluster for {patience.turn:.0f} s; try again when it is over. "
                "Nothing was written"
            )
        time.sleep(_LOOK_SECONDS)


def _is_taken_by(dask_scheduler: Any, client_id: str) -> bool:
    """Runs on the scheduler. A client owns the cluster until it disconnects, for whatever reason."""
    holder = getattr(dask_scheduler, _HOLDER, None)
    if holder is not None and holder != client_id and holder in dask_scheduler.clients:
        return False
    setattr(dask_scheduler, _HOLDER, client_id)
    return True
