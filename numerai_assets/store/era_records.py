"""Records of the era store: the metadata of one era, as one small JSON file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from numerai_assets.eras import HORIZONS, resolved_through
from numerai_assets.errors import StoreError
from numerai_assets.store.atomic import write_json

Stage = Literal["released", "cleaned"]


@dataclass(frozen=True)
class EraRecord:
    """Metadata of one stored era.

    era: its number; for a live round that of the newest era at its data's date. resolved: horizons whose targets are
    known. targets_as_of: newest era of the release they were read from. missing_features: features constant 2 in this
    era, Numerai's mark of "did not exist yet". missing_cells: cells without any value in the release. revised_targets:
    targets whose values changed in a later release. read_from: SHA-256 of the release file.
    """

    key: str
    era: int
    rows: int
    features_bytes: int
    features_sha256: str
    ids_sha256: str
    resolved: tuple[int, ...]
    targets_as_of: int
    missing_features: tuple[str, ...]
    missing_cells: int
    revised_targets: tuple[str, ...] = ()
    cleaned_bytes: int | None = None
    cleaned_sha256: str | None = None
    cleaned_by: str | None = None
    read_from: str | None = None

    def digest(self, stage: Stage) -> str:
        """SHA-256 of the features of one stage; empty when the stage is not stored."""
        return self.features_sha256 if stage == "released" else self.cleaned_sha256 or ""

    def awaits_targets(self, newest_era: int) -> bool:
        """True when a release whose newest era is `newest_era` should hold targets that this record lacks."""
        if self.targets_as_of >= newest_era:
            return False
        due = {horizon for horizon in HORIZONS if self.era <= resolved_through(newest_era, horizon)}
        return not due <= set(self.resolved)


def write_record(path: Path, record: EraRecord, feature_names: Sequence[str]) -> None:
    """Writes a record atomically. feature_names: of the store, in order; missing features are stored as their indices."""
    places = {name: place for place, name in enumerate(feature_names)}
    missing = as_ranges([places[name] for name in record.missing_features])
    write_json(path, asdict(record) | {"missing_features": missing})


def read_record(path: Path, feature_names: Sequence[str]) -> EraRecord:
    """The record that `write_record` wrote. Raises FileNotFoundError without one, StoreError for one that cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = tuple(feature_names[place] for place in places_of(content["missing_features"]))
        tuples = {name: tuple(content[name]) for name in ("resolved", "revised_targets")}
        return EraRecord(**content | tuples | {"missing_features": missing})
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise StoreError(
            f"era {path.stem}: record {path} cannot be read ({error}); run `numerai store verify --repair`"
        ) from None


def as_ranges(places: Sequence[int]) -> str:
    """Ascending numbers as "0-12 40": names of thousands of missing features would make every record slow to read."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1][1:] = [place]
        else:
            runs.append([place])
    return " ".join("-".join(map(str, run)) for run in runs)


def places_of(ranges: str) -> Iterator[int]:
    """The numbers that `as_ranges` wrote."""
    for run in ranges.split():
        first, _, last = run.partition("-")
        yield from range(int(first), int(last or first) + 1)


def resolved_horizons(targets: pd.DataFrame) -> tuple[int, ...]:
    """Horizons whose targets in the frame are known: each target named in full has at least one value."""
    known = targets.notna().any()
    return tuple(
        horizon
        for horizon in HORIZONS
        if (columns := [name for name in targets.columns if name.endswith(f"_{horizon}")]) and known[columns].any()
    )
