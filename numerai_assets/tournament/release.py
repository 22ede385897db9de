"""The files of one data version on disk, and what each must hold.

Source: Numerai docs, "Data"; columns, dtypes and index as measured on v5.3: `id` index, string `era` and `data_type`,
int8 features, float32 targets, live era "X" with every target NaN.
"""

import datetime as dt
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from numerai_assets.eras import horizon_of, parse_era
from numerai_assets.errors import CalendarError, ReleaseError
from numerai_assets.store.atomic import write_json
from numerai_assets.tournament.client import Tournament
from numerai_assets.tournament.download import Fetched, Progress, fetch

FEATURES = "features.json"
TRAIN, VALIDATION, LIVE = "train.parquet", "validation.parquet", "live.parquet"
META_MODEL = "meta_model.parquet"
TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS = "train_benchmark_models.parquet", "validation_benchmark_models.parquet"
LIVE_BENCHMARKS = "live_benchmark_models.parquet"
VALIDATION_EXAMPLE, LIVE_EXAMPLE = "validation_example_preds.parquet", "live_example_preds.parquet"

# Files that change once a week (first the data that is stored and fitted on, then the references of validation), and files
# that are new in every round; train files never change but are checked like the others.
WEEKLY_FILES = (FEATURES, TRAIN, VALIDATION)
YARDSTICK_FILES = (META_MODEL, TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS, VALIDATION_EXAMPLE)
ROUND_FILES = (LIVE, LIVE_BENCHMARKS, LIVE_EXAMPLE)
LIVE_ERA = "X"
_ROW_FILES = {TRAIN: {"train"}, VALIDATION: {"validation", "test"}, LIVE: {"live"}}


@dataclass(frozen=True)
class Part:
    """The server's whole file, where the file on disk has only some of its eras.

    row_groups: the fetched ones. fetched: bytes received. size, rows, eras: of the whole file. Eras older than those that
    were read are taken from the release before: eras do not disappear.
    """

    row_groups: tuple[int, ...]
    fetched: int
    size: int
    rows: int
    eras: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """Metadata of a fetched file. Empty eras and zero rows for a file that is not a table.

    size, sha256, rows, columns, row_groups and eras are those of the file on disk, which may be a part of the server's;
    etag is that of the server's whole file.
    """

    name: str
    data_version: str
    round_number: int
    fetched_at: str
    size: int
    sha256: str
    etag: str | None
    rows: int
    columns: int
    row_groups: int
    eras: tuple[str, ...]
    part: Part | None = None

    @property
    def released_eras(self) -> tuple[str, ...]:
        """Eras of the file on the server, on disk or not."""
        return self.eras if self.part is None else self.part.eras

    @property
    def newest_era(self) -> int:
        """Number of the last era in the file. Raises ReleaseError when it has none."""
        numbers = [parse_era(label) for label in self.eras if label != LIVE_ERA]
        if not numbers:
            raise ReleaseError(f"{self.name}: holds no numbered era")
        return max(numbers)


class Release:
    """Files of one data version under `folder`, each with its manifest beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def manifest(self, name: str) -> Manifest | None:
        """Manifest of a fetched file; None when the file is absent, truncated or replaced, and must be fetched again."""
        note = self.folder / f"{name}.manifest.json"
        if not note.is_file() or not self.path(name).is_file():
            return None
        content = json.loads(note.read_text(encoding="utf-8"))
        part = content.get("part")
        if part is not None:
            part = Part(**part | {name: tuple(part[name]) for name in ("row_groups", "eras")})
        manifest = Manifest(**content | {"eras": tuple(content["eras"]), "part": part})
        return manifest if self.path(name).stat().st_size == manifest.size else None

    def features(self) -> dict[str, list[str]]:
        """Feature sets of features.json, name -> features."""
        sets: dict[str, list[str]] = self._features_json()["feature_sets"]
        return sets

    def targets(self) -> list[str]:
        """Targets of features.json, the alias `target` included."""
        return list(self._features_json()["targets"])

    def _features_json(self) -> dict[str, dict[str, list[str]]]:
        content: dict[str, dict[str, list[str]]] = json.loads(self.path(FEATURES).read_text(encoding="utf-8"))
        return content

    def fetch(
        self,
        tournament: Tournament,
        name: str,
        *,
        round_number: int,
        now: dt.datetime,
        progress: Progress = lambda done, total: None,
        is_part_enough: bool = False,
    ) -> tuple[Manifest, bool]:
        """Fetches one whole file unless it is unchanged; returns its manifest and whether it is new.

        is_part_enough: a part on disk of an unchanged file is not replaced by the whole.
        Raises DownloadError when it cannot be fetched completely, ReleaseError when it violates the contract.
        """
        old = self.manifest(name)
        facts: dict[str, Table] = {}

        def verify(path: Path) -> None:
            facts["table"] = inspect(path, name, features_json=self.path(FEATURES))

        fetched = fetch(
            lambda: tournament.dataset_url(name),
            self.path(name),
            tournament.network,
            verify=verify,
            known=Fetched(old.size, old.sha256, old.etag) if old and (old.part is None or is_part_enough) else None,
            progress=progress,
        )
        if fetched is None and old is not None:
            manifest = replace(old, round_number=round_number)
        else:
            assert fetched is not None  # 304 is only asked for where there is an old manifest
            manifest = Manifest(
                name=name,
                data_version=tournament.data_version,
                round_number=round_number,
                fetched_at=now.isoformat(timespec="seconds"),
                **asdict(fetched),
                **asdict(facts["table"]) | {"eras": facts["table"].eras},
            )
        if manifest != old:
            self.write_manifest(manifest)
        return manifest, fetched is not None

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes a manifest beside its file."""
        write_json(self.folder / f"{manifest.name}.manifest.json", asdict(manifest))


