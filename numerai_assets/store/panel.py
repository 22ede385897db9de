"""Rows of one or more eras as arrays: what methods and features are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from numerai_assets.errors import StoreError
from numerai_assets.store.mapped import opened, portable

MISSING = np.int8(-1)
"""Stands in a block where there is no value."""


@dataclass(frozen=True)
class EraPanel:
    """Rows of one or more eras; rows of an era are contiguous and eras ascend.

    blocks: one (d, n_era) int8 array an era, C-contiguous, usually memory-mapped: feature-major, so that a feature of
        an era is one run of bytes. Values 0..4, or -1 where a cleaned feature is left missing.
    feature_names: (d,) names of the features.
    eras: number of the era of each block. ids: one (n_era,) object array of strings a block.
    targets: for each target, one (n_era,) float32 array a block; NaN where unresolved.
    """

    blocks: tuple[NDArray[np.int8], ...]
    feature_names: tuple[str, ...]
    eras: tuple[int, ...]
    ids_of_block: tuple[NDArray[np.object_], ...]
    targets_of_block: dict[str, tuple[NDArray[np.float32], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if list(self.eras) != sorted(set(self.eras)):
            raise StoreError(f"panel: eras must ascend without repeats, found {self.eras[:10]}...")
        for era, block, ids in zip(self.eras, self.blocks, self.ids_of_block, strict=True):
            if block.shape != (len(self.feature_names), len(ids)):
                raise StoreError(
                    f"panel: era {era:04d} has block {block.shape}, expected ({len(self.feature_names)}, {len(ids)})"
                )

    def __getstate__(self) -> dict[str, Any]:
        # A mapped block would be pickled as its bytes: gigabytes, copied for every process they go to.
        return self.__dict__ | {"blocks": tuple(map(portable, self.blocks))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"blocks": tuple(map(opened, state["blocks"]))})

    @property
    def rows(self) -> int:
        return sum(len(ids) for ids in self.ids_of_block)

    @property
    def rows_of_era(self) -> list[int]:
        return [len(ids) for ids in self.ids_of_block]

    @property
    def features(self) -> NDArray[np.int8]:
        """(n, d) int8, a view of the block when there is one era, else a copy in column-major order."""
        if len(self.blocks) == 1:
            return self.blocks[0].T
        return np.concatenate(self.blocks, axis=1).T if self.blocks else np.empty((0, len(self.feature_names)), np.int8)

    @property
    def era(self) -> NDArray[np.int16]:
        """(n,) int16 era of each row."""
        return np.repeat(np.asarray(self.eras, np.int16), self.rows_of_era)

    @property
    def ids(self) -> NDArray[np.object_]:
        """(n,) ids, in row order."""
        return np.concatenate(self.ids_of_block) if self.ids_of_block else np.empty(0, object)

    def target(self, name: str) -> NDArray[np.float32]:
        """(n,) float32 values of one target. Raises StoreError if the panel does not carry it."""
        if name not in self.targets_of_block:
            raise StoreError(f"panel: no target {name!r}; it carries {sorted(self.targets_of_block) or 'none'}")
        return np.concatenate(self.targets_of_block[name])

    def arrow_table(self) -> pa.Table:
        """The features as an Arrow table of int8 columns, one chunk an era, over the same memory: nothing is copied."""
        batches = [
            pa.RecordBatch.from_arrays(
                [
                    pa.Array.from_buffers(pa.int8(), block.shape[1], [None, pa.py_buffer(row)])
                    for row in np.ascontiguousarray(block)
                ],
                names=list(self.feature_names),
            )
            for block in self.blocks
        ]
        schema = pa.schema([(name, pa.int8()) for name in self.feature_names])
        return pa.Table.from_batches(batches, schema=schema)

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
        """Only the given features, in the given order. Copies them unless they are all of them."""
        if tuple(names) == self.feature_names:
            return self
        rows = self.places_of(names)
        return replace(self, blocks=tuple(block[rows] for block in self.blocks), feature_names=tuple(names))

    def places_of(self, names: Sequence[str]) -> list[int]:
        """Position of each of the given features. Raises StoreError naming one that is not in the panel."""
        place = {name: position for position, name in enumerate(self.feature_names)}
        absent = [name for name in names if name not in place]
        if absent:
            raise StoreError(f"panel: feature {absent[0]!r} is not in it")
        return [place[name] for name in names]

    def _blocks_at(self, positions: Sequence[int]) -> "EraPanel":
        return replace(
            self,
            blocks=tuple(self.blocks[p] for p in positions),
            eras=tuple(self.eras[p] for p in positions),
            ids_of_block=tuple(self.ids_of_block[p] for p in positions),
            targets_of_block={
                name: tuple(values[p] for p in positions) for name, values in self.targets_of_block.items()
            },
        )
