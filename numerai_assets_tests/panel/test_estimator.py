"""about.json keeps the bytes that vintages on disk already have."""

from pathlib import Path

from numerai_assets.panel.estimator import read_about, write_about


def test_the_file_is_json_with_an_indent_of_one_and_keys_in_their_order(tmp_path: Path) -> None:
    write_about(tmp_path, {"parameters": {"rate": 0.1}, "feature_names": ("a", "é"), "about": None})

    assert (tmp_path / "about.json").read_bytes() == (
        b'{\n "parameters": {\n  "rate": 0.1\n },\n "feature_names": [\n  "a",\n  "\\u00e9"\n ],\n "about": null\n}'
    )


def test_what_was_written_is_read_back_with_lists_for_tuples(tmp_path: Path) -> None:
    write_about(tmp_path, {"names": ("a", "b"), "seed": 3})

    assert read_about(tmp_path) == {"names": ["a", "b"], "seed": 3}


def test_two_parts_of_one_block_have_a_file_each(tmp_path: Path) -> None:
    write_about(tmp_path, {"of": "block"})
    write_about(tmp_path, {"of": "groups"}, name="groups.json")

    assert read_about(tmp_path) == {"of": "block"}
    assert read_about(tmp_path, name="groups.json") == {"of": "groups"}
