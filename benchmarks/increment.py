"""Bytes and time of a weekly update of validation.parquet: changed row groups by Range, compared with numerapi's whole file.

    python -m benchmarks.increment --eras 300 --rows 600 --features 200

A server in a process of its own, on loopback at full speed or limited to some MB/s, serves a synthetic file whose row groups
have 14.5 eras, as in files of full size: 100,000 rows at 6,900 per era. The era store has the week before. `ours` fetches
the changed part and reads its rows; `numerapi` downloads the file and reads the same rows with a filter. The rows must be
equal.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numerapi.utils
import numpy as np
import pandas as pd

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.eras import era_label, resolved_through
from numerai_assets.sandbox.published.encoder import TARGETS
from numerai_assets.sandbox.published.release_writer import Rows
from numerai_assets.sandbox.published.row_groups import RowGroups
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA
from numerai_assets.settings import Network
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.client import Tournament
from numerai_assets.tournament.increment import update
from numerai_assets.tournament.release import FEATURES, VALIDATION, Release
from numerai_assets.tournament.released_eras import read_eras

ERAS_A_GROUP = 14.5
# A home connection to the tournament: 100 Mbit/s.
LINE_MB_A_SECOND = 12.5
_NOW = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class Extent:
    """Size of the synthetic file."""

    eras: int
    rows: int
    features: int

    @property
    def newest(self) -> int:
        return FIRST_VALIDATION_ERA + self.eras - 1

    @property
    def names(self) -> list[str]:
        return [f"feature_{number}" for number in range(self.features)]


def write_file(path: Path, extent: Extent, newest: int) -> None:
    """validation.parquet at the time when `newest` is the newest era."""
    rows_per_group = int(ERAS_A_GROUP * extent.rows)
    with RowGroups(path, extent.names, range(extent.features), rows_per_group) as file:
        for era in range(FIRST_VALIDATION_ERA, newest + 1):
            rng = np.random.default_rng(era)
            features = rng.integers(0, 5, (extent.features, extent.rows), dtype=np.int8)
            targets = (rng.integers(0, 5, (len(TARGETS), extent.rows)) / 4).astype(np.float32)
            for row, name in enumerate(TARGETS):
                if era > resolved_through(newest, 20 if name.endswith("_20") else 60):
                    targets[row] = np.nan
            ids = np.array([f"n{era:04d}{row:011x}" for row in range(extent.rows)], "S16")
            data_type = "test" if era > newest - 13 else "validation"
            file.add(Rows(era_label(era), data_type, ids, features.T, targets.T))


class Line:
    """The part of a Tournament that the update uses, for a local server."""

    data_version, network = "v5.3", Network(attempts=3)

    def __init__(self, url: str) -> None:
        self.url = url

    def dataset_url(self, name: str) -> str:
        return self.url


class Week:
    """Release and era store before the file's last week, which can be updated repeatedly."""

    def __init__(self, folder: Path, extent: Extent) -> None:
        self.folder, self.extent = folder, extent
        self.store, self.before = EraStore(folder / "store"), folder / "before"
        self.file = folder / "served.parquet"
        self.before.mkdir()
        content = {"feature_sets": {"all": extent.names}, "targets": list(TARGETS)}
        (self.before / FEATURES).write_text(json.dumps(content))
        # First the whole file, then a part, as in every week after the first.
        for newest in (extent.newest - 2, extent.newest - 1):
            write_file(self.file, extent, newest)
            with serving(self.file) as url:
                self._store(Release(self.before), url)
        write_file(self.file, extent, extent.newest)

    def _store(self, release: Release, url: str) -> None:
        manifest = update(release, self.store, cast("Tournament", Line(url)), round_number=0, now=_NOW).manifest
        due = {era_label(era) for era in self.store.to_read(map(int, manifest.eras), manifest.newest_era)}
        names, path = self.extent.names, release.path(VALIDATION)
        for item in read_eras(path, features=names, targets=TARGETS, wanted=due.__contains__):
            item.store_in(self.store, names, as_of=manifest.newest_era)

    def by_increment(self, url: str) -> tuple[pd.DataFrame, int]:
        """Rows of the changed eras, and the bytes fetched for them. Raises RuntimeError when the whole file was fetched."""
        release = Release(self.folder / "after")
        shutil.copytree(self.before, release.folder, dirs_exist_ok=True)
        updated = update(release, self.store, cast("Tournament", Line(url)), round_number=1, now=_NOW)
        if updated.manifest.part is None:
            raise RuntimeError(f"the whole file was fetched: {updated.why_whole}")
        return pd.read_parquet(release.path(VALIDATION)), updated.manifest.part.fetched

    def by_numerapi(self, url: str) -> pd.DataFrame:
        """The same rows, from the whole file."""
        path = self.folder / "numerapi.parquet"
        path.unlink(missing_ok=True)
        numerapi.utils.download_file(url, str(path), show_progress_bars=False)
        eras = [era_label(self.extent.newest - back) for back in (13, 5, 0)]
        return pd.read_parquet(path, filters=[("era", "in", eras)])


