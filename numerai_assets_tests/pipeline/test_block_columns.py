"""Feature blocks over an era store: computed once, made anew when what they follow from changes, the same live."""

import json
import shutil
from dataclasses import field
from pathlib import Path
from typing import ClassVar

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from numerai_assets.assets.blocks import block_assets
from numerai_assets.eras import era_label, live_key, resolved_through
from numerai_assets.errors import FeatureError, WallError
from numerai_assets.features.contract import Columns, FeatureSets, History, Kind
from numerai_assets.features.registry import BLOCKS, Entry
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.spec import block_spec_of
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings

FEATURES = ("feature_a", "feature_b", "feature_c")
TARGET = "target_ender_20"
ERAS = range(1, 16)
ROWS = 20


class PlainBlock:
    """A block that reads nothing and has nothing to show."""

    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    look_back: ClassVar[int] = 0
    targets: ClassVar[tuple[str, ...]] = ()

    def picture(self, panel: EraPanel, columns: Columns, history: History) -> bytes:
        return b"png"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Exposure(PlainBlock):
    """Mean level of a row, times a factor."""

    name: ClassVar[str] = "exposure"
    factor: float = 1.0

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        return ("mean",)

    def compute(self, panel: EraPanel, history: History) -> Columns:
        return (self.factor * panel.blocks[0].mean(axis=0, keepdims=True)).astype(np.float16)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Payoff(PlainBlock):
    """What exposure paid in the newest era whose target had resolved."""

    name: ClassVar[str] = "payoff"
    needs: ClassVar[tuple[str, ...]] = ("exposure",)
    look_back: ClassVar[int] = 8
    targets: ClassVar[tuple[str, ...]] = (TARGET,)
    asks_for_the_unresolved: bool = False

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        return ("paid",)

    def compute(self, panel: EraPanel, history: History) -> Columns:
        era = resolved_through(history.era, 20) + (1 if self.asks_for_the_unresolved else 0)
        if not history.holds(era):
            return np.full((1, panel.rows), np.nan, np.float16)
        before, target = history.panel(era), history.target(era, TARGET)
        paid = np.corrcoef(before.blocks[0].mean(axis=0), target)[0, 1]
        return (paid * history.columns("exposure")).astype(np.float16)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Wrong(PlainBlock):
    """Gives what no block may give."""

    name: ClassVar[str] = "wrong"
    gives: str = "inf"
    others: list[str] = field(default_factory=list)

    def names(self, feature_sets: FeatureSets) -> tuple[str, ...]:
        return ("it",)

    def compute(self, panel: EraPanel, history: History) -> Columns:
        shape = (2 if self.gives == "shape" else 1, panel.rows)
        return np.full(shape, np.inf if self.gives == "inf" else 0, np.float32 if self.gives == "dtype" else np.float16)


@pytest.fixture(autouse=True)
def blocks_of_these_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in (Exposure, Payoff, Wrong):
        monkeypatch.setitem(BLOCKS, block.name, Entry(Kind.PER_ERA, f"{__name__}:{block.__name__}"))


def settings(home: Path, **blocks: dict[str, object]) -> Settings:
    features = {name: {"on": True, "parameters": parameters} for name, parameters in blocks.items()}
    return Settings(home=home, features=features)


def write_era(workspace: Workspace, key: str, era: int, *, seed: int | None = None) -> None:
    rng = np.random.default_rng(era if seed is None else seed)
    target = (rng.integers(0, 5, ROWS) / 4).astype(np.float32)
    is_live = not key.isdigit()
    workspace.store.write_era(
        key,
        era=era,
        ids=[f"n{key}{row:03d}" for row in range(ROWS)],
        features=rng.integers(0, 5, (ROWS, len(FEATURES)), dtype=np.int8),
        feature_names=FEATURES,
        targets=pd.DataFrame({TARGET: np.full(ROWS, np.nan, np.float32) if is_live else target}),
        targets_as_of=era,
    )
    workspace.store.clean_as_released(key, strategy="median")


