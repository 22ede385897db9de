"""Checks of the release and the store pass what is as it was, and name what is not."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from numerai_assets.checks.data_checks import (
    calendar_agrees,
    eras_are_contiguous,
    every_era_is_cleaned,
    features_are_those_of_the_store,
    payout_target_is_there,
    targets_were_not_revised,
)
from numerai_assets.eras import era_label, friday_of
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import MethodSettings, load_settings
from numerai_assets.store.atomic import sha256_of
from numerai_assets.tournament.client import Round, Tournament
from numerai_assets.tournament.release import FEATURES, VALIDATION, Manifest

NAMES, TARGETS = ("feature_a", "feature_b"), ("target_ender_20", "target_ender_60")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A store of eras 600 to 602 and the release that it was begun with."""
    monkeypatch.chdir(tmp_path)
    made = Workspace(load_settings(home=tmp_path, methods={"benchmark": MethodSettings()}))
    for era in (600, 601, 602):
        write(made, era)
    publish(made, NAMES, TARGETS)
    return made


def write(workspace: Workspace, era: int, target: float = 0.5) -> None:
    workspace.store.write_era(
        era_label(era),
        era=era,
        ids=["n1", "n2"],
        features=np.full((2, 2), era % 5, np.int8),
        feature_names=NAMES,
        targets=pd.DataFrame(dict.fromkeys(TARGETS, [target] * 2), dtype=np.float32),
        targets_as_of=era + 20 + round(100 * target),
    )
    workspace.store.clean_as_released(era_label(era), strategy="median")


def publish(workspace: Workspace, features: Sequence[str], targets: Sequence[str], newest: int = 602) -> None:
    """Puts features.json and a validation file on disk, with their manifests."""
    release = workspace.release
    release.folder.mkdir(parents=True, exist_ok=True)
    content = {"feature_sets": {"all": list(features)}, "targets": list(targets)}
    release.path(FEATURES).write_text(json.dumps(content))
    pq.write_table(pa.table({"id": ["n1"]}), release.path(VALIDATION))
    for name, eras in ((FEATURES, ()), (VALIDATION, (era_label(newest),))):
        path = release.path(name)
        size, digest = path.stat().st_size, sha256_of(path)
        release.write_manifest(Manifest(name, "v5.3", 1, "now", size, digest, None, 1, 1, 1, eras))


def verdict(check: dg.AssetChecksDefinition, workspace: Workspace) -> dg.AssetCheckResult:
    found = check(workspace=workspace)
    assert isinstance(found, dg.AssetCheckResult)
    return found


def value(found: dg.AssetCheckResult, name: str) -> object:
    assert found.metadata is not None
    return getattr(found.metadata[name], "value", found.metadata[name])


@pytest.mark.parametrize(
    "check",
    [
        features_are_those_of_the_store,
        payout_target_is_there,
        eras_are_contiguous,
        targets_were_not_revised,
        every_era_is_cleaned,
    ],
)
def test_a_store_as_its_release_passes(workspace: Workspace, check: dg.AssetChecksDefinition) -> None:
    assert verdict(check, workspace).passed


def test_features_and_targets_that_changed_are_named_and_alerted_once(workspace: Workspace) -> None:
    publish(workspace, ("feature_a", "feature_c"), (*TARGETS, "target_agnes_20"))

    for _ in range(2):
        found = verdict(features_are_those_of_the_store, workspace)

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    names = ("features_lost", "features_new", "targets_lost", "targets_new")
    assert [value(found, name) for name in names] == [["feature_b"], ["feature_c"], [], ["target_agnes_20"]]
    (alert,) = workspace.alerts.raised()
    assert "features_lost 1 (feature_b ...)" in alert.text


def test_a_target_that_a_method_is_fitted_on_must_be_in_the_release(workspace: Workspace) -> None:
    publish(workspace, NAMES, ("target_ender_20",))

    found = verdict(payout_target_is_there, workspace)

    assert (found.passed, value(found, "absent")) == (False, ["target_ender_60"])


def test_a_gap_in_the_store_is_named(workspace: Workspace) -> None:
    write(workspace, 605)

    found = verdict(eras_are_contiguous, workspace)

    assert (found.passed, value(found, "absent")) == (False, [603, 604])


def test_a_target_with_other_values_than_before_is_named(workspace: Workspace) -> None:
    write(workspace, 601, target=0.75)

    found = verdict(targets_were_not_revised, workspace)

    assert (found.passed, value(found, "revised")) == (False, {"0601": list(TARGETS)})


def test_an_era_cleaned_with_another_strategy_is_named(workspace: Workspace) -> None:
    workspace.store.clean_as_released("0601", strategy="mode")

    found = verdict(every_era_is_cleaned, workspace)

    assert (found.passed, value(found, "not_cleaned_so")) == (False, ["0601"])


@pytest.mark.parametrize(("newest", "passed"), [(602, True), (601, True), (600, False), (603, False)])
def test_a_release_ends_with_the_era_of_the_round_or_the_one_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, newest: int, passed: bool
) -> None:
    opens = dt.datetime.combine(friday_of(602) + dt.timedelta(days=1), dt.time(12), dt.UTC)
    current = Round(326, opens, opens + dt.timedelta(hours=26), friday_of(602))
    monkeypatch.setattr(Tournament, "current_round", lambda tournament: current)
    publish(workspace, NAMES, TARGETS, newest)

    found = verdict(calendar_agrees, workspace)

    assert found.passed == passed
    assert value(found, "newest_era") == era_label(newest)


def test_without_an_open_round_there_is_nothing_to_compare_the_calendar_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tournament, "current_round", lambda tournament: None)

    assert verdict(calendar_agrees, workspace).passed
