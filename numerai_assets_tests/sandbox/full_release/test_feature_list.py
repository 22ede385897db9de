"""The full release has the nineteen sets of v5.3, overlaps included."""

import json
from collections import Counter
from pathlib import Path

from numerai_assets.sandbox.full_release.feature_list import FIRST_GROUPS, full_feature_list
from numerai_assets.sandbox.published.names import GROUP_SIZES

GROUPS = [group for group, size in FIRST_GROUPS.items() for _ in range(size)]
CROSS_SETS = {
    "small": 42,
    "medium": 780,
    "all": 3555,
    "v2_equivalent_features": 304,
    "v3_equivalent_features": 1000,
    "fncv3_features": 400,
}


def test_sets_of_our_own_names_have_the_sizes_of_the_release() -> None:
    made = full_feature_list(GROUPS, 0, None)
    assert {name: len(set(members)) for name, members in made.sets.items()} == {**CROSS_SETS, **GROUP_SIZES}
    assert sorted(made.columns) == list(range(3555)) and len(set(made.names)) == 3555
    assert all(set(members) <= set(made.names) for members in made.sets.values())


def test_ninety_features_are_in_two_groups_and_five_in_none() -> None:
    made = full_feature_list(GROUPS, 0, None)
    groups_of = Counter(name for group in GROUP_SIZES for name in made.sets[group])
    counts = Counter(groups_of[name] for name in made.names)
    assert counts == {0: 5, 1: 3460, 2: 90}


def test_a_real_features_json_names_all_of_them_and_keeps_its_sets(shared_data: Path) -> None:
    path = shared_data / "numerai_v5.3_features.json"
    real = json.loads(path.read_text())["feature_sets"]
    made = full_feature_list(GROUPS, 0, path)
    assert list(made.names) == real["all"] and sorted(made.columns) == list(range(3555))
    assert made.sets == real


def test_a_smaller_market_keeps_every_set() -> None:
    made = full_feature_list([group for group in FIRST_GROUPS for _ in range(6)], 0, None)
    assert len(made.sets) == 19 and all(made.sets.values())
