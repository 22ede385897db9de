"""Late and queued submissions through the unmodified numerapi."""

import io
from pathlib import Path

import pandas as pd
import pytest

from numerai_assets.sandbox.calendar.rounds import CalendarRound, round_by_number
from numerai_assets.sandbox.tournament.intake import remapped
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served, cut_short, started, valid_predictions

WEEKEND, TUESDAY, WEDNESDAY = (round_by_number(FIRST_ROUND + i) for i in range(3))


def predictions(sandbox: Served, to: CalendarRound, seed: int = 0) -> pd.DataFrame:
    return valid_predictions(sandbox.tournament.world, to.number, seed)


def submit(sandbox: Served, frame: pd.DataFrame, data: CalendarRound | None = None) -> str:
    datestamp = None if data is None else data.datestamp
    identity: str = sandbox.client().upload_predictions(df=frame, model_id=sandbox.slot(), data_datestamp=datestamp)
    return identity


def listed(sandbox: Served) -> list[tuple[int, str, bool]]:
    """Round, status and selection of the model's submissions, newest first."""
    query = "query($m: String) { submissions(modelId: $m) { status selected round { number } } }"
    found = sandbox.ask(query, m=sandbox.slot())["submissions"]
    return [(item["round"]["number"], item["status"], item["selected"]) for item in found]


def by_stock(sandbox: Served, frame: pd.DataFrame, of: CalendarRound) -> pd.Series:
    """Predictions indexed by the stocks behind a round's ids, which no client ever sees."""
    rows = sandbox.tournament.world._opened(of.number).rows()
    stock = dict(zip(rows["ids"].astype(str), rows["stocks"].tolist(), strict=True))
    return frame.set_index(frame["id"].map(stock))["prediction"].sort_index()


def after_closing(sandbox: Served) -> None:
    sandbox.advance(WEEKEND.closes.isoformat())


@pytest.mark.filterwarnings("ignore:.*round_model_performances_v2:DeprecationWarning")
def test_a_submission_after_staking_closed_is_late_scored_and_queued(fresh_sandbox: Served, tmp_path: Path) -> None:
    api, model = fresh_sandbox.client(), fresh_sandbox.slot()
    after_closing(fresh_sandbox)
    frame = predictions(fresh_sandbox, WEEKEND)
    late = submit(fresh_sandbox, frame)
    assert listed(fresh_sandbox) == [(TUESDAY.number, "queued", False), (WEEKEND.number, "late", True)]
    fresh_sandbox.advance("next-round")
    assert listed(fresh_sandbox) == [(TUESDAY.number, "on-time", True), (WEEKEND.number, "late", True)]
    newest = pd.read_csv(api.download_submission(model_id=model, dest_path=str(tmp_path / "newest.csv")))
    assert set(newest["id"]) == set(fresh_sandbox.tournament.world.live(TUESDAY.number).index)
    assert not set(newest["id"]) & set(frame["id"])
    sent, taken = by_stock(fresh_sandbox, frame, WEEKEND), by_stock(fresh_sandbox, newest, TUESDAY)
    both = sent.index.intersection(taken.index)
    assert len(both) > 90
    assert (sent[both].rank() == taken[both].rank()).all()
    first = api.download_submission(late, dest_path=str(tmp_path / "late.csv"))
    pd.testing.assert_frame_equal(pd.read_csv(first), frame)
    fresh_sandbox.advance(TUESDAY.scored_at(1).isoformat())
    scored = {(item["roundNumber"], item["submissionId"] == late) for item in api.submission_scores(model, day=1)}
    assert {(WEEKEND.number, True), (TUESDAY.number, False)} == scored
    assert {item["atRisk"] for item in api.round_model_performances_v2(model)} == {0}


def test_a_late_submission_never_takes_the_place_of_one_on_time(fresh_sandbox: Served) -> None:
    on_time = submit(fresh_sandbox, predictions(fresh_sandbox, WEEKEND, 1))
    after_closing(fresh_sandbox)
    submit(fresh_sandbox, predictions(fresh_sandbox, WEEKEND, 2))
    assert listed(fresh_sandbox) == [
        (TUESDAY.number, "queued", False),
        (WEEKEND.number, "late", False),
        (WEEKEND.number, "on-time", True),
    ]
    fresh_sandbox.advance(WEEKEND.scored_at(1).isoformat())
    scores = fresh_sandbox.client().submission_scores(fresh_sandbox.slot())
    assert {item["submissionId"] for item in scores if item["roundNumber"] == WEEKEND.number} == {on_time}


