"""Methods and learned blocks that read earlier eras are told what may be known at each era, and no more."""

import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from numerai_assets.eras import Wall, era_label
from numerai_assets.errors import StoreError, WallError
from numerai_assets.features.contract import FittedBlock, Kind
from numerai_assets.features.registry import BLOCKS, Entry
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.methods.registry import METHODS
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.pipeline.predictions import predict_era
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.vintages import fit_block, fit_vintage, load_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress, silent
from numerai_assets.settings import FeatureBlockSettings, MethodSettings, load_settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.wall_crossings import crossings
from numerai_assets.tournament.release import FEATURES
from numerai_assets_tests.methods.plain_method import PlainMethod

NEWEST, ROWS, VINTAGE = 60, 6, 50
NAMES = ["feature_a", "feature_b", "feature_c"]
TARGETS = ("target_ender_60", "target_ender_20")
LOOK_BACK = 20


class Remembering(PlainMethod, FittedBlock):
    """Reads the newest resolved target of the past, as a method and as a block; the fit keeps what it saw."""

    name: ClassVar[str] = "remembering"
    version: ClassVar[int] = 1
    horizons: ClassVar[tuple[int, ...]] = (60,)
    names_ = ("past",)
    feature_names_ = tuple(NAMES)

    reads = Reads(look_back=LOOK_BACK, targets=("target_ender_20",), columns=("market_state",))
    auxiliary_targets = ("target_ender_20",)

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        self.seen_ = {era: newest_known(panel, era) for era in panel.eras if era > LOOK_BACK}
        self.panel_ = panel
        return self

    def transform(self, panel: EraPanel) -> NDArray[np.float16]:
        (era,) = panel.eras
        return (panel.features[:, :1].T * (newest_known(panel, era) - 0.5)).astype(np.float16)

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        (era,) = panel.eras
        past = newest_known(panel, era) - 0.5
        return rank_within_eras(panel.features[:, 0] * past + 10 * panel.features[:, -1], panel.rows_of_era)

    def picture(self) -> bytes:
        return b""


