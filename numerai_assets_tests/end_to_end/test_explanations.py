"""What matters, as the weekly job leaves it on disk, and why one row is predicted as it is, as the command line says."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from numerai_assets.cli.main import main
from numerai_assets.eras import era_label, live_key
from numerai_assets.pipeline.explanations import eras_to_explain, read_by_era, read_importances
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

PROJECT = Path(__file__).resolve().parents[2]
METHOD = "benchmark"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"COLUMNS": "160"})


def test_the_weekly_job_leaves_what_matters_of_every_feature(rehearsal: Rehearsal) -> None:
    workspace = rehearsal.workspace
    table, by_era = read_importances(workspace, METHOD), read_by_era(workspace, METHOD)
    wanted = eras_to_explain(workspace, METHOD)

    assert set(table["feature"]) == set(workspace.store.feature_names)
    assert table["gain"].sum() == pytest.approx(1)
    assert table["shap"].is_monotonic_decreasing
    assert (table.loc[table["permuted_eras"] > 1, "permutation_se"] >= 0).all()
    assert dict(zip(by_era["era"], by_era["vintage"], strict=True)) == wanted
    assert all(vintage < era for era, vintage in wanted.items())
    assert max(wanted) == max(workspace.predictions.eras(METHOD, max(wanted.values())))
    looks = [look for look in workspace.holdout_ledger.looks() if look.purpose == "explanations"]
    assert len(looks) == 1 and looks[0].first_era <= min(wanted)
    # The same method looked at once more is no other variant.
    assert workspace.holdout_ledger.trials(wanted) == 1


def test_only_a_new_vintage_asks_for_explanations(rehearsal: Rehearsal) -> None:
    jobs = []
    for _ in range(3):
        rehearsal.to_next_weekend()
        jobs.append([done.step.job for done in rehearsal.weekly()[1]])
    for of_week in jobs:
        assert ("explanations" in of_week) == ("vintage" in of_week)
        if "explanations" in of_week:
            assert of_week.index("round") < of_week.index("explanations")
    assert any("vintage" in of_week for of_week in jobs)


@pytest.mark.parametrize("is_live", [True, False])
def test_a_row_is_explained_at_the_terminal(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    monkeypatch.chdir(PROJECT)
    workspace = rehearsal.workspace
    number = workspace.known_rounds()[-1]
    key, where = (live_key(number), ()) if is_live else ("0612", ("--era", "0612"))
    panel = workspace.store.panel([key])
    vintage = workspace.vintages.before(METHOD, panel.eras[0])[0]
    prediction = workspace.predictions.read(METHOD, vintage, key).set_index("id")["prediction"]

    shown = run("explain", METHOD, *where, "--id", panel.ids[5])

    assert shown.exit_code == 0, shown.output
    assert f"vintage {era_label(vintage)}" in shown.output
    assert f"in era {key}: {prediction[panel.ids[5]]:.3f}" in shown.output
    assert "SHAP" in shown.output and "LIME" in shown.output
    assert sum(name in shown.output for name in panel.feature_names) >= 15


def test_what_cannot_be_explained_is_one_line(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    wrong = {
        ("nobody", "--id", "n1"): "no [methods.nobody]",
        (METHOD, "--id", "n1"): "no row 'n1' among its",
        (METHOD, "--era", "0612", "--round", "326", "--id", "n1"): "exclude each other",
        (METHOD, "--era", "0540", "--id", "n1"): "no vintage older than era 0540",
        (METHOD, "--round", "9999", "--id", "n1"): "X@9999",
    }

    for options, words in wrong.items():
        result = run("explain", *options)

        assert result.exit_code == 1
        (line,) = result.stderr.strip().splitlines()
        assert words in line