@dataclass(frozen=True)
class Table:
    """Shape of a file's table and the eras in it, in order of appearance."""

    rows: int
    columns: int
    row_groups: int
    eras: tuple[str, ...]


def inspect(path: Path, name: str, *, features_json: Path, is_part: bool = False) -> Table:
    """Checks one release file, still under its partial name, against the contract and returns its shape.

    is_part: eras may be absent between the first and the last.
    Raises ReleaseError naming the file and the column, era or value at fault.
    """
    if name == FEATURES:
        return _inspect_features_json(path)
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                raise ReleaseError(f"{name}: holds no rows")
            check_columns(file.schema_arrow, name, features_json)
            eras = _eras_in_order(file, name, is_part) if "era" in file.schema_arrow.names else ()
            meta = file.metadata
            if any(span(meta, group)[1] > path.stat().st_size for group in range(meta.num_row_groups)):
                raise ReleaseError(f"{name}: a row group lies beyond the end of the file")
            rows, columns, groups = meta.num_rows, meta.num_columns, meta.num_row_groups
    except (OSError, pa.ArrowException) as error:
        raise ReleaseError(f"{name}: is no readable Parquet file ({error})") from None
    return Table(rows, columns, groups, eras)


def span(meta: pq.FileMetaData, group: int, column: str | None = None) -> tuple[int, int]:
    """Byte range, end exclusive, of a row group or of one column of it."""
    row_group = meta.row_group(group)
    chunks = (row_group.column(place) for place in range(meta.num_columns))
    spans = [_chunk_span(chunk) for chunk in chunks if column in (None, chunk.path_in_schema)]
    return min(start for start, _ in spans), max(stop for _, stop in spans)


