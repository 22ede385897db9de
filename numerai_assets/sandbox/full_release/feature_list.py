"""Names and sets of the features of a full release: nineteen sets of exactly the sizes of v5.3.

The thirteen groups overlap slightly: 90 features are in two of them, five in none. A characteristic of the market belongs
to one group: the first of the feature's groups.
"""

from collections.abc import Sequence
from pathlib import Path

from numerai_assets.sandbox.published.names import GROUP_SIZES, FeatureList, adopt_feature_list, make_feature_list

ALL_FEATURES = 3555

# (group, other group): number of features of the first that are also in the second.
_OVERLAPS = {
    ("charisma", "constitution"): 5,
    ("strength", "constitution"): 5,
    ("charisma", "sunshine"): 55,
    ("serenity", "sunshine"): 20,
    ("intelligence", "sunshine"): 5,
}
# Features of no group. They are in the v3-equivalent set, so they are taken from constitution.
_UNGROUPED = ("constitution", 5)

FIRST_GROUPS: dict[str, int] = {
    group: size
    - sum(n for (_, other), n in _OVERLAPS.items() if other == group)
    + (_UNGROUPED[1] if group == _UNGROUPED[0] else 0)
    for group, size in GROUP_SIZES.items()
}
"""Features of each group in v5.3, each counted only in its first group; 3,555 in total."""


def full_feature_list(groups: Sequence[str], seed: int, features_json: Path | None) -> FeatureList:
    """All (d,) columns of a market with these groups, named as in `features_json`, or by new names.

    SandboxError if the file is not a features.json.
    """
    if features_json is not None:
        return adopt_feature_list(features_json, groups, len(groups))
    made = make_feature_list(groups, range(len(groups)), seed)
    scale = len(groups) / ALL_FEATURES
    sets = {name: list(members) for name, members in made.sets.items()}
    lent = dict.fromkeys(GROUP_SIZES, 0)
    for (group, other), count in _OVERLAPS.items():
        begin = lent[group]
        lent[group] = min(begin + round(count * scale), len(made.sets[group]))
        sets[other] += made.sets[group][begin : lent[group]]
    group, count = _UNGROUPED
    # Features of other groups stay: they were appended after its own.
    sets[group] = sets[group][round(count * scale) :]
    return FeatureList(made.names, made.columns, {name: sorted(members) for name, members in sets.items()})
