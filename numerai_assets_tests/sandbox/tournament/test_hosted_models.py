"""Model uploads through the unmodified numerapi and raw_query; each run is a real process."""

import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import pandas as pd
import pytest

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.tournament.hosted_models import HostedModels, RunStatus
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import Purpose
from numerai_assets_tests.sandbox.pickles import benchmark, first_feature, pickled
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served, cut_short, started


def upload(sandbox: Served, content: bytes, model: str, folder: Path) -> str:
    path = folder / "model.pkl"
    path.write_bytes(content)
    identity: str = sandbox.client().model_upload(str(path), model_id=model)
    sandbox.tournament.hosted.wait()
    return identity


def listed(sandbox: Served, identity: str) -> dict[str, Any]:
    query = """query($id: ID) { computePickles(id: $id, unassigned: false) { id filename modelId assignedModelSlots
        dataVersion dockerImageName validationStatus triggerStatus insertedAt updatedAt
        triggers { id type status statuses { status description } submissionId } } }"""
    (found,) = sandbox.ask(query, id=identity)["computePickles"]
    return dict(found)


def assign(sandbox: Served, model: str, identity: str | None) -> Any:
    query = "mutation($m: String, $p: ID) { assignPickleToModel(modelId: $m, pickleId: $p) }"
    return sandbox.ask(query, m=model, p=identity)["assignPickleToModel"]


def trigger(sandbox: Served, model: str, identity: str, *, validation: bool = False) -> None:
    query = """mutation($m: ID, $p: ID, $v: Boolean) { triggerComputePickleUpload(modelId: $m, pickleId: $p,
        triggerValidation: $v) { id triggerStatus updatedAt } }"""
    sandbox.ask(query, m=model, p=identity, v=validation)
    sandbox.tournament.hosted.wait()


# -- through the client ------------------------------------------------------------------------------------------


def test_a_valid_pickle_is_run_at_every_round_that_opens(fresh_sandbox: Served, tmp_path: Path) -> None:
    api, model = fresh_sandbox.client(), fresh_sandbox.slot()
    identity = upload(fresh_sandbox, pickled(benchmark), model, tmp_path)
    found = listed(fresh_sandbox, identity)
    assert (found["validationStatus"], found["triggerStatus"], found["modelId"]) == ("Success", None, model)
    assert found["assignedModelSlots"] == []
    fresh_sandbox.advance("next-round")
    assert api.submission_ids(model) == []
    assert assign(fresh_sandbox, model, identity) == "true"
    assert listed(fresh_sandbox, identity)["assignedModelSlots"] == [model]
    fresh_sandbox.advance("next-round")
    fresh_sandbox.advance(round_by_number(FIRST_ROUND + 4).opens.isoformat())
    numbers = {s["round"]["number"] for s in submissions(fresh_sandbox, model)}
    assert numbers == {FIRST_ROUND + 2, FIRST_ROUND + 3, FIRST_ROUND + 4}
    fresh_sandbox.advance(round_by_number(FIRST_ROUND + 2).scored_at(1).isoformat())
    scored = {item["roundNumber"] for item in api.submission_scores(model, "bmc", day=1)}
    assert FIRST_ROUND + 2 in scored
    newest = api.download_submission(model_id=model, dest_path=str(tmp_path / "newest.csv"))
    live = fresh_sandbox.tournament.world.live(fresh_sandbox.tournament.view.latest_round.number)
    submitted = pd.read_csv(newest, index_col="id")["prediction"]
    pd.testing.assert_series_equal(submitted, live["v53_lgbm_ender60"], check_names=False)
    assert assign(fresh_sandbox, model, None) == "true"
    before = len(api.submission_ids(model))
    fresh_sandbox.advance("next-round")
    assert len(api.submission_ids(model)) == before


def submissions(sandbox: Served, model: str) -> list[dict[str, Any]]:
    query = """query($m: String) { submissions(modelId: $m) { id filename status selected filteredCount
        round { number } } }"""
    found: list[dict[str, Any]] = sandbox.ask(query, m=model)["submissions"]
    return found


