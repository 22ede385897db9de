"""The checks of models fail the run where a vintage saw behind its wall, whatever its record says it was for."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from numerai_assets.assets.models import model_key
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.checks.model_checks import judged_after_vintage, wall_held
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import load_settings
from numerai_assets.store.eras_used import recorded
from numerai_assets.store.vintage_store import seal
from numerai_assets_tests.store.vintage_facts import FACTS

METHOD = "benchmark"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with vintages 574 and 626, which predicted the eras after them."""
    monkeypatch.chdir(tmp_path)
    made = Workspace(load_settings(home=tmp_path))
    for vintage in (574, 626):
        with made.vintages.writing(METHOD, vintage) as folder:
            uses = recorded({"fit": range(vintage - 16, 0, -4), "selection": range(500, vintage - 16)})
            eras = {"first_fit_era": 2, "last_fit_era": vintage - 16, "fit_eras": 140}
            seal(folder, **FACTS | eras | {"vintage": vintage, "uses": uses})
        for era in (vintage + 1, vintage + 2):
            predict(made, vintage, era)
    return made


def predict(workspace: Workspace, vintage: int, era: int) -> None:
    workspace.predictions.write(
        METHOD, vintage, f"{era:04d}", era=era, ids=["n1"], prediction=np.full(1, 0.5, np.float32)
    )


def tamper(workspace: Workspace, vintage: int, **changes: Any) -> None:
    """Changes what a vintage's record says of its uses."""
    path = workspace.vintages.folder / METHOD / f"{vintage:04d}" / "vintage.json"
    content = json.loads(path.read_text())
    content["uses"] |= changes
    path.write_text(json.dumps(content))


def run(check: dg.AssetChecksDefinition, workspace: Workspace) -> tuple[bool, dg.AssetCheckEvaluation, bool]:
    """Whether the run of the checked asset and one after it succeeded, the check's verdict, whether the other ran."""

    (key,) = (key.asset_key for key in check.check_keys)

    @dg.asset(key=key)
    def checked() -> None: ...

    @dg.asset(deps=[key])
    def after() -> None: ...

    done = dg.materialize([checked, after, check], resources={"workspace": workspace}, raise_on_error=False)
    (verdict,) = done.get_asset_check_evaluations()
    return done.success, verdict, bool(done.asset_materializations_for_node("after"))


def test_walls_that_held_let_the_run_go_on(workspace: Workspace) -> None:
    for check, asset in (
        (wall_held(METHOD), model_key(METHOD)),
        (judged_after_vintage(METHOD), out_of_sample_key(METHOD)),
    ):
        assert {key.asset_key for key in check.check_keys} == {asset}
        success, verdict, went_on = run(check, workspace)

        assert (success, verdict.passed, went_on) == (True, True, True)
        assert verdict.metadata["vintages"].value == 2
        assert verdict.metadata["uses"].value == ["fit", "selection"]


@pytest.mark.parametrize(
    ("use", "runs", "first_wrong"),
    [
        ("selection", [[500, 558, 1], [560, 560, 1]], 560),
        ("early_stopping", [[559, 600, 1]], 559),
        ("neutralisation:target_ender_20", [[500, 570, 10]], 570),
        ("fit", [[2, 574, 4]], 562),
    ],
)
def test_a_record_tampered_with_an_era_behind_the_wall_fails_the_run(
    workspace: Workspace, use: str, runs: list[list[int]], first_wrong: int
) -> None:
    tamper(workspace, 574, **{use: runs})

    success, verdict, went_on = run(wall_held(METHOD), workspace)

    assert (success, verdict.passed, went_on) == (False, False, False)
    assert verdict.description is not None
    assert verdict.description.startswith(f"benchmark vintage 0574: era {first_wrong:04d} used for {use}, the last")
    assert verdict.metadata["broken"].value == [574]


def test_a_vintage_judged_too_near_to_what_it_used_fails_the_run(workspace: Workspace) -> None:
    tamper(workspace, 626, selection=[[600, 611, 1]])

    success, verdict, went_on = run(judged_after_vintage(METHOD), workspace)

    assert (success, verdict.passed, went_on) == (False, False, False)
    said = "benchmark vintage 0626: era 0627 predicted, after era 0611 used for selection the first allowed is 0628"
    assert said in (verdict.description or "")


def test_a_vintage_that_predicted_out_of_sample_what_was_not_after_it_fails_the_run(workspace: Workspace) -> None:
    predict(workspace, 574, 574)

    success, verdict, _ = run(judged_after_vintage(METHOD), workspace)

    assert (success, verdict.passed) == (False, False)
    assert "era 0574 predicted, which is not after the vintage" in (verdict.description or "")
