"""Ranks, z-scores and group means of five-bin features within eras, compared with pandas and scipy.

    python -m benchmarks.levels --eras 10 --rows 6000 --features 100

Ours counts bins and looks values up; the peers sort or group every column.
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.features.fitting.levels import looked_up, mean_table, scaled, scaled_eras

Blocks = list[NDArray[np.int8]]
Matrix = NDArray[np.floating]


def ours(blocks: Blocks, kind: str) -> None:
    """All eras, one at a time, as a method reads them."""
    for _ in scaled_eras(blocks, "rank" if kind == "rank" else "z"):
        pass


def our_means(blocks: Blocks, values: Matrix) -> None:
    for era, block in enumerate(blocks):
        looked_up(block, mean_table(block, values[era]))


def by_scipy(block: NDArray[np.int8]) -> Matrix:
    return np.asarray(2 * (rankdata(block, axis=1) - 0.5) / block.shape[1] - 1)


def measure(quick: bool, *, eras: int | None = None, rows: int | None = None, features: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ by more than float32 precision."""
    eras, rows, features = eras or (4 if quick else 10), rows or 6000, features or 100
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 5, (features, rows), dtype=np.int8) for _ in range(eras)]
    values = rng.normal(size=(eras, rows))
    frame = pd.DataFrame(np.concatenate(blocks, axis=1).T)
    era = np.repeat(np.arange(eras), rows)
    groups = frame.groupby(era)
    spread = groups.transform(lambda column: (column - column.mean()) / column.std(ddof=0))
    value = pd.Series(values.ravel())

    def pandas_means() -> list[Matrix]:
        return [value.groupby([era, frame[feature]]).transform("mean").to_numpy() for feature in frame]

    last = slice((eras - 1) * rows, None)
    last_means = looked_up(blocks[-1], mean_table(blocks[-1], values[-1]))
    apart = max(
        float(np.abs(mine - theirs).max())
        for mine, theirs in (
            (scaled(blocks[-1], "rank").T, 2 * (groups.rank().to_numpy()[last] - 0.5) / rows - 1),
            (scaled(blocks[-1], "rank"), by_scipy(blocks[-1])),
            (scaled(blocks[-1], "z").T, spread.to_numpy()[last]),
            (last_means, np.stack([column[last] for column in pandas_means()])),
        )
    )
    if not apart < 1e-5:
        raise RuntimeError(f"values differ by {apart:.2g}")
    size, peer = f"{eras} eras x {rows:,} x {features}", package("pandas")
    repeats = 3 if quick else 1
    our_ranks = timed(lambda: ours(blocks, "rank"))
    return [
        Row(f"rank in era, {size}", our_ranks, f"{peer} groupby.rank", timed(lambda: groups.rank(), repeats=repeats)),
        Row(
            f"rank in era, {size}",
            our_ranks,
            f"{package('scipy')} rankdata",
            timed(lambda: [by_scipy(block) for block in blocks], repeats=repeats),
        ),
        Row(
            f"z-score in era, {size}",
            timed(lambda: ours(blocks, "z")),
            f"{peer} groupby.transform",
            timed(
                lambda: groups.transform(lambda column: (column - column.mean()) / column.std(ddof=0)), repeats=repeats
            ),
        ),
        Row(
            f"mean by level in era, {size}",
            timed(lambda: our_means(blocks, values)),
            f"{peer} groupby.transform",
            timed(pandas_means, repeats=repeats),
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 10), ("rows", 6000), ("features", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
