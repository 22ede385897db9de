"""Files and folders are whole or absent, whatever happens while they are written."""

import json
from pathlib import Path

import pytest

from numerai_assets.store.atomic import replacing_file, replacing_folder, sha256_of, write_json


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Crash(BaseException):
    """What kills a process is no Exception."""


def test_a_new_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"

    with replacing_file(path) as aside:
        aside.write_text("half")
        assert not path.exists()
        assert aside.parent == path.parent
        aside.write_text("whole")

    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["file.txt"]


@pytest.mark.parametrize("crash", [Crash, RuntimeError, KeyboardInterrupt])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, crash: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    with pytest.raises(crash), replacing_file(path) as aside:
        aside.write_text("new, half")
        raise crash

    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_a_crash_while_writing_a_first_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Crash), replacing_file(tmp_path / "file.txt") as aside:
        aside.write_text("half")
        raise Crash

    assert names_in(tmp_path) == []


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    with path.open() as reader:
        with replacing_file(path) as aside:
            aside.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_written_file_may_be_read_by_others(tmp_path: Path) -> None:
    with replacing_file(tmp_path / "file.txt") as aside:
        aside.write_text("content")

    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "model"
    place.mkdir(parents=True)
    (place / "stale.txt").write_text("old")

    with replacing_folder(place) as aside:
        assert names_in(aside) == []
        (aside / "sub").mkdir()
        (aside / "sub" / "fresh.txt").write_text("new")
        assert names_in(place) == ["stale.txt"]

    assert [p.relative_to(place).as_posix() for p in sorted(place.rglob("*"))] == ["sub", "sub/fresh.txt"]
    assert names_in(place.parent) == ["model"]
    assert place.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("crash", [Crash, RuntimeError])
def test_a_crash_while_filling_a_folder_leaves_the_old_one(tmp_path: Path, crash: type[BaseException]) -> None:
    place = tmp_path / "model"
    place.mkdir()
    (place / "kept.txt").write_text("old")

    with pytest.raises(crash), replacing_folder(place) as aside:
        (aside / "half.txt").write_text("new")
        raise crash

    assert (place / "kept.txt").read_text() == "old"
    assert names_in(tmp_path) == ["model"]


def test_a_first_folder_appears_and_a_crashed_one_does_not(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "first") as aside:
        (aside / "file").touch()
    with pytest.raises(Crash), replacing_folder(tmp_path / "second") as aside:
        raise Crash

    assert names_in(tmp_path) == ["first"]


def test_json_is_readable_and_the_same_for_the_same_content(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2], "a": "ä"})
    write_json(tmp_path / "b.json", {"a": "ä", "b": [1, 2]})

    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "ä", "b": [1, 2]}
    assert sha256_of(tmp_path / "a.json") == sha256_of(tmp_path / "b.json")


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})

    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})

    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert names_in(tmp_path) == ["a.json"]


def test_digest_of_a_file_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")

    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
