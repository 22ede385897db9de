"""The database of a sandbox: transactions, uploads, selection of submissions."""

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.tournament.state import (
    LATE,
    MODEL_NAMES,
    ON_TIME,
    PROCESSING,
    QUEUED,
    Model,
    Purpose,
    State,
    Submission,
    insert,
    model_id,
)

NOW = dt.datetime(2015, 4, 11, 12, 5, tzinfo=dt.UTC)
MODEL = model_id(MODEL_NAMES[0])


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state.sqlite")
    made.add_models(MODEL_NAMES, NOW)
    return made


def submitted(state: State, name: str, status: str = ON_TIME) -> Submission:
    state.add_upload(name, MODEL, Purpose.SUBMISSION)
    state.receive_upload(name, "0" * 64)
    upload = state.upload(name)
    assert upload is not None
    return state.add_submission(
        upload=upload,
        round_number=326,
        now=NOW,
        status=status,
        submitted_count=1,
        filtered_count=1,
        trigger_id=None,
        source=None,
    )


def selected(state: State) -> list[str]:
    return [found.filename for found in state.submissions(selected=1)]


def test_a_model_is_added_once_and_keeps_its_place_and_its_date(state: State) -> None:
    state.add_models(["mine", *MODEL_NAMES], NOW + dt.timedelta(days=1))
    models = state.models()
    assert [model.name for model in models] == [*MODEL_NAMES, "mine"]
    assert models[0].inserted_at == NOW.isoformat()
    assert models[-1].inserted_at == (NOW + dt.timedelta(days=1)).isoformat()


def test_an_upload_arrives_once_and_only_under_an_issued_name(state: State) -> None:
    state.add_upload("p.csv", MODEL, Purpose.PICKLE)
    assert state.receive_upload("other.csv", "a") is False
    assert state.receive_upload("p.csv", "a") is True
    assert state.receive_upload("p.csv", "b") is False
    upload = state.upload("p.csv")
    assert upload is not None
    assert (upload.sha256, upload.purpose) == ("a", Purpose.PICKLE)


def test_the_newest_submission_on_time_is_selected(state: State) -> None:
    first, second = submitted(state, "1.csv"), submitted(state, "2.csv")
    assert first.inserted_at < second.inserted_at
    assert selected(state) == ["2.csv"]


def test_a_late_submission_is_selected_only_without_one_on_time_and_a_queued_one_never(state: State) -> None:
    submitted(state, "queued.csv", QUEUED)
    submitted(state, "late.csv", LATE)
    assert selected(state) == ["late.csv"]
    submitted(state, "on-time.csv")
    submitted(state, "later.csv", LATE)
    assert selected(state) == ["on-time.csv"]


def test_a_submission_in_processing_comes_back_when_it_is_due(state: State) -> None:
    submitted(state, "1.csv")
    held = submitted(state, "2.csv")
    state.hold(held, NOW + dt.timedelta(minutes=30))
    assert selected(state) == ["1.csv"]
    state.settle(NOW + dt.timedelta(minutes=29))
    assert [found.status for found in state.submissions(id=held.id)] == [PROCESSING]
    state.settle(NOW + dt.timedelta(minutes=30))
    assert selected(state) == ["2.csv"]
    assert [found.status for found in state.submissions(id=held.id)] == [ON_TIME]


def test_an_error_rolls_a_transaction_back(state: State) -> None:
    with pytest.raises(RuntimeError), state.connected() as db:
        db.execute("DELETE FROM models")
        raise RuntimeError
    assert len(state.models()) == len(MODEL_NAMES)


def test_a_row_with_a_taken_value_is_refused_unless_it_replaces(state: State) -> None:
    again = Model(MODEL, "renamed", NOW.isoformat(), None, None, None, None)
    with pytest.raises(sqlite3.IntegrityError), state.connected() as db:
        insert(db, "models", again)
    with state.connected() as db:
        insert(db, "models", again, replace=True)
    assert [model.name for model in state.models()] == [*MODEL_NAMES[1:], "renamed"]


def test_state_of_another_format_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    with state.connected() as db:
        db.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    with pytest.raises(SandboxError, match="state of format 0, expected 1"):
        State(tmp_path / "state.sqlite")
