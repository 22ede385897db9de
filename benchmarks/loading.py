"""Eras passed to torch from mapped files, compared with copying the same bytes and with float32 rows of a frame.

    python -m benchmarks.loading --eras 5 --rows 6000 --features 2400

The consumer copies whole eras once, as a move to a device does, so that their bytes are really read.
"""

import argparse
import tempfile
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.nn.loading import EraTensors, load
from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_60"
BATCH_ROWS = 1024


class FrameRows(Dataset[tuple[Tensor, Tensor]]):
    """A common Dataset: a row of a frame as float32, and its target."""

    def __init__(self, frame: pd.DataFrame, target: "pd.Series[float]") -> None:
        self.features, self.target = torch.tensor(frame.to_numpy(np.float32)), torch.tensor(target.to_numpy(np.float32))

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.features[row], self.target[row]


def made_up(folder: Path, eras: int, rows: int, features: int) -> tuple[EraPanel, list[NDArray[np.int8]]]:
    """A panel over mapped files, and the same blocks in memory."""
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 5, (features, rows), dtype=np.int8) for _ in range(eras)]
    for era, block in enumerate(blocks, 1):
        np.save(folder / f"{era}.npy", block)
    panel = EraPanel(
        blocks=tuple(blocks),
        feature_names=tuple(f"feature_{i}" for i in range(features)),
        eras=tuple(range(1, eras + 1)),
        ids_of_block=tuple(np.full(rows, "n", object) for _ in blocks),
        targets_of_block={TARGET: tuple(rng.random(rows, np.float32) for _ in blocks)},
    )
    mapped = tuple(np.load(folder / f"{era}.npy", mmap_mode="r") for era in panel.eras)
    return replace(panel, blocks=mapped), blocks


def total(eras: EraTensors, *, batch_rows: int | None = None) -> tuple[int, float]:
    """Sums of all features and targets that the loader returns."""
    found = [(b.features.sum(), b.targets.double().sum()) for b in load(eras, seed=0, batch_rows=batch_rows)]
    return int(sum(f for f, _ in found)), float(sum(t for _, t in found))


def check(panel: EraPanel, blocks: list[NDArray[np.int8]], plain: DataLoader[tuple[Tensor, Tensor]]) -> None:
    """Raises RuntimeError when a loader returns other values than the blocks contain."""
    target = float(np.concatenate(panel.targets_of_block[TARGET]).sum(dtype=np.float64))
    wanted = np.array([sum(int(block.sum(dtype=np.int64)) for block in blocks), target])
    theirs = np.sum([(int(f.sum(dtype=torch.float64)), float(t.double().sum())) for f, t in plain], axis=0)
    ways = {
        "whole eras": total(EraTensors(panel, targets=[TARGET])),
        "rows": total(EraTensors(panel, targets=[TARGET], layout="rows"), batch_rows=BATCH_ROWS),
        "frame": theirs,
    }
    for name, found in ways.items():
        if not np.allclose(found, wanted, rtol=1e-9):
            raise RuntimeError(f"{name} hands out values that sum to {found}, not {wanted}")


def measure(quick: bool, *, eras: int | None = None, rows: int | None = None, features: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when a loader returns other values."""
    eras, rows, features = eras or (3 if quick else 5), rows or 6000, features or 2400
    with tempfile.TemporaryDirectory() as place:
        panel, blocks = made_up(Path(place), eras, rows, features)
        target = pd.Series(panel.target(TARGET))
        plain = DataLoader(FrameRows(pd.DataFrame(panel.features), target), batch_size=BATCH_ROWS, shuffle=True)
        check(panel, blocks, plain)
        kept, turned = torch.empty((features, rows), dtype=torch.int8), np.empty((features, rows), np.int8)
        chosen = panel.feature_names[::6]
        whole, some = EraTensors(panel, targets=[TARGET]), EraTensors(panel, targets=[TARGET], features=chosen)
        by_rows = EraTensors(panel, targets=[TARGET], layout="rows")

        def take_whole() -> None:
            for batch in load(whole, seed=0):
                kept.copy_(batch.features)

        def take(dataset: EraTensors, batch_rows: int | None = None) -> None:
            for _ in load(dataset, seed=0, batch_rows=batch_rows):
                pass

        def copy() -> None:
            for block in blocks:
                np.copyto(turned, block)

        def copy_few() -> None:
            # As many in memory at a time as in the loader, so that each needs new memory.
            held: deque[NDArray[np.int8]] = deque(maxlen=3)
            for block in blocks:
                held.append(block[::6].copy())

        def take_plain() -> None:
            for _ in plain:
                pass

        size = f"{eras} eras x {rows:,} x {features}"
        copied = timed(copy)
        return [
            Row(f"whole eras, each copied once, {size}", timed(take_whole), "copy in memory", copied),
            Row(
                f"a sixth of the features, {size}",
                timed(lambda: take(some)),
                "copy of these in memory",
                timed(copy_few),
            ),
            Row(f"whole eras, turned to rows, {size}", timed(lambda: take(by_rows)), "copy in memory", copied),
            Row(
                f"random batches of {BATCH_ROWS} rows, {size}",
                timed(lambda: take(by_rows, BATCH_ROWS)),
                f"{package('torch')} DataLoader of float32 rows",
                timed(take_plain, repeats=3),
            ),
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 5), ("rows", 6000), ("features", 2400)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
