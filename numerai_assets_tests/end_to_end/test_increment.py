"""A week's increment ends, byte for byte, in the era store that the whole file makes."""

import json

import pytest

from numerai_assets.assets.release import asset_key
from numerai_assets.automation.conductor import RunFailed, execute
from numerai_assets.cli.doctor import examine
from numerai_assets.cli.main import _backfill_of_eras
from numerai_assets.eras import era_label
from numerai_assets.pipeline.plan import Step
from numerai_assets.settings import load_settings
from numerai_assets.tournament.release import VALIDATION
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal


def files_of_store(rehearsal: Rehearsal) -> dict[str, bytes]:
    """Everything in the era store that belongs to a numbered era, by name."""
    store = rehearsal.workspace.store.folder
    kept = [path for path in sorted(store.rglob("*")) if path.is_file() and not path.name.startswith("X@")]
    return {str(path.relative_to(store)): path.read_bytes() for path in kept}


def test_weeks_of_increments_make_the_era_store_that_whole_files_make(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rehearsal.workspace.release.manifest(VALIDATION)
    assert before is not None and before.part is None
    fetched = []
    for _ in range(2):
        rehearsal.to_next_weekend()
        rehearsal.weekly()
        manifest = rehearsal.workspace.release.manifest(VALIDATION)
        assert manifest is not None and manifest.part is not None
        assert [int(era) for era in manifest.eras] == [manifest.newest_era - back for back in (13, 5, 0)]
        assert len(manifest.part.eras) == len(before.eras) + len(fetched) + 1
        assert manifest.part.fetched < 0.6 * manifest.part.size
        fetched.append(manifest.newest_era)
    assert rehearsal.workspace.store.newest_era() == before.newest_era + 2
    _, done = rehearsal.weekly()
    assert done == []

    by_increments = files_of_store(rehearsal)
    monkeypatch.setenv("NUMERAI_RELEASE__INCREMENTS", "false")
    whole = Rehearsal.over(load_settings(home=rehearsal.settings.home.with_name("whole")), rehearsal.world)
    execute(whole.definitions, whole.instance, Step("release", (), "test"))
    released = whole.workspace.release.manifest(VALIDATION)
    assert released is not None and released.part is None
    first = rehearsal.workspace.store.eras()[0]
    execute(whole.definitions, whole.instance, Step("eras", (era_label(first), released.eras[-1]), "test"))
    by_whole = files_of_store(whole)
    assert by_increments.keys() == by_whole.keys()
    assert [name for name in by_whole if comparable(name, by_increments) != comparable(name, by_whole)] == []
    assert len(by_whole) > 400


def comparable(name: str, files: dict[str, bytes]) -> object:
    """The content; of a record without the file and week it was last read from, older where nothing was to be read."""
    if not name.startswith("records/"):
        return files[name]
    return {key: value for key, value in json.loads(files[name]).items() if key not in ("targets_as_of", "read_from")}


def test_an_era_that_the_store_lost_brings_the_whole_file_back_and_the_run_says_why(rehearsal: Rehearsal) -> None:
    rehearsal.to_next_weekend()
    rehearsal.weekly()
    workspace = rehearsal.workspace
    manifest = workspace.release.manifest(VALIDATION)
    assert manifest is not None and manifest.part is not None
    workspace.store.forget("0600")

    with pytest.raises(RunFailed, match=r"era 0600: not in the part of validation\.parquet on disk"):
        execute(rehearsal.definitions, rehearsal.instance, Step("eras", ("0600", "0600"), "test"))
    _, done = rehearsal.weekly()

    assert [d.step.job for d in done] == ["release", "eras"]
    assert "era 0600 must be stored" in done[0].step.why
    (event,) = rehearsal.instance.fetch_materializations(asset_key(VALIDATION), limit=1).records
    materialization = event.asset_materialization
    assert materialization is not None
    assert materialization.metadata["whole_because"].value == "the era store lacks era 0600"
    whole = workspace.release.manifest(VALIDATION)
    assert whole is not None and whole.part is None
    assert whole.eras == manifest.released_eras
    assert workspace.store.verify() == []
    assert workspace.store.holds("0600")


def test_the_material_says_what_a_week_cost_and_the_doctor_what_the_next_will(rehearsal: Rehearsal) -> None:
    rehearsal.to_next_weekend()
    rehearsal.weekly()
    (event,) = rehearsal.instance.fetch_materializations(asset_key(VALIDATION), limit=1).records
    assert event.asset_materialization is not None
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert shown["bytes_fetched"] < shown["bytes_of_whole"]
    assert shown["is_part_with_eras"] == "0628, 0636, 0641"
    assert "whole_because" not in shown
    (finding,) = [found for found in examine(rehearsal.workspace) if found.subject == "release"]
    assert finding.text.startswith("3 of the 67 eras of validation.parquet of era 0641")
    assert finding.text.endswith("only changed row groups are fetched")


def test_an_era_is_backfilled_from_the_store_where_it_is_held_and_from_the_whole_file_where_it_is_not(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.to_next_weekend()
    rehearsal.weekly()
    store = rehearsal.workspace.store
    held = store.record("0610")
    execute(rehearsal.definitions, rehearsal.instance, Step("eras", ("0605", "0610"), "test"))
    assert store.record("0610") == held

    store.forget("0607")
    assert [s.job for s in _backfill_of_eras(rehearsal.workspace, "0608", "0610")] == ["eras"]
    for step in _backfill_of_eras(rehearsal.workspace, "0605", "0610"):
        execute(rehearsal.definitions, rehearsal.instance, step)
    assert store.holds("0607")
    assert store.verify() == []