def test_a_pickle_can_be_run_for_the_open_round_at_once(fresh_sandbox: Served, tmp_path: Path) -> None:
    model = fresh_sandbox.slot()
    identity = upload(fresh_sandbox, pickled(first_feature), model, tmp_path)
    with pytest.raises(ValueError, match="is not assigned to model sandbox_one"):
        trigger(fresh_sandbox, model, identity)
    assign(fresh_sandbox, model, identity)
    trigger(fresh_sandbox, model, identity)
    (made,) = submissions(fresh_sandbox, model)
    assert (made["status"], made["selected"], made["round"]) == ("on-time", True, {"number": FIRST_ROUND})
    found = listed(fresh_sandbox, identity)
    assert (found["triggerStatus"], found["triggers"][0]["submissionId"]) == ("Success", made["id"])
    logs = fresh_sandbox.ask("query($t: ID!) { triggerLogs(triggerId: $t) { message } }", t=found["triggers"][0]["id"])
    assert logs["triggerLogs"] == [{"message": "Success"}]
    fresh_sandbox.advance("+2d")
    with pytest.raises(ValueError, match=r"^No currently open rounds!$"):
        trigger(fresh_sandbox, model, identity)
    trigger(fresh_sandbox, model, identity, validation=True)
    assert listed(fresh_sandbox, identity)["validationStatus"] == "Success"


def test_a_hosted_model_takes_neither_submissions_nor_a_webhook(fresh_sandbox: Served, tmp_path: Path) -> None:
    api, model = fresh_sandbox.client(), fresh_sandbox.slot()
    identity = upload(fresh_sandbox, pickled(first_feature), model, tmp_path)
    api.set_submission_webhook(model, "http://127.0.0.1:1/hook")
    with pytest.raises(ValueError, match="has a submission webhook: remove it"):
        assign(fresh_sandbox, model, identity)
    api.set_submission_webhook(model)
    assign(fresh_sandbox, model, identity)
    with pytest.raises(ValueError, match="cannot have a submission webhook"):
        api.set_submission_webhook(model, "http://127.0.0.1:1/hook")
    with pytest.raises(ValueError, match="takes no submissions over the API"):
        api.upload_predictions(df=fresh_sandbox.predictions(), model_id=model)
    query = "query { account { models { name computePickleUpload { id assignedModelSlots } } } }"
    by_name = {m["name"]: m["computePickleUpload"] for m in fresh_sandbox.ask(query)["account"]["models"]}
    assert by_name["sandbox_one"] == {"id": identity, "assignedModelSlots": [model]}
    assert by_name["sandbox_two"] is None
    unassigned = "query { computePickles(unassigned: true) { id } }"
    assert fresh_sandbox.ask(unassigned)["computePickles"] == []


def test_an_invalid_pickle_cannot_be_assigned(sandbox: Served, tmp_path: Path) -> None:
    model = sandbox.slot()
    identity = upload(sandbox, b"no pickle", model, tmp_path)
    found = listed(sandbox, identity)
    assert found["validationStatus"] == "Error"
    assert found["triggers"][0]["statuses"][0]["description"].startswith("Invalid pickle - ")
    with pytest.raises(ValueError, match=r"is not valid \(its validation: Error\)"):
        assign(sandbox, model, identity)
    with pytest.raises(ValueError, match="Model upload not found: x"):
        assign(sandbox, model, "x")


def test_predictions_that_break_a_submissions_rule_are_the_models_error(sandbox: Served, tmp_path: Path) -> None:
    def constant(live_features: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"prediction": 0.5}, index=live_features.index)

    def other_ids(live_features: pd.DataFrame) -> pd.DataFrame:
        return first_feature(live_features).set_axis([f"n{i}" for i in range(len(live_features))])

    for predict, message in ((constant, "non-zero standard deviation"), (other_ids, "Not enough stocks submitted")):
        found = listed(sandbox, upload(sandbox, pickled(predict), sandbox.slot(), tmp_path))
        assert found["validationStatus"] == "Error"
        assert message in found["triggers"][0]["statuses"][0]["description"]


