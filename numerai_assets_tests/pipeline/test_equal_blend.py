"""The equal blend: every era that all methods predicted, their mean rank, the newest vintages, nothing stale."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import era_label
from numerai_assets.pipeline.equal_blend import EQUAL_BLEND, judged_names, write_equal_blend
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings

IDS = ["a", "b", "c", "d"]
METHODS = ["first", "second"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """`first` predicts eras 11 to 14, from 13 on with a newer vintage too, `second` eras 12 to 14 in another order."""
    made = Workspace(Settings(home=tmp_path))
    for era in (11, 12, 13, 14):
        write(made, "first", 10, era, {"a": 0.1, "b": 0.4, "c": 0.6, "d": 0.9})
    for era in (13, 14):
        write(made, "first", 12, era, {"a": 0.9, "b": 0.6, "c": 0.4, "d": 0.1})
    for era in (12, 13, 14):
        write(made, "second", 10, era, {"d": 0.8, "c": 0.2, "b": 0.3, "a": 0.7})
    return made


def write(workspace: Workspace, method: str, vintage: int, era: int, values: dict[str, float]) -> None:
    prediction = np.array(list(values.values()), np.float32)
    workspace.predictions.write(method, vintage, era_label(era), era=era, ids=list(values), prediction=prediction)


def blended(workspace: Workspace, vintage: int, era: int) -> pd.Series:
    return workspace.predictions.read(EQUAL_BLEND, vintage, era_label(era)).set_index("id")["prediction"].sort_index()


def test_eras_that_all_predicted_are_blended_under_the_newest_of_their_vintages(workspace: Workspace) -> None:
    assert write_equal_blend(workspace.predictions, METHODS) == [12, 13, 14]

    assert {v: workspace.predictions.eras(EQUAL_BLEND, v) for v in workspace.predictions.vintages(EQUAL_BLEND)} == {
        10: [12],
        12: [13, 14],
    }
    # Ranks 1 + 3, 2 + 2, 3 + 1, 4 + 4 and, with the newer vintage, 4 + 3, 3 + 2, 2 + 1, 1 + 4.
    assert blended(workspace, 10, 12).rank().tolist() == [2, 2, 2, 4]
    assert blended(workspace, 12, 13).rank().tolist() == [4, 2.5, 1, 2.5]


def test_a_blend_that_is_there_is_left_and_one_that_is_no_longer_true_is_made_anew(workspace: Workspace) -> None:
    write_equal_blend(workspace.predictions, METHODS)
    place = workspace.predictions.folder / EQUAL_BLEND
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")}

    write_equal_blend(workspace.predictions, METHODS)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")} == before

    workspace.predictions.forget("first", 12)
    write(workspace, "second", 10, 12, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4})
    write_equal_blend(workspace.predictions, METHODS)

    assert workspace.predictions.vintages(EQUAL_BLEND) == [10]
    assert blended(workspace, 10, 12).rank().tolist() == [1, 2, 3, 4]


def test_one_method_has_no_blend() -> None:
    assert judged_names(["first"]) == ["first"]
    assert judged_names(METHODS) == [*METHODS, EQUAL_BLEND]
