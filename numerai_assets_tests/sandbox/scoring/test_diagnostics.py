"""Diagnostics through the unmodified numerapi, and their numbers against numerai-tools."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numerai_tools.scoring import (
    correlation_contribution,
    feature_neutral_corr,
    max_feature_correlation,
    numerai_corr,
)

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.scoring import diagnostics
from numerai_assets.sandbox.server.app import SERVER_FOLDER
from numerai_assets.sandbox.tournament.diagnostics_desk import DiagnosticsDesk
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import Purpose
from numerai_assets.sandbox.world.history import World
from numerai_assets_tests.sandbox.serving import Served, started

FIRST, LAST_RESOLVED, NEWEST = 575, 627, 640
META_FROM = 606

Change = Callable[[pd.DataFrame], pd.DataFrame]


def validation_file(world: World, eras: range = range(FIRST, NEWEST + 1)) -> pd.DataFrame:
    """A validation file of a somewhat spoiled benchmark."""
    frames = []
    for era in eras:
        ids = world.ids(era)
        noise = np.random.default_rng(era).normal(0, 0.2, len(ids))
        values = world.predictions(era)["v53_lgbm_ender60"].to_numpy() + noise
        frames.append(pd.DataFrame({"id": ids, "prediction": (values.argsort().argsort() + 0.5) / len(ids)}))
    return pd.concat(frames, ignore_index=True)


def diagnosed(sandbox: Served, frame: pd.DataFrame) -> dict[str, Any]:
    api = sandbox.client()
    model = api.get_models()["sandbox_one"]
    identity = api.upload_diagnostics(df=frame, model_id=model)
    sandbox.tournament.diagnostics.wait()
    (found,) = api.diagnostics(model, identity)
    return dict(found)


@pytest.fixture(scope="module")
def whole_file(sandbox: Served) -> pd.DataFrame:
    return validation_file(sandbox.tournament.world)


@pytest.fixture(scope="module")
def done(sandbox: Served, whole_file: pd.DataFrame) -> dict[str, Any]:
    return diagnosed(sandbox, whole_file)


def test_every_era_whose_target_has_resolved_is_judged(sandbox: Served, done: dict[str, Any]) -> None:
    assert (done["status"], done["message"]) == ("done", None)
    assert done["erasAcceptedCount"] == LAST_RESOLVED - FIRST + 1
    assert [item["era"] for item in done["perEraDiagnostics"]] == [f"{e:04d}" for e in range(FIRST, LAST_RESOLVED + 1)]
    assert done["updatedAt"] == sandbox.tournament.view.now.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("era", [FIRST, META_FROM])
def test_the_scores_of_an_era_equal_numerai_tools(
    sandbox: Served, whole_file: pd.DataFrame, done: dict[str, Any], era: int
) -> None:
    world = sandbox.tournament.world
    ids = np.sort(world.ids(era))
    features = pd.DataFrame(world.features(era), index=world.ids(era), columns=list(world.feature_names)).loc[ids]
    target = pd.Series(world.target(era, "target_ender_60"), index=world.ids(era), name="target_ender_60").loc[ids]
    rivals = world.predictions(era).loc[ids]
    one = whole_file.set_index("id")[["prediction"]].loc[ids]
    sets = json.loads((world.directory / "features.json").read_text())["feature_sets"]
    v3 = features[sets["fncv3_features"]]
    (found,) = [item for item in done["perEraDiagnostics"] if item["era"] == f"{era:04d}"]
    expected = {
        "validationCorr": numerai_corr(one, target).iloc[0],
        "validationBmc": correlation_contribution(one, rivals["v53_lgbm_ender60"], target).iloc[0],
        "validationFeatureNeutralCorr": feature_neutral_corr(one, features, target).iloc[0],
        "validationFeatureNeutralCorrV3": feature_neutral_corr(one, v3, target).iloc[0],
        "validationFeatureCorrMax": max_feature_correlation(one["prediction"], features)[1],
        "examplePredsCorr": one["prediction"].corr(rivals["v53_lgbm_ender60"], method="spearman"),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    if era < META_FROM:
        assert found["validationMmc"] is None
    else:
        mmc = correlation_contribution(one, rivals["numerai_meta_model"], target).iloc[0]
        assert found["validationMmc"] == pytest.approx(mmc, abs=1e-12)


def test_the_summary_follows_from_the_eras(done: dict[str, Any]) -> None:
    eras = pd.DataFrame(done["perEraDiagnostics"])
    corr, mmc = eras["validationCorr"], eras["validationMmc"].astype(float)
    both = (corr + mmc).dropna()
    assert done["validationCorrMean"] == pytest.approx(corr.mean())
    assert done["validationCorrStd"] == pytest.approx(corr.std(ddof=0))
    assert done["validationCorrSharpe"] == pytest.approx(corr.mean() / corr.std(ddof=0))
    fall = (corr.cumsum().cummax() - corr.cumsum()).max()
    assert done["validationMaxDrawdown"] == done["validationCorrMaxDrawdown"] == pytest.approx(fall)
    assert len(both) == LAST_RESOLVED - META_FROM + 1
    assert done["validationMmcMean"] == pytest.approx(mmc.mean())
    assert done["validationCorrPlusMmcSharpe"] == pytest.approx(both.mean() / both.std(ddof=0))
    assert done["validationBmcMean"] == pytest.approx(eras["validationBmc"].mean())
    assert done["validationFeatureCorrMax"] == pytest.approx(eras["validationFeatureCorrMax"].mean())
    assert done["examplePredsCorrMean"] == pytest.approx(eras["examplePredsCorr"].mean())


def test_what_numerai_does_not_publish_is_null(done: dict[str, Any]) -> None:
    unknown = [
        name for name in done if re.search(r"Rating$|Alpha|V4|IcV2|Ric|CorrWExamplePreds|Adjusted|Autocorr", name)
    ]
    assert len(unknown) > 40
    assert {done[name] for name in unknown} == {None}
    assert done["trainedOnVal"] is None


def test_eras_may_be_left_out_whole(sandbox: Served) -> None:
    found = diagnosed(sandbox, validation_file(sandbox.tournament.world, range(600, 610)))
    assert (found["status"], found["erasAcceptedCount"]) == ("done", 10)


def test_a_constant_era_has_no_scores_and_spoils_no_other(sandbox: Served, done: dict[str, Any]) -> None:
    frame = validation_file(sandbox.tournament.world, range(600, 603))
    frame.loc[frame["id"].isin(sandbox.tournament.world.ids(601)), "prediction"] = 0.5
    found = diagnosed(sandbox, frame)["perEraDiagnostics"]
    assert [item["validationCorr"] is None for item in found] == [False, True, False]
    before = {item["era"]: item["validationCorr"] for item in done["perEraDiagnostics"]}
    assert found[0]["validationCorr"] == pytest.approx(before["0600"], abs=1e-12)


REFUSED: dict[str, tuple[Change, str]] = {
    "headers": (lambda df: df.set_axis(["id", "score"], axis=1), "invalid_submission_headers"),
    "nan": (lambda df: df.assign(prediction=[np.nan, *df["prediction"][1:]]), "must not contain NaNs"),
    "range": (lambda df: df.assign(prediction=df["prediction"] * 2), "values must be between 0 and 1"),
    "constant": (lambda df: df.assign(prediction=0.5), "non-zero standard deviation"),
    "text": (lambda df: df.assign(prediction="a"), "values must be numbers"),
    "id missing": (lambda df: df.assign(id=[None, *df["id"][1:]]), "NaNs in the id column"),
    "id twice": (lambda df: pd.concat([df, df[:1]]), "Duplicates detected in id"),
    "other ids": (
        lambda df: df.assign(id=["n0", *df["id"][1:]]),
        "1 ids are not of the validation data, the first is n0",
    ),
    "part of an era": (lambda df: df[1:], r"era 0600 has \d+ ids, 1 of them are missing"),
    "no rows": (lambda df: df[:0], "invalid_submission_values|no era to score"),
}


@pytest.mark.parametrize("spoil", REFUSED)
def test_a_file_that_breaks_a_rule_ends_as_an_error_that_says_so(sandbox: Served, spoil: str) -> None:
    change, message = REFUSED[spoil]
    found = diagnosed(sandbox, change(validation_file(sandbox.tournament.world, range(600, 602))))
    assert found["status"] == "error"
    assert re.search(message, found["message"])
    assert found["perEraDiagnostics"] is None


def test_eras_that_have_not_resolved_cannot_be_judged(sandbox: Served) -> None:
    found = diagnosed(sandbox, validation_file(sandbox.tournament.world, range(LAST_RESOLVED + 1, NEWEST + 1)))
    assert found["status"] == "error"
    assert "no era to score" in found["message"]


def test_what_is_no_csv_ends_as_an_error(sandbox: Served, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    api = sandbox.client()
    model = api.get_models()["sandbox_two"]
    identity = api.upload_diagnostics(str(tmp_path / "empty.csv"), model_id=model)
    sandbox.tournament.diagnostics.wait()
    (found,) = api.diagnostics(model, identity)
    assert (found["status"], found["message"][:24]) == ("error", "invalid_submission_file:")


def test_a_models_diagnostics_are_listed_newest_first_and_only_its_own(sandbox: Served) -> None:
    api = sandbox.client()
    one, three = api.get_models()["sandbox_one"], api.get_models()["sandbox_three"]
    frame = validation_file(sandbox.tournament.world, range(600, 601))
    first = api.upload_diagnostics(df=frame, model_id=three)
    second = api.upload_diagnostics(df=frame, model_id=three)
    query = "query($modelId: String!) { diagnostics(modelId: $modelId) { id filename } }"
    found = api.raw_query(query, {"modelId": three}, authorization=True)["data"]["diagnostics"]
    assert [item["id"] for item in found] == [second, first]
    with pytest.raises(ValueError, match=f"Diagnostics not found: {first}"):
        api.diagnostics(one, first)


def test_only_what_was_uploaded_for_diagnostics_is_taken(sandbox: Served) -> None:
    api = sandbox.client()
    model = api.get_models()["sandbox_one"]
    create = "mutation($f: String!, $m: String) { createDiagnostics(filename: $f, tournament: 8, modelId: $m) { id } }"
    tournament = sandbox.tournament
    for purpose in (Purpose.SUBMISSION, Purpose.DIAGNOSTICS):
        name = tournament.hand_out_upload("p.csv", model, purpose)
        if purpose is Purpose.SUBMISSION:
            assert tournament.receive_upload(name, b"id,prediction\n")
        with pytest.raises(ValueError, match="File not found: p-"):
            api.raw_query(create, {"f": name, "m": model}, authorization=True)
    name = tournament.hand_out_upload("p.csv", model, Purpose.DIAGNOSTICS)
    assert tournament.receive_upload(name, b"id,prediction\n")
    api.raw_query(create, {"f": name, "m": model}, authorization=True)
    with pytest.raises(ValueError, match="File already submitted"):
        api.raw_query(create, {"f": name, "m": model}, authorization=True)
    stranger = sandbox.client("SANDBOX", "wrong")
    with pytest.raises(ValueError, match="Not authenticated"):
        stranger.diagnostics(model)


def test_a_restart_takes_up_what_was_left_running(
    tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copytree(tiny_world, tmp_path / "world")
    before = started(folder)
    model = before.state.models()[0]
    name = before.hand_out_upload("p.csv", model.id, Purpose.DIAGNOSTICS)
    content = validation_file(before.world, range(600, 603)).to_csv(index=False).encode()
    assert before.receive_upload(name, content)
    with monkeypatch.context() as stopped:
        stopped.setattr(DiagnosticsDesk, "_queue", lambda *_: None)
        run = before.diagnostics.create(before.uploaded(name, model, Purpose.DIAGNOSTICS), before.view.now, NEWEST)
    after = LocalTournament(World.open(folder), folder / SERVER_FOLDER)
    assert after.diagnostics.found(model.id, run.id)[0].status == "running"
    after.start()
    after.diagnostics.wait()
    (found,) = after.diagnostics.found(model.id, run.id)
    assert (found.status, found.numbers["erasAcceptedCount"]) == ("done", 3)


def test_drawdown_sharpe_and_apy_of_plain_numbers() -> None:
    assert diagnostics.max_drawdown(np.array([0.1, -0.3, 0.1, -0.2, 0.5])) == pytest.approx(0.4)
    assert diagnostics.max_drawdown(np.array([0.1, 0.2])) == 0
    assert diagnostics.sharpe(np.array([1.0, 3.0])) == pytest.approx(2.0)
    assert np.isnan(diagnostics.sharpe(np.array([1.0, 1.0])))
    assert diagnostics.apy(np.array([0.0, 0.0])) == 0
    assert diagnostics.apy(np.array([0.01, 0.01])) == pytest.approx((1.01**49 - 1) * 100)


def test_no_era_at_all_is_refused() -> None:
    with pytest.raises(SandboxError, match="no era to score"):
        diagnostics.judge(iter([]), [])
