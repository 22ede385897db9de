"""TSMixer on the electricity transformer data of its paper, compared with RevIN and a linear map, and with the last value.

    python -m benchmarks.tsmixer_ett --data ETTh1.csv

A file has a header, a column `date` and numeric channels, or only numbers. Channels are scaled by the training rows. ETT
files are split into 12, 4 and 4 months of 30 days; their name says whether a row is an hour (ETTh) or a quarter of an hour
(ETTm). Other files are split by rows in the same proportion. The test windows are used once, with the epoch that was best on
the validation windows. If the expected figures of a file are known, the run fails when they are not met. Without --data:
ETTh1.csv in NUMERAI_ASSETS_SHARED_DATA, or in shared/data beside the checkout.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from numerai_assets.methods.mixer_boosting.tsmixer import TSMixer
from numerai_assets.methods.mixer_boosting.windows import Errors, Training, Windows, errors, fit_windows

_MONTHS = (12, 4, 4)
_ROWS_OF_MONTH = {"ETTh": 30 * 24, "ETTm": 30 * 24 * 4}


@dataclass(frozen=True)
class Expected:
    """Expected figures. least: a smaller MSE means look-ahead. beyond_linear: allowed excess over the linear map's MSE."""

    windows: tuple[int, int, int]
    last_value: float
    least: float
    squared: float
    absolute: float
    beyond_linear: float = 0.003


# The paper has .361 and .392; 4 % above an untuned replica's .3686 and .3971 allows for the seed and fewer epochs.
EXPECTED = {("ETTh1", 512, 96): Expected((8033, 2785, 2785), 1.2944, 0.34, 0.385, 0.412)}


@dataclass(frozen=True)
class Split:
    """Training, validation and test windows."""

    fitted: Windows
    unseen: Windows
    judged: Windows


def split_of(path: Path, length: int, horizon: int) -> Split:
    """The windows of a file; those of a part look back into the part before it, and forecast only their own part."""
    with path.open(encoding="utf-8") as file:
        is_dated = file.readline().startswith("date,")
    table = pd.read_csv(path).iloc[:, 1:] if is_dated else pd.read_csv(path, header=None)
    values = table.to_numpy(np.float64)
    rows = _ROWS_OF_MONTH.get(path.stem[:4], len(values) / sum(_MONTHS))
    edges = [int(months * rows) for months in np.cumsum(_MONTHS)]
    train = values[: edges[0]]
    series = torch.from_numpy(((values - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32))
    begins = [0, *(edge - length for edge in edges[:-1])]
    return Split(*(Windows(series[begin:end], length, horizon) for begin, end in zip(begins, edges, strict=True)))


def last_value(horizon: int) -> Callable[[Tensor], Tensor]:
    """Forecasts every step as the last known value."""
    return lambda history: history[:, -1:].expand(-1, horizon, -1)


def measured(name: str, model: TSMixer, split: Split, training: Training, seed: int) -> Errors:
    """Fits a model; returns its test errors and a line with the result and its cost."""
    began = time.process_time()
    curve = fit_windows(model, split.fitted, split.unseen, training, seed=seed)
    found = errors(model, split.judged)
    best = 1 + int(np.argmin([each.squared for each in curve]))
    weights = sum(values.numel() for values in model.parameters())
    print(
        f"{name:<14}{found.squared:>8.4f}{found.absolute:>8.4f}   {weights:,} weights, epoch {best} of {len(curve)}, "
        f"{time.process_time() - began:.0f} CPU s",
        flush=True,
    )
    return found


def check(expected: Expected, windows: tuple[int, ...], naive: Errors, linear: Errors, mixed: Errors) -> None:
    """Raises RuntimeError unless the figures are as expected."""
    met = {
        f"windows {expected.windows}": windows == expected.windows,
        f"last value {expected.last_value}": abs(naive.squared - expected.last_value) <= 0.0005,
        f"TSMixer's MSE in {expected.least}..{expected.squared}": expected.least <= mixed.squared <= expected.squared,
        f"TSMixer's MAE at most {expected.absolute}": mixed.absolute <= expected.absolute,
        f"TSMixer's MSE at most the linear map's and {expected.beyond_linear}": mixed.squared
        <= linear.squared + expected.beyond_linear,
    }
    missed = [what for what, is_met in met.items() if not is_met]
    if missed:
        raise RuntimeError(f"not met: {'; '.join(missed)}")
    print(f"all met: {'; '.join(met)}")


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    default = Path(os.environ.get("NUMERAI_ASSETS_SHARED_DATA", beside)) / "ETTh1.csv"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default)
    whole = {
        "length": 512,
        "horizon": 96,
        "epochs": 8,
        "patience": 5,
        "batch": 32,
        "blocks": 2,
        "hidden": 64,
        "seed": 0,
    }
    for name, number in whole.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    for name, share in {"dropout": 0.9, "rate": 1e-3}.items():
        parser.add_argument(f"--{name}", type=float, default=share)
    given = parser.parse_args()
    torch.set_num_threads(1)
    split = split_of(given.data, given.length, given.horizon)
    windows = tuple(len(part) for part in (split.fitted, split.unseen, split.judged))
    print(
        f"{given.data.name}: {given.length} steps to {given.horizon}, windows {windows}\n{'':<14}{'MSE':>8}{'MAE':>8}"
    )
    naive = errors(last_value(given.horizon), split.judged)
    print(f"{'last value':<14}{naive.squared:>8.4f}{naive.absolute:>8.4f}")
    training = Training(given.epochs, given.batch, given.rate, given.patience)

    def model(blocks: int) -> TSMixer:
        drawn = torch.Generator().manual_seed(given.seed)
        channels = split.fitted.series.shape[1]
        return TSMixer(
            given.length,
            channels,
            given.horizon,
            blocks=blocks,
            hidden=given.hidden,
            dropout=given.dropout,
            generator=drawn,
        )

    # A linear map learns more slowly, and an epoch of it is cheap.
    linear = measured("RevIN + linear", model(0), split, replace(training, epochs=2 * given.epochs), given.seed)
    mixed = measured("TSMixer", model(given.blocks), split, training, given.seed)
    known = EXPECTED.get((given.data.stem, given.length, given.horizon))
    if known is not None:
        check(known, windows, naive, linear, mixed)


if __name__ == "__main__":
    main()
