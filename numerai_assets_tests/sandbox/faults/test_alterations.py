"""Faults of files: what is downloaded is whole and well-formed, and other than it should be."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import requests

from numerai_assets.sandbox.faults.catalogue import FAULTS, Scope
from numerai_assets_tests.sandbox.faulty import event, fetched, frame, live_url, plan, url_of
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served

RELEASE_FAULTS = [name for name, fault in FAULTS.items() if fault.scope is Scope.RELEASE]


def features_json(sandbox: Served) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(fetched(sandbox, "features.json"))
    return content


def released(sandbox: Served, name: str) -> Path:
    """The file as it should be."""
    tournament = sandbox.tournament
    file = tournament.view.releases[-1].file(f"v5.3/{name}")
    assert file is not None
    return tournament.release_path(file)


def befalls(sandbox: Served, fault: str, **parameters: Any) -> None:
    """Makes the current release have a fault."""
    plan(sandbox, events=[{"fault": fault, "parameters": parameters}])


# -- one request -------------------------------------------------------------------------------------------------


def test_a_range_that_is_ignored_gives_the_whole_file(sandbox: Served) -> None:
    url = live_url(sandbox)
    whole = requests.get(url, timeout=60).content
    event(sandbox, "range-ignored")
    answer = requests.get(url, headers={"Range": "bytes=100-"}, timeout=60)
    assert (answer.status_code, answer.content) == (200, whole)
    again = requests.get(url, headers={"Range": "bytes=100-"}, timeout=60)
    assert (again.status_code, again.content) == (206, whole[100:])


def test_numerapi_appends_a_whole_file_to_its_part_when_ranges_are_ignored(sandbox: Served, tmp_path: Path) -> None:
    whole = requests.get(live_url(sandbox), timeout=60).content
    event(sandbox, "range-ignored")
    target = tmp_path / "live.parquet"
    target.with_name("live.parquet.temp").write_bytes(whole[:1000])
    sandbox.client().download_dataset("v5.3/live.parquet", str(target))
    assert target.read_bytes() == whole[:1000] + whole


def test_a_file_replaced_amid_a_download_goes_on_under_another_tag(fresh_sandbox: Served) -> None:
    url = live_url(fresh_sandbox)
    before = requests.get(url, timeout=60)
    event(fresh_sandbox, "replaced-file")
    answer = requests.get(url, headers={"Range": "bytes=100-"}, timeout=60)
    assert answer.status_code == 206
    assert answer.headers["ETag"] != before.headers["ETag"]
    whole = requests.get(url, timeout=60)
    assert (whole.content[100:], whole.headers["ETag"]) == (answer.content, answer.headers["ETag"])
    pd.testing.assert_frame_equal(
        pd.read_parquet(io.BytesIO(whole.content)), pd.read_parquet(io.BytesIO(before.content))
    )


def test_conditions_tell_a_replaced_file(fresh_sandbox: Served) -> None:
    url = live_url(fresh_sandbox)
    tag = requests.get(url, timeout=60).headers["ETag"]
    ranged = {"Range": "bytes=100-"}
    event(fresh_sandbox, "replaced-file")
    answer = requests.get(url, headers=ranged | {"If-Range": tag}, timeout=60)
    assert (answer.status_code, answer.content[:4]) == (200, b"PAR1")
    refused = requests.get(url, headers=ranged | {"If-Match": tag}, timeout=60)
    assert (refused.status_code, b"PreconditionFailed" in refused.content) == (412, True)
    assert requests.get(url, headers=ranged | {"If-Match": answer.headers["ETag"]}, timeout=60).status_code == 206
    assert requests.get(url, headers={"If-None-Match": tag}, timeout=60).status_code == 200


@pytest.mark.parametrize("name", ["features.json", "live_example_preds.csv", "live_example_preds.parquet"])
def test_any_file_can_be_replaced_and_holds_the_same(fresh_sandbox: Served, name: str) -> None:
    contents = [fetched(fresh_sandbox, name)]
    event(fresh_sandbox, "replaced-file", count=2)
    for _ in range(2):
        requests.get(url_of(fresh_sandbox, name), headers={"Range": "bytes=10-"}, timeout=60)
        contents.append(fetched(fresh_sandbox, name))
    assert len(set(contents)) == 3
    content = contents[-1]
    if name == "features.json":
        assert json.loads(content) == json.loads(released(fresh_sandbox, name).read_text())
    else:
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        right = read(released(fresh_sandbox, name))
        assert sorted(read(io.BytesIO(content))["prediction"]) == sorted(right["prediction"])


def right_and_wrong(sandbox: Served, fault: str, **parameters: Any) -> tuple[requests.Response, requests.Response]:
    """live.parquet before and under a fault; a third request is answered as the first."""
    url = live_url(sandbox)
    right = requests.get(url, timeout=60)
    event(sandbox, fault, **parameters)
    wrong = requests.get(url, timeout=60)
    assert requests.get(url, timeout=60).content == right.content
    return right, wrong


@pytest.mark.parametrize("has_new_etag", [False, True])
def test_a_corrupt_file_has_its_length_and_other_bytes(sandbox: Served, has_new_etag: bool) -> None:
    right, wrong = right_and_wrong(sandbox, "corrupt-file", flipped_bytes=5, has_new_etag=has_new_etag)
    assert len(wrong.content) == len(right.content)
    assert sum(a != b for a, b in zip(wrong.content, right.content, strict=True)) == 5
    assert (wrong.headers["ETag"] != right.headers["ETag"]) == has_new_etag


@pytest.mark.parametrize("has_new_etag", [False, True])
def test_a_truncated_file_looks_whole(sandbox: Served, has_new_etag: bool) -> None:
    right, wrong = right_and_wrong(sandbox, "truncated-file", kept=0.25, has_new_etag=has_new_etag)
    assert int(wrong.headers["Content-Length"]) == len(wrong.content) == len(right.content) // 4
    assert right.content.startswith(wrong.content)
    assert (wrong.headers["ETag"] != right.headers["ETag"]) == has_new_etag


def test_an_expired_url_is_refused_as_the_object_store_does(sandbox: Served, tmp_path: Path) -> None:
    url = live_url(sandbox)
    event(sandbox, "expired-url", count=2)
    answer = requests.get(url, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer.content
    with pytest.raises(requests.HTTPError):
        sandbox.client().download_dataset("v5.3/live.parquet", str(tmp_path / "live.parquet"))
    assert requests.get(url, timeout=60).ok


def test_a_fault_can_be_meant_for_one_file(sandbox: Served) -> None:
    event(sandbox, "expired-url", "file:v5.3/live_*")
    assert requests.get(url_of(sandbox, "live.parquet"), timeout=60).ok
    assert requests.get(url_of(sandbox, "live_benchmark_models.parquet"), timeout=60).status_code == 403


# -- a release ---------------------------------------------------------------------------------------------------


def test_changed_features_are_changed_in_every_file_and_set(sandbox: Served) -> None:
    befalls(sandbox, "features-changed", added=2, removed=3, renamed=4)
    right = json.loads(released(sandbox, "features.json").read_text())["feature_sets"]
    content = features_json(sandbox)["feature_sets"]
    gone, come = set(right["all"]) - set(content["all"]), set(content["all"]) - set(right["all"])
    assert (len(gone), len(come)) == (3 + 4, 2 + 4)
    assert all(set(content[name]) <= set(content["all"]) for name in right)
    for name in ("train.parquet", "validation.parquet", "live.parquet"):
        table = frame(sandbox, name)
        assert [c for c in table if c.startswith("feature_")] == content["all"]
        assert set(map(str, table[content["all"]].dtypes)) == {"int8"}
        assert table.index.name == "id"


def test_features_may_change_in_features_json_alone(sandbox: Served) -> None:
    befalls(sandbox, "features-changed", in_parquet=False)
    assert features_json(sandbox) != json.loads(released(sandbox, "features.json").read_text())
    assert fetched(sandbox, "live.parquet") == released(sandbox, "live.parquet").read_bytes()


def test_a_switched_alias_is_another_target_in_place(sandbox: Served) -> None:
    befalls(sandbox, "alias-switched", to="target_cyrusd_20")
    right = pd.read_parquet(released(sandbox, "validation.parquet"))
    found = frame(sandbox, "validation.parquet")
    pd.testing.assert_series_equal(found["target"], right["target_cyrusd_20"], check_names=False)
    pd.testing.assert_frame_equal(found.drop(columns="target"), right.drop(columns="target"))
    assert features_json(sandbox) == json.loads(released(sandbox, "features.json").read_text())


def test_live_rows_are_missing_from_live_parquet_alone(sandbox: Served) -> None:
    befalls(sandbox, "live-rows-missing", share=0.2)
    right = pd.read_parquet(released(sandbox, "live.parquet"))
    found = frame(sandbox, "live.parquet")
    assert 0.6 < len(found) / len(right) < 0.95
    pd.testing.assert_frame_equal(found, right.loc[found.index])
    assert set(frame(sandbox, "live_example_preds.csv").index) == set(right.index)


@pytest.mark.parametrize("name", ["live.parquet", "validation.parquet"])
def test_nans_come_where_there_were_none(sandbox: Served, name: str) -> None:
    befalls(sandbox, "nan-features", file=name, columns=2, share=0.1)
    found, right = frame(sandbox, name), pd.read_parquet(released(sandbox, name))
    features = [column for column in right if column.startswith("feature_")]
    holed = [column for column in features if found[column].isna().any()]
    assert (len(holed), right[features].isna().to_numpy().any()) == (2, False)
    assert found[holed].notna().to_numpy().mean() > 0.75
    rest = [column for column in right if column not in holed]
    pd.testing.assert_frame_equal(found[rest], right[rest])


def test_constant_features_hold_one_value(sandbox: Served) -> None:
    befalls(sandbox, "constant-features", columns=2, value=4)
    found, right = frame(sandbox, "live.parquet"), pd.read_parquet(released(sandbox, "live.parquet"))
    changed = [column for column in right if not found[column].equals(right[column])]
    assert len(changed) == 2
    assert (found[changed] == 4).all().all()
    assert (found.dtypes == right.dtypes).all()


def test_an_era_is_missing_from_validation(sandbox: Served) -> None:
    befalls(sandbox, "missing-era", eras_back=3)
    right = pd.read_parquet(released(sandbox, "validation.parquet"))
    found = frame(sandbox, "validation.parquet")
    assert set(right["era"]) - set(found["era"]) == {"0637"}
    pd.testing.assert_frame_equal(found, right[right["era"] != "0637"])


def test_faults_of_one_release_come_together_and_are_the_same_for_the_same_seed(sandbox: Served) -> None:
    events = [{"fault": name} for name in RELEASE_FAULTS if name != "universe-cut"]
    plan(sandbox, seed=5, events=events)
    first = {name: fetched(sandbox, name) for name in ("features.json", "live.parquet", "validation.parquet")}
    plan(sandbox, seed=6, events=events)
    assert fetched(sandbox, "live.parquet") != first["live.parquet"]
    plan(sandbox, seed=5, events=events)
    assert {name: fetched(sandbox, name) for name in first} == first


def test_two_changes_of_features_agree_across_files(fresh_sandbox: Served) -> None:
    given = {"added": 5, "removed": 5, "renamed": 5, "releases": 3}
    plan(fresh_sandbox, rates={"features-changed": {"rate": 1, "parameters": given}})
    fresh_sandbox.advance("next-round")
    names = features_json(fresh_sandbox)["feature_sets"]["all"]
    assert [c for c in frame(fresh_sandbox, "live.parquet") if c.startswith("feature_")] == names


def test_cleared_faults_leave_the_right_files_and_no_copies_of_old_releases(fresh_sandbox: Served) -> None:
    befalls(fresh_sandbox, "nan-features")
    assert fetched(fresh_sandbox, "live.parquet") != released(fresh_sandbox, "live.parquet").read_bytes()
    requests.delete(f"{fresh_sandbox.url}/sandbox/faults", timeout=60)
    assert fetched(fresh_sandbox, "live.parquet") == released(fresh_sandbox, "live.parquet").read_bytes()
    altered = fresh_sandbox.tournament.directory / "altered"
    assert len(list(altered.iterdir())) == 1
    for _ in range(2):
        fresh_sandbox.advance("next-round")
    assert list(altered.iterdir()) == []


def test_a_faulty_release_heals_after_its_minutes(fresh_sandbox: Served) -> None:
    plan(
        fresh_sandbox,
        events=[{"fault": "live-rows-missing", "at": FIRST_ROUND + 1, "parameters": {"minutes": 30, "share": 0.5}}],
    )
    fresh_sandbox.advance("next-round")
    right = pq.read_metadata(released(fresh_sandbox, "live.parquet")).num_rows
    assert len(frame(fresh_sandbox, "live.parquet")) < right
    opens = fresh_sandbox.tournament.view.latest_round.opens
    fresh_sandbox.advance(opens.replace(minute=29).isoformat())
    assert len(frame(fresh_sandbox, "live.parquet")) < right
    fresh_sandbox.advance(opens.replace(minute=30).isoformat())
    assert len(frame(fresh_sandbox, "live.parquet")) == right


def test_a_change_stays_for_its_releases(fresh_sandbox: Served) -> None:
    plan(fresh_sandbox, events=[{"fault": "constant-features", "parameters": {"releases": 2}}])
    columns = []
    for _ in range(3):
        found, right = frame(fresh_sandbox, "live.parquet"), pd.read_parquet(released(fresh_sandbox, "live.parquet"))
        columns.append([column for column in right if not found[column].equals(right[column])])
        fresh_sandbox.advance("next-round")
    assert columns[0] == columns[1] != columns[2] == []
