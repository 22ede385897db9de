"""Records of eras: short on disk, read back as they were, and they know which targets are due."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import HORIZONS, resolve_lag
from numerai_assets.errors import StoreError
from numerai_assets.store.era_records import (
    EraRecord,
    as_ranges,
    places_of,
    read_record,
    resolved_horizons,
    write_record,
)

NAMES = [f"feature_{place}" for place in range(30)]
RECORD = EraRecord(
    key="0600",
    era=600,
    rows=5000,
    features_bytes=1000,
    features_sha256="a" * 64,
    ids_sha256="b" * 64,
    resolved=(20,),
    targets_as_of=610,
    missing_features=tuple(NAMES[place] for place in (0, 1, 2, 7, 29)),
    missing_cells=3,
    revised_targets=("target_ender_20",),
)


@given(st.lists(st.integers(0, 300), unique=True).map(sorted))
@settings(deadline=None)
def test_ranges_read_back(places: list[int]) -> None:
    assert list(places_of(as_ranges(places))) == places


def test_ranges_of_an_example() -> None:
    assert as_ranges([0, 1, 2, 7, 29, 30]) == "0-2 7 29-30"
    assert as_ranges([]) == ""


@pytest.mark.parametrize("changes", [{}, {"cleaned_sha256": "c" * 64, "cleaned_by": "median", "missing_features": ()}])
def test_a_record_reads_back_as_it_was_written(tmp_path: Path, changes: dict[str, object]) -> None:
    record = replace(RECORD, **changes)  # type: ignore[arg-type]

    write_record(tmp_path / "0600.json", record, NAMES)

    assert read_record(tmp_path / "0600.json", NAMES) == record


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "{",
        lambda content: "[]",
        lambda content: json.dumps({name: value for name, value in content.items() if name != "resolved"}),
        lambda content: json.dumps(content | {"unknown": 1}),
        lambda content: json.dumps(content | {"missing_features": "29-31"}),
        lambda content: json.dumps(content | {"missing_features": "one"}),
    ],
)
def test_a_damaged_record_is_named_with_the_remedy(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "0600.json"
    write_record(path, RECORD, NAMES)
    path.write_text(damage(json.loads(path.read_text())))  # type: ignore[operator]

    with pytest.raises(StoreError, match=r"era 0600: record .* cannot be read .*; run `numerai store verify --repair`"):
        read_record(path, NAMES)


def test_a_record_that_is_not_there_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "0600.json", NAMES)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_an_era_awaits_targets_from_the_release_in_which_they_resolve(horizon: int) -> None:
    others = tuple(known for known in HORIZONS if known != horizon)
    record = replace(RECORD, resolved=others, targets_as_of=600)
    due = 600 + resolve_lag(horizon)

    assert [record.awaits_targets(newest) for newest in (due - 1, due, due + 50)] == [False, True, True]
    assert not replace(record, targets_as_of=due).awaits_targets(due)
    assert not replace(record, resolved=HORIZONS).awaits_targets(due + 50)


def test_a_horizon_has_resolved_when_every_target_of_it_has_a_value() -> None:
    frame = pd.DataFrame(
        {"target_ender_20": [0.5, np.nan], "target_agnes_20": [0.25, 0.5], "target_ender_60": [np.nan, np.nan]}
    )

    assert resolved_horizons(frame) == (20,)
    assert resolved_horizons(frame[["target_ender_60"]]) == resolved_horizons(frame[[]]) == ()
