"""`numerai explain`: which row is explained, and how a refusal reads."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from numerai_assets.cli.main import main
from numerai_assets.pipeline.row_explanation import RowExplanation
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.era_store import EraStore

PARTS = pd.DataFrame({"feature": ["a", "b"], "group": "wisdom", "level": [4, 0], "part": [0.25, -0.5]})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Rows that were asked for; rounds 1300 and 1301 are known, 1300 is stored."""
    monkeypatch.chdir(tmp_path)
    rows: list[tuple[str, str, str]] = []

    def explain_row(_: Workspace, method: str, key: str, row_id: str) -> RowExplanation:
        rows.append((method, key, row_id))
        local = None if row_id == "no-local" else PARTS.assign(weight=0.1, effect=0.2)
        return RowExplanation(892, 0.734, PARTS, local, None if local is None else 0.87)

    monkeypatch.setattr("numerai_assets.pipeline.row_explanation.explain_row", explain_row)
    monkeypatch.setattr(Workspace, "known_rounds", lambda self: [1300, 1301])
    monkeypatch.setattr(EraStore, "holds", lambda self, key: key == "X@1300")
    return rows


def explain(*options: Any) -> Result:
    return CliRunner().invoke(main, ["explain", *map(str, options)])


@pytest.mark.parametrize(("where", "key"), [((), "X@1300"), (("--round", 1301), "X@1301"), (("--era", "612"), "0612")])
def test_a_row_of_the_newest_stored_round_is_explained_unless_another_is_named(
    asked: list[tuple[str, str, str]], where: tuple[Any, ...], key: str
) -> None:
    shown = explain("benchmark", *where, "--id", "n1")

    assert shown.exit_code == 0, shown.output
    assert asked == [("benchmark", key, "n1")]
    assert f"vintage 0892: prediction of n1 in era {key}: 0.734" in shown.output
    assert "SHAP" in shown.output and "R² 0.87" in shown.output


def test_no_more_features_are_shown_than_asked_for(asked: list[tuple[str, str, str]]) -> None:
    shown = explain("benchmark", "--id", "n1", "--top", 1)

    assert "+0.2500" in shown.output
    assert "-0.5000" not in shown.output


def test_a_method_without_a_local_model_says_why(asked: list[tuple[str, str, str]]) -> None:
    assert "No LIME: benchmark reads columns of blocks" in explain("benchmark", "--id", "no-local").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("nobody", "--id", "n1"), "no [methods.nobody] in the settings; there are benchmark"),
        (("benchmark", "--round", 1, "--era", "0612", "--id", "n1"), "--round and --era exclude each other"),
    ],
)
def test_a_refusal_is_one_line(asked: list[tuple[str, str, str]], options: tuple[Any, ...], message: str) -> None:
    shown = explain(*options)

    assert (shown.exit_code, asked) == (1, [])
    assert message in shown.output


def test_without_a_stored_round_an_era_must_be_named(
    asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EraStore, "holds", lambda self, key: False)

    assert "no live round is stored; use --era" in explain("benchmark", "--id", "n1").output
