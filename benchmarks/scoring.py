"""Scoring many predictions over many eras: CORR and MMC on two targets, against one era of pandas at a time.

    python -m benchmarks.scoring --eras 20 --rows 6000 --predictions 50

`numerai-tools` calls its `numerai_corr` and `correlation_contribution` in a loop over the eras; `pandas` is the loop
many notebooks have: rank, normal quantile and correlation by frame methods, CORR alone.
"""

import argparse

import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, numerai_corr
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.evaluation.metrics import Score, score_eras

Array = NDArray[np.float64]
REPEATS = 3


def made_up(eras: int, rows: int, predictions: int) -> tuple[Array, list[int], dict[str, Array], Array]:
    """Predictions (n, m), a quarter of their columns tied, rows of each era, two targets (n,), a meta model (n,)."""
    rng = np.random.default_rng(0)
    n = eras * rows
    guesses = rng.random((n, predictions))
    tied = slice(0, predictions // 4)
    guesses[:, tied] = np.floor(guesses[:, tied] * 1000) / 1000
    targets = {name: rng.choice([0, 0.25, 0.5, 0.75, 1], n, p=[0.05, 0.2, 0.5, 0.2, 0.05]) for name in ("60", "20")}
    return guesses, [rows] * eras, targets, rng.random(n)


def ours(guesses: Array, rows_of_era: list[int], targets: dict[str, Array], meta: Array) -> dict[str, Array]:
    wanted = {f"corr{name}": Score(target) for name, target in targets.items()}
    wanted |= {f"mmc{name}": Score(target, meta) for name, target in targets.items()}
    return score_eras(guesses, rows_of_era, wanted)


def by_numerai_tools(
    guesses: Array, rows_of_era: list[int], targets: dict[str, Array], meta: Array
) -> dict[str, Array]:
    scores: dict[str, list[Array]] = {f"{score}{name}": [] for score in ("corr", "mmc") for name in targets}
    for era in range(len(rows_of_era)):
        place = slice(sum(rows_of_era[:era]), sum(rows_of_era[: era + 1]))
        ids = pd.Index([f"n{row:06d}" for row in range(rows_of_era[era])])
        frame, model = pd.DataFrame(guesses[place], ids), pd.Series(meta[place], ids, name="meta")
        for name, target in targets.items():
            aim = pd.Series(target[place], ids, name="target")
            scores[f"corr{name}"].append(numerai_corr(frame, aim).to_numpy())
            scores[f"mmc{name}"].append(correlation_contribution(frame, model, aim).to_numpy())
    return {name: np.stack(values) for name, values in scores.items()}


def by_pandas(guesses: Array, rows_of_era: list[int], target: Array) -> Array:
    era = np.repeat(np.arange(len(rows_of_era)), rows_of_era)
    frame = pd.DataFrame(guesses).assign(era=era, target=target)

    def of_era(rows: pd.DataFrame) -> "pd.Series[float]":
        values = rows.drop(columns=["era", "target"])
        gauss = pd.DataFrame(norm.ppf((values.rank() - 0.5) / len(values)), values.index)
        centred = rows["target"] - rows["target"].mean()
        aim = np.sign(centred) * centred.abs() ** 1.5
        return gauss.transform(lambda column: np.sign(column) * column.abs() ** 1.5).corrwith(aim)

    return np.stack([of_era(rows).to_numpy() for _, rows in frame.groupby("era")])


def measure(
    quick: bool, *, eras: int | None = None, rows: int | None = None, predictions: int | None = None
) -> list[Row]:
    """Rows of the table. RuntimeError when the ways disagree by more than 1e-9."""
    eras, rows, predictions = eras or (3 if quick else 20), rows or 6000, predictions or 50
    guesses, rows_of_era, targets, meta = made_up(eras, rows, predictions)
    mine, theirs = ours(guesses, rows_of_era, targets, meta), by_numerai_tools(guesses, rows_of_era, targets, meta)
    apart = max(float(np.abs(mine[name] - theirs[name]).max()) for name in theirs)
    alone = score_eras(guesses, rows_of_era, {"corr": Score(targets["60"])})["corr"]
    apart = max(apart, float(np.abs(alone - by_pandas(guesses, rows_of_era, targets["60"])).max()))
    if not apart < 1e-9:
        raise RuntimeError(f"scores differ by {apart:.2g}")
    size = f"{eras} eras x {rows:,} x {predictions} predictions"
    return [
        Row(
            f"CORR and MMC, 2 targets, {size}",
            timed(lambda: ours(guesses, rows_of_era, targets, meta), repeats=REPEATS),
            f"{package('numerai-tools')}, era by era",
            timed(lambda: by_numerai_tools(guesses, rows_of_era, targets, meta), repeats=1 if not quick else REPEATS),
        ),
        Row(
            f"CORR, {size}",
            timed(lambda: score_eras(guesses, rows_of_era, {"corr": Score(targets["60"])}), repeats=REPEATS),
            f"{package('pandas')}, era by era",
            timed(lambda: by_pandas(guesses, rows_of_era, targets["60"]), repeats=1 if not quick else REPEATS),
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 5), ("rows", 6000), ("predictions", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
