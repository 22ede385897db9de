"""The sandbox through the eyes of the unmodified numerapi client."""

import datetime as dt
import email.utils
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import time_machine
from numerai_tools.scoring import correlation_contribution, numerai_corr

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served


@pytest.fixture
def api(sandbox: Served) -> Any:
    return sandbox.client()


def slot(client: Any, name: str = "sandbox_one") -> str:
    identity: str = client.get_models()[name]
    return identity


# -- rounds ------------------------------------------------------------------------------------------------------


def test_the_weekend_round_of_the_newest_era_is_open_at_first(sandbox: Served, api: Any) -> None:
    assert api.get_current_round() == FIRST_ROUND
    with time_machine.travel(sandbox.tournament.view.now):
        assert api.check_round_open() is True
        assert api.check_new_round() is True
    with time_machine.travel(sandbox.tournament.view.now + dt.timedelta(hours=27)):
        assert api.check_round_open() is False
        assert api.check_new_round() is False


def test_rounds_are_listed_with_their_scores(api: Any) -> None:
    (current,) = api.list_rounds(number=FIRST_ROUND)
    expected = round_by_number(FIRST_ROUND)
    assert current["openTime"] == expected.opens
    assert current["closeStakingTime"] == expected.closes
    assert current["closeTime"] == expected.closes + dt.timedelta(days=1)
    assert current["resolveTime"] == expected.resolves
    assert current["dataDatestamp"] == expected.datestamp
    assert current["payoutFactor"] == Decimal(1)
    paying = {c["displayName"]: c["defaultMultiplier"] for c in current["roundScoreConfigs"] if c["isPayout"]}
    assert paying == {"corr60": 3.0, "mmc60": 15.0}
    informational = {c["displayName"] for c in current["roundScoreConfigs"] if not c["isPayout"]}
    assert {"v2_corr20", "mmc"} <= informational
    assert current["roundScoreConfigs"][0]["scoringStart"] == expected.scored_at(1)


def test_rounds_are_filtered_by_status_target_and_limit(api: Any) -> None:
    assert [r["number"] for r in api.list_rounds(status="open")] == [FIRST_ROUND]
    assert [r["number"] for r in api.list_rounds(status="upcoming")] == list(range(FIRST_ROUND + 5, FIRST_ROUND, -1))
    assert [r["number"] for r in api.list_rounds(status="resolving", limit=1)] == [FIRST_ROUND - 1]
    resolved = api.list_rounds(status="resolved", limit=2)
    assert [r["resolvedGeneral"] for r in resolved] == [True, True]
    assert api.list_rounds(target="target_cyrus_20") == []
    assert api.list_rounds(number=99999) == []
    assert len(api.get_competitions()) == FIRST_ROUND + 5


def test_pipeline_status_tells_scoring_days(sandbox: Served, api: Any) -> None:
    today = sandbox.tournament.view.now.date()
    found = api.pipeline_status(date=today.isoformat())
    assert found["isScoringDay"] is True
    assert found["scoredAt"].date() == today
    sunday = api.pipeline_status(date=(today + dt.timedelta(days=1)).isoformat())
    assert sunday["isScoringDay"] is False
    assert sunday["scoredAt"] is None
    with time_machine.travel(sandbox.tournament.view.now):
        assert api.pipeline_status()["tournament"] == "classic"


# -- data --------------------------------------------------------------------------------------------------------


def test_the_twelve_files_are_listed(api: Any) -> None:
    names = api.list_datasets()
    assert len(names) == 12
    assert {"v5.3/features.json", "v5.3/train.parquet", "v5.3/live_example_preds.csv"} <= set(names)
    assert api.list_datasets(FIRST_ROUND) == names
    with pytest.raises(ValueError, match="its files are not offered"):
        api.list_datasets(FIRST_ROUND - 1)


def test_a_download_is_the_released_file(sandbox: Served, api: Any, tmp_path: Path) -> None:
    path = api.download_dataset("v5.3/live.parquet", str(tmp_path / "live.parquet"))
    live = pd.read_parquet(path)
    assert list(live.index) == list(sandbox.tournament.world.live(FIRST_ROUND).index)
    with pytest.raises(ValueError, match=r"Dataset not found: v5\.3/nothing"):
        api.download_dataset("v5.3/nothing.parquet", str(tmp_path / "nothing"))


