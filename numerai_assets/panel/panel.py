"""Rows of one or more eras as arrays: what methods and features are given."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from numerai_assets.errors import StoreError
from numerai_assets.panel.history import History
from numerai_assets.panel.mapped import opened, portable
from numerai_assets.store.cache import ContentCache

MISSING = np.int8(-1)
"""Stands in a block where there is no value."""


@dataclass(frozen=True)
class Part:
    """Some features of whole blocks. whole: (d, n_era) int8 each. rows: a slice gives views, an array copies."""

    whole: tuple[NDArray[np.int8], ...]
    rows: "slice | NDArray[np.intp]"

    def __len__(self) -> int:
        """Number of features taken."""
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"whole": tuple(map(portable, self.whole))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"whole": tuple(map(opened, state["whole"]))})


@dataclass(frozen=True)
class SelectedBlocks(Sequence[NDArray[np.int8]]):
    """Features of one or more files an era, taken when an era is asked for: a selection over all eras costs nothing.

    parts: in the order of the features; all have the same eras.
    """

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.parts[0].whole)

    @overload
    def __getitem__(self, position: int) -> NDArray[np.int8]: ...

    @overload
    def __getitem__(self, position: slice) -> "SelectedBlocks": ...

    def __getitem__(self, position: int | slice) -> "NDArray[np.int8] | SelectedBlocks":
        if isinstance(position, slice):
            return SelectedBlocks(tuple(replace(part, whole=part.whole[position]) for part in self.parts))
        taken = [part.whole[position][part.rows] for part in self.parts]
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


Blocks = tuple[NDArray[np.int8], ...] | SelectedBlocks


def portable_blocks(blocks: Blocks) -> tuple[Any, ...] | SelectedBlocks:
    """What to pickle in place of blocks: mapped ones would be pickled as their bytes, gigabytes for every process."""
    return blocks if isinstance(blocks, SelectedBlocks) else tuple(map(portable, blocks))


def opened_blocks(blocks: tuple[Any, ...] | SelectedBlocks) -> Blocks:
    """The blocks that `portable_blocks` was given, mapped anew. Raises StoreError when a file has changed since."""
    return blocks if isinstance(blocks, SelectedBlocks) else tuple(map(opened, blocks))


@dataclass(frozen=True)
class EraPanel:
    """Rows of one or more eras; rows of an era are contiguous and eras ascend.

    blocks: one (d, n_era) int8 array an era, C-contiguous, usually memory-mapped: feature-major, so that a feature of
        an era is one run of bytes. Values 0..4, or -1 where a cleaned feature is left missing. After `with_features` a
        block is made when it is asked for.
    feature_names: (d,) names of the features.
    eras: number of the era of each block. ids_of_block: (n_era,) strings a block, as NumPy objects or as Arrow holds them.
    targets: for each target, one (n_era,) float32 array a block; NaN where unresolved.
    digests: one a block, of its whole content; empty for a panel that does not come from the store.
    cache: where what is made from the panel may be kept; None for nowhere.
    history_of: what may be known at an era of the panel, for who said that he reads it; it stays in its process.
    """

    blocks: Blocks
    feature_names: tuple[str, ...]
    eras: tuple[int, ...]
    ids_of_block: tuple[NDArray[np.object_] | pa.StringArray, ...]
    targets_of_block: dict[str, tuple[NDArray[np.float32], ...]] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    cache: ContentCache | None = None
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
        """Where in the rows each era begins, and, last, how many rows there are."""
        return [0, *itertools.accumulate(self.rows_of_era)]

    @property
    def features(self) -> NDArray[np.int8]:
        """(n, d) int8, a view of the block when there is one era, else a copy in column-major order."""
        if len(self.blocks) == 1:
            return self.blocks[0].T
        # One array first: the blocks of a selection are made one by one, never all at once.
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
        if name not in self.targets_of_block:
            raise StoreError(f"panel: no target {name!r}; it carries {sorted(self.targets_of_block) or 'none'}")
        return np.concatenate(self.targets_of_block[name])

    def history(self, era: int) -> History:
        """What may be known at one of its eras. Raises StoreError for a panel that was given none."""
        if self.history_of is None:
            raise StoreError("panel: it carries no history; who reads earlier eras says so in `reads`")
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
        """Only the given features, in the given order, taken from the blocks when these are read."""
        if tuple(names) == self.feature_names:
            return self
        return replace(self, blocks=_select(self._parts, self.places_of(names)), feature_names=tuple(names))

    def with_columns(
        self, names: Sequence[str], blocks: Sequence[NDArray[np.int8]], digests: Sequence[str]
    ) -> "EraPanel":
        """With more features: one (k, n_era) int8 block an era, beside those there are, read when they are asked for.

        digests: one a block. Raises StoreError for blocks of other shapes or a name that is there already.
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


def _select(parts: tuple[Part, ...], places: Sequence[int]) -> SelectedBlocks:
    """The features at the given places, counted through the parts; neighbours from one part are taken at once."""
    edges = np.cumsum([0, *map(len, parts)])
    wanted = np.asarray(places, np.intp)
    source = np.searchsorted(edges, wanted, side="right") - 1
    runs = np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(source)) + 1)
    taken = [_of_part(parts[source[run[0]]], wanted[run] - edges[source[run[0]]]) for run in runs if len(run)]
    return SelectedBlocks(tuple(taken) or (_of_part(parts[0], wanted),))


def _of_part(part: Part, places: NDArray[np.intp]) -> Part:
    """The features at `places` of a part."""
    taken = places + part.rows.start if isinstance(part.rows, slice) else part.rows[places]
    if len(taken) and np.array_equal(taken, np.arange(taken[0], taken[0] + len(taken))):
        return Part(part.whole, slice(int(taken[0]), int(taken[-1]) + 1))
    return Part(part.whole, taken)


def _pick(blocks: Blocks, positions: Sequence[int]) -> Blocks:
    """Blocks of the eras at the given positions."""
    if isinstance(blocks, SelectedBlocks):
        return SelectedBlocks(
            tuple(replace(part, whole=tuple(part.whole[p] for p in positions)) for part in blocks.parts)
        )
    return tuple(blocks[p] for p in positions)
