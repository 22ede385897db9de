"""Eras of a panel as int8 torch tensors, without a copy where possible.

A whole era in the layout of the store is a tensor over the memory map: nothing is copied. `EraTensors` is a torch Dataset
whose items are eras, so a DataLoader with `batch_size=None` takes it too. Sent to another process, it maps its files
there instead of copying them. `load` suits most methods: seeded order, batches of rows on the device, the next ones
prepared by a thread.
"""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.dlpack import from_dlpack

from numerai_assets.errors import MethodError
from numerai_assets.panel.blocks import opened_blocks, portable_blocks
from numerai_assets.panel.panel import EraPanel

T = TypeVar("T")
Layout = Literal["features", "rows"]
# Features transposed at once: one cache line of each row.
_TILE = 64


class EraBatch(NamedTuple):
    """Rows of one era. features: int8 (d, n), or (n, d) under the layout "rows". targets: (n, t) float32, NaN unresolved.

    rows: (n,) int64 positions in the era. The features may lie over a read-only file: never write into them.
    """

    era: int
    features: Tensor
    targets: Tensor
    rows: Tensor


class EraTensors(Dataset[EraBatch]):
    """The eras of a panel, item by item; `targets` in the order given.

    layout: "features", feature-major as stored, without a copy unless `features` chooses some of them; or "rows",
    a contiguous row-major copy, which takes about ten times as long as a plain copy. A network that casts its input
    anyway can use `features.T` of the former. Raises StoreError for a feature or target not in the panel.
    """

    def __init__(
        self,
        panel: EraPanel,
        *,
        features: Sequence[str] | None = None,
        targets: Sequence[str] = (),
        layout: Layout = "features",
    ) -> None:
        if layout not in ("features", "rows"):
            raise MethodError(f"layout {layout!r}: expected 'features' or 'rows'")
        self.eras, self.layout = panel.eras, layout
        self._blocks = panel.blocks
        self._chosen = None if features is None else torch.tensor(panel.places_of(features), dtype=torch.int64)
        for name in targets:
            panel.target(name)
        self._targets = tuple(
            np.stack([panel.targets_of_block[name][era] for name in targets], axis=1)
            if targets
            else np.empty((rows, 0), np.float32)
            for era, rows in enumerate(panel.rows_of_era)
        )

    def __len__(self) -> int:
        return len(self.eras)

    def __getitem__(self, position: int) -> EraBatch:
        """All rows of the era at `position`, in their order."""
        # Through DLPack: torch's other functions warn about every read-only array.
        features = from_dlpack(self._blocks[position])
        if self._chosen is not None:
            features = features.index_select(0, self._chosen)
        if self.layout == "rows":
            features = _row_major(features)
        targets = torch.from_numpy(self._targets[position])
        return EraBatch(self.eras[position], features, targets, torch.arange(len(targets)))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_blocks": portable_blocks(self._blocks)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_blocks": opened_blocks(state["_blocks"])})


def load(
    eras: EraTensors,
    *,
    seed: int | None = None,
    epoch: int = 0,
    batch_rows: int | None = None,
    drop_last: bool = False,
    ahead: int = 2,
    pinned: bool = False,
    device: str | torch.device = "cpu",
) -> Iterator[EraBatch]:
    """`batches` on the device, through pinned memory if `pinned`. A thread prepares up to `ahead` of them before their use.

    Batches for a CUDA device always go through pinned memory. ahead: 0 for no thread. Raises MethodError for pinned memory
    or CUDA on a machine without CUDA.
    """
    to = torch.device(device)
    if (pinned or to.type == "cuda") and not torch.cuda.is_available():
        raise MethodError(f"device {str(to)!r}, pinned {pinned}: this machine has no CUDA device")
    found = batches(eras, seed=seed, epoch=epoch, batch_rows=batch_rows, drop_last=drop_last)
    if pinned or to.type == "cuda":
        found = (_moved(batch, to) for batch in found)
    elif to.type != "cpu":
        found = (EraBatch(batch.era, *(part.to(to) for part in batch[1:])) for batch in found)
    return prefetched(found, ahead) if ahead else found


def batches(
    eras: EraTensors, *, seed: int | None = None, epoch: int = 0, batch_rows: int | None = None, drop_last: bool = False
) -> Iterator[EraBatch]:
    """Batches of one era each: whole eras, or `batch_rows` rows at a time, fewer in an era's last unless `drop_last`.

    With a seed the eras come in random order, a function of (seed, epoch); with `batch_rows` the rows of an era do too, a
    function of (seed, epoch, era). Random batches are cheap only under the layout "rows".
    """
    order = np.arange(len(eras)) if seed is None else np.random.default_rng([seed, epoch]).permutation(len(eras))
    for position in order.tolist():
        whole = eras[position]
        if batch_rows is None:
            yield whole
            continue
        count = len(whole.rows)
        shuffled = None if seed is None else np.random.default_rng([seed, epoch, whole.era]).permutation(count)
        for start in range(0, count - batch_rows + 1 if drop_last else count, batch_rows):
            some = slice(start, start + batch_rows)
            yield _cut(whole, eras.layout, some if shuffled is None else shuffled[some])


def prefetched(items: Iterable[T], ahead: int) -> Iterator[T]:
    """The items, prepared by a thread up to `ahead` (>= 1) before their use. An error of the thread is raised here, in turn.

    The thread ends when the items do, or when this iterator is closed or dropped.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(ahead)
    unwanted = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not unwanted.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, StopIteration())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that iterates
            put(None, error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        unwanted.set()
        thread.join()


def _cut(whole: EraBatch, layout: Layout, rows: slice | NDArray[np.int64]) -> EraBatch:
    if isinstance(rows, slice):
        features = whole.features[rows] if layout == "rows" else whole.features[:, rows]
        return EraBatch(whole.era, features, whole.targets[rows], whole.rows[rows])
    places = torch.from_numpy(rows)
    if layout == "rows":
        features = whole.features.index_select(0, places)
    else:
        # Three times as fast as index_select along the second dimension.
        features = from_dlpack(np.take(whole.features.numpy(), rows, axis=1))
    return EraBatch(whole.era, features, whole.targets[places], places)


def _moved(batch: EraBatch, device: torch.device) -> EraBatch:
    """The batch in pinned memory, or on its way from there to the device."""
    pinned = [part.contiguous().pin_memory() for part in batch[1:]]
    return EraBatch(
        batch.era, *(part if device.type == "cpu" else part.to(device, non_blocking=True) for part in pinned)
    )


def _row_major(block: Tensor) -> Tensor:
    """(n, d) contiguous copy of a (d, n) block."""
    features, rows = block.shape
    turned = torch.empty((rows, features), dtype=torch.int8)
    # In NumPy and in tiles: a little faster than torch's copy of a transposed tensor.
    source, target = block.numpy(), turned.numpy()
    for start in range(0, features, _TILE):
        target[:, start : start + _TILE] = source[start : start + _TILE].T
    return turned
