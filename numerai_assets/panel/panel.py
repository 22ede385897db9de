"""Input of methods and feature blocks: rows of one or more eras as arrays, and the history known at an era.

Targets become inputs only through `History`, which returns only targets that had resolved.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from numerai_assets.eras import era_label, horizon_of, resolved_through
from numerai_assets.errors import StoreError, WallError
from numerai_assets.panel.blocks import Blocks, Part, SelectedBlocks, _pick, _select, opened_blocks, portable_blocks

Columns = NDArray[np.int8] | NDArray[np.int16] | NDArray[np.float16]
"""(k, n): int8 bins 0..4 with -1 for missing, int16 row positions with -1 for none, or float16 with NaN."""


FeatureSets = Mapping[str, tuple[str, ...]]
"""Features of each set of features.json, by its name."""


@dataclass(frozen=True)
class Reads:
    """Inputs beside the rows of an era.

    look_back: number of earlier eras; 0 for none. targets: targets of earlier eras, named in full.
    columns: feature blocks whose columns of the current era are read as they are, not as bins.
    """

    look_back: int = 0
    targets: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """Data known at an era besides its own rows: earlier eras and those of their targets that had resolved.

    era: the current era. first_era: the earliest stored era. look_back: declared number of earlier eras. targets: declared
    targets. newest_release: newest era of the release that targets come from; a live round is ahead of it when the vendor
    is late. None for an era of a release.
    """

    era: int
    first_era: int
    look_back: int
    targets: tuple[str, ...]
    feature_sets: FeatureSets
    read_era: Callable[[int], "EraPanel"]
    read_columns: Callable[[str], Columns]
    newest_release: int | None = None

    def resolved_through(self, target: str) -> int:
        """Newest era whose `target` was known at the current era."""
        newest = self.era if self.newest_release is None else min(self.era, self.newest_release)
        return resolved_through(newest, horizon_of(target))

    @property
    def _earlier(self) -> range:
        """Available earlier eras within the look-back."""
        newest = self.era - 1 if self.newest_release is None else min(self.era - 1, self.newest_release)
        return range(max(self.first_era, self.era - self.look_back), newest + 1)

    def holds(self, era: int) -> bool:
        """True for an available earlier era within the look-back: not before the first one, not after a late release."""
        return era in self._earlier

    def has_resolved(self, era: int, target: str) -> bool:
        """True when `target` of `era` was known at the current era."""
        return era <= self.resolved_through(target)

    def panel(self, era: int) -> "EraPanel":
        """An earlier era with those of its targets that had resolved by the current era.

        Raises WallError for an era that is not earlier, is outside the declared look-back, or does not exist.
        """
        if not self.holds(era):
            earlier = self._earlier
            raise WallError(
                f"era {era_label(self.era)} may look back to eras {earlier.start} to {earlier.stop - 1}, not to {era}"
            )
        found = self.read_era(era)
        known = {name: values for name, values in found.targets_of_block.items() if self.has_resolved(era, name)}
        return replace(found, targets_of_block=known)

    def target(self, era: int, name: str) -> NDArray[np.float32]:
        """(n,) float32 target of the rows of an earlier era. Raises WallError unless it had resolved by the current era."""
        if name not in self.targets:
            raise WallError(f"{name}: the block does not declare this target; it declares {self.targets or 'none'}")
        if not self.has_resolved(era, name):
            raise WallError(
                f"{name} of era {era_label(era)} was not known at era {era_label(self.era)}: resolved through "
                f"{era_label(self.resolved_through(name))}"
            )
        return self.panel(era).target(name)

    def columns(self, block: str) -> Columns:
        """(k, n) columns of another block, one of its declared needs, for the current era."""
        return self.read_columns(block)


class Cache(Protocol):
    """Interface of `store.cache.ContentCache`, which keeps results derived from a panel."""

    folder: Path
    limit_bytes: int

    def find(self, key: str) -> Path | None:
        """The folder stored under `key`; None when there is none."""

    def keeping(self, key: str) -> AbstractContextManager[Path]:
        """Yields an empty folder to write to; on leaving without an error it is stored under `key`."""


def is_known(target: NDArray[np.floating]) -> bool:
    """True when at least one row has the target (n,), where NaN stands for unknown."""
    return not bool(np.isnan(target).all())


def varies(target: NDArray[np.floating]) -> bool:
    """True when the known values of the target (n,) are not all equal."""
    known = target[~np.isnan(target)]
    return bool(len(known) and known.min() < known.max())


@dataclass(frozen=True)
class EraPanel:
    """Rows of one or more eras; rows of an era are contiguous and eras ascend.

    blocks: one (d, n_era) int8 array per era, C-contiguous, usually memory-mapped: feature-major, so that a feature of
        an era is one run of bytes. Values 0..4, or -1 where a cleaned feature is left missing. After `with_features` a
        block is assembled on reading.
    feature_names: (d,) names of the features.
    eras: number of the era of each block. ids_of_block: (n_era,) strings a block, as NumPy objects or as Arrow holds them.
    targets: for each target, one (n_era,) float32 array a block; NaN where unresolved.
    digests: one per block, of its whole content; empty for a panel that does not come from the store.
    cache: for results derived from the panel; None for no cache.
    history_of: the history of an era of the panel, for estimators that declare `reads`; it is not pickled.
    """

    blocks: Blocks
    feature_names: tuple[str, ...]
    eras: tuple[int, ...]
    ids_of_block: tuple[NDArray[np.object_] | pa.StringArray, ...]
    targets_of_block: dict[str, tuple[NDArray[np.float32], ...]] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    cache: Cache | None = None
    history_of: Callable[[int], History] | None = None

    def __post_init__(self) -> None:
        if list(self.eras) != sorted(set(self.eras)):
            raise StoreError(f"panel: eras must ascend without repeats, found {self.eras[:10]}...")
        if isinstance(self.blocks, SelectedBlocks):
            return
        for era, block, ids in zip(self.eras, self.blocks, self.ids_of_block, strict=True):
            if block.shape != (len(self.feature_names), len(ids)):
                raise StoreError(
                    f"panel: era {era:04d} has block {block.shape}, expected ({len(self.feature_names)}, {len(ids)})"
                )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"blocks": portable_blocks(self.blocks), "history_of": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"blocks": opened_blocks(state["blocks"])})

    @property
    def rows(self) -> int:
        return sum(len(ids) for ids in self.ids_of_block)

    @property
    def rows_of_era(self) -> list[int]:
        return [len(ids) for ids in self.ids_of_block]

    @property
    def edges(self) -> list[int]:
        """First row of each era, and, last, the number of rows."""
        return [0, *itertools.accumulate(self.rows_of_era)]

    @property
    def features(self) -> NDArray[np.int8]:
        """(n, d) int8, a view of the block when there is one era, else a copy in column-major order."""
        if len(self.blocks) == 1:
            return self.blocks[0].T
        # One array first: the blocks of a selection are assembled one by one, never all at once.
        columns = np.empty((len(self.feature_names), self.rows), np.int8)
        for block, (start, stop) in zip(self.blocks, itertools.pairwise(self.edges), strict=True):
            columns[:, start:stop] = block
        return columns.T

    @property
    def era(self) -> NDArray[np.int16]:
        """(n,) int16 era of each row."""
        return np.repeat(np.asarray(self.eras, np.int16), self.rows_of_era)

    @property
    def ids(self) -> NDArray[np.object_]:
        """(n,) ids, in row order."""
        return np.concatenate([np.asarray(ids, object) for ids in self.ids_of_block] or [np.empty(0, object)])

    def target(self, name: str) -> NDArray[np.float32]:
        """(n,) float32 values of one target. Raises StoreError if the panel does not carry it."""
        return np.concatenate(self._blocks_of(name))

    def eras_with(self, target: str, *, varying: bool = False) -> list[int]:
        """Eras in which at least one row has the target, ascending.

        varying: only those in which the known values are not all equal, which is what a correlation needs; without it an
        era of one repeated value counts. Raises StoreError if the panel does not carry the target.
        """
        holds = varies if varying else is_known
        return [era for era, values in zip(self.eras, self._blocks_of(target), strict=True) if holds(values)]

    def _blocks_of(self, target: str) -> tuple[NDArray[np.float32], ...]:
        if target not in self.targets_of_block:
            raise StoreError(f"panel: no target {target!r}; it carries {sorted(self.targets_of_block) or 'none'}")
        return self.targets_of_block[target]

    def history(self, era: int) -> History:
        """The history of one of its eras. Raises StoreError for a panel without histories."""
        if self.history_of is None:
            raise StoreError("panel: it carries no history; declare earlier eras in `reads`")
        return self.history_of(era)

    def each_era(self) -> Iterator["EraPanel"]:
        """The panel's eras one by one, each a panel of its own over the same memory."""
        for position in range(len(self.eras)):
            yield self._blocks_at([position])

    def with_eras(self, eras: Sequence[int]) -> "EraPanel":
        """Only the given eras, which must be in the panel. Raises StoreError naming one that is not."""
        place = {era: position for position, era in enumerate(self.eras)}
        absent = [era for era in eras if era not in place]
        if absent:
            raise StoreError(f"panel: era {absent[0]:04d} is not in it")
        return self._blocks_at([place[era] for era in sorted(eras)])

    def with_features(self, names: Sequence[str]) -> "EraPanel":
        """Only the given features, in the given order, selected when the blocks are read."""
        if tuple(names) == self.feature_names:
            return self
        return replace(self, blocks=_select(self._parts, self.places_of(names)), feature_names=tuple(names))

    def with_columns(
        self, names: Sequence[str], blocks: Sequence[NDArray[np.int8]], digests: Sequence[str]
    ) -> "EraPanel":
        """With more features: one (k, n_era) int8 block per era, appended when the blocks are read.

        digests: one per block. Raises StoreError for blocks of other shapes or a name that exists already.
        """
        taken = sorted(set(names) & set(self.feature_names))
        if taken:
            raise StoreError(f"panel: feature {taken[0]!r} is in it already")
        for era, block, rows in zip(self.eras, blocks, self.rows_of_era, strict=True):
            if block.shape != (len(names), rows):
                raise StoreError(f"panel: columns of era {era:04d} are {block.shape}, expected ({len(names)}, {rows})")
        more = Part(tuple(blocks), slice(0, len(names)))
        joined = [
            hashlib.sha256("".join(pair).encode()).hexdigest() for pair in zip(self.digests, digests, strict=False)
        ]
        return replace(
            self,
            blocks=SelectedBlocks((*self._parts, more)),
            feature_names=(*self.feature_names, *names),
            digests=tuple(joined),
        )

    def places_of(self, names: Sequence[str]) -> list[int]:
        """Position of each of the given features. Raises StoreError naming one that is not in the panel."""
        place = {name: position for position, name in enumerate(self.feature_names)}
        absent = [name for name in names if name not in place]
        if absent:
            raise StoreError(f"panel: feature {absent[0]!r} is not in it")
        return [place[name] for name in names]

    @property
    def _parts(self) -> tuple[Part, ...]:
        if isinstance(self.blocks, SelectedBlocks):
            return self.blocks.parts
        return (Part(self.blocks, slice(0, len(self.feature_names))),)

    def _blocks_at(self, positions: Sequence[int]) -> "EraPanel":
        return replace(
            self,
            blocks=_pick(self.blocks, positions),
            eras=tuple(self.eras[p] for p in positions),
            ids_of_block=tuple(self.ids_of_block[p] for p in positions),
            targets_of_block={
                name: tuple(values[p] for p in positions) for name, values in self.targets_of_block.items()
            },
            digests=tuple(self.digests[p] for p in positions) if self.digests else (),
        )