def test_a_broken_download_resumes(api: Any, tmp_path: Path) -> None:
    whole = Path(api.download_dataset("v5.3/train.parquet", str(tmp_path / "whole"))).read_bytes()
    (tmp_path / "again.temp").write_bytes(whole[:100_000])
    assert Path(api.download_dataset("v5.3/train.parquet", str(tmp_path / "again"))).read_bytes() == whole


def test_filters_read_a_part_of_a_file(api: Any, tmp_path: Path) -> None:
    path = api.download_dataset(
        "v5.3/validation.parquet", str(tmp_path / "v.parquet"), filters=[("era", "in", ["0640"])]
    )
    assert set(pd.read_parquet(path, columns=["era"])["era"]) == {"0640"}


def dataset_url(url: str, name: str = "v5.3/validation.parquet") -> str:
    query = "query($f: String!) { dataset(filename: $f tournament: 8) }"
    answer = requests.post(url, json={"query": query, "variables": {"f": name}}, timeout=10).json()
    found: str = answer["data"]["dataset"]
    return found


def test_ranges_are_bound_to_the_etag(sandbox: Served) -> None:
    url = dataset_url(sandbox.url)
    head, whole = requests.head(url, timeout=10), requests.get(url, timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert "Content-Encoding" not in whole.headers
    etag = whole.headers["ETag"]
    part = requests.get(url, headers={"Range": "bytes=10-", "If-Range": etag}, timeout=10)
    assert (part.status_code, part.content) == (206, whole.content[10:])
    assert part.headers["Content-Range"] == f"bytes 10-{len(whole.content) - 1}/{len(whole.content)}"
    assert part.headers["ETag"] == etag
    changed = requests.get(url, headers={"Range": "bytes=10-", "If-Range": '"other"'}, timeout=10)
    assert (changed.status_code, changed.content) == (200, whole.content)
    assert requests.get(url, headers={"If-None-Match": etag}, timeout=10).status_code == 304
    beyond = {"Range": f"bytes={len(whole.content)}-"}
    assert requests.get(url, headers=beyond, timeout=10).status_code == 416


def test_a_wrong_signature_is_denied(sandbox: Served) -> None:
    url = dataset_url(sandbox.url)
    for wrong in (
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.split("?")[0],
        url.replace("validation", "train"),
        url + "é",
    ):
        answer = requests.get(wrong, timeout=10)
        assert answer.status_code == 403
        assert "<Code>AccessDenied</Code>" in answer.text


def test_a_url_ends_an_hour_of_sandbox_time_later(fresh_sandbox: Served) -> None:
    url = dataset_url(fresh_sandbox.url)
    fresh_sandbox.advance("+1h")
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, "Request has expired" in answer.text) == (403, True)
    assert requests.get(dataset_url(fresh_sandbox.url), timeout=10).status_code == 200


def test_a_new_round_brings_new_live_files_and_keeps_the_rest(fresh_sandbox: Served, tmp_path: Path) -> None:
    api = fresh_sandbox.client()
    names = ("v5.3/live.parquet", "v5.3/validation.parquet")
    before = [requests.head(dataset_url(fresh_sandbox.url, name), timeout=10).headers["ETag"] for name in names]
    fresh_sandbox.advance("next-round")
    after = [requests.head(dataset_url(fresh_sandbox.url, name), timeout=10).headers["ETag"] for name in names]
    assert after[0] != before[0]
    assert after[1] == before[1]
    old = api.download_dataset("v5.3/live.parquet", str(tmp_path / "old"), round_num=FIRST_ROUND)
    new = api.download_dataset("v5.3/live.parquet", str(tmp_path / "new"))
    assert set(pd.read_parquet(old).index).isdisjoint(pd.read_parquet(new).index)
    fresh_sandbox.advance("+1w")
    assert requests.head(dataset_url(fresh_sandbox.url, names[1]), timeout=10).headers["ETag"] != before[1]
    with pytest.raises(ValueError, match="its files are not offered"):
        api.list_datasets(FIRST_ROUND)


def test_every_answer_carries_the_time_of_the_sandbox(sandbox: Served) -> None:
    now = sandbox.tournament.view.now
    for answer in (
        requests.head(sandbox.url, timeout=10),
        requests.get(sandbox.url, timeout=10),
        requests.get(sandbox.url + "/nowhere", timeout=10),
        requests.get(dataset_url(sandbox.url), timeout=10),
        requests.post(sandbox.url, json={"query": "{ rounds(number: 0) { number } }"}, timeout=10),
        requests.post(sandbox.url, data="no json", timeout=10),
    ):
        assert answer.headers["Date"] == email.utils.format_datetime(now, usegmt=True)


