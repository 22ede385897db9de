"""A file or folder has its final name only when it is complete."""

import os
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published import files


def test_arrays_come_back_and_their_folder_is_made(tmp_path: Path) -> None:
    files.save_array(tmp_path / "deep" / "one.npy", np.arange(3))
    files.save_arrays(tmp_path / "deep" / "two.npz", a=np.arange(2), b=np.array([b"n1"], "S16"))
    assert files.load_array(tmp_path / "deep" / "one.npy").tolist() == [0, 1, 2]
    loaded = files.load_arrays(tmp_path / "deep" / "two.npz")
    assert {name: array.tolist() for name, array in loaded.items()} == {"a": [0, 1], "b": [b"n1"]}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["one.npy", "two.npz"]


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_an_absent_or_damaged_array_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.npz"
    if content is not None:
        path.write_bytes(content)
    for load in (files.load_array, files.load_arrays):
        with pytest.raises(SandboxError, match=r"broken\.npz: cannot be read .*create the world again"):
            load(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    files.write_text(tmp_path / "note", "old")
    with pytest.raises(ValueError, match="allow_pickle"):
        files.save_array(tmp_path / "note", np.array([{}], dtype=object))
    assert (tmp_path / "note").read_text() == "old"


def test_a_folder_appears_at_the_end_and_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for name in ("first", "second"):
        with files.whole_folder(folder) as aside:
            (aside / name).touch()
            assert not (folder / name).exists()
    assert [path.name for path in folder.iterdir()] == ["second"]
    with pytest.raises(RuntimeError), files.whole_folder(folder) as aside:
        (aside / "third").touch()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_files_are_linked_and_copied_between_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_text("content")
    files.link_or_copy(tmp_path / "source", tmp_path / "link")
    assert (tmp_path / "link").samefile(tmp_path / "source")

    def refuse(*_: object) -> None:
        raise OSError(files.errno.EXDEV, "other file system")

    monkeypatch.setattr(os, "link", refuse)
    files.link_or_copy(tmp_path / "source", tmp_path / "copy")
    assert not (tmp_path / "copy").samefile(tmp_path / "source")
    assert (tmp_path / "copy").read_text() == "content"
    assert files.sha256_of(tmp_path / "copy") == files.sha256_of(tmp_path / "source")
