"""A slot's submission against a server that does everything a server may do wrong, and a process that dies anywhere.

Whatever happens, in the end one submission is in effect for the round and slot, it is what was built, and none was made
for another round.
"""

import datetime as dt
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import (
    NumeraiAssetsError,
    RoundClosedError,
    StaleLiveError,
    SubmissionError,
    TournamentError,
    Unreachable,
)
from numerai_assets.tournament.receipt import Entry, Receipt, RejectedCandidate, Step
from numerai_assets.tournament.submission import PROCESSING_MINUTES, SubmissionDesk, submission_csv
from numerai_assets_tests.tournament.fake_server import (
    NEXT_ROUND,
    ROUND,
    SIGNATURE,
    FakeTournament,
    Killed,
    Mishap,
    Server,
)

SLOT = "mine"
TOO_FLAT = RejectedCandidate("fresh vintage", (("benchmark", 1204),), "too flat")
IDS = [f"n{row:015x}" for row in range(20)]


def entry(seed: int = 0, **facts: Any) -> Entry:
    """Predictions of every live id, others for another seed."""
    order = np.random.default_rng(seed).permutation(len(IDS))
    frame = pd.DataFrame({"id": IDS, "prediction": (order + 0.5) / len(IDS)})
    return Entry(frame, **{"method": "benchmark", "vintage": 1200, "rung": "fresh vintage"} | facts)


def csv_of(made: Entry) -> bytes:
    return submission_csv(made.predictions["id"].tolist(), made.predictions["prediction"].to_numpy(np.float64))


def submit(desk: SubmissionDesk, server: Server, made: Entry | None = None, *, attempts: int = 2) -> Receipt:
    tournament: Any = FakeTournament(server, attempts)
    return desk.submit(tournament, ROUND, SLOT, made or entry(), live_ids=IDS)


def run_until_proven(folder: Path, server: Server, made: Entry, runs: int = 12) -> int:
    """Runs again after whatever went wrong, as the plan does; returns how many runs it took."""
    for number in range(1, runs + 1):
        try:
            # A new desk each time: nothing is remembered but what is on disk.
            if submit(SubmissionDesk(folder), server, made).step is Step.PROVEN:
                return number
        except (Killed, NumeraiAssetsError):
            server.clock += dt.timedelta(minutes=1)
    raise AssertionError(f"not proven after {runs} runs")


def assert_one_in_effect(folder: Path, server: Server, made: Entry) -> None:
    (counting,) = server.in_effect(ROUND.number)
    receipt = SubmissionDesk(folder).receipt(ROUND.number, SLOT)
    assert receipt is not None and receipt.step is Step.PROVEN
    assert receipt.submission_id == counting.identity
    assert counting.content == csv_of(made)
    assert {item.round_number for item in server.registered} == {ROUND.number}
    assert_no_secret(folder)


