"""The promises of the README, each through the real components: numerapi, the server, Dagster, the disk."""

import json
import re

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import requests

from numerai_assets.automation.conductor import RunFailed, execute
from numerai_assets.eras import Wall, era_label, live_key
from numerai_assets.evaluation.diagnostics import validation_table
from numerai_assets.pipeline.diagnostics import read_scores
from numerai_assets.pipeline.live_scores import read_live_scores
from numerai_assets.pipeline.plan import Step
from numerai_assets.sandbox.tournament.state import State
from numerai_assets.settings import load_settings
from numerai_assets.tournament.client import Tournament
from numerai_assets.tournament.receipt import Entry
from numerai_assets.tournament.receipt import Step as Stage
from numerai_assets.tournament.release import VALIDATION
from numerai_assets_tests.end_to_end.rehearsal import NewRehearsal, Rehearsal

SLOT = "sandbox_one"


def submissions_on_server(rehearsal: Rehearsal) -> list[tuple[int, str]]:
    state = State(rehearsal.world / "server" / "state.sqlite")
    return sorted((s.round_number, s.model_id) for s in state.submissions())


def test_one_weekly_run_goes_from_nothing_to_a_proven_submission(new_rehearsal: NewRehearsal) -> None:
    rehearsal = new_rehearsal()
    current, done = rehearsal.weekly()
    assert current is not None and current.is_weekend
    # Nothing that the submission does not need stands before it.
    assert [d.step.job for d in done][:4] == ["release", "eras", "vintage", "round"]
    assert [d.step.job for d in done[-3:]] == ["diagnostics", "explanations", "performance"]
    receipt = rehearsal.workspace.desk.receipt(current.number, SLOT)
    assert receipt is not None and receipt.step is Stage.PROVEN
    assert receipt.vintage < current.era
    assert len(submissions_on_server(rehearsal)) == 1
    scores = read_scores(rehearsal.workspace, "benchmark")
    table = validation_table(scores).set_index("score")
    assert {"corr60", "corr20", "mmc60", "bmc60"} <= set(table.index)
    assert (table["se"] > 0).all()
    assert scores["corr60"].last_valid_index() == current.era - 13
    assert scores["corr20"].last_valid_index() == current.era - 5


def test_running_it_twice_makes_one_submission_and_runs_nothing(rehearsal: Rehearsal) -> None:
    before = submissions_on_server(rehearsal)
    _, done = rehearsal.weekly()
    assert done == []
    assert submissions_on_server(rehearsal) == before


def test_a_run_killed_right_after_registering_adopts_its_submission(rehearsal: Rehearsal) -> None:
    current = rehearsal.workspace.tournament.current_round()
    assert current is not None
    path = rehearsal.workspace.rounds_folder / str(current.number) / "submissions" / SLOT / "1" / "receipt.json"
    receipt = json.loads(path.read_text())
    path.write_text(
        json.dumps(receipt | {"step": "uploaded", "submission_id": None, "history": receipt["history"][:3]})
    )
    before = submissions_on_server(rehearsal)
    rehearsal.weekly()
    again = rehearsal.workspace.desk.receipt(current.number, SLOT)
    assert again is not None
    assert (again.step, again.submission_id) == (Stage.PROVEN, receipt["submission_id"])
    assert submissions_on_server(rehearsal) == before


def test_a_file_uploaded_for_a_round_that_closed_is_not_registered_in_the_next(rehearsal: Rehearsal) -> None:
    workspace = rehearsal.workspace
    ended = workspace.tournament.current_round()
    assert ended is not None
    path = workspace.rounds_folder / str(ended.number) / "submissions" / SLOT / "1" / "receipt.json"
    uploaded = {"step": "uploaded", "submission_id": None, "server_filename": "never-registered.csv"}
    path.write_text(json.dumps(json.loads(path.read_text()) | uploaded))
    rehearsal.advance()
    before = submissions_on_server(rehearsal)
    with pytest.raises(RunFailed, match=f"round {ended.number} closed at"):
        execute(rehearsal.definitions, rehearsal.instance, Step("round", (str(ended.number),), "test"))
    assert submissions_on_server(rehearsal) == before


