"""Comparison of layouts for the era store: reading, size and writing, on synthetic eras like those of v5.

    python -m benchmarks.era_store
    python -m benchmarks.era_store --features 2400 --rows 6000 --eras 50      # the true shape

Layouts, one file per era unless stated otherwise:
    era store          feature-major int8 with a seal, memory-mapped: `EraStore`
    row-major map      int8, row by row, memory-mapped
    base-5 packed      three features per byte, feature-major, memory-mapped, decoded by a table of 125 entries
    Arrow IPC          int8 columns, memory-mapped
    Parquet            one file, one row group per era, zstd; read by pyarrow, pandas and, if installed, polars
Work: one whole era as a (d, n) or (n, d) matrix; 42 features of all eras; all eras streamed; 4,096 random rows, as in a
loader of batches. Every layout's result is compared with that of the era store before it is timed. `cold` is the same
after the files' pages were dropped (posix_fadvise), if the system supports it. The era store does more than the bare
layouts: it reads the era's record and ids and checks the seal against the record, and on writing it hashes and flushes.
The last row decodes a release for the store, each layout in a process of its own.
"""

import argparse
import functools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.table import Row, in_process, package, print_rows, timed
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.released_eras import read_eras

Matrix = NDArray[np.int8]
_SUBSET, _BATCH = 42, 4096


@dataclass(frozen=True)
class Shape:
    """Size of the synthetic data."""

    eras: int
    rows: int
    features: int

    @property
    def names(self) -> list[str]:
        return [f"feature_{i}" for i in range(self.features)]

    @property
    def subset(self) -> list[str]:
        chosen = np.random.default_rng(1).choice(self.features, min(_SUBSET, self.features), replace=False)
        return [f"feature_{i}" for i in sorted(chosen)]

    def blocks(self) -> Iterator[Matrix]:
        """(d, n) int8 of each era, the five bins equally frequent."""
        for era in range(self.eras):
            rng = np.random.default_rng(era)
            yield rng.integers(0, 5, (self.features, self.rows), dtype=np.int8)


class Layout(Protocol):
    """One layout. Features come in the requested order; `era` returns (d, n)."""

    name: str
    peer: str

    def write(self, folder: Path, shape: Shape) -> None: ...
    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix: ...


class OurStore:
    name, peer = "era store", "era store"

    def write(self, folder: Path, shape: Shape) -> None:
        store, targets = EraStore(folder), pd.DataFrame({"target_ender_20": np.zeros(shape.rows, np.float32)})
        ids = [f"n{row:015x}" for row in range(shape.rows)]
        for era, block in enumerate(shape.blocks()):
            key = f"{era + 1:04d}"
            store.write_era(
                key,
                era=era + 1,
                ids=ids,
                features=block.T,
                feature_names=shape.names,
                targets=targets,
                targets_as_of=shape.eras,
            )
            store.clean_as_released(key, strategy="median")

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        return _opened(folder).panel([f"{era + 1:04d}"], features=names).blocks[0]


@functools.cache
def _opened(folder: Path) -> EraStore:
    """One store object per process."""
    return EraStore(folder)


class RowMajor:
    name, peer = "row-major map", f"row-major map, {package('numpy')}"

    def write(self, folder: Path, shape: Shape) -> None:
        for era, block in enumerate(shape.blocks()):
            np.save(folder / f"{era}.npy", np.ascontiguousarray(block.T))

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        rows = np.load(folder / f"{era}.npy", mmap_mode="r")
        return np.asarray(rows[:, _places(names)].T if len(names) < rows.shape[1] else rows.T)


