"""A small release and its conversion, in a process that can be killed."""

import hashlib
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd

from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.released_eras import read_eras

FEATURES = tuple(f"feature_{i:02d}" for i in range(30))
TARGETS = ("target_ender_20", "target_ender_60")
ERAS = 25
ROWS = 40
RESTORED = "feature_07"


def write_release(path: Path, *, newest: int, is_whole: bool) -> None:
    """Eras 1..ERAS in row groups that are not theirs; targets resolved up to `newest`; whole: no feature is lost."""
    frames = []
    for era in range(1, ERAS + 1):
        rng = np.random.default_rng(era)
        frame = pd.DataFrame(rng.integers(0, 5, (ROWS, len(FEATURES)), dtype=np.int8), columns=list(FEATURES))
        for target in TARGETS:
            frame[target] = (rng.integers(0, 5, ROWS) / 4).astype(np.float32) if era <= newest else np.float32(np.nan)
        frame.insert(0, "era", f"{era:04d}")
        frame.insert(0, "id", [f"n{era:04d}{row:011x}" for row in range(ROWS)])
        frames.append(frame)
    rows = pd.concat(frames)
    rows = rows if is_whole else rows.drop(columns=RESTORED)
    rows.to_parquet(path, index=False, row_group_size=90)


def convert(release: Path, folder: Path, as_of: int) -> None:
    """What the assets do with a release: all eras that were not read from it are stored, then cleaned."""
    store = EraStore(folder)
    records = store.records()
    done = {key for key, record in records.items() if record.read_from == release.name}
    for era in read_eras(release, features=FEATURES, targets=TARGETS, wanted=lambda label: label not in done):
        era.store_in(store, FEATURES, as_of=as_of, read_from=release.name)
    for key, record in store.records().items():
        if record.cleaned_by is None and record.missing_cells == 0:
            store.clean_as_released(key, strategy="median")
        elif record.cleaned_by is None:
            released = np.asarray(store.panel([key], stage="released").features)
            store.write_cleaned(key, np.where(released == -1, 2, released).astype(np.int8), strategy="median")


def convert_when_told(ready: Connection, release: Path, folder: Path, as_of: int) -> None:
    ready.send(None)
    convert(release, folder, as_of)


def read_for_ever(answer: Connection, folder: Path, over: Path) -> None:
    """Reads all eras again and again and sends how often, or what was wrong; ends when the file `over` is there."""
    store, times, found = EraStore(folder), 0, ""
    answer.send(None)
    try:
        while not over.exists() or not times:
            keys = [f"{era:04d}" for era in store.eras()]
            for stage in ("released", "cleaned"):
                held = [key for key in keys if stage == "released" or store.record(key).cleaned_by]
                panel = store.panel(held, stage=stage, targets=TARGETS)
                for part in panel.each_era():
                    rng = np.random.default_rng(part.eras[0])
                    expected = rng.integers(0, 5, (ROWS, len(FEATURES)), dtype=np.int8)
                    known = part.target(TARGETS[0])
                    truth = (rng.integers(0, 5, ROWS) / 4).astype(np.float32)
                    if not np.array_equal(part.features, expected):
                        found = f"era {part.eras[0]}: other features"
                    if not (np.array_equal(known, truth) or np.isnan(known).all()):
                        found = f"era {part.eras[0]}: other targets"
            times += 1
    except Exception as error:  # noqa: BLE001 - sent to the test, which fails by it
        found = repr(error)
    answer.send((times, found))


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under its final name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