# -- account -----------------------------------------------------------------------------------------------------


def test_the_account_has_three_models(api: Any) -> None:
    models = api.get_models()
    assert list(models) == ["sandbox_one", "sandbox_two", "sandbox_three"]
    assert api.get_models(tournament=11) == {}
    assert api.models_of_account("sandbox") == models
    assert api.modelid_to_modelname(models["sandbox_two"]) == "sandbox_two"
    account = api.get_account()
    assert {m["name"]: m["id"] for m in account["models"]} == models
    assert account["availableNmr"] == Decimal(0)
    assert account["apiTokens"][0]["public_id"] == "SANDBOX"
    with pytest.raises(ValueError, match="Account not found: nobody"):
        api.models_of_account("nobody")


def test_a_model_can_be_described(sandbox: Served, api: Any) -> None:
    identity = slot(api)
    assert api.set_bio(identity, "a rehearsal") is True
    assert api.set_link(identity, "more", "https://example.com") is True
    assert api.set_submission_webhook(identity, "http://127.0.0.1/hook") is True
    assert api.set_submission_webhook(identity) is True
    profile = api.public_user_profile("sandbox_one")
    assert (profile["id"], profile["bio"], profile["nmrStaked"]) == (identity, "a rehearsal", None)
    assert profile["startDate"] == sandbox.tournament.view.now
    with pytest.raises(ValueError, match="User not found: nobody"):
        api.public_user_profile("nobody")


@pytest.mark.parametrize(("public_id", "secret_key"), [("SANDBOX", "wrong"), ("OTHER", "sandbox")])
def test_wrong_keys_are_refused_in_one_line(sandbox: Served, public_id: str, secret_key: str) -> None:
    stranger = sandbox.client(public_id, secret_key)
    for call in (
        stranger.get_account,
        stranger.get_models,
        lambda: stranger.submission_ids(slot(sandbox.client())),
        lambda: stranger.get_submission_filenames(model_id=slot(sandbox.client())),
        lambda: stranger.set_bio(slot(sandbox.client()), "mine"),
        lambda: stranger.set_submission_webhook(slot(sandbox.client()), "http://127.0.0.1"),
        lambda: stranger.upload_predictions(df=sandbox.predictions(), model_id=slot(sandbox.client())),
        lambda: stranger.download_submission("x", dest_path="x"),
    ):
        with pytest.raises(ValueError, match=r"^Not authenticated: the API key is missing or wrong$"):
            call()
    assert stranger.get_current_round() == FIRST_ROUND


def test_the_other_tournaments_are_not_here(api: Any) -> None:
    with pytest.raises(ValueError, match="tournament 11"):
        api.get_current_round(tournament=11)


# -- submissions -------------------------------------------------------------------------------------------------


def test_a_submission_is_registered_selected_and_read_back_byte_for_byte(fresh_sandbox: Served, tmp_path: Path) -> None:
    api = fresh_sandbox.client()
    identity = slot(api)
    path = tmp_path / "predictions.csv"
    fresh_sandbox.predictions(1).to_csv(path, index=False)
    first = api.upload_predictions(str(path), model_id=identity)
    second = api.upload_predictions(df=fresh_sandbox.predictions(2), model_id=identity)
    other = api.upload_predictions(df=fresh_sandbox.predictions(3), model_id=slot(api, "sandbox_two"))
    found = api.submission_ids(identity)
    assert [item["id"] for item in found] == [second, first]
    (selected,) = api.get_submission_filenames(model_id=identity, tournament=8, round_num=FIRST_ROUND)
    assert selected == {"filename": found[0]["filename"], "round_num": FIRST_ROUND, "tournament": 8}
    read_back = api.download_submission(first, dest_path=str(tmp_path / "first.csv"))
    assert Path(read_back).read_bytes() == path.read_bytes()
    newest = api.download_submission(model_id=identity, dest_path=str(tmp_path / "newest.csv"))
    assert Path(newest).read_bytes() == fresh_sandbox.predictions(2).to_csv(index=False).encode()
    assert other not in (first, second)
    with pytest.raises(ValueError, match="Submission not found: x"):
        api.download_submission("x", dest_path=str(tmp_path / "x"))


