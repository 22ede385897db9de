"""A fit records what it used, and one that used what lies behind its wall is not kept."""

import shutil
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import Wall, era_label
from numerai_assets.errors import FeatureError, MethodError, StoreError, WallError
from numerai_assets.evaluation.splits import ForwardChaining, PurgedKFold
from numerai_assets.features.contract import Kind
from numerai_assets.features.learned.selection import FeatureSelection
from numerai_assets.features.registry import BLOCKS, Entry
from numerai_assets.methods.mixer_boosting.feature_mixing import FeatureMixing
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.vintages import fit_block, fit_vintage, is_refused
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress, silent
from numerai_assets.settings import FeatureBlockSettings, MethodSettings, load_settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.wall_crossings import crossings
from numerai_assets.tournament.release import FEATURES
from numerai_assets_tests.methods.plain_method import PlainMethod
from numerai_assets_tests.store.stored_eras import write_era

NEWEST, ROWS = 70, 4
NAMES = ["feature_a", "feature_b"]
TARGET = "target_ender_20"


class Selecting(PlainMethod):
    """Selects by the folds of a splitter and tells of it; `claimed` is an era it says it stopped early on."""

    name: ClassVar[str] = "selecting"
    horizons: ClassVar[tuple[int, ...]] = (20,)

    def __init__(self, *, every_eras: int = 1, claimed: int = 0, least: int = 1) -> None:
        self.every_eras = every_eras
        self.claimed = claimed
        self.least = least

    @property
    def least_eras(self) -> int:
        return self.least

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        folds = ForwardChaining(n_splits=2, horizon=20).era_folds(panel.eras)
        self.means_ = [panel.with_eras(fold.judged).target(target).mean() for fold in folds]
        self.eras_used_ = {"selection": [era for fold in folds for era in fold.judged]}
        if self.claimed:
            self.eras_used_ |= {"early_stopping": np.asarray([self.claimed])}
        self.feature_names_ = panel.feature_names
        return self

    def save(self, folder: Path) -> None:
        (folder / "means.txt").write_text(str(self.means_))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a store of eras 1 to 70, to be copied."""
    folder, rng = tmp_path_factory.mktemp("stored"), np.random.default_rng(0)
    store = EraStore(folder)
    for era in range(1, NEWEST + 1):
        features = rng.integers(0, 5, (ROWS, len(NAMES)), dtype=np.int8)
        write_era(store, era, features, NAMES, {TARGET: rng.integers(0, 5, ROWS) / 4})
        store.write_cleaned(era_label(era), features, strategy="median")
    return folder


@pytest.fixture
def workspace(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with that store, in which the method above is the only one."""
    monkeypatch.chdir(tmp_path)
    made = with_parameters(tmp_path)
    shutil.copytree(stored, made.store.folder)
    made.release.folder.mkdir(parents=True)
    write_json(made.release.path(FEATURES), {"feature_sets": {"all": NAMES}, "targets": [TARGET]})
    return made


def with_parameters(home: Path, **parameters: int) -> Workspace:
    method = MethodSettings(source=f"{__name__}:Selecting", target=TARGET, parameters=parameters)
    return Workspace(load_settings(home=home, methods={"selecting": method}))


def test_a_fit_records_the_eras_of_each_use(workspace: Workspace) -> None:
    facts, _ = fit_vintage(workspace, "selecting", 68, str, silent)

    assert facts.uses == {"fit": ((1, 60, 1),), "selection": ((21, 60, 1),)}
    assert workspace.vintages.facts("selecting", 68) == facts


def test_down_sampled_eras_are_recorded_as_one_run(workspace: Workspace, tmp_path: Path) -> None:
    facts, _ = fit_vintage(with_parameters(tmp_path, every_eras=4), "selecting", 68, str, silent)

    assert facts.uses == {"fit": ((4, 60, 4),), "selection": ((24, 60, 4),)}


