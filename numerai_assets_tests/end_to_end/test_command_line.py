"""The command line as a user meets it: a clear line and a non-zero exit for whatever is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from numerai_assets.cli.main import main
from numerai_assets.tournament.released_eras import ReleasedEra, read_eras
from numerai_assets_tests.end_to_end.conftest import SETTINGS, free_port
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """In the project's folder, with a Dagster storage of the test's own."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    monkeypatch.setenv("DAGSTER_STORAGE_DIR", str(tmp_path / "dagster"))
    return monkeypatch


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a sandbox that is not running."""
    file = tmp_path / "numerai.toml"
    text = SETTINGS.format(home=tmp_path / "home", port=free_port(), tournament="sandbox", network="")
    file.write_text(text)
    monkeypatch.setenv("NUMERAI_SETTINGS", str(file))
    monkeypatch.chdir(PROJECT)
    return file


def assert_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("numerai: ")
    for word in words:
        assert word in lines[0]


def test_an_unreachable_server_is_named(settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_one_line(run("status"), "no answer from http://127.0.0.1:", "numerai sandbox start")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("tournamnt = 'sandbox'\n", ("unknown setting tournamnt", "did you mean tournament?")),
        ("[sandbx]\nsize = 'tiny'\n", ("unknown setting sandbx", "did you mean sandbox?")),
        ("[sandbox]\nsize = 'huge'\n", ("sandbox.size", "huge")),
        ("[retrain]\nevery_eras = 5\n", ("history_every_eras", "multiple of every_eras")),
        ("secret_key = 'x'\n", ("API keys belong in the environment",)),
        ("[slots]\nmine = 'benchmrk'\n", ("benchmrk", "did you mean benchmark?")),
        ("tournament = ", ("not valid TOML",)),
    ],
)
def test_a_wrong_setting_is_named(settings_file: Path, wrong: str, words: tuple[str, ...]) -> None:
    settings_file.write_text(wrong)
    assert_one_line(run("doctor"), *words)


def test_an_unknown_method_is_named_by_the_doctor(settings_file: Path) -> None:
    text = settings_file.read_text().replace(
        "[methods.benchmark.parameters]", "[methods.benchmark.parameters]\ntrees = 5"
    )
    settings_file.write_text(text)
    result = run("doctor")
    assert result.exit_code == 1
    assert "no hyperparameter 'trees'" in " ".join(result.stdout.split())


def test_a_closed_round_is_an_error_that_names_the_next(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    rehearsal.advance("+2d")
    result = run("weekly")
    assert result.exit_code == 1
    assert "no round is open; the next opens Tue" in result.stderr
    assert len(rehearsal.workspace.desk.receipts()) == 1


def test_doctor_says_what_would_happen_and_changes_nothing(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    rehearsal.to_next_weekend()
    before = sorted(rehearsal.workspace.folder.rglob("*"))
    result = run("doctor")
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0, result.stdout
    assert "era 0641 is out" in text
    assert "the sandbox's own; your keys are not sent to it" in text
    assert sorted(rehearsal.workspace.folder.rglob("*")) == before


def test_doctor_finds_missing_keys_before_anything_is_sent(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    network = f'api_url = "http://127.0.0.1:{rehearsal.settings.sandbox.port}"'
    file = tmp_path / "live.toml"
    file.write_text(SETTINGS.format(home=tmp_path / "live", port=1, tournament="numerai", network=network))
    monkeypatch.setenv("NUMERAI_SETTINGS", str(file))
    result = run("doctor")
    assert result.exit_code == 1
    assert "NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY not set" in " ".join(result.stdout.split())


@pytest.mark.parametrize("eras", ["0620-0610", "0600-9000", "0001"])
def test_a_backfill_beyond_the_release_is_refused(
    rehearsal: Rehearsal, in_project: pytest.MonkeyPatch, eras: str
) -> None:
    assert_one_line(run("backfill", "--eras", eras), eras, "expected a range within 0531-0640")


def test_a_backfill_from_the_command_line_writes_the_same_again(
    rehearsal: Rehearsal, in_project: pytest.MonkeyPatch
) -> None:
    model = rehearsal.workspace.vintages.folder / "benchmark" / "0626" / "model.txt"
    before = model.read_bytes()
    result = run("backfill", "--eras", "0600-0604", "--vintages", "0626")
    assert result.exit_code == 0, result.output
    assert model.read_bytes() == before
    assert rehearsal.workspace.store.verify() == []


def test_report_is_one_self_contained_page(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    page = tmp_path / "report.html"
    assert run("report", "--output", str(page)).exit_code == 0
    text = page.read_text()
    for title in ("Since last week", "Validation", "Live against validation", "Submissions", "Drift"):
        assert title in text
    assert text.count('class="figure"') >= 5
    assert "proven" in text
    assert "default-src 'none'" in text


def test_store_verify_finds_and_repairs(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    target = rehearsal.workspace.store.folder / "targets" / "0600.parquet"
    target.write_bytes(target.read_bytes()[:-7])
    assert_one_line(run("store", "verify"), "0600", "--repair")
    assert "dropped 0600" in run("store", "verify", "--repair").stdout
    assert rehearsal.workspace.store.verify() == []
    assert not rehearsal.workspace.store.holds("0600")


def test_only_eras_that_were_not_stored_from_this_release_are_read_again(
    rehearsal: Rehearsal, in_project: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reading(*args: Any, **options: Any) -> Iterator[ReleasedEra]:
        for era in read_eras(*args, **options):
            read.append(era.label)
            yield era

    in_project.setattr("numerai_assets.pipeline.eras.read_eras", reading)
    for label in ("0601", "0602"):
        rehearsal.workspace.store.forget(label)
    result = run("backfill", "--eras", "0600-0604")
    assert result.exit_code == 0, result.output
    assert {"0601", "0602"} <= set(read) <= {"0600", "0601", "0602"}
    assert rehearsal.workspace.store.verify() == []


def test_a_medium_set_of_some_eras_is_exported(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    out = tmp_path / "medium.parquet"
    result = run(
        "export", "--eras", "0601-0602", "--feature-set", "medium", "--targets", "target_ender_60", "--out", str(out)
    )
    assert result.exit_code == 0, result.output
    assert "2 eras" in result.stdout
    exported = pd.read_parquet(out).set_index("id")
    released = pd.read_parquet(rehearsal.workspace.release.path("validation.parquet"))
    assert exported.columns.tolist() == [
        "era",
        *rehearsal.workspace.release.features()["medium"],
        "target_ender_60",
    ]
    rows = released[released["era"].isin(["0601", "0602"])]
    pd.testing.assert_frame_equal(exported, rows[exported.columns.tolist()])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--eras", "0620-0610"), ("--eras 0620-0610", "expected a range within 0531-06")),
        (("--eras", "9000"), ("--eras 9000", "expected a range within 0531-06")),
        (("--feature-set", "huge"), ("--feature-set huge", "small", "all")),
        (("--targets", "target_nobody_60", "--eras", "0610"), ("0610", "target_nobody_60")),
    ],
)
def test_an_export_of_what_is_not_there_is_refused(
    rehearsal: Rehearsal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(PROJECT)
    assert_one_line(run("export", *options, "--out", str(tmp_path / "out.parquet")), *words)
    assert list(tmp_path.glob("*.parquet")) == []


def test_no_secret_is_written_anywhere(rehearsal: Rehearsal) -> None:
    for path in rehearsal.workspace.folder.rglob("*.json"):
        content = json.loads(path.read_text())
        assert "sandbox$" not in json.dumps(content)
        assert "Token " not in json.dumps(content)
