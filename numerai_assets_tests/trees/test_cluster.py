"""A fit on a real Dask cluster of two worker processes: the trees of one machine, and one error when it breaks."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.eras import Wall, era_label
from numerai_assets.errors import MethodError
from numerai_assets.execution import LOCAL
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.external_boosting import ExternalBoosting
from numerai_assets.methods.mixer_boosting.estimator import MixerBoosting
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.vintages import fit_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import silent
from numerai_assets.settings import MethodSettings, load_settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import FEATURES
from numerai_assets.trees.cluster import Patience, on_cluster, shares_of, threads_of
from numerai_assets_tests.store.stored_eras import write_era

TARGET = "target_ender_60"
NAMES = [f"feature_{i}" for i in range(12)]
NEWEST, VINTAGE = 46, 46
SMALL = {"n_estimators": 30, "learning_rate": 0.1, "colsample_bytree": 0.5, "every_eras": 1}
ENDLESS = SMALL | {"n_estimators": 10_000_000}

# In a process of its own, so that it can be killed as a whole.
CLUSTER = """
import dask
from distributed import LocalCluster
# A worker that is restarted on a busy machine is not given up.
dask.config.set({"distributed.deploy.lost-worker-timeout": "120s"})
with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0) as cluster:
    print(cluster.scheduler_address, flush=True)
    input()
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster on loopback. compute: its address, as settings have it."""

    process: subprocess.Popen[str]
    compute: str

    def workers(self) -> dict[str, int]:
        """Process of each worker."""
        from distributed import Client

        with Client(self.compute.replace("dask", "tcp"), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=600)
            return dict(client.run(os.getpid))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Cluster(process, process.stdout.readline().strip().replace("tcp", "dask"))
        # Leaving it waits for its end, which the last test has brought about already.
        process.kill()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EraStore:
    """Eras of different lengths, some cells without a value, some rows without a target."""
    store, rng = EraStore(tmp_path_factory.mktemp("stored")), np.random.default_rng(0)
    for era in range(1, NEWEST + 1):
        rows = int(rng.integers(60, 140))
        features = rng.integers(-1, 5, (rows, len(NAMES)), dtype=np.int8)
        score = features[:, 0] - features[:, 1] * (features[:, 2] > 2) + 3 * rng.normal(size=rows)
        target = np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score).astype(np.float32) / 4
        if era <= NEWEST - 16:
            target[rng.random(rows) < 0.05] = np.nan
        else:
            target[:] = np.nan if era > NEWEST - 13 else target
        write_era(store, era, features, NAMES, {TARGET: target})
        store.write_cleaned(era_label(era), features, strategy="keep")
    return store


@pytest.fixture
def panel(store: EraStore) -> EraPanel:
    return store.fit_panel(Wall(VINTAGE, 60), target=TARGET)


@pytest.mark.parametrize("method", [Benchmark, ExternalBoosting])
def test_a_fit_on_two_workers_predicts_as_one_on_this_machine(
    cluster: Cluster, panel: EraPanel, method: type[Benchmark] | type[ExternalBoosting]
) -> None:
    told: list[tuple[str, int, int]] = []
    here = method.of_profile("quick", **SMALL).fit(panel, target=TARGET, seed=3).predict(panel)
    there = method.of_profile("quick", **SMALL).run_on(compute=cluster.compute)

    there.fit(panel, target=TARGET, seed=3, progress=lambda *step: told.append(step))

    assert np.corrcoef(here, there.predict(panel))[0, 1] > 0.9999
    assert told[-1] == ("trees", 30, 30)


def test_members_of_an_ensemble_are_grown_by_the_workers_too(cluster: Cluster, panel: EraPanel) -> None:
    ensemble = {**SMALL, "phases": 2, "boosters": ["gbdt", "xgboost"], "extra_targets": []}
    here = MixerBoosting.of_profile("quick", **ensemble).fit(panel, target=TARGET, seed=3).predict(panel)
    there = MixerBoosting.of_profile("quick", **ensemble).run_on(compute=cluster.compute)

    assert np.corrcoef(here, there.fit(panel, target=TARGET, seed=3).predict(panel))[0, 1] > 0.999

    with pytest.raises(MethodError, match="a member that continues existing trees is grown on one machine"):
        there.extend(panel, target=TARGET, seed=3)
    there.objective = "era_corr"
    with pytest.raises(MethodError, match="a member that has an objective of its own is grown on one machine"):
        there.fit(panel, target=TARGET, seed=3)


@pytest.mark.parametrize("method", [Benchmark, ExternalBoosting])
def test_of_fewer_eras_than_workers_each_has_one(
    cluster: Cluster, panel: EraPanel, method: type[Benchmark] | type[ExternalBoosting]
) -> None:
    one = panel.with_eras(panel.eras[:1])
    here, there = (method.of_profile("quick", **SMALL).run_on(compute=where) for where in (LOCAL, cluster.compute))

    expected = here.fit(one, target=TARGET, seed=3).predict(panel)

    np.testing.assert_array_equal(there.fit(one, target=TARGET, seed=3).predict(panel), expected)


def test_the_same_cluster_writes_the_same_model_and_not_where_it_was_made(cluster: Cluster, panel: EraPanel) -> None:
    models = []
    for _ in range(2):
        method = Benchmark.of_profile("quick", **SMALL).run_on(compute=cluster.compute)
        models.append(method.fit(panel, target=TARGET, seed=3).booster_.model_to_string())

    assert models[0] == models[1]
    assert "127.0.0.1" not in models[0]


def test_workers_are_given_the_places_of_the_files_and_labels(panel: EraPanel) -> None:
    shares = shares_of(panel, TARGET, 2)

    assert len(pickle.dumps(shares)) < panel.rows * (len(NAMES) + 4)
    for share in shares:
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(share)).features, panel.with_eras(share.eras).features)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 8))
def test_every_era_with_a_target_is_in_one_share(is_known: list[bool], count: int) -> None:
    eras = tuple(range(1, len(is_known) + 1))
    blocks = tuple(np.full((2, 3), era % 5, np.int8) for era in eras)
    targets = tuple(np.full(3, 0.5 if known else np.nan, np.float32) for known in is_known)
    ids = tuple(np.array([f"n{era}{row}" for row in range(3)], object) for era in eras)

    shares = shares_of(EraPanel(blocks, ("a", "b"), eras, ids, {TARGET: targets}), TARGET, count)

    known = [era for era, is_one in zip(eras, is_known, strict=True) if is_one]
    assert sorted(era for share in shares for era in share.eras) == known
    assert len(shares) == min(count, len(known))
    assert max((share.rows for share in shares), default=0) - min((share.rows for share in shares), default=0) <= 3


def test_without_dask_it_tells_what_to_install(panel: EraPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(MethodError, match=r"dask://127.0.0.1:1: needs Dask; `pip install numerai-assets\[dask\]`"):
        on_cluster("dask://127.0.0.1:1", panel, TARGET, lambda *_: None)


def test_a_scheduler_that_is_not_there_is_told_in_bounded_time(panel: EraPanel) -> None:
    with socket.socket() as taken:
        # Bound, not listening: nobody answers there, and nobody else takes the port.
        taken.bind(("127.0.0.1", 0))
        compute = f"dask://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(MethodError, match=f"{compute}: no Dask scheduler answers"):
            on_cluster(compute, panel, TARGET, lambda *_: None, patience=Patience(connect=1))


def test_the_threads_of_its_workers_are_told_before_anything_is_fitted(cluster: Cluster) -> None:
    cluster.workers()

    assert threads_of(cluster.compute) == [1, 1]


def test_a_second_fit_is_told_that_another_has_the_cluster(cluster: Cluster, panel: EraPanel) -> None:
    def second(*_: Any) -> str:
        with pytest.raises(MethodError) as told:
            on_cluster(cluster.compute, panel, TARGET, lambda *_: None, patience=Patience(turn=1))
        return str(told.value)

    told: list[str] = []
    method = Benchmark.of_profile("quick", **SMALL).run_on(compute=cluster.compute)
    method.fit(panel, target=TARGET, seed=0, progress=lambda *_: told.append(second()) if not told else None)

    assert told == [
        f"{cluster.compute}: another fit has used the cluster for 1 s; try again when it is over. Nothing was written"
    ]


def test_what_fails_on_a_worker_is_told_with_the_worker(cluster: Cluster, panel: EraPanel) -> None:
    def failing(*_: Any) -> None:
        raise OSError("no room on the disk")

    with pytest.raises(MethodError, match=f"{cluster.compute}: worker tcp://127.0.0.1:.*OSError: no room on the disk"):
        on_cluster(cluster.compute, panel, TARGET, failing)


def test_workers_that_tell_of_nothing_are_given_up(cluster: Cluster, panel: EraPanel) -> None:
    before = cluster.workers()

    with pytest.raises(MethodError, match=f"{cluster.compute}: its workers reported no progress for 1 s"):
        on_cluster(cluster.compute, panel, TARGET, lambda *_: time.sleep(600), patience=Patience(word=1))

    assert not set(cluster.workers().values()) & set(before.values())


@pytest.fixture
def workspace(store: EraStore, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace over that store whose endless fit runs on the cluster, with a good vintage made here."""
    monkeypatch.chdir(tmp_path)
    here, there = (
        Workspace(
            load_settings(home=tmp_path, methods={"benchmark": MethodSettings(parameters=parameters, compute=compute)})
        )
        for parameters, compute in ((SMALL, LOCAL), (ENDLESS, cluster.compute))
    )
    here.folder.mkdir(parents=True)
    here.store.folder.symlink_to(store.folder)
    here.release.folder.mkdir(parents=True)
    write_json(here.release.path(FEATURES), {"feature_sets": {"all": NAMES}, "targets": [TARGET]})
    fit_vintage(here, "benchmark", VINTAGE, str, silent)
    return there