def test_an_upload_that_the_server_refuses_is_never_registered(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.advance()
    before = submissions_on_server(rehearsal)
    put = Tournament.put
    with monkeypatch.context() as patched:
        # A name the server never gave: it answers 403, which numerapi would not notice.
        patched.setattr(Tournament, "put", lambda self, url, content: put(self, url.replace("s/", "s/x"), content))
        with pytest.raises(RunFailed, match=f"{SLOT}: the upload was answered 403"):
            rehearsal.weekly()
    assert submissions_on_server(rehearsal) == before
    current, _ = rehearsal.weekly()
    assert current is not None
    assert rehearsal.workspace.desk.is_proven(current.number, SLOT)
    assert len(submissions_on_server(rehearsal)) == len(before) + 1


def test_bytes_that_come_back_changed_are_not_proven(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal.advance()
    before = submissions_on_server(rehearsal)
    get = Tournament.get

    def last_byte_changed(self: Tournament, url: str) -> requests.Response:
        answer = get(self, url)
        answer._content = answer.content[:-2] + b"9" + answer.content[-1:]
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(Tournament, "get", last_byte_changed)
        with pytest.raises(RunFailed, match="is not proven"):
            rehearsal.weekly()
    current = rehearsal.workspace.tournament.current_round()
    assert current is not None
    receipt = rehearsal.workspace.desk.receipt(current.number, SLOT)
    assert receipt is not None and receipt.step is Stage.ABANDONED
    rehearsal.weekly()
    proven = rehearsal.workspace.desk.receipt(current.number, SLOT)
    assert proven is not None and proven.step is Stage.PROVEN
    assert proven.attempt == receipt.attempt + 1
    # What was abandoned is on the server too, but one submission alone is in effect: the proven one.
    state = State(rehearsal.world / "server" / "state.sqlite")
    selected = state.submissions(round_number=current.number, selected=1)
    assert [s.id for s in selected] == [proven.submission_id]
    assert len(submissions_on_server(rehearsal)) == len(before) + proven.attempt


def test_a_file_changed_after_it_was_built_is_not_sent(rehearsal: Rehearsal) -> None:
    current = rehearsal.workspace.tournament.current_round()
    assert current is not None
    folder = rehearsal.workspace.rounds_folder / str(current.number) / "submissions" / SLOT / "1"
    receipt = json.loads((folder / "receipt.json").read_text())
    (folder / "receipt.json").write_text(json.dumps(receipt | {"step": "uploaded", "submission_id": None}))
    csv = folder / "predictions.csv"
    csv.write_bytes(csv.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(RunFailed, match="changed since it was built"):
        rehearsal.weekly()


@pytest.mark.slow(reason="eight simulated weeks with two retrainings and some forty rounds of the sandbox")
def test_eight_weeks_and_their_backfill(new_rehearsal: NewRehearsal) -> None:
    """Retrain and refresh both happen, each round is submitted exactly once, scores arrive, and a backfill from
    the final release gives, byte for byte, what the live runs had produced."""
    live = new_rehearsal()
    submitted, jobs_of_week = [], []
    for week in range(8):
        if week:
            live.to_next_weekend()
        current, done = live.weekly()
        assert current is not None
        submitted.append(current.number)
        jobs_of_week.append([d.step.job for d in done])
        if week == 3:
            live.advance()
            weekday, done = live.weekly()
            assert weekday is not None and not weekday.is_weekend
            assert [d.step.job for d in done] == ["round", "performance"]
            submitted.append(weekday.number)
    retrained = ["vintage" in jobs for jobs in jobs_of_week[1:]]
    assert 0 < sum(retrained) < 7
    on_server = submissions_on_server(live)
    assert [number for number, _ in on_server] == submitted
    scores = read_live_scores(live.workspace)
    assert {"corr60", "mmc60"} <= set(scores["display_name"])
    assert scores["round_number"].nunique() >= 6
    assert np.isfinite(scores["value"]).all()

    replay = new_rehearsal(beside=live, home="replay")
    execute(replay.definitions, replay.instance, Step("release", (), "test"))
    eras = live.workspace.store.eras()
    execute(replay.definitions, replay.instance, Step("eras", (era_label(eras[0]), era_label(eras[-1])), "test"))
    vintages = live.workspace.vintages.vintages("benchmark")[-3:]
    for vintage in vintages:
        execute(replay.definitions, replay.instance, Step("vintage", (era_label(vintage),), "test"))
    same = 0
    for era in eras[-21:-1]:
        for kind, suffix in (("released", "npy"), ("cleaned", "npy"), ("targets", "parquet")):
            name = f"store/{kind}/{era_label(era)}.{suffix}"
            assert (live.workspace.folder / name).read_bytes() == (replay.workspace.folder / name).read_bytes(), name
            same += 1
    for vintage in vintages:
        for folder in ("vintages", "predictions"):
            place = f"{folder}/benchmark/{era_label(vintage)}"
            # The replay's newest vintage may have predicted further than the live one had to.
            names = sorted(p.name for p in (live.workspace.folder / place).iterdir() if not p.name.startswith("X@"))
            assert names
            for name in names:
                ours, theirs = (r.workspace.folder / place / name for r in (live, replay))
                assert ours.read_bytes() == theirs.read_bytes(), f"{place}/{name}"
                same += 1
    assert same > 70


def test_a_live_prediction_equals_the_out_of_sample_prediction_of_the_same_rows(rehearsal: Rehearsal) -> None:
    workspace = rehearsal.workspace
    current = workspace.tournament.current_round()
    assert current is not None
    vintage = workspace.vintages.before("benchmark", current.era)[0]
    live = workspace.predictions.read("benchmark", vintage, live_key(current.number))
    later = workspace.predictions.read("benchmark", vintage, era_label(current.era))
    assert set(live["id"]).isdisjoint(later["id"])
    assert sorted(live["prediction"]) == sorted(later["prediction"])


def test_every_model_keeps_its_wall(rehearsal: Rehearsal) -> None:
    workspace = rehearsal.workspace
    vintages = workspace.vintages.vintages("benchmark")
    assert len(vintages) >= 3
    for vintage in vintages:
        assert workspace.vintages.facts("benchmark", vintage).last_fit_era <= Wall(vintage, 60).last_fit_era
        assert min(workspace.predictions.eras("benchmark", vintage)) > vintage


def test_a_closed_round_is_said_and_nothing_is_submitted(rehearsal: Rehearsal) -> None:
    rehearsal.advance("+2d")
    before = submissions_on_server(rehearsal)
    current, done = rehearsal.weekly()
    assert current is None
    assert done == []
    assert submissions_on_server(rehearsal) == before


def test_the_same_job_goes_live_with_keys_from_the_environment(
    new_rehearsal: NewRehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = new_rehearsal()
    going_live = new_rehearsal(beside=sandbox, tournament="numerai", home="live")
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "SANDBOX")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "sandbox")
    current, _ = going_live.weekly()
    assert current is not None
    assert going_live.workspace.desk.is_proven(current.number, SLOT)
    assert going_live.workspace.folder != sandbox.workspace.folder
    for path in going_live.workspace.folder.rglob("*.json"):
        assert "SANDBOX" not in path.read_text()


@pytest.mark.parametrize(
    ("keys", "message"),
    [(None, "no API keys: set NUMERAI_PUBLIC_ID"), (("SANDBOX", "wrong-secret"), "API keys refused")],
)
def test_missing_or_wrong_keys_are_one_clear_line(
    new_rehearsal: NewRehearsal, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str] | None, message: str
) -> None:
    rehearsal = new_rehearsal(tournament="numerai", home="live")
    if keys:
        monkeypatch.setenv("NUMERAI_PUBLIC_ID", keys[0])
        monkeypatch.setenv("NUMERAI_SECRET_KEY", keys[1])
    with pytest.raises(RunFailed, match=re.escape(message)) as failure:
        rehearsal.weekly()
    assert "\n" not in str(failure.value)
    assert "wrong-secret" not in str(failure.value)
    assert submissions_on_server(rehearsal) == []
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", "SANDBOX")
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "sandbox")
    current, done = rehearsal.weekly()
    assert done[0].step.job == "round"
    assert current is not None
    assert rehearsal.workspace.desk.is_proven(current.number, SLOT)


