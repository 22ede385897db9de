"""Features have Numerai's kind of names and sets."""

import json
import re
from pathlib import Path

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published import names

GROUPS = [g for g, n in names.shares(names.GROUP_SIZES, 310).items() for _ in range(n)]


def test_names_are_unique_obfuscated_and_seeded() -> None:
    made = names.obfuscated_names(400, 3)
    assert len(set(made)) == 400
    assert all(re.fullmatch(r"feature_[a-z]+_[a-z]+_[a-z]+", name) for name in made)
    assert made == names.obfuscated_names(400, 3)


def test_there_are_words_for_all_features_of_a_full_release() -> None:
    assert len(set(names.obfuscated_names(3555, 0))) == 3555


def test_the_nineteen_sets_keep_the_proportions_of_the_release() -> None:
    made = names.make_feature_list(GROUPS, range(310), 0)
    sizes = {name: len(members) for name, members in made.sets.items()}
    assert len(sizes) == 19
    assert sizes["all"] == 310 and sizes["medium"] == 68 and sizes["v3_equivalent_features"] == 87
    assert sizes["quantum"] == pytest.approx(807 * 310 / 3555, abs=2)
    assert set(made.sets["small"]) < set(made.sets["medium"]) < set(made.sets["all"])
    assert list(made.names) == made.sets["all"] == sorted(made.names)


def test_groups_of_the_market_become_the_sets_of_the_same_name() -> None:
    made = names.make_feature_list(GROUPS, range(310), 0)
    column_of = dict(zip(made.names, made.columns, strict=True))
    assert all(GROUPS[column_of[name]] == group for group in names.GROUPS for name in made.sets[group])
    assert sorted(made.columns) == list(range(310))


def test_features_json_has_two_keys_and_all_targets() -> None:
    held = json.loads(names.make_feature_list(GROUPS, range(310), 0).to_json())
    assert list(held) == ["feature_sets", "targets"]
    assert len(held["targets"]) == 41


def test_fewer_columns_keep_every_group() -> None:
    columns = names.choose_columns(GROUPS, 60)
    assert len(columns) == 60
    assert {GROUPS[column] for column in columns} == set(names.GROUPS)


def test_shares_add_up_and_never_exceed_what_there_is() -> None:
    assert names.shares({"a": 3, "b": 300}, 200) == {"a": 2, "b": 198}
    assert names.shares({"a": 1, "b": 5}, 100) == {"a": 1, "b": 5}


def test_shares_keep_the_least_of_each() -> None:
    split = names.shares(names.GROUP_SIZES, 40, least=2)
    assert sum(split.values()) == 40 and min(split.values()) == 2


def test_a_real_feature_list_is_adopted_with_its_sets_in_proportion(shared_data: Path) -> None:
    path = shared_data / "numerai_v5.3_features.json"
    real = json.loads(path.read_text())["feature_sets"]
    made = names.adopt_feature_list(path, GROUPS, 310)
    assert len(made.names) == len(set(made.columns)) == 310
    assert set(made.names) <= set(real["all"])
    assert list(made.sets) == list(real)
    for name in ("medium", "v2_equivalent_features", "v3_equivalent_features", "fncv3_features"):
        assert len(made.sets[name]) == pytest.approx(len(real[name]) * 310 / 3555, rel=0.2)
    assert len(made.sets["small"]) >= 4


def test_a_file_that_is_no_features_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text("{}")
    with pytest.raises(SandboxError, match=r"not a features\.json"):
        names.adopt_feature_list(tmp_path / "features.json", GROUPS, 310)
