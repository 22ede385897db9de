"""Which vintages are fitted next, and what of each: what goes live first, and nothing that is held already."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numerai_assets.automation.jobs import run_of
from numerai_assets.pipeline.plan import Lacking, Step, vintage_steps
from numerai_assets.pipeline.vintages import refused_vintages, training_data
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import load_settings
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.vintage_store import Refusal, VintageStore, seal

# History at 30, 38 and 46, the newest of the live grid at 50.
RETRAIN = {"first_vintage": 30, "every_eras": 4, "history_every_eras": 8}
NEWEST, BASE, LIVE = 51, 46, 50
METHODS: dict[str, dict[str, Any]] = {"benchmark": {}, "mixer_boosting": {"blocks": ["embeddings"]}}

MakeWorkspace = Callable[..., Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWorkspace:
    """Workspaces at era 51, with two methods of which one is given a learned block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Workspace, "last_train_era", lambda workspace: 30)
    monkeypatch.setattr(EraStore, "newest_era", lambda store: NEWEST)

    def make(*methods: str, **of_mixer: Any) -> Workspace:
        asked = {name: METHODS[name] | (of_mixer if name == "mixer_boosting" else {}) for name in methods or METHODS}
        return Workspace(
            load_settings(
                home=tmp_path,
                retrain=RETRAIN,
                methods=asked,
                slots={f"slot_{place}": name for place, name in enumerate(asked)},
                features={name: {"on": True} for name in ("embeddings", "interactions")},
            )
        )

    return make


def hold(store: VintageStore, name: str, vintage: int, asked: dict[str, Any]) -> None:
    """As if it had been fitted."""
    eras = {"first_fit_era": 1, "last_fit_era": 2, "fit_eras": 2, "rows": 2, "features": 1}
    with store.writing(name, vintage) as folder:
        seal(folder, method=name, vintage=vintage, uses={}, **eras, **asked)


def hold_method(workspace: Workspace, method: str, vintage: int) -> None:
    hold(workspace.vintages, method, vintage, workspace.specs.method(method).as_json())


def hold_block(workspace: Workspace, name: str, vintage: int) -> None:
    hold(workspace.fitted_blocks, name, vintage, workspace.specs.block(name).as_json())


def lacking(workspace: Workspace) -> dict[int, tuple[str, ...]]:
    steps = {int(step.partitions[0]): step.lacking for step in vintage_steps(workspace)}
    return {vintage: (*found.blocks, *found.methods) for vintage, found in steps.items() if found is not None}


def test_the_newest_comes_first_and_a_block_only_where_a_method_is_given_it(make_workspace: MakeWorkspace) -> None:
    everything = ("embeddings", "benchmark", "mixer_boosting")

    assert list(lacking(make_workspace()).items()) == [(v, everything) for v in (LIVE, BASE, 38, 30)]
    assert set(lacking(make_workspace("benchmark")).values()) == {("benchmark",)}


def test_what_is_held_is_not_fitted_again_for_what_could_not_be(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace()
    for vintage in (30, 38, BASE, LIVE):
        hold_method(workspace, "benchmark", vintage)
    for vintage in (38, BASE, LIVE):
        hold_block(workspace, "embeddings", vintage)
        hold_method(workspace, "mixer_boosting", vintage)

    assert lacking(workspace) == {30: ("embeddings", "mixer_boosting")}

    hold_block(workspace, "embeddings", 30)
    assert lacking(workspace) == {30: ("mixer_boosting",)}


def test_a_method_that_comes_later_is_fitted_alone(make_workspace: MakeWorkspace) -> None:
    before = make_workspace("benchmark")
    for vintage in (30, 38, BASE, LIVE):
        hold_method(before, "benchmark", vintage)

    assert lacking(before) == {}
    assert set(lacking(make_workspace()).values()) == {("embeddings", "mixer_boosting")}


def test_what_the_newest_goes_on_from_comes_before_it_and_brings_its_blocks(make_workspace: MakeWorkspace) -> None:
    found = lacking(make_workspace(rolled=True))

    assert list(found) == [BASE, LIVE, 38, 30]
    assert found[BASE] == ("embeddings", "benchmark", "mixer_boosting")
    assert found[LIVE] == ("benchmark", "mixer_boosting")


def test_a_run_is_of_what_is_lacking_and_of_all_where_nothing_is_said() -> None:
    def keys(lacking: Lacking | None) -> list[str] | None:
        assets = run_of(Step("vintage", ("0030",), "test", lacking)).assets
        return None if assets is None else [key.to_user_string() for key in assets]

    assert keys(Lacking(("embeddings",), ("benchmark",))) == [
        "features/embeddings",
        "models/benchmark_model",
        "predictions/benchmark_out_of_sample",
    ]
    assert keys(None) is None


def refuse(workspace: Workspace, store: VintageStore, name: str, vintage: int, spec: Any) -> None:
    store.refuse(Refusal(name, vintage, "too few eras", spec.digest, training_data(workspace.store, vintage)))


def test_a_method_that_cannot_be_fitted_is_not_tried_again_until_its_settings_change(
    make_workspace: MakeWorkspace,
) -> None:
    workspace = make_workspace("mixer_boosting")
    refuse(workspace, workspace.vintages, "mixer_boosting", 30, workspace.specs.method("mixer_boosting"))

    assert 30 not in lacking(workspace)
    assert 38 in lacking(workspace)
    assert 30 in lacking(make_workspace("mixer_boosting", seed=1))
    assert [refusal.vintage for refusal in refused_vintages(workspace)] == [30]
    assert refused_vintages(make_workspace("mixer_boosting", seed=1)) == []


def test_a_method_does_not_wait_for_a_block_that_cannot_be_fitted_and_holds_up_no_other(
    make_workspace: MakeWorkspace,
) -> None:
    workspace = make_workspace()
    refuse(workspace, workspace.fitted_blocks, "embeddings", 30, workspace.specs.block("embeddings"))

    assert lacking(workspace)[30] == ("benchmark",)
    assert [refusal.method for refusal in refused_vintages(workspace)] == ["embeddings"]
