"""Feature blocks of a panel: one int8 array per era, or a selection that is evaluated on reading."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from numerai_assets.panel.mapped import opened, portable

MISSING = np.int8(-1)
"""Marks a cell without a value."""


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
    """Features of one or more files per era, read when an era is requested: a selection over all eras costs nothing.

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
    """Blocks ready for pickling: mapped ones would be pickled as their bytes, gigabytes for every process."""
    return blocks if isinstance(blocks, SelectedBlocks) else tuple(map(portable, blocks))


def opened_blocks(blocks: tuple[Any, ...] | SelectedBlocks) -> Blocks:
    """Inverse of `portable_blocks`; maps files again. Raises StoreError when a file has changed since."""
    return blocks if isinstance(blocks, SelectedBlocks) else tuple(map(opened, blocks))


def _select(parts: tuple[Part, ...], places: Sequence[int]) -> SelectedBlocks:
    """The features at the given indices, counted through the parts; neighbours from one part are taken at once."""
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
