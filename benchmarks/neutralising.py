"""Neutralising predictions of one era to all its features, compared with numerai-tools' least squares.

    python -m benchmarks.neutralising --features 2748
    python -m benchmarks.neutralising --features 3555

Numerai-tools solves the least squares again at each call. The second row shows the cost of further predictions of the same
era; the cost of one model is printed below the table.
"""

import argparse

import numpy as np
import pandas as pd
from numerai_tools.scoring import neutralize
from numpy.typing import NDArray

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.evaluation.neutralisation import EraFactor

Array = NDArray[np.float64]


def made_up(rows: int, features: int, predictions: int) -> tuple[NDArray[np.int8], Array]:
    """A block (d, n) whose features share twenty factors, and predictions (n, m)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(features, 20)).astype(np.float32) @ rng.normal(size=(20, rows)).astype(np.float32)
    scores = scores / np.sqrt(20) + rng.normal(size=scores.shape).astype(np.float32)
    return np.clip(np.floor(scores + 2.5), 0, 4).astype(np.int8), rng.random((rows, predictions))


def by_numerai_tools(block: NDArray[np.int8], values: Array) -> Array:
    return np.asarray(neutralize(pd.DataFrame(values), pd.DataFrame(block.T)))


def measure(quick: bool, *, rows: int | None = None, features: int | None = None, predictions: int = 10) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ by more than 1e-9."""
    rows, features = rows or (4000 if quick else 6000), features or (1200 if quick else 2748)
    block, values = made_up(rows, features, predictions)
    factor = EraFactor.of(block)
    apart = float(np.abs(factor.neutralise(values) - by_numerai_tools(block, values)).max())
    if not apart < 1e-9:
        raise RuntimeError(f"neutralised predictions differ by {apart:.2g}")
    size, peer = f"{rows:,} x {features:,}, {predictions} predictions", f"{package('numerai-tools')} neutralize"
    theirs = timed(lambda: by_numerai_tools(block, values), repeats=3 if quick else 1)
    made = timed(lambda: EraFactor.of(block).neutralise(values))
    at_hand = timed(lambda: factor.neutralise(values))
    return [
        Row(f"neutralise an era, {size}", made, peer, theirs),
        Row(f"the same, its factor at hand, {size}", at_hand, peer, theirs),
    ]


def print_per_model(rows: list[Row], predictions: int) -> None:
    """Prints the cost of one model once the factor is computed."""
    for row in rows[1:]:
        share = 1000 * row.ours.cpu_seconds / predictions
        print(
            f"{row.what}: {share:.1f} ms per model, {1000 * row.theirs.cpu_seconds / predictions:.0f} ms by {row.peer}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 6000), ("features", 2748), ("predictions", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    found = measure(False, **vars(options))
    print_rows(found)
    print_per_model(found, options.predictions)