def test_a_slot_that_is_not_on_the_account_is_named(
    new_rehearsal: NewRehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMERAI_SLOTS__NOBODY", "benchmark")
    rehearsal = new_rehearsal()
    with pytest.raises(RunFailed, match="model slot 'nobody' is not on this account; it has sandbox_one"):
        rehearsal.weekly()


def test_a_damaged_store_file_is_named_and_repaired(rehearsal: Rehearsal) -> None:
    store = rehearsal.workspace.store
    victim = store.folder / "cleaned" / "0600.npy"
    victim.unlink()
    victim.write_bytes(b"cut")
    step = Step("vintage", ("0638",), "test")
    with pytest.raises(RunFailed, match=r"era 0600: cleaned features file .* is 3 bytes"):
        execute(rehearsal.definitions, rehearsal.instance, step)
    assert store.verify() == ["0600"]
    store.forget("0600")
    _, done = rehearsal.weekly()
    assert [d.step.partitions for d in done if d.step.job == "eras"] == [("0600", "0600")]
    assert store.verify() == []


def test_two_damaged_eras_apart_are_repaired_in_one_go(rehearsal: Rehearsal) -> None:
    store = rehearsal.workspace.store
    for key in ("0600", "0610"):
        store.forget(key)
    with pytest.raises(RunFailed, match="era 0600: not in the store"):
        execute(rehearsal.definitions, rehearsal.instance, Step("vintage", ("0638",), "test"))
    _, done = rehearsal.weekly()
    assert [d.step.partitions for d in done] == [("0600", "0600"), ("0610", "0610")]
    assert store.record("0600").cleaned_by == "median"


def test_other_settings_make_the_vintages_anew_and_the_round_is_not_lost(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMERAI_METHODS__BENCHMARK__FEATURE_SET", "medium")
    changed, before = Rehearsal.over(load_settings(), rehearsal.world), read_scores(rehearsal.workspace, "benchmark")
    changed.advance()
    current, done = changed.weekly()
    assert current is not None
    assert done[0].step.job == "round"
    assert [d.step.partitions for d in done if d.step.job == "vintage"] == [("0638",), ("0626",), ("0574",)]
    facts = changed.workspace.vintages.facts("benchmark", 638)
    assert facts.feature_set == "medium"
    assert facts.features < len(changed.workspace.store.feature_names)
    # What was made of the old ones is made anew, though no era and no vintage is new.
    assert [d.step.job for d in done].count("diagnostics") == 1
    after = read_scores(changed.workspace, "benchmark")
    both = after.index.intersection(before.index)
    assert (after.loc[both, "model"] != before.loc[both, "model"]).all()
    for score in ("corr60", "largest_exposure"):
        assert (after.loc[both, score] != before.loc[both, score]).mean() > 0.9


def test_a_live_file_of_an_earlier_round_is_refused(rehearsal: Rehearsal) -> None:
    workspace = rehearsal.workspace
    rehearsal.advance()
    weekday = workspace.tournament.current_round()
    assert weekday is not None
    manifest = workspace.round_release(326).folder / "live.parquet.manifest.json"
    rehearsal.weekly()
    fetched = json.loads((workspace.round_release(weekday.number).folder / "live.parquet.manifest.json").read_text())
    assert fetched["sha256"] != json.loads(manifest.read_text())["sha256"]
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": fetched["sha256"]}))
    workspace.round_release(weekday.number).path("live.parquet").unlink()
    with pytest.raises(RunFailed, match=f"still gives that of round 326, not of round {weekday.number}"):
        execute(rehearsal.definitions, rehearsal.instance, Step("round", (str(weekday.number),), "test"))
    assert not workspace.round_release(weekday.number).path("live.parquet").exists()


def test_what_a_killed_command_line_left_going_is_ended(rehearsal: Rehearsal) -> None:
    left = dg.DagsterRun(job_name="eras", tags={"numerai/by": "command line"}, status=dg.DagsterRunStatus.STARTED)
    rehearsal.instance.add_run(left)
    rehearsal.weekly()
    ended = rehearsal.instance.get_run_by_id(left.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE


def test_only_new_eras_and_newly_resolved_targets_are_written(rehearsal: Rehearsal) -> None:
    store = rehearsal.workspace.store
    before = {p: p.stat().st_mtime_ns for kind in ("released", "targets") for p in (store.folder / kind).iterdir()}
    rehearsal.to_next_weekend()
    rehearsal.weekly()
    newest = store.newest_era()
    changed = {p.name for p, stamp in before.items() if p.stat().st_mtime_ns != stamp}
    assert changed == {f"{era_label(newest - lag)}.parquet" for lag in (5, 13)}
    assert store.holds(era_label(newest))
    manifest = rehearsal.workspace.release.manifest(VALIDATION)
    assert manifest is not None and manifest.newest_era == newest


def test_unusable_predictions_never_reach_the_server(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    tournament, desk = rehearsal.workspace.tournament, rehearsal.workspace.desk
    weekday = tournament.current_round()
    assert weekday is not None
    before = submissions_on_server(rehearsal)
    good = pd.DataFrame({"id": ["n1", "n2", "n3"], "prediction": [0.2, 0.5, 0.8]})
    live_ids = good["id"].tolist()
    bad = {
        "NaN": good.assign(prediction=[0.2, np.nan, 0.8]),
        "Not enough stocks": good.iloc[:2],
        "Duplicates": good.assign(id=["n1", "n1", "n2"]),
        "non-zero standard deviation": good.assign(prediction=0.5),
        "between 0 and 1": good.assign(prediction=[0.2, 0.5, 1.8]),
    }
    for message, predictions in bad.items():
        with pytest.raises(Exception, match=message):
            desk.submit(tournament, weekday, SLOT, Entry(predictions, "benchmark", 1, "test"), live_ids=live_ids)
    assert submissions_on_server(rehearsal) == before
