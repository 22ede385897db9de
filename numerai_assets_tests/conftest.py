"""What many tests need: the folder of real data, a clean environment, panels made of plain arrays."""

import os

# Two workers of the suite share two cores; one thread each is what they have.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import hypothesis
import numpy as np
import pytest
from filelock import FileLock

from numerai_assets.panel.panel import EraPanel
from numerai_assets.sandbox.world.history import World

# What a build says follows from its commit alone; `HYPOTHESIS_PROFILE=default pytest` looks for new examples.
# No example fails, and none is given up, because the machine is busy.
hypothesis.settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# anyio imports its modules when they are first asked for, and pytest rewrites them as those of a plugin: in the thread of a
# server that is a race, for CPython 3.11 parses in one thread at a time ("AST constructor recursion depth mismatch").
for _name in dir(anyio):
    getattr(anyio, _name)

SHARED_DATA_VARIABLE = "NUMERAI_ASSETS_SHARED_DATA"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data files; a test that needs it is skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get(SHARED_DATA_VARIABLE, default))
    if not folder.is_dir():
        pytest.skip(f"no real data: set {SHARED_DATA_VARIABLE} to its folder, or lay it at {default}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No setting or key of the machine reaches a test."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("NUMERAI_", "DAGSTER_")) and name != SHARED_DATA_VARIABLE:
                environment.delenv(name)
        environment.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield


MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Makes a folder of a name once for all workers of the suite. It is read only: take a copy to change it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder = base / name
        with FileLock(base / f".{name}.lock"):
            if not folder.is_dir():
                begun = base / f".{name}.begun"
                shutil.rmtree(begun, ignore_errors=True)
                fill(begun)
                begun.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_world(made_once: MakeOnce) -> Path:
    """Folder of a new tiny World, whose server was never started. It is read only: take a copy to start one."""
    return made_once("tiny-world", lambda folder: World.create(folder, size="tiny", seed=0))


MakePanel = Callable[..., EraPanel]


@pytest.fixture
def make_panel() -> MakePanel:
    """Makes a seeded panel: features 0..4, a target that depends on the first feature, ids unique."""

    def make(eras: list[int], rows: int = 50, features: int = 8, seed: int = 0, signal: float = 1.0) -> EraPanel:
        blocks, ids, targets = [], [], []
        for era in eras:
            rng = np.random.default_rng([seed, era])
            block = rng.integers(0, 5, (features, rows), dtype=np.int8)
            score = signal * block[0] + rng.normal(size=rows)
            cuts = np.quantile(score, [0.05, 0.25, 0.75, 0.95])
            blocks.append(block)
            ids.append(np.array([f"n{era:04d}{row:011x}" for row in range(rows)], object))
            targets.append((np.searchsorted(cuts, score) / 4).astype(np.float32))
        names = tuple(f"feature_{i}" for i in range(features))
        return EraPanel(tuple(blocks), names, tuple(eras), tuple(ids), {"target_ender_60": tuple(targets)})

    return make