def test_acceptance_can_be_asked_for(fresh_sandbox: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    api = fresh_sandbox.client()
    monkeypatch.setenv("TRIGGER_ID", "trigger")
    extra = pd.concat([fresh_sandbox.predictions(), pd.DataFrame({"id": ["n0"], "prediction": [0.5]})])
    datestamp = round_by_number(FIRST_ROUND).datestamp
    identity = api.upload_predictions(df=extra, model_id=slot(api), data_datestamp=datestamp)
    query = """query { account { models { name latestSubmissions { id status errorInfo filename selected filteredCount
        submittedCount triggerId insertedAt round { number tournament } } } } }"""
    models = api.raw_query(query, authorization=True)["data"]["account"]["models"]
    (accepted,) = next(model["latestSubmissions"] for model in models if model["name"] == "sandbox_one")
    assert accepted["id"] == identity
    assert accepted["status"] == "on-time"
    assert accepted["errorInfo"] is None
    assert accepted["selected"] is True
    assert (accepted["filteredCount"], accepted["submittedCount"]) == (len(extra) - 1, len(extra))
    assert accepted["triggerId"] == "trigger"
    assert accepted["round"] == {"number": FIRST_ROUND, "tournament": 8}
    assert [model["latestSubmissions"] for model in models if model["name"] != "sandbox_one"] == [[], []]


SPOILED = {
    "headers": (lambda df: df.set_axis(["id", "score"], axis=1), "invalid_submission_headers: headers must be one of"),
    "extra column": (lambda df: df.assign(more=1), "invalid_submission_headers: headers must be one of"),
    "order": (lambda df: df[["prediction", "id"]], "invalid_submission_headers: headers must be one of"),
    "index lost": (lambda df: df[["prediction"]], "invalid_submission_headers: headers must be one of"),
    "id missing": (
        lambda df: df.assign(id=[None, *df["id"][1:]]),
        "invalid_submission_ids: Submission must not contain NaNs",
    ),
    "id twice": (lambda df: pd.concat([df, df[:1]]), "invalid_submission_ids: Duplicates detected in id"),
    "row missing": (lambda df: df[1:], "invalid_submission_ids: Not enough stocks submitted"),
    "value missing": (
        lambda df: df.assign(prediction=[None, *df["prediction"][1:]]),
        "submission must not contain NaNs",
    ),
    "out of range": (lambda df: df.assign(prediction=df["prediction"] + 1), "values must be between 0 and 1 exclusive"),
    "constant": (lambda df: df.assign(prediction=0.5), "submission must have non-zero standard deviation"),
    "text": (lambda df: df.assign(prediction="high"), "invalid_submission_values: values must be numbers"),
    "no rows": (lambda df: df[:0], "invalid_submission_ids: Not enough stocks submitted"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_bad_file_is_refused_in_numerai_tools_words(sandbox: Served, api: Any, spoiled: str) -> None:
    spoil, message = SPOILED[spoiled]
    with pytest.raises(ValueError, match=message):
        api.upload_predictions(df=spoil(sandbox.predictions()), model_id=slot(api))
    assert api.submission_ids(slot(api)) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'id,prediction\n"n0,0.5\n', b"id,prediction\n1,2\n3,4,5\n"])
def test_a_file_that_is_no_csv_is_refused(sandbox: Served, api: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"^invalid_submission_"):
        api.upload_predictions(str(tmp_path / "p.csv"), model_id=slot(api))


def upload_auth(api: Any, identity: str | None, filename: str = "p.csv") -> dict[str, str]:
    found: dict[str, str] = api._upload_auth("submission_upload_auth", filename, 8, identity)
    return found


def create(api: Any, filename: str, identity: str | None, **extra: Any) -> str:
    mutation = """mutation($filename: String! $tournament: Int! $modelId: String $dataDatestamp: Int) {
        create_submission(filename: $filename tournament: $tournament modelId: $modelId dataDatestamp: $dataDatestamp)
        { id } }"""
    variables = {"filename": filename, "tournament": 8, "modelId": identity, **extra}
    made: str = api.raw_query(mutation, variables, authorization=True)["data"]["create_submission"]["id"]
    return made


def test_only_what_was_uploaded_can_be_submitted_and_once(fresh_sandbox: Served) -> None:
    api = fresh_sandbox.client()
    identity, other = slot(api), slot(api, "sandbox_two")
    with pytest.raises(ValueError, match=r"File not found: never\.csv"):
        create(api, "never.csv", identity)
    auth = upload_auth(api, identity)
    with pytest.raises(ValueError, match="File not found: p-"):
        create(api, auth["filename"], identity)
    content = fresh_sandbox.predictions().to_csv(index=False).encode()
    put = requests.put(auth["url"], data=content, timeout=10)
    assert (put.status_code, put.content) == (200, b"")
    with pytest.raises(ValueError, match="not uploaded for model sandbox_two"):
        create(api, auth["filename"], other)
    with pytest.raises(ValueError, match="is not that of round"):
        create(api, auth["filename"], identity, dataDatestamp=20140103)
    create(api, auth["filename"], identity)
    with pytest.raises(ValueError, match="File already submitted"):
        create(api, auth["filename"], identity)


def test_an_upload_under_a_wrong_or_used_name_is_denied(sandbox: Served, api: Any) -> None:
    auth = upload_auth(api, slot(api), "../../odd näme!.csv")
    assert requests.put(auth["url"], data=b"x", timeout=10).status_code == 200
    for url in (auth["url"], sandbox.url + "/uploads/never.csv", sandbox.url + "/uploads/..%2f..%2fx"):
        answer = requests.put(url, data=b"y", timeout=10)
        assert answer.status_code in (403, 404)
    assert sandbox.tournament.upload_path(auth["filename"]).read_bytes() == b"x"


@pytest.mark.parametrize("identity", [None, "", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_model_is_refused(sandbox: Served, api: Any, identity: str | None) -> None:
    with pytest.raises(ValueError, match=r"^Model not found"):
        api.upload_predictions(df=sandbox.predictions(), model_id=identity)
    with pytest.raises(ValueError, match=r"^Model not found"):
        api.submission_scores(identity or "unknown")


def test_a_closed_round_takes_no_submissions(fresh_sandbox: Served) -> None:
    api = fresh_sandbox.client()
    predictions = fresh_sandbox.predictions()
    fresh_sandbox.advance(round_by_number(FIRST_ROUND).closes_late.isoformat())
    with pytest.raises(ValueError, match=r"^Current round not open for submissions$"):
        api.get_current_round()
    with pytest.raises(ValueError, match=r"^Current round not open for submissions$"):
        api.upload_predictions(df=predictions, model_id=slot(api))
    with time_machine.travel(fresh_sandbox.tournament.view.now):
        assert api.check_round_open() is False
        assert api.check_new_round() is False
    assert len(api.list_datasets()) == 12
    fresh_sandbox.advance("next-round")
    assert api.get_current_round() == FIRST_ROUND + 1
    with pytest.raises(ValueError, match="Are you using the latest live ids"):
        api.upload_predictions(df=predictions, model_id=slot(api))


def test_a_query_that_makes_no_sense_is_answered_as_an_error(sandbox: Served, api: Any) -> None:
    with pytest.raises(ValueError, match="Cannot query field 'nothing'"):
        api.raw_query("query { nothing }")
    with pytest.raises(ValueError, match="Syntax Error"):
        api.raw_query("query {")
    bodies: list[Any] = [[], {}, {"query": 3}, "text"]
    for body in bodies:
        answer = requests.post(sandbox.url, json=body, timeout=10)
        assert answer.status_code == 200
        assert answer.json()["errors"][0]["message"]


# -- scores ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*round_model_performances_v2:DeprecationWarning")
def test_scores_arrive_day_by_day_and_equal_numerai_tools(fresh_sandbox: Served) -> None:
    api = fresh_sandbox.client()
    identity, world = slot(api), fresh_sandbox.tournament.world
    submitted = fresh_sandbox.predictions(5)
    submission = api.upload_predictions(df=submitted, model_id=identity)
    api.upload_predictions(df=fresh_sandbox.predictions(6), model_id=slot(api, "sandbox_two"))
    expected = round_by_number(FIRST_ROUND)
    fresh_sandbox.advance((expected.scored_at(1) - dt.timedelta(seconds=1)).isoformat())
    assert api.submission_scores(identity) == []
    assert api.round_model_performances_v2(identity)[0]["submissionScores"] == []
    for day in (1, 2):
        fresh_sandbox.advance(expected.scored_at(day).isoformat())
        scores = {item["displayName"]: item for item in api.submission_scores(identity, day=day)}
        assert set(scores) == {"corr60", "mmc60", "v2_corr20", "mmc", "bmc", "corr_w_meta_model"}
        alone = submitted.set_index("id")[["prediction"]]
        for horizon, corr, mmc in ((20, "v2_corr20", "mmc"), (60, "corr60", "mmc60")):
            target = world.live_target(FIRST_ROUND, f"target_ender_{horizon}", day)
            meta = world.live(FIRST_ROUND)["numerai_meta_model"]
            assert scores[corr]["value"] == pytest.approx(numerai_corr(alone, target).iloc[0], abs=1e-12)
            assert scores[mmc]["value"] == pytest.approx(
                correlation_contribution(alone, meta, target).iloc[0], abs=1e-12
            )
        one = scores["corr60"]
        assert (one["submissionId"], one["roundNumber"], one["day"], one["resolved"]) == (
            submission,
            FIRST_ROUND,
            day,
            False,
        )
        assert one["date"] == expected.scored_at(day)
        assert one["roundResolveTime"] == expected.resolves
        assert 0 <= one["percentile"] <= 1


@pytest.mark.filterwarnings("ignore:.*round_model_performances_v2:DeprecationWarning")
def test_scores_resolve_after_twenty_and_sixty_weekdays(fresh_sandbox: Served) -> None:
    api = fresh_sandbox.client()
    identity = slot(api)
    api.upload_predictions(df=fresh_sandbox.predictions(), model_id=identity)
    fresh_sandbox.advance("+3d")
    api.upload_predictions(df=fresh_sandbox.predictions(), model_id=identity)
    expected = round_by_number(FIRST_ROUND)
    fresh_sandbox.advance(expected.scored_at(20).isoformat())
    final = {item["displayName"] for item in api.submission_scores(identity, resolved=True)}
    assert final == {"v2_corr20", "mmc", "bmc", "corr_w_meta_model"}
    fresh_sandbox.advance(expected.resolves.isoformat())
    assert [
        i["day"] for i in api.submission_scores(identity, "corr60", last_n_rounds=2) if i["roundNumber"] == FIRST_ROUND
    ] == [*range(60, 0, -1)]
    assert len(api.submission_scores(identity, "v2_corr20")) == 40
    latest = api.submission_scores(identity, "corr60", distinct_on_round=True)
    assert [(item["roundNumber"], item["resolved"]) for item in latest] == [
        (FIRST_ROUND + 1, False),
        (FIRST_ROUND, True),
    ]
    assert api.submission_scores(identity, "corr60", version="9") == []
    assert {i["roundNumber"] for i in api.submission_scores(identity, last_n_rounds=1)} == {FIRST_ROUND + 1}
    (newest, resolved) = api.round_model_performances_v2(identity)
    assert (newest["roundResolved"], resolved["roundResolved"]) == (False, True)
    assert resolved["atRisk"] == Decimal(0)
    assert {m["displayName"]: m["multiplier"] for m in resolved["payoutMultipliers"]} == {"corr60": 3.0, "mmc60": 15.0}
    settled = {
        s["displayName"]: (s["day"], s["payoutPending"], s["payoutSettled"]) for s in resolved["submissionScores"]
    }
    assert settled["corr60"] == (60, None, Decimal(0))
    assert settled["v2_corr20"] == (20, None, None)
    intra = {r["roundNumber"]: r["intraRoundSubmissionScores"] for r in api.intra_round_scores(identity)}
    assert len(intra[FIRST_ROUND]) == 4 * 20 + 2 * 60
    assert api.list_rounds(number=FIRST_ROUND)[0]["resolvedGeneral"] is True


# -- administration ----------------------------------------------------------------------------------------------


def test_administration_tells_and_moves_the_time(fresh_sandbox: Served) -> None:
    url = fresh_sandbox.url + "/sandbox"
    before = requests.get(url + "/status", timeout=10).json()
    assert (before["open_round"], before["newest_era"], before["submissions"]) == (FIRST_ROUND, 640, 0)
    after = requests.post(url + "/advance", json={"to": "next-round"}, timeout=60).json()
    assert after["now"] == round_by_number(FIRST_ROUND + 1).opens.replace(minute=5).isoformat()
    refused = requests.post(url + "/advance", json={"to": "yesterday"}, timeout=10)
    assert (refused.status_code, refused.json()["error"][:25]) == (400, "cannot advance to 'yester")
    assert requests.post(url + "/advance", data='{"to": "+1d"}', timeout=10).status_code == 415
    assert requests.post(url + "/advance", json=["+1d"], timeout=10).status_code == 400
    assert requests.get(url + "/status", headers={"Host": "evil.example"}, timeout=10).status_code == 400