@pytest.fixture(scope="module")
def fifteen_eras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of a workspace of fifteen eras, to be copied."""
    home = tmp_path_factory.mktemp("fifteen") / "home"
    found = Workspace(settings(home))
    for era in ERAS:
        write_era(found, era_label(era), era)
    found.release.folder.mkdir(parents=True)
    sets = {"feature_sets": {"all": [*FEATURES, "feature_of_a_later_release"]}, "targets": [TARGET]}
    (found.release.folder / "features.json").write_text(json.dumps(sets))
    return home


@pytest.fixture
def workspace(fifteen_eras: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(fifteen_eras, tmp_path / "home")
    return Workspace(settings(tmp_path / "home", exposure={}, payoff={}))


def with_settings(workspace: Workspace, **blocks: dict[str, object]) -> Workspace:
    return Workspace(settings(workspace.settings.home, **blocks))


def test_a_block_is_computed_with_those_it_needs_and_only_once(workspace: Workspace) -> None:
    record = workspace.block_columns().ensure("payoff", "0012")

    assert workspace.engineered.keys("exposure") == ["0012"]
    path = workspace.folder / "engineered" / "payoff" / "records" / "0012.json"
    written = path.stat().st_mtime_ns
    assert workspace.block_columns().ensure("payoff", "0012") == record
    assert path.stat().st_mtime_ns == written


def test_other_parameters_make_a_block_and_what_needs_it_anew(workspace: Workspace) -> None:
    before = np.array(_columns(workspace, "payoff", "0012"))

    changed = with_settings(workspace, exposure={"factor": 2.0}, payoff={})

    assert not changed.block_columns().is_current("payoff", "0012")
    np.testing.assert_allclose(_columns(changed, "payoff", "0012"), 2 * before, rtol=2e-3)


def test_a_live_round_gets_what_the_era_gets(workspace: Workspace) -> None:
    write_era(workspace, live_key(77), 15, seed=15)

    for block in ("exposure", "payoff"):
        np.testing.assert_array_equal(_columns(workspace, block, live_key(77)), _columns(workspace, block, "0015"))


def test_a_round_that_is_ahead_of_the_release_looks_at_what_had_resolved_in_it(workspace: Workspace) -> None:
    write_era(workspace, live_key(77), 16, seed=16)
    late = workspace.store.panel([live_key(77)])

    history = workspace.block_columns().history(Payoff(), late.eras[0], lambda _: np.empty((0, 0), np.float16))

    assert history.resolved_through(TARGET) == 10
    assert history.has_resolved(10, TARGET)
    with pytest.raises(WallError, match="target_ender_20 of era 0011 was not known"):
        history.target(11, TARGET)


def test_live_rows_that_are_fetched_anew_are_computed_anew(workspace: Workspace) -> None:
    write_era(workspace, live_key(77), 15, seed=15)
    workspace.block_columns().ensure("exposure", live_key(77))

    write_era(workspace, live_key(77), 15, seed=99)

    assert not workspace.block_columns().is_current("exposure", live_key(77))


def test_a_block_that_asks_for_a_target_that_had_not_resolved_is_refused(workspace: Workspace) -> None:
    changed = with_settings(workspace, exposure={}, payoff={"asks_for_the_unresolved": True})

    with pytest.raises(WallError, match="target_ender_20 of era 0008 was not known at era 0012"):
        changed.block_columns().ensure("payoff", "0012")


def test_later_eras_change_nothing_before_them(workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.settings.home, tmp_path / "other")
    other = Workspace(settings(tmp_path / "other", exposure={}, payoff={}))
    for era in (13, 14, 15):
        other.store.forget(era_label(era))
        write_era(other, era_label(era), era, seed=1000 + era)

    np.testing.assert_array_equal(_columns(other, "payoff", "0012"), _columns(workspace, "payoff", "0012"))


def test_an_era_with_nothing_to_look_back_on_has_no_values(workspace: Workspace) -> None:
    assert np.isnan(_columns(workspace, "payoff", "0003")).all()


def test_methods_are_given_the_columns_as_levels_beside_the_features(workspace: Workspace) -> None:
    keys = ["0011", "0012"]
    asked = {name: workspace.specs.block(name) for name in ["payoff", "exposure"]}

    panel = workspace.block_columns().with_blocks(workspace.store.panel(keys), keys, asked, {})

    assert panel.feature_names == (*FEATURES, "payoff.paid", "exposure.mean")
    assert set(np.unique(panel.features)) <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("now", [{}, {"exposure": {"factor": 3.0}, "payoff": {}}])
def test_what_a_vintage_was_fitted_with_is_computed_whatever_the_settings_ask_for_now(
    workspace: Workspace, now: dict[str, dict[str, object]]
) -> None:
    asked, keys = {name: workspace.specs.block(name) for name in ["payoff"]}, ["0012"]
    before = workspace.block_columns().with_blocks(workspace.store.panel(keys), keys, asked, {})

    changed = with_settings(workspace, **now)
    stored = {name: block_spec_of(json.loads(json.dumps(spec.as_json()))) for name, spec in asked.items()}
    after = changed.block_columns().with_blocks(
        changed.store.panel(keys),
        keys,
        stored,
        {},
    )

    assert after.feature_names == before.feature_names
    np.testing.assert_array_equal(after.features, before.features)


def test_a_formula_that_is_another_one_since_is_refused(workspace: Workspace) -> None:
    stored = workspace.specs.block("payoff").as_json()
    stored["needs"]["exposure"]["version"] = 0
    asked = {"payoff": block_spec_of(stored)}
    changed = with_settings(workspace)

    with pytest.raises(FeatureError, match="exposure: its columns were made by version 0, this is 1"):
        changed.block_columns().with_blocks(changed.store.panel(["0012"]), ["0012"], asked, {})


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        ("inf", "column 0 holds an infinite value"),
        ("shape", r"gave \(2, 20\)"),
        ("dtype", r"gave \(1, 20\) float32, expected"),
    ],
)
def test_what_a_block_may_not_give_is_refused_with_its_name_and_era(
    workspace: Workspace, gives: str, message: str
) -> None:
    changed = with_settings(workspace, wrong={"gives": gives})

    with pytest.raises(FeatureError, match=f"wrong, era 0012: {message}"):
        changed.block_columns().ensure("wrong", "0012")
    assert changed.engineered.keys("wrong") == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"factor": "much"}, r"features.exposure.parameters.factor: .*number.* \(found 'much'\)"),
        ({"factors": 2}, "features.exposure.parameters.factors: Unexpected keyword argument"),
    ],
)
def test_a_parameter_that_a_block_does_not_take_is_named(
    tmp_path: Path, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        block_assets(settings(tmp_path, exposure=parameters))


def test_a_block_whose_need_is_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"features.payoff: needs exposure; set \[features.exposure\] on = true"):
        block_assets(settings(tmp_path, payoff={}))


@pytest.mark.parametrize(("reader", "assets"), [("trajectory_changes", 4), ("trajectory_mixer", 3)])
def test_look_alikes_that_would_be_read_at_other_lags_are_refused(tmp_path: Path, reader: str, assets: int) -> None:
    with pytest.raises(FeatureError, match=rf"features.{reader}.parameters.lags: .*, but those of look_alikes"):
        block_assets(settings(tmp_path, look_alikes={"lags": (1, 2)}, **{reader: {}}))

    assert len(block_assets(settings(tmp_path, look_alikes={}, **{reader: {}}))) == assets


def test_a_block_that_fails_on_live_rows_warns_and_stops_nothing_else(workspace: Workspace) -> None:
    write_era(workspace, live_key(77), 15, seed=15)
    changed = with_settings(workspace, wrong={"gives": "inf"})
    asset = next(asset for asset in block_assets(changed.settings) if asset.key.path[-1] == "live_wrong")

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("rounds", ["77"])
        run = dg.materialize([asset], partition_key="77", instance=instance, resources={"workspace": changed})

    (check,) = run.get_asset_check_evaluations()
    assert run.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "column 0 holds an infinite value" in str(check.metadata["why"].value)


def test_an_unknown_block_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"feature block 'exposures' is unknown; there are .*exposure"):
        block_assets(settings(tmp_path, exposures={}))


def test_assets_of_eras_and_rounds_are_made_for_blocks_that_are_on(tmp_path: Path) -> None:
    found = block_assets(settings(tmp_path, exposure={}, payoff={}))

    assert [asset.key.to_user_string() for asset in found] == [
        "features/exposure",
        "features/live_exposure",
        "features/payoff",
        "features/live_payoff",
    ]


def _columns(workspace: Workspace, block: str, key: str) -> np.ndarray:
    workspace.block_columns().ensure(block, key)
    return np.array(workspace.engineered.columns(block, key))
