"""Rows of release files, read era by era in bounded memory."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.eras import parse_era
from numerai_assets.errors import ReleaseError
from numerai_assets.panel.blocks import MISSING
from numerai_assets.store.era_records import EraRecord
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import runs

# A Parquet reader holds every value of the columns that it decodes at a time as int32, and more; few columns keep that
# small and in the processor's cache.
COLUMNS_AT_A_TIME = 32
# A group of more bytes than this, as int8, is collected in a file instead of memory.
_GROUP_BYTES_IN_MEMORY = 1 << 30


@dataclass(frozen=True)
class ReleasedEra:
    """Rows of one era as released: features (n, d) int8 with -1 for no value, targets (n rows, one column each)."""

    label: str
    ids: list[str]
    features: NDArray[np.int8]
    targets: pd.DataFrame

    def store_in(
        self,
        store: EraStore,
        feature_names: Sequence[str],
        *,
        as_of: int,
        key: str | None = None,
        era: int | None = None,
        read_from: str | None = None,
    ) -> EraRecord:
        """Writes the era to the store; a live round is given the key and era that it is stored under.

        as_of: newest era of the release. read_from: SHA-256 of its file.
        """
        return store.write_era(
            self.label if key is None else key,
            era=parse_era(self.label) if era is None else era,
            ids=self.ids,
            features=self.features,
            feature_names=feature_names,
            targets=self.targets,
            targets_as_of=as_of,
            read_from=read_from,
        )


def read_eras(
    path: Path,
    *,
    features: Sequence[str],
    targets: Sequence[str],
    wanted: Callable[[str], bool],
    groups: Iterable[int] | None = None,
) -> Iterator[ReleasedEra]:
    """The wanted eras of a row file in file order, with at most an era and a row group of int8 in memory.

    groups: ascending row groups to read, all by default; they must contain the wanted eras completely.
    A feature that is not in the file is -1 in every row, a target NaN.
    Raises ReleaseError for a feature value outside 0..4, a NaN target in a partly resolved main target, or ids that are
    absent or repeated within the era.
    """
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        # Read once: pyarrow builds the schema of thousands of columns at every call.
        columns = set(file.schema_arrow.names)
        small = [name for name in ("id", *targets) if name in columns]
        present = [name for name in features if name in columns]
        pending = _Pieces("", [], [])
        for group in range(file.metadata.num_row_groups) if groups is None else groups:
            eras = file.read_row_group(group, columns=["era"])["era"]
            here = [run for run in runs(eras) if wanted(run[0])]
            if not here:
                continue
            labels = eras.to_numpy(zero_copy_only=False).astype(object)
            block = _read_features(path, file, group, features, present, labels, {label for label, _, _ in here})
            table = file.read_row_group(group, columns=small, use_threads=False)
            for label, first, last in here:
                if pending.blocks and label != pending.label:
                    yield _released_era(path.name, pending, targets)
                    pending = _Pieces(label, [], [])
                pending.label = label
                pending.blocks.append(block[:, first:last])
                pending.tables.append(table.slice(first, last - first))
            # An era that may continue in the next group is copied, so that this group is freed before that one is read.
            pending.blocks[-1] = pending.blocks[-1].copy()
            del block, table
        if pending.blocks:
            yield _released_era(path.name, pending, targets)


@dataclass
class _Pieces:
    """An era read so far: of each row group its (d, k) int8 features and the rows' ids and targets."""

    label: str
    blocks: list[NDArray[np.int8]]
    tables: list[pa.Table]


def _read_features(
    path: Path,
    file: pq.ParquetFile,
    group: int,
    features: Sequence[str],
    present: Sequence[str],
    eras: NDArray[np.object_],
    wanted: set[str],
) -> NDArray[np.int8]:
    """(d, rows of the group) int8, -1 for no value; only rows from the first to the last of a wanted era are filled in.

    present: the features that the file has. eras: (rows,) labels. Raises ReleaseError for a value outside 0..4 in a wanted era.
    """
    here = np.flatnonzero(np.isin(eras.astype(str), list(wanted)))
    rows = slice(int(here[0]), int(here[-1]) + 1)
    block = _room((len(features), len(eras)), path.parent)
    places = {name: place for place, name in enumerate(features)}
    for name in places.keys() - set(present):
        block[places[name]] = MISSING
    for start in range(0, len(present), COLUMNS_AT_A_TIME):
        names = present[start : start + COLUMNS_AT_A_TIME]
        table = file.read_row_group(group, columns=names, use_threads=False)
        for name in names:
            values, outside = _five_levels(table[name].slice(rows.start, rows.stop - rows.start))
            for place, value in outside:
                if eras[rows.start + place] in wanted:
                    raise ReleaseError(
                        f"{path.name}: era {eras[rows.start + place]}: {name}: holds {value:g}, expected 0..4 or no value"
                    )
            block[places[name], rows] = values
    return block


def _room(shape: tuple[int, int], folder: Path) -> NDArray[np.int8]:
    if math.prod(shape) <= _GROUP_BYTES_IN_MEMORY:
        return np.empty(shape, np.int8)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.int8, "w+", shape=shape)


def _five_levels(column: pa.ChunkedArray) -> tuple[NDArray[np.int8], list[tuple[int, float]]]:
    """Values as int8, -1 for missing, and index and value of those outside 0..4."""
    if column.null_count == 0 and column.type == pa.int8():
        values: NDArray[np.int8] = column.to_numpy()
        # As unsigned bytes, negative values are above 4 too.
        if values.view(np.uint8).max(initial=0) <= 4:
            return values, []
        numbers, allowed = values, (values >= 0) & (values <= 4)
    else:
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        whole = np.where(np.isnan(numbers), -1, numbers)
        values = np.clip(whole, -1, 5).astype(np.int8)
        allowed = np.isnan(numbers) | ((whole == values) & (values >= 0) & (values <= 4))
    return values, [(int(place), float(numbers[place])) for place in np.flatnonzero(~allowed)]


def _released_era(name: str, era: _Pieces, targets: Sequence[str]) -> ReleasedEra:
    table = pa.concat_tables(era.tables)
    ids = table["id"].to_pylist()
    if any(i is None for i in ids) or len(set(ids)) != len(ids):
        raise ReleaseError(f"{name}: era {era.label}: ids are missing or repeated")
    unknown, present = np.full(len(ids), np.nan, np.float32), set(table.column_names)
    frame = pd.DataFrame({t: table[t].to_numpy().astype(np.float32) if t in present else unknown for t in targets})
    for main in ("target_ender_20", "target_ender_60"):
        if main in frame and 0 < (absent := int(frame[main].isna().sum())) < len(frame):
            raise ReleaseError(f"{name}: era {era.label}: {main} is NaN in {absent} of {len(frame)} rows")
    return ReleasedEra(era.label, ids, np.concatenate(era.blocks, axis=1).T, frame)
