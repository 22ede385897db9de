"""Vintages that go on from one of history: from which, on what, in what order, and what is told of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.eras import era_label
from numerai_assets.errors import MethodError, StoreError
from numerai_assets.methods.mixer_boosting.estimator import MixerBoosting
from numerai_assets.methods.mixer_boosting.grown_trees import LightgbmTrees
from numerai_assets.pipeline.vintages import fit_vintage, load_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.progress import silent
from numerai_assets.settings import MethodSettings, load_settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.wall_crossings import crossings
from numerai_assets.tournament.release import FEATURES
from numerai_assets_tests.store.stored_eras import write_era

TARGET, NAMES, ROWS = "target_ender_20", ["feature_a", "feature_b", "feature_c"], 40
PARAMETERS = {"n_estimators": 12, "colsample_bytree": 1.0, "phases": 2, "extend_share": 0.25}
# One of history, eight eras apart, and the one of the live grid after it.
VINTAGE, NEXT = 36, 40
RETRAIN = {"first_vintage": 28, "every_eras": 4, "history_every_eras": 8}

MakeWorkspace = Callable[..., Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWorkspace:
    """Workspaces over one store of eras 1 to 44, in which the target follows the first feature."""
    monkeypatch.chdir(tmp_path)

    def make(
        method: str = "mixer_boosting", *, rolled: bool = True, compute: str = "local", **parameters: float
    ) -> Workspace:
        given = PARAMETERS | parameters if method == "mixer_boosting" else parameters
        settings = MethodSettings(target=TARGET, parameters=given, rolled=rolled, compute=compute)
        return Workspace(load_settings(home=tmp_path, retrain=RETRAIN, methods={method: settings}))

    monkeypatch.setattr(Workspace, "last_train_era", lambda workspace: 28)
    made = make()
    for era in range(1, 45):
        rng = np.random.default_rng(era)
        features = rng.integers(0, 5, (ROWS, len(NAMES)), dtype=np.int8)
        target = np.clip(features[:, 0] + rng.integers(-1, 2, ROWS), 0, 4).astype(np.float32) / 4
        write_era(made.store, era, features, NAMES, {TARGET: target})
        made.store.clean_as_released(era_label(era), strategy="median")
    made.release.folder.mkdir(parents=True)
    write_json(made.release.path(FEATURES), {"feature_sets": {"all": NAMES}, "targets": [TARGET]})
    return make


def fit(workspace: Workspace, vintage: int, method: str = "mixer_boosting") -> int | None:
    facts, _ = fit_vintage(workspace, method, vintage, str, silent)
    assert crossings(facts) == []
    return facts.continued_from


def parts_of(workspace: Workspace, vintage: int) -> list[list[str]]:
    """Models of each member, part by part."""
    loaded = load_vintage(workspace, "mixer_boosting", vintage)
    assert isinstance(loaded, MixerBoosting)
    trees = [member for member in loaded.trees_.values() if isinstance(member, LightgbmTrees)]
    return [[part.model_to_string() for part in member.parts] for member in trees]


def test_a_vintage_between_goes_on_from_the_newest_of_history_and_keeps_its_trees(
    make_workspace: MakeWorkspace,
) -> None:
    workspace = make_workspace()

    assert fit(workspace, VINTAGE) is None
    assert fit(workspace, NEXT) == VINTAGE

    old, new = parts_of(workspace, VINTAGE), parts_of(workspace, NEXT)
    assert len(old) == len(new) == 2
    for before, after in zip(old, new, strict=True):
        assert after[:1] == before
        assert (before[0].count("\nTree="), after[1].count("\nTree=")) == (12, 3)
    assert workspace.vintages.facts("mixer_boosting", NEXT).uses["fit"] == ((1, NEXT - 8, 1),)


def test_vintages_of_history_begin_anew_whatever_is_held(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    fit(workspace, VINTAGE)
    assert fit(workspace, VINTAGE + 8) is None
    assert fit(make_workspace(rolled=False), NEXT) is None


def test_what_to_go_on_from_is_asked_for_where_it_is_not_held_or_was_made_otherwise(
    make_workspace: MakeWorkspace,
) -> None:
    lacking = "mixer_boosting: base vintage 0036 is missing or was trained with other settings; run `numerai backfill"
    with pytest.raises(MethodError, match=lacking):
        fit(make_workspace(), NEXT)
    fit(make_workspace(learning_rate=0.5), VINTAGE)
    with pytest.raises(MethodError, match=lacking):
        fit(make_workspace(), NEXT)
    fit(make_workspace(), VINTAGE)
    assert fit(make_workspace(), NEXT) == VINTAGE


def test_a_damaged_one_is_set_aside_and_fitted_before_what_goes_on_from_it(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    fit(workspace, VINTAGE)
    next(workspace.vintages.place("mixer_boosting", VINTAGE).glob("*.txt")).write_text("tree")

    with pytest.raises(StoreError, match=r"mixer_boosting vintage 0036: .* was changed; train it again. It is kept in"):
        fit(workspace, NEXT)

    assert workspace.vintages.vintages("mixer_boosting") == []
    assert fit(workspace, VINTAGE) is None
    assert fit(workspace, NEXT) == VINTAGE


def test_a_method_that_cannot_go_on_says_so(make_workspace: MakeWorkspace) -> None:
    with pytest.raises(
        MethodError, match=r"benchmark: cannot warm-start from an earlier vintage; set .*rolled = false"
    ):
        fit(make_workspace("benchmark"), NEXT, "benchmark")


def test_vintages_do_not_roll_on_a_cluster(make_workspace: MakeWorkspace) -> None:
    with pytest.raises(MethodError, match=r"a warm start runs on this machine, not on dask:.*rolled = false"):
        fit(make_workspace(compute="dask://127.0.0.1:1"), NEXT)
