"""`numerai search` over a workspace: it uses eras that no vintage is validated on, and prints settings to paste."""

import json
import tomllib
from pathlib import Path
from typing import ClassVar, Self, get_args

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from numerai_assets.cli.main import main
from numerai_assets.cli.search import METRICS, SPLITS
from numerai_assets.eras import era_label, purge
from numerai_assets.errors import MethodError
from numerai_assets.evaluation.splits import Splits
from numerai_assets.methods.registry import METHODS
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.search import search_method, search_panel
from numerai_assets.pipeline.study import Metric
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import Progress, silent
from numerai_assets.settings import MethodSettings, Settings, load_settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.release import FEATURES, META_MODEL
from numerai_assets_tests.methods.dial import Dial
from numerai_assets_tests.methods.plain_method import PlainMethod

TARGET, SHORTER = "target_ender_60", "target_ender_20"
NAMES = ["feature_a", "feature_b"]
FIRST_VINTAGE, NEWEST, ROWS = 100, 110, 20
SETTINGS = f"""
home = "."
[retrain]
first_vintage = {FIRST_VINTAGE}
[methods.dial]
seed = 1
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> EraStore:
    """Eras 1 to 110."""
    store, rng = EraStore(tmp_path_factory.mktemp("stored")), np.random.default_rng(0)
    for era in range(1, NEWEST + 1):
        features = rng.integers(0, 5, (ROWS, 2), dtype=np.int8)
        target = (features[:, 0] / 4 + rng.normal(size=ROWS)).argsort().argsort() * 5 // ROWS / 4
        store.write_era(
            era_label(era),
            era=era,
            ids=ids_of(era),
            features=features,
            feature_names=NAMES,
            targets=pd.DataFrame({TARGET: target.astype(np.float32), SHORTER: target.astype(np.float32)}),
            targets_as_of=1000,
        )
        store.clean_as_released(era_label(era), strategy="median")
    return store


def ids_of(era: int) -> list[str]:
    return [f"n{era:04d}{row:011x}" for row in range(ROWS)]


@pytest.fixture
def workspace(stored: EraStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace over that store in which the dial is the method; the meta model is held from era 40 on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numerai.toml").write_text(SETTINGS)
    monkeypatch.setitem(METHODS, "dial", "numerai_assets_tests.methods.dial:Dial")
    made = Workspace(load_settings())
    made.release.folder.mkdir(parents=True)
    made.store.folder.symlink_to(stored.folder)
    write_json(made.release.path(FEATURES), {"feature_sets": {"all": NAMES}, "targets": [TARGET, SHORTER]})
    held = [name for era in range(40, NEWEST + 1) for name in ids_of(era)]
    meta_model = pd.DataFrame({"id": held, "numerai_meta_model": np.random.default_rng(1).random(len(held))})
    meta_model.to_parquet(made.release.path(META_MODEL), index=False)
    return made


def test_a_search_sees_what_the_first_vintage_is_fitted_on_and_takes_no_look(workspace: Workspace) -> None:
    assert max(search_panel(workspace, "dial").eras) == FIRST_VINTAGE - purge(60)

    searched = search_method(workspace, "dial", trials=3)

    assert searched.last_judged == FIRST_VINTAGE - purge(60)
    assert not workspace.holdout_ledger.path.exists()
    assert not workspace.vintages.vintages("dial")


def test_folds_are_purged_for_the_longest_target_that_is_fitted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(Dial):
        auxiliary_targets = (TARGET,)
        seen: ClassVar[list[tuple[int, int]]] = []

        def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
            self.last_ = panel.eras[-1]
            return super().fit(panel, target=target, seed=seed)

        def predict(self, panel: EraPanel) -> NDArray[np.float32]:
            self.seen.append((self.last_, panel.eras[0]))
            return super().predict(panel)

    monkeypatch.setattr("numerai_assets_tests.methods.dial.Dial", Watched)
    settings = {"dial": MethodSettings(target=SHORTER)}
    shorter = Workspace(workspace.settings.model_copy(update={"methods": settings}))

    search_method(shorter, "dial", trials=1, folds=2)

    assert Watched.seen
    assert all(first - last > purge(60) for last, first in Watched.seen)


def test_the_command_prints_a_table_to_paste_and_goes_on_where_it_was(workspace: Workspace) -> None:
    first = CliRunner().invoke(main, ["search", "dial", "--trials", "2", "--folds", "2"])
    second = CliRunner().invoke(main, ["search", "dial", "--trials", "4", "--folds", "2"])

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "2 trials complete, 0 pruned, 0 failed" in first.output
    assert "4 trials complete, 0 pruned, 0 failed" in second.output
    table = tomllib.loads(second.output[second.output.index("[methods.dial.parameters]") :])
    Settings(methods={"dial": table["methods"]["dial"]})
    (page,) = (workspace.folder / "searches").glob("dial-corr-*.html")
    assert str(page) in second.output


def test_an_interruption_is_told_with_what_to_do(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Dial, "fit", interrupted)

    done = CliRunner().invoke(main, ["search", "dial", "--trials", "2"])

    assert done.exit_code == 130
    assert "interrupted; the same command continues with the trials that had ended" in done.output


def test_other_settings_are_another_study(workspace: Workspace) -> None:
    search_method(workspace, "dial", trials=1)
    search_method(workspace, "dial", trials=1, folds=2)
    search_method(workspace, "dial", trials=1, folds=2, metric="mmc")

    assert len(list((workspace.folder / "searches").glob("*.db"))) == 3


@pytest.mark.parametrize(("splits", "folds"), [("forward", 3), ("rolling", 3), ("k-fold", 3), ("combinatorial", 5)])
def test_every_kind_of_splits_has_a_study_of_its_own(workspace: Workspace, splits: str, folds: int) -> None:
    options = ["--trials", "1", "--folds", str(folds), "--splits", splits]
    done = CliRunner().invoke(main, ["search", "dial", *options])

    assert done.exit_code == 0, done.output
    (study,) = (workspace.folder / "searches").glob("*.db")
    assert study.name.startswith("dial-corr-" if splits == "forward" else f"dial-corr-{splits}-")


def test_the_default_study_is_that_of_forward_chaining(workspace: Workspace) -> None:
    first = search_method(workspace, "dial", trials=1)
    again = search_method(workspace, "dial", trials=1, splits="forward")

    assert first == again


def test_splits_without_enough_eras_are_reported(workspace: Workspace) -> None:
    done = CliRunner().invoke(main, ["search", "dial", "--splits", "official"])

    assert done.exit_code == 1
    assert "no fold has training eras before its validation eras" in done.output


def test_the_command_offers_every_splitter() -> None:
    assert get_args(Splits) == SPLITS
    assert get_args(Metric) == METRICS


def test_the_best_hyperparameters_are_trained_with_more_seeds(workspace: Workspace) -> None:
    done = CliRunner().invoke(main, ["search", "dial", "--trials", "2", "--folds", "2", "--seeds", "3"])

    assert done.exit_code == 0, done.output
    assert "3 seeds: mean " in done.output
    (path,) = (workspace.folder / "searches").glob("dial-corr-*.seeds.json")
    stored = json.loads(path.read_text())
    # The dial is fitted without any randomness.
    assert (stored["search"], stored["seeds"]) == ("dial-corr", 3)
    assert stored["seed_error"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("metric", ["mmc", "payout-sharpe"])
def test_a_meta_model_that_is_not_held_where_it_is_wanted_is_told(workspace: Workspace, metric: str) -> None:
    done = CliRunner().invoke(main, ["search", "dial", "--trials", "1", "--metric", metric])
    assert done.exit_code == 1
    assert "the meta model covers none of the validation eras" in done.output

    workspace.release.path(META_MODEL).unlink()
    done = CliRunner().invoke(main, ["search", "dial", "--trials", "1", "--metric", metric])
    assert done.exit_code == 1
    assert "meta_model.parquet is not there; run `numerai weekly`, or search by --metric corr" in done.output


def test_a_method_that_declares_no_space_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "dial", "numerai_assets_tests.methods.plain_method:PlainMethod")
    monkeypatch.setattr(PlainMethod, "name", "dial", raising=False)

    with pytest.raises(MethodError, match=r"dial: declares no search_space\(trial\)"):
        search_method(workspace, "dial", trials=1)


def with_mixing(workspace: Workspace, tmp_path: Path, **parameters: int) -> Workspace:
    """The workspace with a small bank of mixers on, whose columns the dial is given."""
    shape = {"tokens": 1, "channels": 2, "mixers": 2, "epochs": 1, "folds": 1} | parameters
    (tmp_path / "numerai.toml").write_text(
        SETTINGS + f'blocks = ["mixing"]\n[features.mixing]\non = true\nparameters = {toml_table(shape)}\n'
    )
    return Workspace(load_settings())


def toml_table(values: dict[str, int]) -> str:
    return "{ " + ", ".join(f"{name} = {value}" for name, value in values.items()) + " }"


def test_a_learned_block_is_fitted_for_each_fold_on_what_lies_before_all_that_it_judges(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(Dial):
        seen: ClassVar[list[tuple[int, int]]] = []

        def fit(self, panel: EraPanel, *, target: str, seed: int, progress: Progress = silent) -> Self:
            assert panel.feature_names == (*NAMES, "mixing.mixer_00", "mixing.mixer_01")
            self.last_ = panel.eras[-1]
            return super().fit(panel, target=target, seed=seed)

        def predict(self, panel: EraPanel) -> NDArray[np.float32]:
            assert panel.feature_names == self.feature_names_
            self.seen.append((self.last_, panel.eras[0]))
            return super().predict(panel)

    monkeypatch.setattr("numerai_assets_tests.methods.dial.Dial", Watched)
    mixed = with_mixing(workspace, tmp_path)

    search_method(mixed, "dial", trials=2, folds=2)

    vintages = mixed.fitted_blocks.vintages("mixing")
    assert len(vintages) == 2
    for vintage, (last, judged) in zip(vintages, Watched.seen[:2], strict=True):
        facts = mixed.fitted_blocks.facts("mixing", vintage)
        assert facts.last_fit_era == last
        assert vintage < judged
        assert last < judged - purge(60)


def test_a_learned_block_that_is_held_is_not_fitted_for_another_search(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = with_mixing(workspace, tmp_path)
    first = search_method(mixed, "dial", trials=1, folds=2)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("numerai_assets.pipeline.search.fit_block", refused)

    assert search_method(mixed, "dial", trials=2, folds=2).found.complete == first.found.complete + 1


def test_a_learned_block_is_not_fitted_on_eras_that_it_is_validated_on(workspace: Workspace, tmp_path: Path) -> None:
    mixed = with_mixing(workspace, tmp_path)

    with pytest.raises(MethodError, match=r"mixing is learned from all eras before a vintage, .*--splits forward"):
        search_method(mixed, "dial", trials=1, folds=2, splits="k-fold")


def test_a_learned_block_that_a_fold_has_too_few_eras_for_is_named_with_the_eras(
    workspace: Workspace, tmp_path: Path
) -> None:
    mixed = with_mixing(workspace, tmp_path, folds=2)

    with pytest.raises(
        MethodError, match=r"mixing cannot be fitted for the fold that judges eras \d{4}-\d{4}: .*fewer"
    ):
        search_method(mixed, "dial", trials=1, folds=2)


def test_a_method_that_is_not_in_the_settings_is_told(workspace: Workspace) -> None:
    done = CliRunner().invoke(main, ["search", "dail"])

    assert done.exit_code == 1
    assert "no [methods.dail] in the settings; there are dial" in done.output
