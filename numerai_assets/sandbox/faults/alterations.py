"""Faulty files: complete, well-formed copies with a size and an ETag of their own.

Every alteration is a pure function of the file and its salt. So all requests for one file get the same bytes, and files
that belong together (live.parquet and the accepted ids) agree without shared state.
"""

import hashlib
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults import catalogue as faults
from numerai_assets.sandbox.published.encoder import ALIAS
from numerai_assets.sandbox.published.files import sha256_of, whole_folder, write_text
from numerai_assets.sandbox.published.names import ALL
from numerai_assets.sandbox.published.release_writer import (
    FEATURES_JSON,
    LIVE,
    LIVE_BENCHMARK,
    LIVE_EXAMPLE,
    TRAIN,
    VALIDATION,
    schema_of,
)

_PARQUET, _CSV, _JSON = ".parquet", ".csv", ".json"
_LIVE_FILES = (LIVE, LIVE_BENCHMARK, f"{LIVE_EXAMPLE}{_PARQUET}", f"{LIVE_EXAMPLE}{_CSV}")
_ROWS = (TRAIN, VALIDATION, LIVE)
# None is the release writer's, so that each replacement differs from the last one and from the original.
_COMPRESSIONS = ("snappy", "gzip", "none")

TableChange = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Alteration:
    """One alteration of a file by a fault. salt: seeds its random choices."""

    fault: str
    parameters: faults.Parameters
    salt: str

    @property
    def key(self) -> str:
        return f"{self.fault}|{self.parameters.model_dump_json()}|{self.salt}"

    @property
    def has_new_etag(self) -> bool:
        return bool(getattr(self.parameters, "has_new_etag", True))