def newest_known(panel: EraPanel, era: int) -> float:
    """Mean of the newest resolved target at an era of the panel, 0 before there is one."""
    history = panel.history(era)
    if not history.holds(history.resolved_through("target_ender_20")):
        return 0.0
    assert history.columns("market_state").shape[1] == panel.with_eras([era]).rows
    return float(history.target(history.resolved_through("target_ender_20"), "target_ender_20").mean())


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a store to be copied."""
    folder = tmp_path_factory.mktemp("stored")
    write_eras(EraStore(folder), range(1, NEWEST + 1))
    return folder


@pytest.fixture
def workspace(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(METHODS, "remembering", f"{__name__}:Remembering")
    monkeypatch.setitem(BLOCKS, "remembering", Entry(Kind.LEARNED, f"{__name__}:Remembering"))
    made = workspace_at(tmp_path)
    shutil.copytree(stored, made.store.folder)
    made.release.folder.mkdir(parents=True)
    write_json(made.release.path(FEATURES), {"feature_sets": {"all": NAMES}, "targets": list(TARGETS)})
    return made


def workspace_at(home: Path, *blocks: str) -> Workspace:
    parameters = {"groups": ["all"], "look_back": 4}
    return Workspace(
        load_settings(
            home=home,
            methods={"remembering": MethodSettings(blocks=blocks)},
            features={
                "market_state": FeatureBlockSettings(on=True, parameters=parameters),
                "remembering": FeatureBlockSettings(on=True),
            },
        )
    )


def write_eras(store: EraStore, eras: range, *, turned: bool = False, key: str | None = None) -> None:
    """Eras of random levels and targets; turned, the targets are one less what they are."""
    for era in eras:
        rng = np.random.default_rng(era)
        features = rng.integers(0, 5, (ROWS, len(NAMES)), dtype=np.int8)
        values = rng.integers(0, 5, (len(TARGETS), ROWS)).astype(np.float32) / 4
        store.write_era(
            key or era_label(era),
            era=era,
            ids=[f"n{era:04d}{row:011x}" for row in range(ROWS)],
            features=features,
            feature_names=NAMES,
            targets=pd.DataFrame(dict(zip(TARGETS, 1 - values if turned else values, strict=True))),
            targets_as_of=1000,
        )
        store.write_cleaned(key or era_label(era), features, strategy="median")


def test_what_is_read_of_the_past_is_what_had_resolved_at_each_era(workspace: Workspace) -> None:
    _, block = fit_block(workspace, "remembering", VINTAGE, silent)

    assert isinstance(block, Remembering)
    assert set(block.seen_) == set(range(LOOK_BACK + 1, Wall(VINTAGE, 60).last_fit_era + 1))
    for era, seen in block.seen_.items():
        assert seen == workspace.store.panel([era_label(era - 5)], targets=TARGETS).target("target_ender_20").mean()


def test_more_than_was_said_to_be_read_is_refused(workspace: Workspace) -> None:
    _, block = fit_block(workspace, "remembering", VINTAGE, silent)
    assert isinstance(block, Remembering)
    history = block.panel_.history(30)

    with pytest.raises(
        WallError, match=r"target_ender_20 of era 0026 was not known at era 0030: resolved through 0025"
    ):
        history.target(26, "target_ender_20")
    with pytest.raises(WallError, match="does not declare this target"):
        history.target(10, "target_ender_60")
    with pytest.raises(WallError, match="may look back to eras 10 to 29, not to 9"):
        history.panel(9)
    with pytest.raises(StoreError, match="carries no history"):
        workspace.store.panel([era_label(30)]).history(30)


def test_an_earlier_era_carries_no_target_that_had_not_resolved(workspace: Workspace) -> None:
    reads = Reads(look_back=LOOK_BACK, targets=TARGETS)
    history = workspace.block_columns().history(reads, 30, lambda name: np.empty((0, 0), np.int8))

    assert {era: set(history.panel(era).targets_of_block) for era in (17, 18, 25, 26)} == {
        17: set(TARGETS),
        18: {"target_ender_20"},
        25: {"target_ender_20"},
        26: set(),
    }


def test_a_round_ahead_of_a_late_release_looks_back_to_what_there_is(workspace: Workspace) -> None:
    live = workspace.block_columns().history(Reads(look_back=4), NEWEST + 3, lambda name: np.empty((0, 0), np.int8))

    assert [era for era in range(NEWEST - 3, NEWEST + 4) if live.holds(era)] == [NEWEST - 1, NEWEST]
    assert live.panel(NEWEST).eras == (NEWEST,)
    with pytest.raises(WallError, match="may look back to eras 59 to 60, not to 61"):
        live.panel(NEWEST + 1)
    assert replace(live, newest_release=None).holds(NEWEST + 2)


def test_columns_of_a_round_ahead_of_a_late_release_are_made_anew_when_it_comes(workspace: Workspace) -> None:
    write_eras(workspace.store, range(NEWEST + 2, NEWEST + 3), key="X@7")
    workspace.block_columns().ensure("market_state", "X@7")
    assert workspace.block_columns().is_current("market_state", "X@7")

    write_eras(workspace.store, range(NEWEST + 1, NEWEST + 3))

    assert not workspace.block_columns().is_current("market_state", "X@7")
    workspace.block_columns().ensure("market_state", "X@7")
    assert workspace.block_columns().is_current("market_state", "X@7")


def test_eras_looked_back_to_are_closed_with_their_reader(workspace: Workspace) -> None:
    writer = workspace.block_columns()
    writer.specs.block("market_state")
    writer.history(Reads(look_back=4), 30, lambda name: np.empty((0, 0), np.int8)).panel(29)

    seen = weakref.ref(writer)
    del writer

    assert seen() is None


def test_a_vintage_of_before_blocks_read_others_is_still_predicted_with(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(Remembering):
        reads = Reads()

        def transform(self, panel: EraPanel) -> NDArray[np.float16]:
            return panel.features[:, :1].T.astype(np.float16)

    monkeypatch.setattr("numerai_assets.pipeline.block_columns.fitted_block_class", lambda name: Plain)
    panel = workspace.store.panel(["0055"])
    recorded_then = {"target": TARGETS[0], "feature_set": "all", "cleaning": "median", "parameters": {}, "seed": 0}

    found = workspace.block_columns().with_blocks(
        panel, ["0055"], {"remembering": VintageSpec.of(recorded_then)}, {"remembering": tmp_path}
    )

    assert found.feature_names == (*NAMES, "remembering.past")


def test_auxiliary_targets_end_at_their_own_wall_and_are_recorded(workspace: Workspace) -> None:
    facts, _ = fit_vintage(workspace, "remembering", VINTAGE, str, silent)

    assert facts.uses == {"fit": ((1, 34, 1),), "fit:target_ender_20": ((1, 34, 1),)}
    assert crossings(facts) == []
    panel = workspace.store.fit_panel(Wall(VINTAGE, 20), target=TARGETS[1], auxiliary=[TARGETS[0]])
    known = [
        era
        for era, values in zip(panel.eras, panel.targets_of_block[TARGETS[0]], strict=True)
        if not np.isnan(values).any()
    ]
    assert (panel.eras[-1], known[-1]) == (42, 34)


@pytest.mark.parametrize("as_block", [False, True])
def test_targets_that_had_not_resolved_change_no_prediction(
    workspace: Workspace, tmp_path: Path, as_block: bool
) -> None:
    made = workspace_at(tmp_path, "remembering") if as_block else workspace
    if as_block:
        fit_block(made, "remembering", VINTAGE, silent)
    fit_vintage(made, "remembering", VINTAGE, str, silent)

    def predicted() -> pd.Series:
        predict_era(made, "remembering", VINTAGE, load_vintage(made, "remembering", VINTAGE), era_label(VINTAGE + 5))
        return made.predictions.read("remembering", VINTAGE, era_label(VINTAGE + 5))["prediction"]

    before = predicted()
    for era in range(VINTAGE + 1, NEWEST + 1):
        made.store.forget(era_label(era))
    write_eras(made.store, range(VINTAGE + 1, NEWEST + 1), turned=True)

    pd.testing.assert_series_equal(predicted(), before)