def assert_no_secret(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not path.is_file() or SIGNATURE not in path.read_text()


@pytest.fixture
def desk(tmp_path: Path) -> SubmissionDesk:
    return SubmissionDesk(tmp_path)


@contextmanager
def renames_counted(server: Server) -> Iterator[None]:
    """Each file that takes its name is a call too, at which the process may die."""
    with pytest.MonkeyPatch.context() as patched:
        rename = Path.replace
        patched.setattr(Path, "replace", lambda self, to: server.call("rename", lambda _: rename(self, to)))
        # Nothing is to survive a power cut here.
        patched.setattr("numerai_assets.store.atomic.flush", lambda path: None)
        yield


def test_a_calm_run_is_proven_and_its_receipt_tells_the_steps(desk: SubmissionDesk) -> None:
    server = Server()

    receipt = submit(desk, server, entry(rung="older vintage", refused=(TOO_FLAT,)))

    assert [step for step, _ in receipt.history] == ["built", "validated", "uploaded", "registered", "proven"]
    assert [when for _, when in receipt.history] == sorted(when for _, when in receipt.history)
    assert (receipt.rung, receipt.refused) == ("older vintage", (TOO_FLAT,))
    assert (receipt.status, receipt.is_late, receipt.rows) == ("on-time", False, len(IDS))
    assert desk.receipt(ROUND.number, SLOT) == receipt
    assert desk.predictions(receipt).index.tolist() == IDS
    assert_one_in_effect(desk.folder, server, entry())


def test_the_same_entry_twice_makes_one_submission_and_asks_nothing_but_the_time(desk: SubmissionDesk) -> None:
    server = Server()
    first = submit(desk, server)
    asked = len(server.calls)

    assert submit(desk, server) == first
    assert set(server.calls[asked:]) <= {"now"}
    assert len(server.registered) == 1


def test_a_better_entry_takes_the_place_of_a_proven_one(desk: SubmissionDesk) -> None:
    server = Server()
    submit(desk, server, entry(1))

    second = submit(desk, server, entry(2))

    assert second.attempt == 2
    assert [a.step for a in desk.attempts(ROUND.number, SLOT)] == [Step.PROVEN, Step.PROVEN]
    assert_one_in_effect(desk.folder, server, entry(2))


def test_going_back_to_an_earlier_entry_puts_it_in_effect_again(desk: SubmissionDesk) -> None:
    server = Server()
    for seed in (1, 2, 1):
        submit(desk, server, entry(seed))

    assert_one_in_effect(desk.folder, server, entry(1))


KILLS = [Mishap.KILLED_BEFORE, Mishap.KILLED_AFTER]


@pytest.mark.parametrize("kill", KILLS)
def test_a_process_that_dies_at_any_call_or_file_is_run_again_and_registers_once(tmp_path: Path, kill: Mishap) -> None:
    died = 0
    for number in range(1_000):
        server, folder = Server({number: kill}), tmp_path / str(number)
        with renames_counted(server):
            runs = run_until_proven(folder, server, entry())
        assert_one_in_effect(folder, server, entry())
        assert len(server.registered) == 1, f"call {number}, {server.calls[number]}"
        if number >= len(server.calls):
            break
        died += runs > 1
    assert died > 15


@pytest.mark.parametrize("loss", [Mishap.LOST, Mishap.UNANSWERED])
@pytest.mark.parametrize("attempts", [1, 3])
def test_an_outage_at_any_call_never_registers_twice(tmp_path: Path, loss: Mishap, attempts: int) -> None:
    number = 0
    while True:
        server, folder = Server({number: loss}), tmp_path / str(number)
        try:
            submit(SubmissionDesk(folder), server, attempts=attempts)
        except (Unreachable, SubmissionError):
            assert attempts == 1
        submit(SubmissionDesk(folder), server, attempts=attempts)
        assert_one_in_effect(folder, server, entry())
        assert len(server.registered) == 1, f"call {number}, {server.calls[number]}"
        if number >= len(server.calls):
            break
        number += 1
    assert number > 10


@given(mishaps=st.dictionaries(st.integers(0, 60), st.sampled_from(list(Mishap)), max_size=6))
@settings(deadline=None, max_examples=60)
def test_whatever_goes_wrong_one_submission_is_in_effect_in_the_end(mishaps: dict[int, Mishap]) -> None:
    server = Server(dict(mishaps))
    with tempfile.TemporaryDirectory() as folder, renames_counted(server):
        run_until_proven(Path(folder), server, entry())
        assert_one_in_effect(Path(folder), server, entry())


@given(mishaps=st.dictionaries(st.integers(18, 70), st.sampled_from(list(Mishap)), max_size=6))
@settings(deadline=None, max_examples=40)
def test_whatever_goes_wrong_a_better_entry_is_in_effect_in_the_end(mishaps: dict[int, Mishap]) -> None:
    server = Server(dict(mishaps))
    with tempfile.TemporaryDirectory() as name, renames_counted(server):
        folder = Path(name)
        run_until_proven(folder, server, entry(1))
        for _ in range(12):
            run_until_proven(folder, server, entry(2))
            receipt = SubmissionDesk(folder).receipt(ROUND.number, SLOT)
            assert receipt is not None
            if SubmissionDesk(folder).content(receipt) == csv_of(entry(2)):
                break
        assert_one_in_effect(folder, server, entry(2))


@given(mishaps=st.dictionaries(st.integers(18, 60), st.sampled_from(list(Mishap)), max_size=20))
@settings(deadline=None, max_examples=40)
def test_a_proven_attempt_stays_what_counts_until_a_later_one_is_proven(mishaps: dict[int, Mishap]) -> None:
    server = Server(dict(mishaps))
    with tempfile.TemporaryDirectory() as name, renames_counted(server):
        desk = SubmissionDesk(Path(name))
        run_until_proven(desk.folder, server, entry(1))
        for seed in (2, 3, 4):
            before = desk.receipt(ROUND.number, SLOT)
            try:
                after = submit(desk, server, entry(seed))
            except (Killed, NumeraiAssetsError):
                # A run that died right after its last word has proven its attempt too.
                newest = desk.attempts(ROUND.number, SLOT)[-1]
                after = newest if newest.step is Step.PROVEN and before is not None else before
            assert after is not None and after.step is Step.PROVEN
            assert desk.receipt(ROUND.number, SLOT) == after
            assert desk.is_proven(ROUND.number, SLOT)


def test_an_altered_upload_is_found_and_sent_anew(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"put": [Mishap.ALTERED]})

    submit(desk, server)

    first, second = desk.attempts(ROUND.number, SLOT)
    assert (first.step, second.step) == (Step.ABANDONED, Step.PROVEN)
    assert "is not proven" in (first.abandoned_over or "")
    assert_one_in_effect(desk.folder, server, entry())