class Packed:
    """a + 5 b + 25 c of each three consecutive features."""

    name, peer = "base-5 packed", f"base-5 packing, {package('numpy')}"
    _levels = np.array(np.unravel_index(np.arange(125), (5, 5, 5)), np.int8)[::-1].copy()

    def write(self, folder: Path, shape: Shape) -> None:
        for era, block in enumerate(shape.blocks()):
            padded = np.zeros((-(-shape.features // 3) * 3, shape.rows), np.uint8)
            padded[: shape.features] = block
            np.save(folder / f"{era}.npy", padded[0::3] + 5 * padded[1::3] + 25 * padded[2::3])

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        packed = np.load(folder / f"{era}.npy", mmap_mode="r")
        places = _places(names)
        block = np.empty((len(places), packed.shape[1]), np.int8)
        for row, place in enumerate(places):
            np.take(self._levels[place % 3], packed[place // 3], out=block[row])
        return block


class ArrowIpc:
    name, peer = "Arrow IPC", f"Arrow IPC, {package('pyarrow')}"

    def write(self, folder: Path, shape: Shape) -> None:
        for era, block in enumerate(shape.blocks()):
            table = pa.table(dict(zip(shape.names, block, strict=True)))
            with pa.OSFile(str(folder / f"{era}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
                file.write_table(table)

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        with pa.memory_map(str(folder / f"{era}.arrow")) as source:
            table = pa.ipc.open_file(source).read_all()
            return np.stack([column.to_numpy() for column in table.select(names).columns])


class Parquet:
    """One file, one row group per era, read by pyarrow."""

    name, peer = "Parquet, pyarrow", f"Parquet row group, {package('pyarrow')}"

    def write(self, folder: Path, shape: Shape) -> None:
        schema = pa.schema([("era", pa.int16())] + [(name, pa.int8()) for name in shape.names])
        with pq.ParquetWriter(folder / "all.parquet", schema, compression="zstd") as file:
            for era, block in enumerate(shape.blocks()):
                label = np.full(shape.rows, era, np.int16)
                file.write_table(pa.table([pa.array(label), *map(pa.array, block)], schema=schema))

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        with pq.ParquetFile(folder / "all.parquet") as file:
            table = file.read_row_group(era, columns=list(names), use_threads=False)
        return np.stack([column.to_numpy() for column in table.columns])


class ParquetPandas(Parquet):
    """As in notebooks: `read_parquet`, with a filter unless all eras are needed."""

    name, peer = "Parquet, pandas", package("pandas")

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        frame = pd.read_parquet(folder / "all.parquet", columns=list(names), filters=[("era", "==", era)])
        return np.asarray(frame.to_numpy(np.int8).T)


class ParquetPolars(Parquet):
    name, peer = "Parquet, polars", "polars"

    def era(self, folder: Path, era: int, names: Sequence[str]) -> Matrix:
        polars: Any = __import__("polars")
        scan = polars.scan_parquet(folder / "all.parquet").filter(polars.col("era") == era)
        return np.asarray(scan.select(list(names)).collect().to_numpy().T)


def layouts() -> list[Layout]:
    """Ours first; polars only if it is installed."""
    found: list[Layout] = [OurStore(), RowMajor(), Packed(), ArrowIpc(), Parquet(), ParquetPandas()]
    return [*found, ParquetPolars()] if find_spec("polars") else found


def one_era(layout: Layout, folder: Path, shape: Shape) -> Matrix:
    return np.array(layout.era(folder, shape.eras // 2, shape.names))


def subset(layout: Layout, folder: Path, shape: Shape) -> Matrix:
    """42 features of all eras, (42, rows)."""
    return np.concatenate([layout.era(folder, era, shape.subset) for era in range(shape.eras)], axis=1)


def streamed(layout: Layout, folder: Path, shape: Shape) -> NDArray[np.int64]:
    """Sum of each feature over all rows, era by era: every byte is read, little is computed."""
    total = np.zeros(shape.features, np.int64)
    for era in range(shape.eras):
        total += layout.era(folder, era, shape.names).sum(axis=1, dtype=np.int64)
    return total


def random_rows(layout: Layout, folder: Path, shape: Shape) -> Matrix:
    """A batch of a loader: random rows of one era, all features, (rows, d)."""
    chosen = np.random.default_rng(2).integers(0, shape.rows, min(_BATCH, shape.rows))
    return np.ascontiguousarray(layout.era(folder, shape.eras // 3, shape.names)[:, chosen].T)


WORK: dict[str, Callable[[Layout, Path, Shape], NDArray[Any]]] = {
    "one era whole": one_era,
    "42 features of all eras": subset,
    "all eras streamed": streamed,
    "random rows of an era": random_rows,
}


def write_release(path: Path, shape: Shape) -> None:
    """A file like train.parquet, whose row groups do not align with eras."""
    schema = pa.schema([("id", pa.string()), ("era", pa.string())] + [(name, pa.int8()) for name in shape.names])
    held = pa.Table.from_batches([], schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for era, block in enumerate(shape.blocks()):
            ids = pa.array([f"n{era:04d}{row:011x}" for row in range(shape.rows)])
            labels = pa.array([f"{era + 1:04d}"] * shape.rows)
            held = pa.concat_tables([held, pa.table([ids, labels, *map(pa.array, block)], schema=schema)])
            if held.num_rows > 4.5 * shape.rows or era == shape.eras - 1:
                written = held.num_rows if era == shape.eras - 1 else int(4.5 * shape.rows)
                file.write_table(held.slice(0, written), row_group_size=written)
                held = held.slice(written)


def decode_by_eras(path: Path, names: list[str], answer: Path) -> None:
    """As in the conversion: int8 blocks, era by era."""
    total = np.zeros(len(names), np.int64)
    for era in read_eras(path, features=names, targets=[], wanted=lambda label: True):
        total += era.features.sum(axis=0, dtype=np.int64)
    np.save(answer, total)


def decode_row_groups(path: Path, names: list[str], answer: Path) -> None:
    """Plain decoding of the same columns, row group by row group."""
    total = np.zeros(len(names), np.int64)
    with pq.ParquetFile(path) as file:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["id", "era", *names], use_threads=False)
            total += [column.to_numpy().sum(dtype=np.int64) for column in table.columns[2:]]
    np.save(answer, total)


def compare_decoding(shape: Shape, folder: Path) -> Row:
    """Decoding a release for the store compared with `read_row_group`, each in a process of its own."""
    path, ours, theirs = folder / "release.parquet", folder / "ours.npy", folder / "theirs.npy"
    write_release(path, shape)
    row = Row(
        f"release decoded, {shape.eras}x{shape.rows}x{shape.features}",
        in_process(decode_by_eras, path, shape.names, ours),
        f"read_row_group, {package('pyarrow')}",
        in_process(decode_row_groups, path, shape.names, theirs),
    )
    if not np.array_equal(np.load(ours), np.load(theirs)):
        raise RuntimeError("read_eras: the result differs from that of read_row_group")
    return row


def compare(shape: Shape, folder: Path, repeats: int) -> tuple[list[Row], list[tuple[str, float, float, float | None]]]:
    """Rows of every task for every other layout; and of each layout: seconds to write, MB, cold seconds for one era."""
    rows: list[Row] = []
    kept: list[tuple[str, float, float, float | None]] = []
    all_layouts = layouts()
    for layout in all_layouts:
        place = folder / layout.name.replace(" ", "_")
        place.mkdir()
        began = time.perf_counter()
        layout.write(place, shape)
        seconds = time.perf_counter() - began
        files = {path.stat().st_ino: path.stat().st_size for path in place.rglob("*") if path.is_file()}
        kept.append((layout.name, seconds, sum(files.values()) / 1e6, _cold(layout, place, shape, repeats)))
    ours, our_place = all_layouts[0], folder / "era_store"
    for what, work in WORK.items():
        answer = work(ours, our_place, shape)
        cost = timed(lambda work=work: work(ours, our_place, shape), repeats=repeats)  # type: ignore[misc]
        for layout in all_layouts[1:]:
            place = folder / layout.name.replace(" ", "_")
            if not np.array_equal(work(layout, place, shape), answer):
                raise RuntimeError(f"{layout.name}: {what}: the result differs from the era store's")
            theirs = timed(lambda work=work, layout=layout, place=place: work(layout, place, shape), repeats=repeats)  # type: ignore[misc]
            rows.append(Row(f"{what}, {shape.eras}x{shape.rows}x{shape.features}", cost, layout.peer, theirs))
    return [*rows, compare_decoding(shape, folder)], kept


def _cold(layout: Layout, place: Path, shape: Shape, repeats: int) -> float | None:
    """Median seconds to read one era whose pages are not in memory; None if the system cannot drop them."""
    if not hasattr(os, "posix_fadvise"):
        return None
    seconds = []
    for _ in range(repeats):
        for path in place.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        one_era(layout, place, shape)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _places(names: Sequence[str]) -> list[int]:
    return [int(name.removeprefix("feature_")) for name in names]


def measure(quick: bool) -> list[Row]:
    """Rows for the combined table."""
    shape = Shape(8, 6000, 1200) if quick else Shape(20, 6000, 2400)
    return _in_scratch(shape, 3 if quick else 5)[0]


def _in_scratch(shape: Shape, repeats: int) -> tuple[list[Row], list[tuple[str, float, float, float | None]]]:
    place = Path(tempfile.mkdtemp())
    try:
        return compare(shape, place, repeats)
    finally:
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 12), ("rows", 2000), ("features", 600), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    shape = Shape(options.eras, options.rows, options.features)
    rows, kept = _in_scratch(shape, options.repeats)
    print_rows(rows)
    print(f"\n{'layout':<20}{'write s':>10}{'MB on disk':>12}{'one era cold, ms':>18}")
    for name, seconds, megabytes, cold in kept:
        print(f"{name:<20}{seconds:>10.2f}{megabytes:>12.0f}{'-' if cold is None else f'{cold * 1e3:.1f}':>18}")
    if not find_spec("polars"):
        print("polars is not installed: left out")


if __name__ == "__main__":
    main()