def broken_by(harm: Callable[[], None], workspace: Workspace) -> str:
    """What a fit says that is harmed as soon as it tells of trees."""
    harmed: list[None] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "trees" and not harmed:
            harmed.append(harm())

    with pytest.raises(MethodError) as told:
        fit_vintage(workspace, "benchmark", VINTAGE, str, progress)
    return str(told.value)


def held(workspace: Workspace) -> tuple[Any, list[str]]:
    """The good vintage, whose files are whole, and all that lies beside it."""
    place = workspace.vintages.verified("benchmark", VINTAGE)
    return workspace.vintages.facts("benchmark", VINTAGE), sorted(str(path) for path in place.parent.rglob("*"))


def test_a_worker_that_dies_ends_the_fit_and_the_last_good_vintage_stays(
    cluster: Cluster, workspace: Workspace
) -> None:
    before, workers = held(workspace), cluster.workers()
    victim = sorted(workers)[1]

    told = broken_by(lambda: os.kill(workers[victim], signal.SIGKILL), workspace)

    assert told.startswith(f"{cluster.compute}: ")
    assert told.endswith("are gone: " + victim + ". The fit was given up and nothing was written; run it again")
    assert held(workspace) == before


def test_a_cluster_that_goes_away_ends_the_fit_and_the_last_good_vintage_stays(
    cluster: Cluster, workspace: Workspace
) -> None:
    before = held(workspace)
    cluster.workers()

    told = broken_by(cluster.process.kill, workspace)

    assert told == (
        f"{cluster.compute}: the scheduler went away. The fit was given up and nothing was written; run it again"
    )
    assert held(workspace) == before