def test_an_upload_that_is_altered_each_time_is_an_error_that_says_so(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"put": [Mishap.ALTERED] * 9})

    with pytest.raises(SubmissionError, match=rf"round {ROUND.number}, {SLOT}: the server holds .* is not proven"):
        submit(desk, server)

    assert not desk.is_proven(ROUND.number, SLOT)
    assert [a.step for a in desk.attempts(ROUND.number, SLOT)] == [Step.ABANDONED, Step.ABANDONED]


def test_one_altered_download_gives_up_no_good_upload(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"get": [Mishap.ALTERED]})

    assert submit(desk, server).attempt == 1
    assert len(server.registered) == 1


def test_an_upload_that_is_denied_is_never_registered(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"put": [Mishap.DENIED] * 9})

    with pytest.raises(SubmissionError, match=f"{SLOT}: the upload was answered 403 Forbidden; run again"):
        submit(desk, server)

    assert server.registered == []
    assert server.calls.count("put") == 2
    # Each try had a name of its own.
    assert len(server.uploads) == 2


def test_of_a_registration_made_twice_the_one_in_effect_is_proven(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"create": [Mishap.TWICE]})

    receipt = submit(desk, server)

    assert receipt.submission_id == server.registered[1].identity
    assert_one_in_effect(desk.folder, server, entry())


def test_a_submission_that_is_processed_for_a_while_is_waited_for(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"create": [Mishap.PROCESSING]})

    assert submit(desk, server, attempts=5).attempt == 1
    assert len(server.registered) == 1


def process_for_ever(server: Server) -> None:
    for item in server.registered:
        item.selected, item.looks_until_done = False, 10**6


def test_one_that_is_processed_for_long_is_waited_for_in_later_runs_then_given_up(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"create": [Mishap.PROCESSING]})
    server.before_call = lambda kind: (
        process_for_ever(server) if kind == "look" and len(server.registered) == 1 else None
    )

    for _ in range(3):
        with pytest.raises(SubmissionError, match=r"id-1 is not in effect yet \(processing\); run again"):
            submit(desk, server)
    assert len(server.registered) == 1

    server.clock += dt.timedelta(minutes=PROCESSING_MINUTES + 1)
    assert submit(desk, server).attempt == 2
    first = desk.attempts(ROUND.number, SLOT)[0]
    assert f"for more than {PROCESSING_MINUTES} minutes" in (first.abandoned_over or "")
    assert_one_in_effect(desk.folder, server, entry())


def test_a_file_that_the_server_finds_faulty_is_given_up_with_its_words(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"create": [Mishap.FAULTY] * 9})

    with pytest.raises(SubmissionError, match="the server refused submission id-2: invalid_submission_values"):
        submit(desk, server)

    assert all("invalid_submission_values" in (a.abandoned_over or "") for a in desk.attempts(ROUND.number, SLOT))


STALE = "invalid_submission_ids: Not enough stocks submitted. Are you using the latest live ids or live universe?"


@pytest.mark.parametrize("mishap", [Mishap.REFUSED, Mishap.FAULTY])
def test_ids_that_the_server_does_not_want_are_not_sent_again(desk: SubmissionDesk, mishap: Mishap) -> None:
    """Whether it says so at once or, as Numerai does, once it has looked into the file."""
    server = Server(of_kind={"create": [mishap]}, refusal=STALE, fault=STALE)

    with pytest.raises(StaleLiveError, match="Not enough stocks submitted"):
        submit(desk, server)

    (attempt,) = desk.attempts(ROUND.number, SLOT)
    assert attempt.step is Step.ABANDONED
    assert server.calls.count("put") == 1
    submit(desk, server)
    assert_one_in_effect(desk.folder, server, entry())