def _chunk_span(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    start = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
    return int(start), int(start + chunk.total_compressed_size)


def _inspect_features_json(path: Path) -> Table:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sets, targets = content["feature_sets"], content["targets"]
        everything = sets["all"]
        if not all(_is_list_of_names(names) for names in (targets, *sets.values())):
            raise TypeError("a set or the targets are no list of names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{FEATURES}: expected feature_sets (with 'all') and targets; {error!r}") from None
    if len(set(everything)) != len(everything):
        raise ReleaseError(f"{FEATURES}: feature set 'all' names a feature twice")
    stray = {name: set(names) - set(everything) for name, names in sets.items()}
    for name, names in stray.items():
        if names:
            raise ReleaseError(f"{FEATURES}: set {name!r} holds {sorted(names)[0]!r}, which is not in 'all'")
    return Table(rows=0, columns=len(everything) + len(targets), row_groups=0, eras=())


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def check_columns(schema: pa.Schema, name: str, features_json: Path) -> None:
    """Raises ReleaseError unless the columns and their types agree with features.json and the contract."""
    if "id" not in schema.names:
        raise ReleaseError(f"{name}: has no id column")
    if name not in _ROW_FILES:
        return
    content = json.loads(features_json.read_text(encoding="utf-8"))
    features, targets = content["feature_sets"]["all"], content["targets"]
    expected = {"id", "era", "data_type", *features, *targets}
    lost, extra = expected - set(schema.names), set(schema.names) - expected
    if name == LIVE:
        # A round may be open for one hour: a file that allows a prediction is accepted, and the quality gate weighs the gaps.
        if lost & {"era", "data_type"} or not set(features) & set(schema.names):
            raise ReleaseError(f"{name}: has no {_some(lost & {'era', 'data_type'} or features)}")
        features, targets = ([n for n in names if n in schema.names] for names in (features, targets))
    elif lost or extra:
        raise ReleaseError(f"{name}: columns differ from {FEATURES}: lost {_some(lost)}, unexpected {_some(extra)}")
    for feature in features:
        if not (pa.types.is_integer(schema.field(feature).type) or pa.types.is_floating(schema.field(feature).type)):
            raise ReleaseError(f"{name}: {feature} is {schema.field(feature).type}, expected int8")
    for target in targets:
        if not pa.types.is_floating(schema.field(target).type):
            raise ReleaseError(f"{name}: {target} is {schema.field(target).type}, expected float32")


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return f"{len(listed)} ({', '.join(listed[:3])}{', ...' if len(listed) > 3 else ''})" if listed else "none"


def _eras_in_order(file: pq.ParquetFile, name: str, is_part: bool) -> tuple[str, ...]:
    seen: list[str] = []
    kinds: set[str] = set()
    columns = ["era", "data_type"] if name in _ROW_FILES else ["era"]
    for group in range(file.metadata.num_row_groups):
        table = file.read_row_group(group, columns=columns)
        if table.num_rows == 0:
            continue
        for column in columns:
            kind = table[column].type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
                raise ReleaseError(f"{name}: {column} is {kind}, expected string")
            if table[column].null_count:
                raise ReleaseError(f"{name}: {column} is missing in some rows")
        for label, _, _ in runs(table["era"]):
            if not seen or seen[-1] != label:
                seen.append(label)
        if name in _ROW_FILES:
            kinds |= set(pc.unique(table["data_type"]).to_pylist())
    if len(set(seen)) != len(seen):
        raise ReleaseError(f"{name}: rows of an era are not contiguous")
    if name in _ROW_FILES:
        if kinds - _ROW_FILES[name]:
            raise ReleaseError(f"{name}: data_type {sorted(kinds)}, expected {sorted(_ROW_FILES[name])}")
        check_eras(seen, name, is_part)
    return tuple(seen)


def check_eras(labels: Sequence[str], name: str, is_part: bool = False) -> None:
    """Raises ReleaseError unless the eras, in order of appearance, ascend by one, or at all in a part."""
    if name == LIVE:
        if list(labels) != [LIVE_ERA]:
            raise ReleaseError(f"{name}: eras {list(labels)[:3]}, expected only {LIVE_ERA!r}")
        return
    try:
        numbers = [parse_era(label) for label in labels]
    except CalendarError as error:
        raise ReleaseError(f"{name}: {error}") from None
    if not is_part and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        gap = next(a for a, b in itertools.pairwise(numbers) if b != a + 1)
        raise ReleaseError(f"{name}: eras are not contiguous after {gap:04d}")
    if numbers != sorted(numbers):
        raise ReleaseError(f"{name}: eras do not ascend")


def runs(column: pa.ChunkedArray) -> list[tuple[str, int, int]]:
    """Label and row range, end exclusive, of each run of equal labels in an `era` column."""
    values = column.to_numpy(zero_copy_only=False).astype(object)
    starts = np.flatnonzero(np.r_[len(values) > 0, values[1:] != values[:-1]])
    stops = np.r_[starts[1:], len(values)]
    return [(str(values[start]), int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def check_calendar(newest_era: int, round_era: int, round_number: int) -> None:
    """Raises ReleaseError unless a release ends with the era of the open round's data or, the vendor late, the one before.

    Otherwise era numbers would no longer be the Fridays that every purge relies on.
    """
    if newest_era not in (round_era, round_era - 1):
        raise ReleaseError(
            f"{VALIDATION}: ends with era {newest_era:04d}, but the data of round {round_number} is that of era "
            f"{round_era:04d}; the calendar does not hold"
        )


def benchmark_column(names: Iterable[str], target: str) -> str | None:
    """The column of a benchmark file whose model Numerai fitted on `target`; None when there is none.

    Names of benchmarks begin with the data version ("v53_lgbm_ender60"), so that each release has other ones.
    """
    kind, horizon = re.escape(target.removeprefix("target_").rpartition("_")[0]), horizon_of(target)
    return next((name for name in names if re.fullmatch(rf"v\d+_\w+_{kind}{horizon}", name)), None)


def alias_of(targets: pd.DataFrame, alias: str = "target") -> str | None:
    """Name of the target that equals the bare alias in these rows, NaN pattern included; None when there is none."""
    if alias not in targets.columns or targets[alias].isna().all():
        return None
    same = [
        name
        for name in targets.columns
        if name != alias and np.array_equal(targets[name].to_numpy(), targets[alias].to_numpy(), equal_nan=True)
    ]
    return same[0] if same else None
