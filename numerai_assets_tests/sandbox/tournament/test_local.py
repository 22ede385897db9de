from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar import rounds
from numerai_assets.sandbox.server.app import SERVER_FOLDER
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import MODEL_NAMES, model_id
from numerai_assets.sandbox.world.history import World
from numerai_assets_tests.sandbox.serving import cut_short, started, valid_predictions

FIRST, SECOND = model_id(MODEL_NAMES[0]), model_id(MODEL_NAMES[1])


def submit(tournament: LocalTournament, model: str, seed: int) -> str:
    current = tournament.view.open_round
    assert current is not None
    name = tournament.hand_out_upload("p.csv", model)
    content = valid_predictions(tournament.world, current.number, seed).to_csv(index=False).encode()
    assert tournament.receive_upload(name, content)
    return tournament.register(name, model).id


def outcome(tournament: LocalTournament) -> dict[str, Any]:
    """All that is seen from outside, without what is random (ids of submissions)."""
    return {
        "now": tournament.view.now,
        "files": [(file.name, file.sha256) for file in tournament.view.releases[-1].files],
        "scores": [
            [(s.round_number, *[(c.display_name, c.day, c.value, c.percentile, c.is_final) for c in scores])]
            for model in (FIRST, SECOND)
            for s, scores in tournament.state.scores(model)
        ],
    }


def test_advancing_in_steps_equals_advancing_at_once(tiny_world: Path, tmp_path: Path) -> None:
    walker = started(copytree(tiny_world, tmp_path / "walker"))
    jumper = started(copytree(tiny_world, tmp_path / "jumper"))
    for tournament in (walker, jumper):
        submit(tournament, FIRST, 1)
        submit(tournament, SECOND, 2)
    for _ in range(8):
        walker.advance("next-round")
    jumper.advance(walker.view.now.isoformat())
    assert outcome(walker) == outcome(jumper)
    assert sum(len(scores) for _, scores in walker.state.scores(FIRST)) > 6


def test_a_restart_keeps_everything(world_dir: Path) -> None:
    before = started(world_dir)
    submit(before, FIRST, 1)
    before.advance("+1w")
    url = before.sign("/files/1/x")
    after = started(world_dir)
    assert outcome(after) == outcome(before)
    assert after.view == before.view
    assert after.status() == before.status()
    assert after.sign("/files/1/x") == url


def test_an_advance_that_was_cut_short_is_finished_at_the_next_start(world_dir: Path, tmp_path: Path) -> None:
    whole = started(copytree(world_dir, tmp_path / "whole"))
    cut = started(world_dir)
    for tournament in (whole, cut):
        submit(tournament, FIRST, 1)
    whole.advance("+2w")
    before = cut.view
    cut_short(cut, "+2w")
    assert cut.view == before
    assert cut.world.newest_era == whole.world.newest_era
    assert outcome(started(world_dir)) == outcome(whole)


def test_a_round_in_between_leaves_its_release_as_it_was(world_dir: Path) -> None:
    tournament = started(world_dir)
    tournament.advance("+1d")
    assert tournament.view.open_round is not None
    tournament.advance("+1d")
    assert tournament.view.open_round is None
    assert len(tournament.view.releases) == 1
    folders = {path.name for path in (world_dir / SERVER_FOLDER / "releases").iterdir()}
    assert folders == {str(release.datestamp) for release in tournament.view.releases}


def test_the_last_two_releases_are_kept(world_dir: Path) -> None:
    tournament = started(world_dir)
    for _ in range(3):
        tournament.advance("next-round")
    latest = tournament.view.latest_round
    assert [release.round_number for release in tournament.view.releases] == [latest.number - 1, latest.number]
    for release in tournament.view.releases:
        assert all(tournament.release_path(file).stat().st_size == file.size for file in release.files)
    folders = {path.name for path in (world_dir / SERVER_FOLDER / "releases").iterdir()}
    assert folders == {str(release.datestamp) for release in tournament.view.releases}


def test_the_clock_does_not_pass_the_end_of_the_market(world_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "last_era", 641)
    tournament = started(world_dir)
    with pytest.raises(SandboxError, match="the market ends with era 0641"):
        tournament.advance("+2w")
    assert tournament.state.pending() is None
    tournament.advance((rounds.weekend_round(642).opens - rounds.LANDING).isoformat())
    assert tournament.world.newest_era == 641


def test_the_newest_of_a_models_submissions_is_the_one_that_is_scored(world_dir: Path) -> None:
    tournament = started(world_dir)
    submit(tournament, FIRST, 1)
    newest = submit(tournament, FIRST, 2)
    tournament.advance("+1w")
    ((submission, scores),) = tournament.state.scores(FIRST)
    assert submission.id == newest
    assert {score.submission_id for score in scores} == {newest}


def test_models_named_later_are_added_and_none_is_removed(world_dir: Path) -> None:
    before = started(world_dir)
    submitted = submit(before, FIRST, 1)
    later = LocalTournament(World.open(world_dir), world_dir / SERVER_FOLDER, ["sandbox_two", "mine"])
    later.start()
    assert [model.name for model in later.state.models()] == [*MODEL_NAMES, "mine"]
    assert later.submission(submitted).model_id == FIRST
    assert submit(later, model_id("mine"), 2)


def test_a_model_cannot_have_the_name_of_a_benchmark(world_dir: Path) -> None:
    with pytest.raises(SandboxError, match="model v53_lgbm_ender20: the name of a benchmark model"):
        LocalTournament(World.open(world_dir), world_dir / SERVER_FOLDER, ["v53_lgbm_ender20"])


def test_state_of_a_version_that_knew_submissions_alone_goes_on(world_dir: Path) -> None:
    before = started(world_dir)
    submitted = submit(before, FIRST, 1)
    with before.state.connected() as db:
        for table in ("diagnostics", "pickle_runs", "pickle_assignments", "pickles", "webhook_calls", "queued"):
            db.execute(f"DROP TABLE {table}")
        db.execute("DROP TABLE rival_scores")
        db.execute("ALTER TABLE uploads DROP COLUMN purpose")
    after = started(world_dir)
    assert after.submission(submitted).status == "on-time"
    later = submit(after, FIRST, 2)
    after.advance("next-round")
    assert after.submission(later).selected
