"""The deadline ladder end to end: whatever breaks, the round is submitted with the best that is left, and it is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from numerai_assets.automation.conductor import RunFailed
from numerai_assets.cli.main import main
from numerai_assets.eras import live_key
from numerai_assets.errors import MethodError
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.registry import METHODS
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.deadline import is_near
from numerai_assets.pipeline.diagnostics import read_scores
from numerai_assets.pipeline.ladder import Rung, candidates
from numerai_assets.pipeline.live_scores import scores_as_of
from numerai_assets.pipeline.plan import next_steps
from numerai_assets.pipeline.predictions import live_prediction
from numerai_assets.sandbox.server import process
from numerai_assets.sandbox.tournament.state import State, Submission
from numerai_assets.settings import load_settings
from numerai_assets.store.atomic import sha256_of
from numerai_assets.tournament import release
from numerai_assets.tournament.client import Round, Tournament, refusal
from numerai_assets.tournament.download import Fetched
from numerai_assets.tournament.receipt import Receipt, Step
from numerai_assets.tournament.release import FEATURES, LIVE, TRAIN, VALIDATION
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal, SecondMethod

SLOT, OTHER_SLOT = "sandbox_one", "sandbox_two"
STALE = "invalid_submission_ids: Not enough stocks submitted. Are you using the latest live ids or live universe?"


@pytest.fixture
def second_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second method as its module, its registration and the settings would make it; no slot submits it yet."""
    monkeypatch.setitem(METHODS, "second", f"{SecondMethod.__module__}:{SecondMethod.__name__}")
    parameters = {"n_estimators": 30, "learning_rate": 0.1, "every_eras": 3, "max_depth": 2}
    monkeypatch.setenv("NUMERAI_METHODS__SECOND__PARAMETERS", json.dumps(parameters))
    monkeypatch.setenv("NUMERAI_METHODS__SECOND__FEATURE_SET", "medium")


def again(rehearsal: Rehearsal) -> Rehearsal:
    """The pipeline over the same folders, with the settings as the environment has them now."""
    return Rehearsal.over(load_settings(), rehearsal.world)


def open_round(rehearsal: Rehearsal) -> Round:
    current = rehearsal.workspace.tournament.current_round()
    assert current is not None
    return current


def receipt_of(rehearsal: Rehearsal, slot: str = SLOT) -> Receipt:
    receipt = rehearsal.workspace.desk.receipt(open_round(rehearsal).number, slot)
    assert receipt is not None
    return receipt


def in_effect(rehearsal: Rehearsal) -> list[Submission]:
    state = State(rehearsal.world / "server" / "state.sqlite")
    return state.submissions(round_number=open_round(rehearsal).number, selected=1)


def alerts_of(rehearsal: Rehearsal) -> dict[str, str]:
    return {alert.key: alert.text for alert in rehearsal.workspace.alerts.raised()}


def to_a_weekend_with_a_vintage_due(rehearsal: Rehearsal) -> Round:
    """Moves on, submitting each weekend, to the opening of one whose data make a vintage due."""
    while True:
        rehearsal.to_next_weekend()
        current = open_round(rehearsal)
        if (current.era - 1 - 574) % rehearsal.settings.retrain.every_eras == 0:
            return current
        rehearsal.weekly()


def damage_newest_vintage(rehearsal: Rehearsal) -> int:
    workspace = rehearsal.workspace
    newest = workspace.vintages.vintages("benchmark")[-1]
    model = workspace.vintages.folder / "benchmark" / f"{newest:04d}" / "model.txt"
    model.write_bytes(model.read_bytes().replace(b"threshold=", b"threshold= ", 1))
    return newest


def no_fit(self: Benchmark, panel: EraPanel, **options: object) -> Benchmark:
    raise MemoryError("not enough for a fit")