def compare(extent: Extent, *, mb_a_second: float | None, repeats: int) -> Row:
    """One comparison over a connection of so many MB/s; None for loopback at full speed."""
    with tempfile.TemporaryDirectory() as place:
        week = Week(Path(place), extent)
        with serving(week.file, mb_a_second) as url:
            ours, fetched = week.by_increment(url)
            pd.testing.assert_frame_equal(ours, week.by_numerapi(url))
            line = "loopback" if mb_a_second is None else f"{mb_a_second:g} MB/s"
            return Row(
                f"weekly update, {fetched / 1e6:.1f} of {week.file.stat().st_size / 1e6:.1f} MB fetched, {line}",
                timed(lambda: week.by_increment(url), repeats=repeats),
                package("numerapi"),
                timed(lambda: week.by_numerapi(url), repeats=repeats),
            )


def measure(quick: bool) -> list[Row]:
    """The comparisons of the combined table."""
    extent = Extent(eras=120, rows=400, features=100) if quick else Extent(eras=300, rows=600, features=200)
    repeats = 1 if quick else 3
    return [compare(extent, mb_a_second=speed, repeats=repeats) for speed in (None, LINE_MB_A_SECOND)]


@contextmanager
def serving(path: Path, mb_a_second: float | None = None) -> Iterator[str]:
    """Address at which a separate process serves the file by ranges, at most at that rate."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(path, mb_a_second, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/{VALIDATION}"
    finally:
        process.terminate()
        process.join()


def _serve(path: Path, mb_a_second: float | None, answer: Connection) -> None:
    etag = f'"{path.stat().st_mtime_ns}"'

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = path.stat().st_size
            wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            start, stop = 0, size
            if wanted is not None:
                first, last = wanted.groups()
                start = int(first) if first else max(size - int(last), 0)
                stop = int(last) + 1 if first and last else size
            self.send_response(200 if wanted is None else 206)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(stop - start))
            if wanted is not None:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            with path.open("rb") as file:
                file.seek(start)
                self._send(lambda: file.read(min(_PIECE_BYTES, stop - file.tell())))

        def _send(self, read: Callable[[], bytes]) -> None:
            began, sent = time.monotonic(), 0
            while piece := read():
                self.wfile.write(piece)
                sent += len(piece)
                if mb_a_second is not None:
                    time.sleep(max(sent / mb_a_second / 1e6 - (time.monotonic() - began), 0))

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answer.send(server.server_address[1])
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 300), ("rows", 600), ("features", 200), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--line", type=float, default=LINE_MB_A_SECOND, help="MB/s of the slow connection")
    options = parser.parse_args()
    extent = Extent(options.eras, options.rows, options.features)
    rows = [compare(extent, mb_a_second=speed, repeats=options.repeats) for speed in (None, options.line)]
    print_rows(rows)
    for row in rows:
        print(f"{row.what}: {row.ours.seconds:.2f} s, peer {row.theirs.seconds:.2f} s of wall clock")


if __name__ == "__main__":
    main()