def test_a_late_submission_is_proven_and_said_to_be_late(desk: SubmissionDesk) -> None:
    receipt = submit(desk, Server(status="late"))

    assert (receipt.step, receipt.status, receipt.is_late) == (Step.PROVEN, "late", True)


def close_before(server: Server, kind: str, to: dt.datetime) -> None:
    """The round closes right before the first call of a kind."""

    def before_call(asked: str) -> None:
        if asked == kind and server.clock < to:
            server.clock = to

    server.before_call = before_call


@pytest.mark.parametrize("kind", ["upload_auth", "put", "create"])
@pytest.mark.parametrize("to", [ROUND.closes, NEXT_ROUND.opens])
def test_a_round_that_closes_before_the_registration_is_not_submitted_to(
    desk: SubmissionDesk, kind: str, to: dt.datetime
) -> None:
    server = Server(rounds=(ROUND, NEXT_ROUND))
    close_before(server, kind, to)

    with pytest.raises((RoundClosedError, SubmissionError)):
        submit(desk, server)
    with pytest.raises(RoundClosedError, match=f"round {ROUND.number} closed at|no round is open"):
        submit(desk, server)

    assert server.in_effect(ROUND.number) == []
    assert not desk.is_proven(ROUND.number, SLOT)
    # Only a server that goes on to the next round while it is asked can take the file for that one.
    assert len(server.registered) == (kind == "create" and to == NEXT_ROUND.opens)


def test_a_file_that_the_server_took_for_another_round_is_said_and_replaced_there(desk: SubmissionDesk) -> None:
    server = Server()
    close_before(server, "create", NEXT_ROUND.opens)

    with pytest.raises(RoundClosedError):
        submit(desk, server, entry(1))

    (attempt, _) = desk.attempts(ROUND.number, SLOT)
    assert f"the server took submission id-1 for round {NEXT_ROUND.number}" in (attempt.abandoned_over or "")
    tournament: Any = FakeTournament(server)
    desk.submit(tournament, NEXT_ROUND, SLOT, entry(2), live_ids=IDS)
    (counting,) = server.in_effect(NEXT_ROUND.number)
    assert counting.content == csv_of(entry(2))


def test_a_round_that_closes_after_the_registration_is_proven_still(desk: SubmissionDesk) -> None:
    server = Server()
    close_before(server, "get", ROUND.closes)

    submit(desk, server)

    assert_one_in_effect(desk.folder, server, entry())


@pytest.mark.parametrize("now", [ROUND.opens - dt.timedelta(minutes=1), ROUND.closes])
def test_outside_the_round_nothing_is_sent(desk: SubmissionDesk, now: dt.datetime) -> None:
    server = Server(clock=now)

    with pytest.raises(RoundClosedError, match=f"{SLOT} was not submitted"):
        submit(desk, server)

    assert server.uploads == {}


@pytest.mark.parametrize(("before", "forgotten"), [("create", "uploads"), ("get", "registered")])
def test_an_upload_or_a_submission_that_the_server_forgot_is_made_again(
    desk: SubmissionDesk, before: str, forgotten: str
) -> None:
    server = Server(of_kind={before: [Mishap.KILLED_BEFORE]})
    with pytest.raises(Killed):
        submit(desk, server)
    getattr(server, forgotten).clear()

    assert submit(desk, server).attempt == 2
    assert_one_in_effect(desk.folder, server, entry())


def test_what_was_uploaded_before_a_crash_is_finished_before_something_else_is_sent(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"create": [Mishap.KILLED_AFTER]})
    with pytest.raises(Killed):
        submit(desk, server, entry(1))

    assert submit(desk, server, entry(2)).attempt == 1
    assert_one_in_effect(desk.folder, server, entry(1))
    assert submit(desk, server, entry(2)).attempt == 2
    assert_one_in_effect(desk.folder, server, entry(2))


def test_a_server_that_says_nothing_of_the_model_is_asked_again_and_nothing_is_registered_twice(
    desk: SubmissionDesk,
) -> None:
    server = Server(of_kind={"create": [Mishap.KILLED_AFTER]})
    with pytest.raises(Killed):
        submit(desk, server)

    class Forgetful(FakeTournament):
        def query(self, query: str, variables: dict[str, Any], *, authorized: bool) -> dict[str, Any]:
            found = super().query(query, variables, authorized=authorized)
            return {"model": None} if "model" in found else found

    forgetful: Any = Forgetful(server)
    with pytest.raises(TournamentError, match=SLOT):
        desk.submit(forgetful, ROUND, SLOT, entry(), live_ids=IDS)

    submit(desk, server)
    assert len(server.registered) == 1


