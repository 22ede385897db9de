"""Scores of the methods compared with the benchmark: whole weekly jobs on several synthetic markets, era by era.

    python -m benchmarks.methods_on_markets --folder DIR                      # five markets, about an hour
    python -m benchmarks.methods_on_markets --folder DIR --methods momentum_ensemble --market-seeds 1 2
    python -m benchmarks.methods_on_markets --folder DIR --prices panel.parquet   # one market of real prices

Each market is a sandbox of its own in `--folder`. The unmodified weekly job fetches, stores, fits every vintage and scores its
out-of-sample predictions, all methods on the same eras with the same walls. A market that exists already is not run again.
The difference to the benchmark is computed in each era; its Newey-West error accounts for overlapping targets. Markets are
independent, so the error of their mean is the root of the summed squared errors over their number, or the standard error
computed from the differences between markets if that is larger.

The methods' defaults were tried on markets 0, 10 and 11, so these are not reported.
"""

import argparse
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from numerai_assets.evaluation.comparison import compare
from numerai_assets.evaluation.uncertainty import estimate
from numerai_assets.pipeline.diagnostics import read_scores
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import SETTINGS_FILE_VARIABLE, load_settings

BASELINE = "benchmark"
BLOCKS = {
    # payoff_panel has too few eras before the first vintages; benchmarks/blocks_of_methods.py measures each block.
    "mixer_boosting": ("group_payoffs",),
    "momentum_ensemble": ("target_momentum", "network_momentum", "trajectory_changes", "group_payoffs"),
}
# Blocks that others read; no method uses their own columns.
_READ = ("look_alikes",)
_SLOTS = ("sandbox_one", "sandbox_two", "sandbox_three")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Difference:
    """Difference of one method to the benchmark on one market: mean over eras, Newey-West error, number of eras."""

    mean: float
    error: float
    eras: int


def settings_text(methods: Sequence[str], market_seed: int, port: int, prices: Path | None) -> str:
    """A numerai.toml of a market on which the benchmark and the methods are fitted."""
    everyone = [BASELINE, *methods]
    blocks = dict.fromkeys(block for method in methods for block in BLOCKS[method])
    market = f'market = "prices"\nprices = "{prices}"\n' if prices else f"seed = {market_seed}\n"
    parts = ["[slots]", *(f'{slot} = "{method}"' for slot, method in zip(_SLOTS, everyone, strict=False))]
    parts += [f"[features.{block}]\non = true" for block in [*_READ, *blocks]] if blocks else []
    parts += [f"[methods.{method}]\nblocks = {list(BLOCKS.get(method, ()))}" for method in everyone]
    # Only vintages of history: the live one between them has almost no out-of-sample eras.
    parts += ["[retrain]", "every_eras = 52"]
    return "\n".join([*parts, "[sandbox]", f"port = {port}", market])


def run_market(folder: Path, methods: Sequence[str], market_seed: int, prices: Path | None) -> None:
    """Runs the weekly job on one market in the empty `folder`; its output is stored there as weekly.log."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "numerai.toml").write_text(settings_text(methods, market_seed, port, prices), encoding="utf-8")
    (folder / "dagster.yaml").write_text((_ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with (folder / "weekly.log").open("w", encoding="utf-8") as log:
        subprocess.run(
            [sys.executable, "-m", "numerai_assets.cli.main", "weekly", "--with-sandbox"],
            cwd=folder,
            env=os.environ | {SETTINGS_FILE_VARIABLE: str(folder / "numerai.toml"), "PYTHONPATH": str(_ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )


def scores_of(folder: Path, methods: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Per-era scores of the benchmark and the methods on one market."""
    os.environ[SETTINGS_FILE_VARIABLE] = str(folder / "numerai.toml")
    workspace = Workspace(load_settings(home=folder / "data"))
    return {method: read_scores(workspace, method) for method in (BASELINE, *methods)}


def difference(scores: dict[str, pd.DataFrame], method: str, name: str) -> Difference:
    """Difference of a per-era score on the eras that both have. Raises ScoringError for fewer than 26 eras."""
    found = compare(scores[method][name], scores[BASELINE][name], horizon=60, seed=0, least_eras=26).difference
    return Difference(found.mean, found.error, found.eras)


def over_markets(found: Sequence[Difference]) -> Difference:
    """Mean difference over independent markets; its error is the larger of those from eras and from markets."""
    means, errors = np.array([item.mean for item in found]), np.array([item.error for item in found])
    of_eras = math.sqrt((errors**2).sum()) / len(found)
    of_markets = float(means.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    return Difference(float(means.mean()), max(of_eras, of_markets), sum(item.eras for item in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=sorted(BLOCKS), default=sorted(BLOCKS))
    parser.add_argument("--market-seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--prices", type=Path, help="a daily price panel: one market of real prices instead")
    options = parser.parse_args()
    prices: Path | None = options.prices.resolve() if options.prices else None
    seeds = [0] if prices else options.market_seeds
    markets = []
    for seed in seeds:
        folder = (options.folder / ("prices" if prices else f"market-{seed}")).resolve()
        if not (folder / "done").is_file():
            began = time.perf_counter()
            run_market(folder, options.methods, seed, prices)
            (folder / "done").touch()
            print(f"{folder.name}: {time.perf_counter() - began:.0f} s", flush=True)
        markets.append((folder.name, scores_of(folder, options.methods)))

    print(f"\n{'market':<12}{'method':<20}{'eras':>6}{'CORR60':>10}{'+-':>8}{'less benchmark':>16}{'+-':>8}")
    for name, scores in markets:
        for method, frame in scores.items():
            known = frame["corr60"].dropna()
            own = estimate(known.to_numpy(float), horizon=60, eras=known.index)
            against = difference(scores, method, "corr60") if method != BASELINE else None
            shown = f"{against.mean:>+16.4f}{against.error:>8.4f}" if against else ""
            print(f"{name:<12}{method:<20}{own.eras:>6}{own.mean:>+10.4f}{own.error:>8.4f}{shown}")
    for method in options.methods:
        for score in ("corr60", "spearman60", "mmc60", "bmc60"):
            pooled = over_markets([difference(scores, method, score) for _, scores in markets])
            print(
                f"{method}: {score} less the benchmark's, {len(markets)} markets, {pooled.eras} eras: {pooled.mean:+.4f} "
                f"+- {pooled.error:.4f}, {pooled.mean / max(pooled.error, 1e-12):+.1f} standard errors"
            )


if __name__ == "__main__":
    main()
