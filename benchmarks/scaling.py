"""Growth of time and memory: convert, clean, fit, predict and score at 1 to 8 times the rows and 1 to 4 times the features.

    python -m benchmarks.scaling                       # quick
    python -m benchmarks.scaling --eras 20 --rows 2000 --features 400

An exponent is the slope of log cost over log size, fitted over the sizes: 1 is linear, 0 is constant. Rows grow as in
practice, by more eras. Every step runs in a process of its own; memory is anonymous, beyond the imports.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.full_v53 import convert_file
from benchmarks.table import Cost, in_process
from numerai_assets.eras import Wall, era_label
from numerai_assets.evaluation.metrics import corr
from numerai_assets.features.fitting.levels import scaled
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.sandbox.full_release.shape import FullShape
from numerai_assets.sandbox.full_release.write import write_full_release
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import TRAIN, Release

TARGET = "target_ender_60"
# The training file ends with era 574; all its targets are known when era 588 is the newest.
LAST_ERA, NEWEST_ERA, TREES = 574, 588, 20


def convert(folder: Path) -> None:
    release = Release(folder / "release" / "v5.3")
    features, targets = release.features()["all"], release.targets()
    convert_file(EraStore(folder / "store"), release.path(TRAIN), features, targets)


def features(folder: Path) -> None:
    """Ranks of every feature within the era, the input of methods that need floats."""
    store = EraStore(folder / "store")
    for era in store.eras():
        scaled(store.panel([era_label(era)]).blocks[0], "rank")


def fit(folder: Path) -> None:
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    Benchmark(n_estimators=TREES, every_eras=1).run_on(threads=1).fit(panel, target=TARGET, seed=0).save(folder)


def fit_from_disk(folder: Path) -> None:
    store = EraStore(folder / "store")
    panel = store.fit_panel(Wall(store.newest_era() + 16, 60), target=TARGET)
    ExternalBoosting(n_estimators=TREES // 4, every_eras=1).run_on(threads=1).fit(panel, target=TARGET, seed=0)


def predict(folder: Path) -> None:
    store, model = EraStore(folder / "store"), Benchmark.load(folder)
    for era in store.eras():
        prediction = model.predict(store.panel([era_label(era)]))
        np.save(folder / f"{era}.npy", prediction)


def score(folder: Path) -> None:
    store = EraStore(folder / "store")
    for era in store.eras():
        target = store.panel([era_label(era)], targets=[TARGET]).target(TARGET).astype(np.float64)
        corr(np.load(folder / f"{era}.npy")[:, None].astype(np.float64), target)


STEPS: dict[str, Callable[[Path], None]] = {
    "convert": convert,
    "features": features,
    "fit": fit,
    "fit from disk": fit_from_disk,
    "predict": predict,
    "score": score,
}


def costs(eras: int, rows_share: float, features: int) -> tuple[int, dict[str, Cost]]:
    """Rows, and the cost of every step on them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shape = FullShape(LAST_ERA + 1 - eras, NEWEST_ERA, features, rows_share)
        write_full_release(folder / "release", shape=shape, rows_per_group=10_000)
        found = {name: in_process(step, folder) for name, step in STEPS.items()}
        return sum(record.rows for record in EraStore(folder / "store").records().values()), found


def exponent(sizes: list[float], values: list[float]) -> float:
    """Slope of log value over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eras", type=int, default=16)
    parser.add_argument("--rows-share", type=float, default=0.15, help="share of the real rows of an era")
    parser.add_argument("--features", type=int, default=200)
    options = parser.parse_args()
    for what, factors in (("rows", (1, 2, 4, 8)), ("features", (1, 2, 4))):
        at = {
            factor: costs(
                options.eras * (factor if what == "rows" else 1),
                options.rows_share,
                options.features * (factor if what == "features" else 1),
            )
            for factor in factors
        }
        rows, found = {f: r for f, (r, _) in at.items()}, {f: cost for f, (_, cost) in at.items()}
        sizes = [float(rows[factor] if what == "rows" else factor) for factor in factors]
        table = pd.DataFrame(
            {
                name: {
                    **{f"{factor}x CPU s": found[factor][name].cpu_seconds for factor in factors},
                    "exponent, time": exponent(sizes, [found[f][name].cpu_seconds for f in factors]),
                    **{f"{factor}x MB": found[factor][name].anonymous / 1e6 for factor in factors},
                    "exponent, memory": exponent(sizes, [found[f][name].anonymous for f in factors]),
                }
                for name in STEPS
            }
        ).T
        counts = ", ".join(f"{count:,}" for count in rows.values())
        at_once = f"{options.eras} eras, {options.rows_share:g} of the rows, {options.features} features at 1x"
        print(f"\n{what}: {counts} rows ({at_once})")
        print(table.to_string(float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