@pytest.mark.slow(reason="several simulated weeks, up to one in which a vintage is due")
def test_a_fit_that_breaks_costs_the_fresh_vintage_alone_and_a_later_run_submits_it(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = to_a_weekend_with_a_vintage_due(rehearsal)
    held = rehearsal.workspace.vintages.vintages("benchmark")
    with monkeypatch.context() as broken:
        broken.setattr(Benchmark, "fit", no_fit)
        with pytest.raises(RunFailed, match="not enough for a fit"):
            rehearsal.weekly()
    first = receipt_of(rehearsal)
    assert (first.step, first.rung, first.vintage) == (Step.PROVEN, Rung.NEWEST, held[-1])
    told = alerts_of(rehearsal)[f"round {current.number} vintage/{current.era - 1:04d} failed"]
    assert "not enough for a fit" in told
    assert [item.id for item in in_effect(rehearsal)] == [first.submission_id]

    rehearsal.weekly()

    second = receipt_of(rehearsal)
    assert (second.step, second.rung, second.vintage) == (Step.PROVEN, Rung.FRESH, current.era - 1)
    assert second.attempt == first.attempt + 1
    assert [item.id for item in in_effect(rehearsal)] == [second.submission_id]
    _, done = rehearsal.weekly()
    assert done == []


def test_a_damaged_newest_vintage_gives_way_to_an_older_one_until_it_is_fitted_anew(rehearsal: Rehearsal) -> None:
    vintages = rehearsal.workspace.vintages
    held = vintages.vintages("benchmark")
    newest = damage_newest_vintage(rehearsal)
    rehearsal.advance()

    rehearsal.weekly()

    first, *_, last = rehearsal.workspace.desk.attempts(open_round(rehearsal).number, SLOT)
    assert (first.step, first.vintage) == (Step.PROVEN, held[-2])
    assert (last.step, last.rung, last.vintage) == (Step.PROVEN, Rung.FRESH, newest)
    assert [s.id for s in in_effect(rehearsal)] == [last.submission_id]
    told = alerts_of(rehearsal)[f"benchmark {newest:04d} damaged"]
    assert "model.txt is absent or was changed" in told
    kept = vintages.folder / "benchmark" / f"damaged-{newest:04d}-1"
    assert str(kept) in told
    assert (kept / "model.txt").is_file()


def test_when_every_vintage_is_damaged_each_is_told_of_and_the_round_waits_for_a_new_fit(rehearsal: Rehearsal) -> None:
    vintages = rehearsal.workspace.vintages
    held = vintages.vintages("benchmark")
    for vintage in held:
        (vintages.folder / "benchmark" / f"{vintage:04d}" / "model.txt").unlink()
    rehearsal.advance()

    rehearsal.weekly()

    assert {f"benchmark {vintage:04d} damaged" for vintage in held} <= set(alerts_of(rehearsal))
    receipt = receipt_of(rehearsal)
    assert (receipt.step, receipt.rung, receipt.vintage) == (Step.PROVEN, Rung.FRESH, held[-1])
    assert vintages.vintages("benchmark") == held


def test_a_newest_vintage_that_the_gate_refuses_gives_way_to_an_older_one(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = rehearsal.workspace.vintages.vintages("benchmark")[-1]
    predict, folder = Benchmark.predict, rehearsal.workspace.vintages.folder / "benchmark" / f"{newest:04d}"
    newest_model = Benchmark.load(folder).booster_.model_to_string()

    def flipped(self: Benchmark, panel: EraPanel) -> Any:
        found = predict(self, panel)
        return 1 - found if self.booster_.model_to_string() == newest_model else found

    monkeypatch.setattr(Benchmark, "predict", flipped)
    rehearsal.advance()

    rehearsal.weekly()

    receipt = receipt_of(rehearsal)
    assert (receipt.step, receipt.rung) == (Step.PROVEN, Rung.OLDER)
    assert receipt.vintage < newest
    assert "correlation with the vintage before is -" in receipt.refused[0].reason
    assert f"round {receipt.round_number} {SLOT} {Rung.OLDER}" in alerts_of(rehearsal)


def test_a_limit_of_the_settings_that_nothing_keeps_submits_nothing(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMERAI_GATE__GREATEST_EXPOSURE", "0.0001")
    strict = again(rehearsal)
    strict.advance()

    with pytest.raises(RunFailed, match=r"nothing to submit\. .*largest exposure is 0\.\d+, expected 0 to 0\.0001"):
        strict.weekly()

    assert in_effect(strict) == []


def test_the_same_method_in_two_slots_submits_once_and_the_duplicate_is_said(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMERAI_SLOTS__SANDBOX_TWO", "benchmark")
    twins = again(rehearsal)
    twins.advance()

    try:
        twins.weekly()
    except RunFailed as error:
        said = str(error)
    else:
        said = json.dumps(alerts_of(twins))

    assert f"correlation with slot {SLOT} is 1.0000" in said or f"correlation with slot {OTHER_SLOT} is 1.0000" in said
    proven = [s for s in (SLOT, OTHER_SLOT) if twins.workspace.desk.is_proven(open_round(twins).number, s)]
    contents = {twins.workspace.desk.content(receipt_of(twins, slot)) for slot in proven}
    assert len(contents) == len(proven) == len(in_effect(twins)) >= 1


def test_a_broken_method_does_not_stop_the_other_slot(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, second_method: None
) -> None:
    monkeypatch.setenv(f"NUMERAI_SLOTS__{OTHER_SLOT.upper()}", "second")
    both = again(rehearsal)
    both.weekly()
    assert both.workspace.desk.is_proven(open_round(both).number, OTHER_SLOT)
    both.advance()
    monkeypatch.setattr(SecondMethod, "predict", no_prediction)

    with pytest.raises(RunFailed) as failed:
        both.weekly()

    number = open_round(both).number
    assert both.workspace.desk.is_proven(number, SLOT)
    assert receipt_of(both).method == "benchmark"
    assert f"round {number}, {OTHER_SLOT}: nothing to submit" in str(failed.value)
    assert "no prediction today" in str(failed.value)
    # Of one other method the blend would be a copy of what the other slot submits.
    assert "blend" not in str(failed.value)
    assert len(in_effect(both)) == 1


def test_a_slot_without_any_model_does_not_hold_up_the_others_weekday_round(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, second_method: None
) -> None:
    rehearsal.advance()
    monkeypatch.setenv(f"NUMERAI_SLOTS__{OTHER_SLOT.upper()}", "second")
    both = again(rehearsal)
    current = open_round(both)
    both.workspace.remember_round(current)
    assert not current.is_weekend
    assert next_steps(both.workspace, current)[0].job == "round"


def test_of_three_methods_the_broken_one_is_stood_in_for_by_the_blend_of_the_others(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, second_method: None
) -> None:
    monkeypatch.setitem(METHODS, "third", METHODS["second"])
    monkeypatch.setenv("NUMERAI_METHODS__THIRD__PARAMETERS", '{"n_estimators": 20}')
    monkeypatch.setenv(f"NUMERAI_SLOTS__{OTHER_SLOT.upper()}", "second")
    monkeypatch.setenv("NUMERAI_SLOTS__SANDBOX_THREE", "third")
    three = again(rehearsal)
    three.weekly()
    three.advance()
    predict = SecondMethod.predict

    def broken(self: SecondMethod, panel: EraPanel) -> Any:
        return no_prediction(self, panel) if self.n_estimators == 20 else predict(self, panel)

    monkeypatch.setattr(SecondMethod, "predict", broken)
    three.weekly()

    blended = receipt_of(three, "sandbox_three")
    assert (blended.rung, blended.method) == (Rung.BLEND, "benchmark+second")
    assert len(in_effect(three)) == 3
    assert f"round {blended.round_number} sandbox_three {Rung.BLEND}" in alerts_of(three)


def no_prediction(self: Benchmark, panel: EraPanel) -> Any:
    raise MethodError("no prediction today")


def test_a_slot_whose_method_was_changed_and_cannot_be_fitted_submits_the_model_of_the_last_round(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, second_method: None
) -> None:
    before = receipt_of(rehearsal)
    monkeypatch.setenv(f"NUMERAI_SLOTS__{SLOT.upper()}", "second")
    monkeypatch.setattr(SecondMethod, "fit", no_fit)
    changed = again(rehearsal)
    changed.advance()

    with pytest.raises(RunFailed, match="not enough for a fit"):
        changed.weekly()

    receipt = receipt_of(changed)
    assert (receipt.step, receipt.rung) == (Step.PROVEN, Rung.PREVIOUS)
    assert (receipt.method, receipt.vintage) == (before.method, before.vintage)
    assert f"round {receipt.round_number} {SLOT} {Rung.PREVIOUS}" in alerts_of(changed)
    assert [item.round_number for item in in_effect(changed)] == [receipt.round_number]


def test_a_vintage_made_anew_in_a_round_predicts_that_round_anew(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the vintage of the old settings predicted of the open round is not what that of the new ones does."""
    rehearsal.to_next_weekend()
    monkeypatch.setenv("NUMERAI_METHODS__BENCHMARK__SEED", "7")
    changed = again(rehearsal)
    with monkeypatch.context() as first:
        first.setattr(Benchmark, "fit", no_fit)
        with pytest.raises(RunFailed):
            changed.weekly()
    old = receipt_of(changed)

    changed.weekly()

    workspace, number = changed.workspace, old.round_number
    newest = workspace.vintages.vintages("benchmark")[-1]
    live = workspace.store.panel([live_key(number)])
    found = live_prediction(workspace, "benchmark", newest, number)
    fitted = Benchmark.load(workspace.vintages.verified("benchmark", newest))
    np.testing.assert_array_equal(found, fitted.predict(live.with_features(fitted.feature_names_)))


def test_a_live_file_whose_ids_the_server_refuses_is_kept_aside_fetched_anew_and_submitted(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.advance()
    number, ask_once, refusals = open_round(rehearsal).number, Tournament.ask_once, [STALE]

    def refusing(self: Tournament, query: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        if "create_submission" in query and refusals:
            raise refusal(refusals.pop())
        return ask_once(self, query, *arguments, **options)

    monkeypatch.setattr(Tournament, "ask_once", refusing)
    rehearsal.weekly()

    receipt = receipt_of(rehearsal)
    assert (receipt.step, receipt.attempt) == (Step.PROVEN, 2)
    kept = rehearsal.workspace.rounds_folder / str(number) / "refused-1"
    assert (kept / LIVE).is_file()
    assert rehearsal.workspace.round_release(number).manifest(LIVE) is not None
    told = alerts_of(rehearsal)[f"round {number} round/{number} failed"]
    assert "Not enough stocks submitted" in told and "refused-1" in told
    assert len(in_effect(rehearsal)) == 1


def without_and_with(lost: list[str], new: str) -> Callable[[Path], None]:
    """Takes features out of a release file and puts one in that nobody knows."""

    def alter(path: Path) -> None:
        if path.name == FEATURES:
            content = json.loads(path.read_text())
            sets = {name: [f for f in names if f not in lost] for name, names in content["feature_sets"].items()}
            sets["all"].append(new)
            path.write_text(json.dumps(content | {"feature_sets": sets}))
        elif path.name in (TRAIN, VALIDATION, LIVE):
            with pq.ParquetFile(path) as file:
                tables = [file.read_row_group(group) for group in range(file.num_row_groups)]
                altered = [t.drop_columns(lost).append_column(new, t[lost[0]]) for t in tables]
                with pq.ParquetWriter(path.with_suffix(".new"), altered[0].schema) as writer:
                    for table in altered:
                        writer.write_table(table, row_group_size=table.num_rows)
            path.with_suffix(".new").replace(path)

    return alter


def serve_altered(monkeypatch: pytest.MonkeyPatch, alter: Callable[[Path], None]) -> None:
    """Every file that is fetched from now on comes as `alter` leaves it."""
    fetch = release.fetch

    def fetch_altered(
        address: Any, destination: Path, network: Any, *, verify: Any, known: Any, **options: Any
    ) -> Fetched:
        fetched = fetch(address, destination, network, verify=lambda path: None, known=None, **options)
        assert fetched is not None
        alter(destination)
        verify(destination)
        return Fetched(destination.stat().st_size, sha256_of(destination), None)

    monkeypatch.setattr(release, "fetch", fetch_altered)


def test_a_release_that_lost_and_gained_features_is_told_and_the_round_is_submitted(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = list(rehearsal.workspace.store.feature_names[:2])
    serve_altered(monkeypatch, without_and_with(lost, "feature_nobody_knew"))
    rehearsal.to_next_weekend()

    rehearsal.weekly()

    receipt = receipt_of(rehearsal)
    assert receipt.step is Step.PROVEN
    (told,) = [text for key, text in alerts_of(rehearsal).items() if key.startswith(FEATURES)]
    assert f"features_lost 2 ({min(lost)} ...)" in told
    assert "features_new 1 (feature_nobody_knew ...)" in told
    unusual = alerts_of(rehearsal)[f"round {receipt.round_number} {LIVE} is unusual"]
    assert f"lacks 2 features, e.g. {min(lost)}" in unusual
    assert rehearsal.workspace.store.verify() == []


def test_a_live_file_that_lost_most_features_is_not_submitted(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(rehearsal.workspace.store.feature_names)
    serve_altered(monkeypatch, without_and_with(names[: len(names) // 2], "feature_nobody_knew"))
    rehearsal.advance()

    with pytest.raises(RunFailed, match="share of features that drifted"):
        rehearsal.weekly()

    assert in_effect(rehearsal) == []


@pytest.mark.slow(reason="several simulated weeks, up to one in which a vintage is due")
def test_a_failing_fit_stops_neither_validation_nor_scores(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = to_a_weekend_with_a_vintage_due(rehearsal)
    monkeypatch.setattr(Benchmark, "fit", no_fit)

    with pytest.raises(RunFailed, match="not enough for a fit"):
        rehearsal.weekly()

    assert scores_as_of(rehearsal.workspace) == current.number
    assert read_scores(rehearsal.workspace, "benchmark").index[-1] == current.era - 5


def test_failing_diagnostics_do_not_stop_the_scores(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal.to_next_weekend()

    def broken(*arguments: Any, **options: Any) -> Any:
        raise ValueError("no diagnostics today")

    monkeypatch.setattr("numerai_assets.pipeline.diagnostics.scored_rows", broken)
    with pytest.raises(RunFailed, match="no diagnostics today"):
        rehearsal.weekly()

    assert rehearsal.workspace.desk.is_proven(open_round(rehearsal).number, SLOT)
    assert scores_as_of(rehearsal.workspace) == open_round(rehearsal).number
    assert any("diagnostics failed" in key for key in alerts_of(rehearsal))


def test_a_slot_that_cannot_be_submitted_stops_neither_validation_nor_scores(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, second_method: None
) -> None:
    monkeypatch.setenv(f"NUMERAI_SLOTS__{OTHER_SLOT.upper()}", "second")
    monkeypatch.setattr(SecondMethod, "fit", no_fit)
    both = again(rehearsal)
    both.to_next_weekend()

    with pytest.raises(RunFailed) as failed:
        both.weekly()

    current = open_round(both)
    assert f"round {current.number}, {OTHER_SLOT}: nothing to submit" in str(failed.value)
    assert both.workspace.desk.is_proven(current.number, SLOT)
    assert read_scores(both.workspace, "benchmark").index[-1] == current.era - 5
    assert scores_as_of(both.workspace) == current.number


def expect_round(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", "--expect-round", *arguments])


def test_the_dead_mans_switch_tells_each_state_by_its_exit_code(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = expect_round()
    assert (submitted.exit_code, "every slot is submitted, proven" in submitted.stdout) == (0, True)

    rehearsal.advance()
    number = open_round(rehearsal).number
    within = expect_round("--grace-minutes", "30")
    assert (within.exit_code, f"round {number}" in within.stdout, "not submitted yet" in within.stdout) == (
        0,
        True,
        True,
    )
    beyond = expect_round("--grace-minutes", "0")
    assert beyond.exit_code == 1
    assert beyond.stderr.startswith(f"numerai: round {number} (open until ")
    assert f"{SLOT} has no proven submission" in beyond.stderr

    rehearsal.advance("+2h")
    closed = expect_round("--grace-minutes", "600")
    assert closed.exit_code == 1
    assert closed.stderr.startswith(f"numerai: round {number} (closed ")

    rehearsal.advance()
    rehearsal.weekly()
    assert expect_round("--grace-minutes", "0").exit_code == 0

    process.stop(rehearsal.world)
    gone = expect_round()
    assert gone.exit_code == 1
    assert gone.stderr.startswith("numerai: no answer from http://127.0.0.1:")
    assert len(gone.stderr.strip().splitlines()) == 1


@pytest.mark.slow(reason="several simulated weeks, up to one in which a vintage is due")
def test_a_round_about_to_close_is_submitted_with_what_there_is_and_told_before_it_closes(
    rehearsal: Rehearsal,
) -> None:
    current = to_a_weekend_with_a_vintage_due(rehearsal)
    rehearsal.advance("+21h")
    workspace = rehearsal.workspace
    assert is_near(workspace, current, workspace.tournament.now())

    _, done = rehearsal.weekly()

    assert done[0].step.job == "round"
    assert "closes in" in alerts_of(rehearsal)[f"round {current.number} {SLOT} closing"]
    steps = [attempt.rung for attempt in workspace.desk.attempts(current.number, SLOT)]
    assert steps == [Rung.NEWEST, Rung.FRESH]
    assert len(in_effect(rehearsal)) == 1


def test_a_hindered_weekend_submits_before_it_waits_for_a_vintage(rehearsal: Rehearsal) -> None:
    rehearsal.to_next_weekend()
    current = open_round(rehearsal)
    rehearsal.workspace.remember_round(current)

    calm, hindered = (next_steps(rehearsal.workspace, current, is_hindered=h) for h in (False, True))

    assert [step.job for step in calm] == ["release"]
    assert [step.job for step in hindered] == ["round", "release"]


def test_candidates_come_best_first_and_hold_no_vintage_that_saw_the_round(rehearsal: Rehearsal) -> None:
    current = open_round(rehearsal)

    found = list(candidates(rehearsal.workspace, SLOT, current.number))

    vintages = [vintage for candidate in found for _, vintage in candidate.members]
    assert vintages == sorted(vintages, reverse=True)
    assert all(vintage < current.era for vintage in vintages)
    assert [candidate.rung for candidate in found] == [Rung.FRESH, Rung.OLDER, Rung.OLDER]
    assert found[0].refused("too flat").label == f"fresh vintage (benchmark {vintages[0]:04d})"