def test_a_fit_that_used_an_era_behind_the_wall_is_not_kept(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(
        WallError, match=r"selecting vintage 0068: era 0061 used for early_stopping, the last .* is 0060"
    ):
        fit_vintage(with_parameters(tmp_path, claimed=61), "selecting", 68, str, silent)

    assert workspace.vintages.vintages("selecting") == []
    facts, _ = fit_vintage(with_parameters(tmp_path, claimed=60), "selecting", 68, str, silent)
    assert facts.uses["early_stopping"] == ((60, 60, 1),)


@pytest.mark.parametrize("vintage", [33, 41, 68, 70])
def test_who_selects_or_stops_early_on_a_fit_panel_cannot_get_behind_the_wall(
    workspace: Workspace, vintage: int
) -> None:
    wall = Wall(vintage, 20)

    panel = workspace.store.fit_panel(wall, target=TARGET)

    for splitter in (PurgedKFold(n_splits=2, horizon=20), ForwardChaining(n_splits=1, horizon=20)):
        assert all(max(fold.judged) <= wall.last_fit_era for fold in splitter.era_folds(panel.eras))
    assert len(panel.target(TARGET)) == wall.last_fit_era * ROWS
    for beyond in (wall.last_fit_era + 1, vintage, NEWEST):
        with pytest.raises(StoreError, match=f"era {beyond:04d} is not in it"):
            panel.with_eras([beyond])
    with pytest.raises(StoreError, match="no target 'target_ender_60'"):
        panel.target("target_ender_60")


def test_a_method_is_given_the_features_that_a_selection_of_its_vintage_left(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Chosen(FeatureSelection):
        """Leaves the second feature; what a selection is worth is not the matter here."""

        def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
            columns = {"feature": NAMES, "gain": [0.0, 1.0], "stability": [0.0, 1.0], "redundant_with": ["", ""]}
            self.table_ = pd.DataFrame(columns)
            self.fitted_eras_, self.judged_eras_ = panel.eras[:20], panel.eras[40:]
            self._choose()
            return self

    monkeypatch.setattr("numerai_assets.pipeline.vintages.create_fitted_block", lambda *asked: Chosen())
    settings = MethodSettings(source=f"{__name__}:Selecting", target=TARGET, blocks=("selection",))
    block = FeatureBlockSettings(on=True, target=TARGET)
    chosen = Workspace(load_settings(home=tmp_path, methods={"selecting": settings}, features={"selection": block}))
    learned, _ = fit_block(chosen, "selection", 68, silent)

    facts, importance = fit_vintage(chosen, "selecting", 68, str, silent)

    assert importance["feature"].tolist() == ["feature_b"]
    assert learned.uses == {"fit": ((1, 60, 1),)}
    assert facts.uses[f"selection:{TARGET}"] == ((1, 60, 1),)
    assert facts.features == 1
    assert (chosen.vintages.place("selecting", 68) / "blocks" / "selection" / "about.json").is_file()
    assert crossings(facts) == []


class Telling(FeatureMixing):
    """Says where it is asked to fit."""

    def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
        raise FeatureError(f"asked to fit on {self.execution.device}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mixing", "asked to fit on cuda"),
        ("selection", r"features.selection.device: selection cannot use it"),
    ],
)
def test_the_device_is_told_to_a_block_that_trains_nets_and_is_no_reason_to_fit_it_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setitem(BLOCKS, "mixing", Entry(Kind.LEARNED, f"{__name__}:Telling"))
    here, there = (
        Workspace(load_settings(home=tmp_path, features={name: {"on": True, "target": TARGET, "device": device}}))
        for device in ("cpu", "cuda")
    )

    with pytest.raises(FeatureError, match=message):
        fit_block(there, name, 68, silent)

    assert here.specs.block(name) == there.specs.block(name)


def test_a_vintage_that_cannot_be_fitted_is_recorded_and_not_tried_until_spec_or_data_change(
    workspace: Workspace, tmp_path: Path
) -> None:
    short = with_parameters(tmp_path, least=61)
    spec = short.specs.method("selecting")

    with pytest.raises(MethodError, match="selecting 0068: 60 training eras, expected at least 61"):
        fit_vintage(short, "selecting", 68, str, silent)

    (refusal,) = short.vintages.refusals("selecting")
    assert "expected at least 61" in refusal.reason
    assert is_refused(short.vintages, short.store, "selecting", 68, spec)
    assert not is_refused(short.vintages, short.store, "selecting", 64, spec)
    assert not is_refused(short.vintages, short.store, "selecting", 68, workspace.specs.method("selecting"))
    short.store.forget("0001")
    assert not is_refused(short.vintages, short.store, "selecting", 68, spec)


def test_a_fit_that_succeeds_after_all_forgets_that_it_could_not_be(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MethodError):
        fit_vintage(with_parameters(tmp_path, least=61), "selecting", 68, str, silent)

    fit_vintage(workspace, "selecting", 68, str, silent)

    assert workspace.vintages.refusals("selecting") == []


def test_a_damaged_record_of_a_refusal_counts_as_none(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MethodError):
        fit_vintage(with_parameters(tmp_path, least=61), "selecting", 68, str, silent)
    (record,) = (workspace.vintages.folder / "selecting" / "refused").iterdir()
    record.write_text("{")

    assert workspace.vintages.refusal("selecting", 68) is None
