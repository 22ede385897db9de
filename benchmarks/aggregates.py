"""Aggregates of feature groups, pair search and filling from nearest rows at the size of v5.3, compared with common tools.

    python -m benchmarks.aggregates --rows 6000 --features 3555

Seconds are those of 100 eras, extrapolated from a few; work on one era does not depend on others. Two of the peers take
minutes per era, so they run on fewer features or rows, and ours runs on the same.
"""

import argparse
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_selection import f_regression
from sklearn.impute import KNNImputer
from sklearn.preprocessing import PolynomialFeatures

from benchmarks.table import Cost, Row, package, print_rows, timed
from numerai_assets.features.cleaning.knn import filled_from_nearest_rows
from numerai_assets.features.fitting.levels import row_level_counts
from numerai_assets.features.learned.pair_search import EraCells, best_pairs
from numerai_assets.features.per_era.aggregates import group_statistics
from numerai_assets.panel.targets import standardised

Block = NDArray[np.int8]

ERAS = 100


def group_edges(features: int) -> list[int]:
    """Edges of thirteen groups of features with about the sizes of v5.3."""
    sizes = np.array([290, 35, 135, 51, 335, 140, 145, 95, 325, 666, 244, 372, 722])
    return [0, *np.rint(np.cumsum(sizes) / sizes.sum() * features).astype(int)]


def by_pandas(frame: pd.DataFrame, edges: list[int]) -> NDArray[np.float64]:
    """(13, 5, n): a row's mean, deviation, skewness and share of extremes in each group, and the rank of its mean."""
    found = []
    for start, stop in pairwise(edges):
        group = frame.iloc[:, start:stop]
        mean, count = group.mean(axis=1), stop - start
        # pandas computes the skewness of a sample; the columns contain that of the population.
        skewness = group.skew(axis=1) * (count - 2) / np.sqrt(count * (count - 1))
        extremes = group.isin([0, 4]).mean(axis=1)
        found.append([mean, group.std(axis=1, ddof=0), skewness, extremes, 2 * (mean.rank() - 0.5) / len(mean) - 1])
    return np.array(found)


def search(block: Block, target: NDArray[np.float64], pairs: int) -> NDArray[np.intp]:
    era = EraCells(block, standardised(target))
    return best_pairs([[lambda: era]], len(block), pairs, lambda: None)


def by_scikit_learn(features: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """F of every product of two centred features, in scikit-learn's order."""
    products = PolynomialFeatures(2, interaction_only=True, include_bias=False).fit_transform(features)
    return np.asarray(f_regression(products[:, features.shape[1] :], target)[0])


def gapped(block: Block, share: float) -> Block:
    made = block.copy()
    made[np.random.default_rng(1).random(block.shape) < share] = -1
    return made


def of_hundred(cost: Cost) -> Cost:
    """Cost of 100 eras from that of one; memory is that of one, because one era is in memory at a time."""
    return replace(cost, seconds=ERAS * cost.seconds, cpu_seconds=ERAS * cost.cpu_seconds)


def measure(quick: bool, *, rows: int | None = None, features: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when the results differ."""
    rows, features = rows or (3000 if quick else 6000), features or (900 if quick else 3555)
    rng = np.random.default_rng(0)
    block = rng.integers(0, 5, (features, rows), dtype=np.int8)
    repeats = 3 if quick else 1
    return [
        _aggregating(block, repeats),
        _searching(block[: 60 if quick else 120], rng.normal(size=rows), repeats),
        _filling(gapped(block[: features // 3, : rows // 3], 0.01), repeats),
    ]


def _aggregating(block: Block, repeats: int) -> Row:
    edges = group_edges(len(block))
    places = [np.arange(start, stop) for start, stop in pairwise(edges)]
    frame = pd.DataFrame(np.ascontiguousarray(block.T))
    apart = np.abs(group_statistics(row_level_counts(block, places)) - by_pandas(frame, edges))
    # Floats that should be equal may get different ranks in pandas.
    if not (apart[:, :4].max() < 1e-9 and np.median(apart[:, 4]) < 1e-9):
        raise RuntimeError(f"statistics of groups differ by {apart.max(axis=(0, 2))}")
    return Row(
        f"13 groups x 5 statistics, {ERAS} eras x {block.shape[1]:,} x {len(block)} (of 1)",
        of_hundred(timed(lambda: group_statistics(row_level_counts(block, places)))),
        f"{package('pandas')} by rows",
        of_hundred(timed(lambda: by_pandas(frame, edges), repeats=repeats)),
    )


def _searching(block: Block, noise: NDArray[np.float64], repeats: int) -> Row:
    target = noise + 0.5 * (block[3] - 2.0) * (block[7] - 2.0)
    features = (block.T - 2).astype(np.float32)
    pair = search(block, target, 1)[0].tolist()
    order = [(a, b) for a in range(len(block)) for b in range(a + 1, len(block))]
    if order[int(by_scikit_learn(features, target).argmax())] != tuple(pair):
        raise RuntimeError(f"the best pair of the two ways differs; ours is {pair}")
    return Row(
        f"search of all pairs, {ERAS} eras x {block.shape[1]:,} x {len(block)} (of 1)",
        of_hundred(timed(lambda: search(block, target, 64))),
        f"{package('scikit-learn')} PolynomialFeatures, f_regression",
        of_hundred(timed(lambda: by_scikit_learn(features, target), repeats=repeats)),
    )


def _filling(block: Block, repeats: int) -> Row:
    numbers = np.where(block < 0, np.nan, block).astype(np.float32).T
    if (filled_from_nearest_rows(block) != np.rint(KNNImputer().fit_transform(numbers)).T).any():
        raise RuntimeError("levels filled from nearest rows differ from KNNImputer's")
    return Row(
        f"1 % gaps from nearest rows, {ERAS} eras x {block.shape[1]:,} x {len(block)} (of 1)",
        of_hundred(timed(lambda: filled_from_nearest_rows(block))),
        f"{package('scikit-learn')} KNNImputer",
        of_hundred(timed(lambda: KNNImputer().fit_transform(numbers), repeats=repeats)),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 6000), ("features", 3555)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
