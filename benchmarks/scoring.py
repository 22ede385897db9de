"""Scoring many predictions over many eras, compared with pandas, one era at a time.

    python -m benchmarks.scoring --eras 20 --rows 6000 --predictions 50
    python -m benchmarks.scoring --eras 600 --rows 6000 --predictions 10

`numerai-tools` calls its functions era by era in a groupby: `numerai_corr` and `correlation_contribution` on two targets,
and, for all scores that need no features, also `spearman_correlation`, and `numerai_corr` with the meta model for CWMM.
`pandas` is the groupby of many notebooks: rank, normal quantile and correlation by frame methods, for CORR only.
"""

import argparse
import functools

import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, numerai_corr, spearman_correlation
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.table import Row, package, print_rows, timed
from numerai_assets.evaluation.metrics import Kind, Score, score_eras

Array = NDArray[np.float64]
REPEATS = 3


def made_up(eras: int, rows: int, predictions: int) -> tuple[Array, list[int], dict[str, Array], Array]:
    """Predictions (n, m), a quarter of the columns with ties, rows of each era, two targets (n,), a meta model (n,)."""
    rng = np.random.default_rng(0)
    n = eras * rows
    guesses = rng.random((n, predictions))
    tied = slice(0, predictions // 4)
    guesses[:, tied] = np.floor(guesses[:, tied] * 1000) / 1000
    targets = {name: rng.choice([0, 0.25, 0.5, 0.75, 1], n, p=[0.05, 0.2, 0.5, 0.2, 0.05]) for name in ("60", "20")}
    return guesses, [rows] * eras, targets, rng.random(n)


def ours(
    guesses: Array, rows_of_era: list[int], targets: dict[str, Array], meta: Array, *, every: bool = False
) -> dict[str, Array]:
    """CORR and MMC with each target; if `every`, also Spearman with each target, and CWMM."""
    wanted = {f"corr{name}": Score(target) for name, target in targets.items()}
    wanted |= {f"mmc{name}": Score(target, meta) for name, target in targets.items()}
    if every:
        wanted |= {f"spearman{name}": Score(target, kind=Kind.SPEARMAN) for name, target in targets.items()}
        wanted["cwmm"] = Score(meta, kind=Kind.CWMM)
    return score_eras(guesses, rows_of_era, wanted)


def by_numerai_tools(
    guesses: Array, rows_of_era: list[int], targets: dict[str, Array], meta: Array, *, every: bool = False
) -> dict[str, Array]:
    era = np.repeat(np.arange(len(rows_of_era)), rows_of_era)
    table = pd.DataFrame(guesses, [f"n{row:08d}" for row in range(len(guesses))])
    extra = pd.DataFrame({"era": era, "meta": meta, **targets}, table.index)
    scores: dict[str, list[Array]] = {}
    for _, rows in pd.concat([table, extra], axis=1).groupby("era"):
        frame, model = rows[list(table)], rows["meta"]
        found = {f"corr{name}": numerai_corr(frame, rows[name]) for name in targets}
        found |= {f"mmc{name}": correlation_contribution(frame, model, rows[name]) for name in targets}
        if every:
            found["cwmm"] = numerai_corr(frame, model, target_pow15=False)
            for name in targets:
                of_target = functools.partial(spearman_correlation, rows[name])
                found[f"spearman{name}"] = frame.apply(of_target)
        for score, values in found.items():
            scores.setdefault(score, []).append(values.to_numpy())
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
    """Rows of the table. Raises RuntimeError when the results differ by more than 1e-9."""
    eras, rows, predictions = eras or (3 if quick else 20), rows or 6000, predictions or 50
    guesses, rows_of_era, targets, _ = inputs = made_up(eras, rows, predictions)
    mine, theirs = ours(*inputs, every=True), by_numerai_tools(*inputs, every=True)
    apart = max(float(np.abs(mine[name] - theirs[name]).max()) for name in theirs)
    alone = score_eras(guesses, rows_of_era, {"corr": Score(targets["60"])})["corr"]
    apart = max(apart, float(np.abs(alone - by_pandas(guesses, rows_of_era, targets["60"])).max()))
    if not apart < 1e-9:
        raise RuntimeError(f"scores differ by {apart:.2g}")
    size = f"{eras} eras x {rows:,} x {predictions} predictions"
    peer, again = f"{package('numerai-tools')}, era by era", REPEATS if quick else 1
    return [
        Row(
            f"CORR and MMC, 2 targets, {size}",
            timed(lambda: ours(*inputs), repeats=REPEATS),
            peer,
            timed(lambda: by_numerai_tools(*inputs), repeats=again),
        ),
        Row(
            f"and Spearman and CWMM, {size}",
            timed(lambda: ours(*inputs, every=True), repeats=REPEATS),
            peer,
            timed(lambda: by_numerai_tools(*inputs, every=True), repeats=again),
        ),
        Row(
            f"CORR, {size}",
            timed(lambda: score_eras(guesses, rows_of_era, {"corr": Score(targets["60"])}), repeats=REPEATS),
            f"{package('pandas')}, era by era",
            timed(lambda: by_pandas(guesses, rows_of_era, targets["60"]), repeats=again),
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 5), ("rows", 6000), ("predictions", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print_rows(measure(False, **vars(parser.parse_args())))
