"""The ensemble of boosted trees compared with the benchmark on a planted market: CORR and cost.

    python -m benchmarks.mixer_boosting --eras 120 --rows 500 --features 100

Each variant runs in a process of its own on the same synthetic eras, whose payoffs drift about a mean, with the parameters of
`quick`. CORR is the mean correlation with the target over as many eras after the wall. Differences to the benchmark and to
`quick`, and their standard errors, are computed era by era. "grown on": fitted on the first three quarters of the eras, then
extended on all of them by a third of the trees, like a vintage that warm-starts from an earlier one.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.table import in_process
from numerai_assets.eras import Wall, era_label, first_vintage_with
from numerai_assets.methods.contract import Extensible
from numerai_assets.methods.registry import method_class
from numerai_assets.store.era_store import EraStore

TARGET = "target_ender_60"
GROWN_ON = "quick, grown on"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "benchmark": ("benchmark", {}),
    "benchmark, every era": ("benchmark", {"every_eras": 1}),
    "quick": ("mixer_boosting", {}),
    "quick, era_corr": ("mixer_boosting", {"objective": "era_corr"}),
    "quick, sharpe": ("mixer_boosting", {"objective": "sharpe"}),
    "quick, era boosting": ("mixer_boosting", {"boosting_rounds": 4}),
    "quick, four batches": ("mixer_boosting", {"batches": 4}),
    "quick, four batches once": ("mixer_boosting", {"batches": 4, "passes": 1}),
    GROWN_ON: ("mixer_boosting", {"n_estimators": 750, "extend_share": 1 / 3}),
    "quick, goss": ("mixer_boosting", {"boosters": ["goss"]}),
    "quick, dart": ("mixer_boosting", {"boosters": ["dart"]}),
    "quick, xgboost": ("mixer_boosting", {"boosters": ["xgboost"]}),
}


def make_eras(folder: Path, eras: int, rows: int, features: int) -> None:
    """Writes eras 1 to `eras`, a third of whose features pay, with a correlation of about 0.1 at best."""
    store, names = EraStore(folder), [f"feature_{i}" for i in range(features)]
    mean = np.random.default_rng(0).normal(size=features) * (np.arange(features) < features // 3)
    for era in range(1, eras + 1):
        rng = np.random.default_rng([1, era])
        values = rng.integers(0, 5, (rows, features), dtype=np.int8)
        paid = (values - 2.0) @ (mean + rng.normal(size=features) * (mean != 0))
        score = 0.1 * paid / paid.std() + rng.normal(size=rows)
        target = np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4
        key = era_label(era)
        ids = [f"n{era:04d}{row:011x}" for row in range(rows)]
        frame = pd.DataFrame({TARGET: target.astype(np.float32)})
        store.write_era(key, era=era, ids=ids, features=values, feature_names=names, targets=frame, targets_as_of=eras)
        store.write_cleaned(key, values, strategy="median")


def fit(folder: Path, way: str, vintage: int) -> None:
    """Fits one variant on the eras before the wall and stores the correlation in each later era."""
    name, parameters = WAYS[way]
    # The planted market has one target.
    alone: dict[str, Any] = {"extra_targets": []} if name == "mixer_boosting" else {}
    store, method = EraStore(folder), method_class(name).of_profile("quick", **alone, **parameters).run_on(threads=1)
    panel = store.fit_panel(Wall(vintage, 60), target=TARGET, every=method.every_eras)
    if way == GROWN_ON:
        method.fit(panel.with_eras(panel.eras[: len(panel.eras) * 3 // 4]), target=TARGET, seed=0)
        assert isinstance(method, Extensible)
        method.extend(panel, target=TARGET, seed=0)
    else:
        method.fit(panel, target=TARGET, seed=0)
    later = store.panel([era_label(era) for era in store.eras() if era > vintage], targets=[TARGET])
    found = [np.corrcoef(method.predict(era), era.target(TARGET))[0, 1] for era in later.each_era()]
    np.save(folder / f"{way}.npy", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("eras", 120), ("rows", 500), ("features", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=WAYS, nargs="*", default=list(WAYS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, vintage = Path(place), first_vintage_with(options.eras, 60)
        make_eras(folder, vintage + options.eras, options.rows, options.features)
        print(f"{'way':<26}{'CORR':>8}{'to benchmark':>14}{'+-':>8}{'to quick':>10}{'+-':>8}{'CPU s':>8}{'MB':>6}")
        found: dict[str, NDArray[np.float64]] = {}
        for way in options.only:
            cost = in_process(fit, folder, way, vintage)
            found[way] = np.load(folder / f"{way}.npy")
            print(
                f"{way:<26}{found[way].mean():>8.4f}{_apart(found, way, 'benchmark'):>22}{_apart(found, way, 'quick'):>18}"
                f"{cost.cpu_seconds:>8.1f}{cost.anonymous / 1e6:>6.0f}",
                flush=True,
            )


def _apart(found: dict[str, NDArray[np.float64]], way: str, other: str) -> str:
    """Mean difference and its standard error; empty if the other was not measured or is the variant itself."""
    if way == other or other not in found:
        return ""
    apart = found[way] - found[other]
    return f"{apart.mean():+.4f}{apart.std(ddof=1) / np.sqrt(len(apart)):>8.4f}"


if __name__ == "__main__":
    main()