def test_of_several_late_submissions_the_newest_counts(fresh_sandbox: Served, tmp_path: Path) -> None:
    api, model = fresh_sandbox.client(), fresh_sandbox.slot()
    after_closing(fresh_sandbox)
    frames = [predictions(fresh_sandbox, WEEKEND, seed) for seed in (1, 2)]
    for frame in frames:
        submit(fresh_sandbox, frame)
    fresh_sandbox.advance(WEDNESDAY.opens.isoformat())
    assert [each for each in listed(fresh_sandbox) if each[2]] == [
        (TUESDAY.number, "on-time", True),
        (WEEKEND.number, "late", True),
    ]
    newest = pd.read_csv(api.download_submission(model_id=model, dest_path=str(tmp_path / "newest.csv")))
    sent, taken = by_stock(fresh_sandbox, frames[1], WEEKEND), by_stock(fresh_sandbox, newest, TUESDAY)
    assert sent.corr(taken) > 0.95
    fresh_sandbox.advance("+2w")
    scored = api.submission_scores(model, "corr60", day=1)
    assert [item["roundNumber"] for item in scored] == [TUESDAY.number, WEEKEND.number]


def test_who_submits_to_the_next_round_in_time_is_not_replaced_by_what_was_queued(fresh_sandbox: Served) -> None:
    after_closing(fresh_sandbox)
    submit(fresh_sandbox, predictions(fresh_sandbox, WEEKEND))
    fresh_sandbox.advance("next-round")
    submit(fresh_sandbox, predictions(fresh_sandbox, TUESDAY))
    assert listed(fresh_sandbox)[:2] == [(TUESDAY.number, "on-time", True), (TUESDAY.number, "on-time", False)]


def test_after_the_round_closed_altogether_only_its_datestamp_opens_it(fresh_sandbox: Served) -> None:
    fresh_sandbox.advance(WEEKEND.closes_late.isoformat())
    frame = predictions(fresh_sandbox, WEEKEND)
    with pytest.raises(ValueError, match=r"^Current round not open for submissions$"):
        submit(fresh_sandbox, frame)
    submit(fresh_sandbox, frame, data=WEEKEND)
    assert listed(fresh_sandbox) == [(TUESDAY.number, "queued", False), (WEEKEND.number, "late", True)]


@pytest.fixture
def past(fresh_sandbox: Served) -> pd.DataFrame:
    """Predictions for the weekend, one round later."""
    frame = predictions(fresh_sandbox, WEEKEND)
    fresh_sandbox.advance("next-round")
    return frame


def test_predictions_on_the_round_before_count_for_the_open_one(fresh_sandbox: Served, past: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="Are you using the latest live ids"):
        submit(fresh_sandbox, past)
    submit(fresh_sandbox, past, data=WEEKEND)
    assert listed(fresh_sandbox) == [(TUESDAY.number, "on-time", True), (WEEKEND.number, "late", True)]


def test_predictions_on_the_round_before_never_replace_those_on_the_open_one(
    fresh_sandbox: Served, past: pd.DataFrame
) -> None:
    submit(fresh_sandbox, predictions(fresh_sandbox, TUESDAY))
    submit(fresh_sandbox, past, data=WEEKEND)
    assert listed(fresh_sandbox) == [(WEEKEND.number, "late", True), (TUESDAY.number, "on-time", True)]


def test_data_of_an_older_round_is_refused(fresh_sandbox: Served) -> None:
    frame = predictions(fresh_sandbox, WEEKEND)
    fresh_sandbox.advance(WEDNESDAY.opens.isoformat())
    with pytest.raises(ValueError, match=f"is not that of round {WEDNESDAY.number}, .* or {TUESDAY.number}, "):
        submit(fresh_sandbox, frame, data=WEEKEND)


def test_between_the_two_closing_times_the_client_is_told_that_no_round_is_open(fresh_sandbox: Served) -> None:
    after_closing(fresh_sandbox)
    api = fresh_sandbox.client()
    assert api.check_round_open() is False
    with pytest.raises(ValueError, match=r"^Current round not open for submissions$"):
        api.get_current_round()


def test_what_was_queued_survives_a_restart_and_an_advance_cut_short(world_dir: Path) -> None:
    before = started(world_dir)
    before.advance(WEEKEND.closes.isoformat())
    model = before.state.models()[0].id
    name = before.hand_out_upload("p.csv", model)
    frame = predictions(Served("", before), WEEKEND)
    assert before.receive_upload(name, frame.to_csv(index=False).encode())
    before.register(name, model)
    cut_short(before, "next-round")
    assert [s.status for s in before.state.submissions()] == ["queued", "late"]
    after = started(world_dir)
    assert [(s.status, s.selected) for s in after.state.submissions()] == [("on-time", True), ("late", True)]


def test_remapping_ranks_and_gives_unknown_stocks_the_middle() -> None:
    submission = pd.DataFrame({"id": ["a", "b", "c"], "probability": [0.9, 0.7, 0.8]})
    id_map = pd.DataFrame({"id": ["c", None, "a"], "new_id": ["z", "x", "y"]})
    found = pd.read_csv(io.BytesIO(remapped(submission, id_map)))
    assert found.to_dict("list") == {"id": ["x", "y", "z"], "prediction": [0.5, 0.75, 0.25]}