def test_data_versions_and_images_are_chosen_by_name_or_id(sandbox: Served, tmp_path: Path) -> None:
    api, model = sandbox.client(), sandbox.slot()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert list(api.model_upload_data_versions()) == ["v5.3"]
    assert list(api.model_upload_docker_images()) == [f"Python {version}"]
    (tmp_path / "m.pkl").write_bytes(b"x")
    identity = api.model_upload(
        str(tmp_path / "m.pkl"), model_id=model, data_version="v5.3", docker_image=f"Python {version}"
    )
    found = listed(sandbox, identity)
    assert (found["dataVersion"], found["dockerImageName"]) == ("v5.3", f"Python {version}")
    with pytest.raises(ValueError, match="'data_version' needs to be one of"):
        api.model_upload(str(tmp_path / "m.pkl"), model_id=model, data_version="v4")
    with pytest.raises(ValueError, match="Docker image not found: 00000000"):
        api.model_upload(str(tmp_path / "m.pkl"), model_id=model, docker_image="0" * 8 + "-0000-4000-8000-" + "0" * 12)
    with pytest.raises(ValueError, match="Model not found"):
        api.model_upload(str(tmp_path / "m.pkl"), model_id="nobody")
    with pytest.raises(ValueError, match="Not authenticated"):
        sandbox.client("SANDBOX", "wrong").model_upload(str(tmp_path / "m.pkl"), model_id=model)
    sandbox.tournament.hosted.wait()


# -- the clock and restarts --------------------------------------------------------------------------------------


def hosting(world_dir: Path) -> LocalTournament:
    """A started tournament whose first model is hosted."""
    tournament = started(world_dir)
    model = tournament.state.models()[0]
    name = tournament.hand_out_upload("m.pkl", model.id, Purpose.PICKLE)
    assert tournament.receive_upload(name, pickled(first_feature))
    view = tournament.view
    made = tournament.hosted.create(
        tournament.uploaded(name, model, Purpose.PICKLE), view.now, view.latest_round, "d", "i", lambda *_: ""
    )
    tournament.hosted.wait()
    tournament.assign_pickle(model.id, made.id)
    return tournament


def scores(tournament: LocalTournament) -> list[Any]:
    model = tournament.state.models()[0]
    found = tournament.state.scores(model.id)
    return [(s.round_number, s.inserted_at, [(c.display_name, c.day, c.value) for c in each]) for s, each in found]


def test_rounds_that_are_jumped_over_are_run_too(world_dir: Path, tmp_path: Path) -> None:
    jumper = hosting(copytree(world_dir, tmp_path / "jumper"))
    walker = hosting(world_dir)
    for _ in range(2):
        walker.advance("next-round")
    jumper.advance(walker.view.now.isoformat())
    assert len(scores(jumper)) == 2
    assert scores(jumper) == scores(walker)


def test_an_advance_cut_short_submits_each_round_once(world_dir: Path) -> None:
    tournament = hosting(world_dir)
    cut_short(tournament, "next-round")
    assert tournament.state.submissions() == []
    after = started(world_dir)
    (made,) = after.state.submissions()
    assert (made.round_number, made.selected) == (FIRST_ROUND + 1, True)
    runs = after.hosted.runs(type="submission")
    assert [(run.status, run.submission_id) for run in runs] == [("Success", made.id)]


def test_a_restart_takes_up_a_validation_that_was_left(world_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr(HostedModels, "_queue", lambda *_: None)
        stopped.setattr(LocalTournament, "assign_pickle", lambda *_: None)
        left = hosting(world_dir).hosted.pickles()[0]
    assert left.status == RunStatus.PENDING
    after = started(world_dir)
    after.hosted.wait()
    assert after.hosted.pickle(left.id).status == RunStatus.SUCCESS
