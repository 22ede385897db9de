"""The quick set of all benchmarks as one table: `python -m benchmarks.run --out docs/benchmarks.md`, under ten minutes.

Every row is one task, done by this project and by a named peer in the same run, after a check that both compute the same.
"""

import argparse
import importlib
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from benchmarks.table import Row, print_rows
from numerai_assets.store.atomic import replacing_file

MODULES = (
    "fit_memory",
    "era_store",
    "scoring",
    "neutralising",
    "levels",
    "aggregates",
    "loading",
    "increment",
    "look_alikes",
    "momentum_blocks",
    "learned_blocks",
    "price_momentum",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table as Markdown")
    parser.add_argument("--only", choices=MODULES, nargs="*", default=MODULES)
    parser.add_argument(
        "--full", action="store_true", help="use the sizes of v5.3 for tasks that take minutes, not hours"
    )
    options = parser.parse_args()
    began, rows = time.monotonic(), []
    # Threads that spin while they wait for each other would count as CPU seconds on both sides.
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for name in tqdm(options.only, unit="benchmark"):
            rows += importlib.import_module(f"benchmarks.{name}").measure(not options.full)
    print_rows(rows)
    if options.out is not None:
        with replacing_file(options.out) as aside:
            aside.write_text(_markdown(rows, time.monotonic() - began), encoding="utf-8")
        print(options.out)


def machine() -> str:
    """Processor, cores and memory, as far as the system reports them."""
    names = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{processor}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _markdown(rows: Sequence[Row], seconds: float) -> str:
    head = (
        "# Benchmarks\n\n"
        f"`make benchmarks` made this table in {seconds / 60:.1f} minutes on {machine()}.\n"
        "Seconds are median CPU seconds. The ratio is the peer's seconds divided by ours. MB are the peak of anonymous "
        "memory beyond that before the call.\n\n"
        "| what | peer | ours, s | peer, s | ratio | ours, MB | peer, MB |\n|---|---|---|---|---|---|---|\n"
    )
    lines = [
        f"| {row.what} | {row.peer} | {row.ours.cpu_seconds:.3g} | {row.theirs.cpu_seconds:.3g} | **{row.ratio:.1f}** "
        f"| {row.ours.anonymous / 1e6:.0f} | {row.theirs.anonymous / 1e6:.0f} |\n"
        for row in rows
    ]
    return head + "".join(lines)


if __name__ == "__main__":
    main()