@pytest.mark.parametrize("mishap", Mishap)
def test_no_file_or_message_holds_the_signature_of_an_address(desk: SubmissionDesk, mishap: Mishap) -> None:
    kinds = ["put", "create", "look", "get", "download_auth", "upload_auth"]
    server = Server(of_kind={kind: [mishap] * 3 for kind in kinds})
    for _ in range(6):
        try:
            submit(desk, server)
        except (Killed, NumeraiAssetsError) as error:
            assert SIGNATURE not in str(error)

    assert any(desk.folder.rglob("receipt.json"))
    assert_no_secret(desk.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": [np.nan] + [0.5] * 19}, "NaN"),
        ({"prediction": 0.5}, "standard deviation"),
        ({"prediction": [0.0, *np.linspace(0.1, 0.9, 19)]}, "strictly between 0 and 1"),
        ({"prediction": [1.0, *np.linspace(0.1, 0.9, 19)]}, "strictly between 0 and 1"),
        ({"id": [IDS[0], IDS[0], *IDS[2:]]}, "Duplicates"),
        ({"id": ["n0123456789abcdef", *IDS[1:]]}, "Not enough stocks"),
    ],
)
def test_predictions_that_break_a_rule_are_never_sent(
    desk: SubmissionDesk, change: dict[str, Any], message: str
) -> None:
    server = Server()
    bad = entry()
    bad = Entry(bad.predictions.assign(**change), bad.method, bad.vintage, bad.rung)

    with pytest.raises(SubmissionError, match=rf"(?s)round {ROUND.number}, {SLOT}: .*{message}"):
        submit(desk, server, bad)

    assert server.uploads == {}
    submit(desk, server)
    assert_one_in_effect(desk.folder, server, entry())


def test_a_file_that_was_changed_on_disk_is_not_sent(desk: SubmissionDesk) -> None:
    server = Server(of_kind={"put": [Mishap.KILLED_AFTER], "create": [Mishap.KILLED_BEFORE]})
    for _ in range(2):
        with pytest.raises(Killed):
            submit(desk, server)
    (file,) = desk.folder.rglob("predictions.csv")
    file.write_bytes(file.read_bytes().replace(b"0.5", b"0.6"))

    with pytest.raises(SubmissionError, match=r"predictions\.csv: changed since it was built"):
        submit(desk, server)
    assert server.registered == []


def test_two_processes_at_once_make_one_submission(desk: SubmissionDesk) -> None:
    server, found = Server(), []
    both_begin = threading.Barrier(2)

    def run() -> None:
        both_begin.wait()
        found.append(submit(SubmissionDesk(desk.folder), server))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(found) == 2
    assert found[0] == found[1]
    assert_one_in_effect(desk.folder, server, entry())
    assert len(server.registered) == 1


def test_receipts_of_all_rounds_and_slots_are_listed_oldest_round_first(desk: SubmissionDesk) -> None:
    server = Server()
    tournament: Any = FakeTournament(server)
    desk.submit(tournament, ROUND, "b", entry(), live_ids=IDS)
    desk.submit(tournament, ROUND, "a", entry(1), live_ids=IDS)
    server.clock = NEXT_ROUND.opens
    desk.submit(tournament, NEXT_ROUND, "b", entry(2), live_ids=IDS)

    assert [(r.round_number, r.slot) for r in desk.receipts()] == [
        (ROUND.number, "a"),
        (ROUND.number, "b"),
        (NEXT_ROUND.number, "b"),
    ]
    assert desk.receipt(NEXT_ROUND.number, "a") is None
    assert not desk.is_proven(NEXT_ROUND.number, "a")


def test_a_receipt_reads_back_as_it_was_written(desk: SubmissionDesk) -> None:
    receipt = submit(desk, Server(), entry(refused=(TOO_FLAT,)))

    assert desk.attempts(ROUND.number, SLOT) == [receipt]
    (file,) = desk.folder.rglob("receipt.json")
    assert json.loads(file.read_text())["step"] == "proven"


@given(values=st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=1, max_size=50))
@settings(deadline=None)
def test_predictions_read_back_from_the_file_are_the_very_same(values: list[float]) -> None:
    ids = [f"n{row}" for row in range(len(values))]

    lines = submission_csv(ids, np.array(values)).decode().splitlines()

    assert lines[0] == "id,prediction"
    assert [float(line.split(",")[1]) for line in lines[1:]] == values
