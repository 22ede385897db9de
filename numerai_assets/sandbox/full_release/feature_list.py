"""Names and sets of the features of a full release: nineteen sets of exactly the sizes of v5.3.

Its thirteen groups overlap a little: 90 features are in two of them, five in none. A characteristic of the market belongs
to one group, so here it counts for its first.
"""

from collections.abc import Sequence
from pathlib import Path

from numerai_assets.sandbox.published.names import GROUP_SIZES, FeatureList, adopt_feature_list, make_feature_list

ALL_FEATURES = 3555

# (group, other group): features of the first that are in the second, too.
_OVERLAPS = {
    ("charisma", "constitution"): 5,
    ("strength", "constitution"): 5,
    ("charisma", "sunshine"): 55,
    ("serenity", "sunshine"): 20,
    ("intelligence", "sunshine"): 5,
}
# Features of no group; the v3-equivalent set holds them, so they stand beside constitution.
_UNGROUPED = ("constitution", 5)

FIRST_GROUPS: dict[str, int] = {
    group: size
    - sum(n for (_, other), n in _OVERLAPS.items() if other == group)
    + (_UNGROUPED[1] if group == _UNGROUPED[0] else 0)
    for group, size in GROUP_SIZES.items()
}
"""Features of each group in v5.3 when each counts for the first of its groups; 3,555 in all."""


def full_feature_list(groups: Sequence[str], seed: int, features_json: Path | None) -> FeatureList:
    """All (d,) columns of a market with these groups, named as in `features_json`, or by names of our own.

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
    # Its guests stay: they were appended after its own members.
    sets[group] = sets[group][round(count * scale) :]
    return FeatureList(made.names, made.columns, {name: sorted(members) for name, members in sets.items()})