class Altered:
    """Altered copies under `directory`, one folder per release, each made when first requested."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def copy(self, source: Path, datestamp: int, name: str, steps: Sequence[Alteration]) -> tuple[Path, str]:
        """The file after all steps, and its SHA-256.

        name: below the release folder ("v5.3/live.parquet"). Raises SandboxError when a step does not fit the file.
        """
        key = hashlib.sha256("\n".join(step.key for step in steps).encode()).hexdigest()[:16]
        folder = self._directory / str(datestamp) / f"{name.replace('/', '_')}-{key}"
        with self._lock:
            if not folder.exists():
                with whole_folder(folder) as aside:
                    made = _apply(source, aside, Path(name).name, steps)
                    write_text(aside / "sha256", sha256_of(made))
                    made.replace(aside / source.name)
        return folder / source.name, (folder / "sha256").read_text()

    def keep_only(self, datestamps: Iterable[int]) -> None:
        """Removes the copies of releases that are no longer offered."""
        kept = {str(datestamp) for datestamp in datestamps}
        with self._lock:
            for folder in self._directory.iterdir() if self._directory.exists() else ():
                if folder.name not in kept:
                    shutil.rmtree(folder)


def touches(step: Alteration, name: str) -> bool:
    """True when the step changes the file of this name."""
    file = Path(name).name
    match step.parameters:
        case faults.FeatureChanges(in_parquet=in_parquet):
            return file == FEATURES_JSON or (in_parquet and file in _ROWS)
        case faults.AliasSwitch():
            return file in (TRAIN, VALIDATION)
        case faults.UniverseCut():
            return file in _LIVE_FILES
        case faults.MissingRows():
            return file == LIVE
        case faults.MissingEra():
            return file == VALIDATION
        case faults.FeatureNans(file=which) | faults.ConstantFeatures(file=which):
            return file == which
    return True


def is_kept(ids: pd.Index | pd.Series, share: float, salt: str) -> NDArray[np.bool_]:
    """(n,) True for the rows that stay when about `share` of them are removed; depends on each id alone."""
    digests = (hashlib.sha256(f"{salt}|{row}".encode()).digest()[:8] for row in ids)
    return np.array([int.from_bytes(digest, "big") / 2**64 >= share for digest in digests], dtype=bool)


def changed_upload(content: bytes) -> bytes:
    """An upload of the same length whose last digit is changed; in a CSV, that of the last prediction."""
    at = max((content.rfind(b"%d" % digit) for digit in range(10)), default=-1)
    if at >= 0:
        return content[:at] + (b"%d" % ((int(content[at : at + 1]) + 1) % 10)) + content[at + 1 :]
    return bytes(content[:-1]) + bytes([content[-1] ^ 1]) if content else b"\n"


# -- files -------------------------------------------------------------------------------------------------------


def _apply(source: Path, folder: Path, file: str, steps: Sequence[Alteration]) -> Path:
    path = source
    for number, step in enumerate(steps):
        target = folder / f".{number}{Path(file).suffix}"
        _apply_one(step, path, target, file, source.parent)
        if path != source:
            path.unlink()
        path = target
    return path


def _apply_one(step: Alteration, source: Path, target: Path, file: str, release: Path) -> None:
    match step.parameters:
        case faults.Corruption(flipped_bytes=count):
            target.write_bytes(_flipped(source.read_bytes(), count, step.salt))
        case faults.Truncation(kept=kept):
            content = source.read_bytes()
            target.write_bytes(content[: int(len(content) * kept)])
        case faults.FeatureChanges() as changes if file == FEATURES_JSON:
            drawn = _drawn_changes(_all_features(release), changes, step.salt)
            target.write_text(json.dumps(_changed_features(json.loads(source.read_text()), drawn)))
        case faults.Replacement(times=times):
            _write_again(source, target, times)
        case _ if source.suffix == _CSV:
            frame = pd.read_csv(source, dtype=str)
            frame[_stays(step, frame["id"])].to_csv(target, index=False, lineterminator="\n")
        case _:
            _rewrite(source, target, _table_change(step, source, release))


def _flipped(content: bytes, count: int, salt: str) -> bytes:
    changed = bytearray(content)
    for at in random.Random(salt).sample(range(len(changed)), min(count, len(changed))):
        changed[at] ^= 0xFF
    return bytes(changed)


def _write_again(source: Path, target: Path, times: int) -> None:
    """The same content in other bytes, like a file that was published again, for the n-th time."""
    if source.suffix == _PARQUET:
        _rewrite(source, target, lambda table: table, compression=_COMPRESSIONS[times % len(_COMPRESSIONS)])
    elif source.suffix == _CSV:
        frame = pd.read_csv(source, dtype=str)
        frame.iloc[np.roll(np.arange(len(frame)), times)].to_csv(target, index=False, lineterminator="\n")
    else:
        target.write_text(json.dumps(json.loads(source.read_text()), indent=times))


def _rewrite(source: Path, target: Path, change: TableChange, compression: str = "zstd") -> None:
    """Streams a Parquet file through a change of its tables, row group by row group."""
    with pq.ParquetFile(source) as reader:
        changed = change(reader.schema_arrow.empty_table()).schema
        schema = schema_of([(column.name, column.type) for column in changed if column.name != "id"])
        with pq.ParquetWriter(target, schema, compression=compression, write_statistics=["era", "data_type"]) as writer:
            for group in range(reader.num_row_groups):
                table = change(reader.read_row_group(group))
                if table.num_rows:
                    writer.write_table(table.replace_schema_metadata(schema.metadata))


# -- tables ------------------------------------------------------------------------------------------------------


def _table_change(step: Alteration, source: Path, release: Path) -> TableChange:
    match step.parameters:
        case faults.FeatureChanges() as changes:
            return _columns_change(_drawn_changes(_all_features(release), changes, step.salt))
        case faults.AliasSwitch(to=to):
            if to not in pq.read_schema(source).names:
                raise SandboxError(f"{step.fault}: {to} is not a target of {source.name}")
            return lambda table: _with_column(table, ALIAS, table[to])
        case faults.UniverseCut() | faults.MissingRows():
            return lambda table: table.filter(pa.array(_stays(step, table["id"].to_pandas())))
        case faults.FeatureNans(columns=count, share=share):
            return lambda table: _with_nans(table, _drawn_columns(table, count, step.salt), share, step.salt)
        case faults.ConstantFeatures(columns=count, value=value):
            return lambda table: _with_constants(table, _drawn_columns(table, count, step.salt), value)
        case faults.MissingEra(eras_back=back):
            eras = sorted(set(pq.read_table(source, columns=["era"])["era"].to_pylist()))
            gone = eras[max(len(eras) - 1 - back, 0)]
            return lambda table: table.filter(pc.not_equal(table["era"], gone))
    raise AssertionError(f"{step.fault} does not alter tables")


def _stays(step: Alteration, ids: "pd.Series[Any]") -> NDArray[np.bool_]:
    share = float(getattr(step.parameters, "share", 0.0))
    return is_kept(ids, share, step.salt)


def _features(table: pa.Table) -> list[str]:
    return [name for name in table.schema.names if name.startswith("feature_")]


def _drawn_columns(table: pa.Table, count: int, salt: str) -> list[str]:
    names = _features(table)
    return random.Random(salt).sample(names, min(count, len(names)))


def _with_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def _with_nans(table: pa.Table, columns: Sequence[str], share: float, salt: str) -> pa.Table:
    for name in columns:
        stays = is_kept(table["id"].to_pandas(), share, f"{salt}|{name}")
        table = _with_column(table, name, pc.if_else(pa.array(stays), table[name], pa.scalar(None, pa.int8())))
    return table


def _with_constants(table: pa.Table, columns: Sequence[str], value: int) -> pa.Table:
    for name in columns:
        table = _with_column(table, name, pa.array(np.full(table.num_rows, value, np.int8)))
    return table


# -- changes of features -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Changes:
    """added: new name -> the feature that it follows; renamed: old name -> new name."""

    added: dict[str, str]
    removed: frozenset[str]
    renamed: dict[str, str]


def _all_features(release: Path) -> list[str]:
    """Names before any change: all changes draw from them, in features.json as in the data files."""
    names: list[str] = json.loads((release / FEATURES_JSON).read_text())["feature_sets"][ALL]
    return names


def _drawn_changes(names: Sequence[str], changes: faults.FeatureChanges, salt: str) -> _Changes:
    """Which features change. Raises SandboxError when there are too few."""
    wanted = changes.removed + changes.renamed + changes.added
    if wanted >= len(names):
        raise SandboxError(f"features-changed: {wanted} changes asked for, the release has {len(names)} features")
    drawn = random.Random(salt).sample(list(names), wanted)
    removed, rest = drawn[: changes.removed], drawn[changes.removed :]
    renamed, models = rest[: changes.renamed], rest[changes.renamed :]
    return _Changes(
        added={_new_name(names, f"{salt}|added|{name}"): name for name in models},
        removed=frozenset(removed),
        renamed={name: _new_name(names, f"{salt}|renamed|{name}") for name in renamed},
    )


def _new_name(names: Sequence[str], salt: str) -> str:
    """A new name, made of the words of `names`."""
    rng = random.Random(salt)
    places = list(zip(*(name.removeprefix("feature_").split("_") for name in names), strict=False))
    name = "_".join(["feature", *(rng.choice(words) for words in places)])
    while name in names:
        name += f"_{rng.choice(places[-1])}"
    return name


def _changed_features(content: dict[str, Any], drawn: _Changes) -> dict[str, Any]:
    """features.json with the changes in every set; an added feature is in the sets of the feature that it follows."""
    behind = {model: new for new, model in drawn.added.items()}

    def changed(names: list[str]) -> list[str]:
        kept = (name for name in names if name not in drawn.removed)
        return [new for name in kept for new in (drawn.renamed.get(name, name), behind.get(name)) if new is not None]

    return content | {"feature_sets": {key: changed(names) for key, names in content["feature_sets"].items()}}


def _columns_change(drawn: _Changes) -> TableChange:
    def change(table: pa.Table) -> pa.Table:
        table = table.drop_columns([name for name in table.schema.names if name in drawn.removed])
        table = table.rename_columns([drawn.renamed.get(name, name) for name in table.schema.names])
        # An earlier change may have removed the model; features.json then lacks the new feature too.
        for new, model in ((new, model) for new, model in drawn.added.items() if model in table.schema.names):
            # Values that differ from its model's but have the same distribution: 4 - bin.
            values = pc.cast(pc.subtract(pa.scalar(4, pa.int8()), table[model]), pa.int8())
            table = table.add_column(table.schema.get_field_index(model) + 1, pa.field(new, pa.int8()), values)
        return table

    return change
