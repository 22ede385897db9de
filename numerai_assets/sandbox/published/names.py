"""Obfuscated feature names and features.json.

Set sizes follow the v5.3 file: thirteen groups that (nearly) partition the features, and six sets across groups.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.encoder import TARGETS

GROUP_SIZES: dict[str, int] = {
    "intelligence": 35,
    "charisma": 290,
    "strength": 135,
    "dexterity": 51,
    "constitution": 335,
    "wisdom": 140,
    "agility": 145,
    "serenity": 95,
    "sunshine": 325,
    "rain": 666,
    "midnight": 244,
    "faith": 372,
    "quantum": 807,
}
"""Features of each group in v5.3."""
GROUPS = tuple(GROUP_SIZES)
ALL = "all"
CROSS_SETS = ("small", "medium", ALL, "v2_equivalent_features", "v3_equivalent_features", "fncv3_features")

_ALL_SIZE = 3555
# The v3-equivalent features are in the eight oldest groups; v2 and fncv3 are subsets of them.
_V3_GROUPS = GROUPS[:8]
# Smaller sets would be too small to fit on; these limits matter only in small worlds.
_LEAST = {"small": 10, "medium": 24, "v2_equivalent_features": 6, "v3_equivalent_features": 12, "fncv3_features": 8}
_SIZES = {
    "small": 42,
    "medium": 780,
    "v2_equivalent_features": 304,
    "v3_equivalent_features": 1000,
    "fncv3_features": 400,
}

_ADJECTIVES = """
    amber arid bashful blunt brisk bronze calm candid coarse coastal crimson curly dapper distant dusky eager earnest
    elastic fabled faint fervid flaxen frosty gentle gilded glassy hasty hazel hollow humble indigo inland ivory
    jagged jaunty jovial keen kindred lanky limpid lofty lucid mellow minute misty modest narrow nimble noble oaken
    oblong olive opaque pallid patient placid plucky quaint quiet ragged remote rustic sable scarlet serene silken
    slender solemn somber sturdy supple tawny tepid thrifty timid tranquil umber upland velvet vivid wary winding
    wistful woolen yearning zesty
"""
_NOUNS = """
    acorn alder anchor anvil arbor badger barley basin beacon bellows bramble brook burrow cairn canopy cedar chalice
    cinder clover cobble compass copper coral cove crane creek cypress dagger dahlia delta dory dune ember falcon
    fathom fern fjord flint foxglove furrow gable garnet gorge grove gull harbor hawthorn hazel heron hinge hollow
    inlet iris juniper kestrel kettle lagoon lantern larch ledge lichen linden lintel loom lupin magpie mallow maple
    marlin marsh meadow mill moor moss nettle oak orchard osprey otter oxbow paddle pebble pine plover pond poplar
    quarry quill raven reed ridge rook rudder sedge shale shore sickle sparrow spruce steppe swallow tarn thicket
    thistle timber torrent trellis tundra valley vane viaduct walnut warbler willow wren yarrow
"""


@dataclass(frozen=True)
class FeatureList:
    """The features of a world.

    names: (d,) in the order of the set `all`.
    columns: (d,) column of the market's characteristics behind each name.
    sets: features.json's feature_sets.
    """

    names: tuple[str, ...]
    columns: tuple[int, ...]
    sets: Mapping[str, Sequence[str]]

    def to_json(self) -> str:
        """features.json, with its two top-level keys since v5.0."""
        return json.dumps({"feature_sets": self.sets, "targets": TARGETS})


def obfuscated_names(count: int, seed: int) -> list[str]:
    """`count` distinct names feature_<adjective>_<adjective>_<noun>, unordered. SandboxError if the words are too few."""
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    a, m = len(adjectives), len(nouns)
    if count > a * (a - 1) * m // 2:
        raise SandboxError(f"{count} feature names requested, the word lists give {a * (a - 1) * m // 2}")
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    names: dict[str, None] = {}
    while len(names) < count:
        first, second = rng.choice(a, size=2, replace=False)
        names.setdefault(f"feature_{adjectives[first]}_{adjectives[second]}_{nouns[rng.integers(m)]}")
    return list(names)


def choose_columns(groups: Sequence[str], count: int) -> list[int]:
    """`count` of the columns with these groups, evenly spaced so that each group keeps its share and at least one."""
    if count >= len(groups):
        return list(range(len(groups)))
    by_group = {group: [i for i, g in enumerate(groups) if g == group] for group in dict.fromkeys(groups)}
    quotas = shares({group: len(columns) for group, columns in by_group.items()}, count)
    chosen = [columns[i] for g, columns in by_group.items() for i in _evenly(len(columns), quotas[g])]
    return sorted(chosen)


def shares(sizes: Mapping[str, int], count: int, *, least: int = 1) -> dict[str, int]:
    """`count` split in proportion to `sizes` by largest remainder, at least `least` each where the size allows."""
    total = sum(sizes.values())
    exact = {name: count * size / total for name, size in sizes.items()}
    split = {name: min(size, max(least, int(exact[name]))) for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: split[name] - exact[name])
    while sum(split.values()) < min(count, total):
        grow = next(name for name in by_remainder if split[name] < sizes[name])
        split[grow] += 1
        by_remainder.sort(key=lambda name: split[name] - exact[name])
    while sum(split.values()) > count:
        # Take first from those above the minimum.
        givers = [name for name in split if split[name] > least] or list(split)
        split[max(givers, key=lambda name: (split[name] - exact[name], split[name]))] -= 1
    return split


def make_feature_list(groups: Sequence[str], columns: Sequence[int], seed: int) -> FeatureList:
    """New names for these columns of a market. groups: group of every column of the market."""
    names = obfuscated_names(len(columns), seed)
    columns_of = dict(zip(names, columns, strict=True))
    ordered = sorted(names)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2]))
    shuffled = [ordered[i] for i in rng.permutation(len(ordered))]
    group_of = {name: groups[columns_of[name]] for name in ordered}
    # All groups in turn, so that each cut below has features of every group.
    medium = _cut(_in_turn(shuffled, group_of), "medium", len(ordered))
    oldest = [name for name in shuffled if group_of[name] in _V3_GROUPS] or shuffled
    v3 = _cut(_in_turn(oldest, group_of), "v3_equivalent_features", len(ordered))
    sets: dict[str, list[str]] = {
        "small": sorted(_cut(medium, "small", len(ordered))),
        "medium": sorted(medium),
        ALL: ordered,
        "v2_equivalent_features": sorted(_cut(v3, "v2_equivalent_features", len(ordered))),
        "v3_equivalent_features": sorted(v3),
        "fncv3_features": sorted(_cut(v3[::-1], "fncv3_features", len(ordered))),
    }
    for group in GROUPS:
        sets[group] = [name for name in ordered if group_of[name] == group]
    return FeatureList(tuple(ordered), tuple(columns_of[name] for name in ordered), sets)


def adopt_feature_list(path: Path, groups: Sequence[str], count: int) -> FeatureList:
    """The names of a real features.json over a market whose columns have these groups, `count` of them at most.

    Each name of a group stands for a characteristic of the same group. If fewer names are used than the file has, they
    are taken evenly from its groups, and within them from each combination of sets, so that sets keep their share.
    SandboxError if the file is not a features.json.
    """
    sets = _read_sets(path)
    of_group = {group: [i for i, g in enumerate(groups) if g == group] for group in GROUPS}
    named: dict[str, str] = {}
    for group in GROUPS:
        for name in sets.get(group, ()):
            named.setdefault(name, group)
    in_order = {group: [name for name in sets[ALL] if named.get(name) == group] for group in GROUPS}
    possible = {g: min(len(of_group[g]), len(in_order[g])) for g in GROUPS if of_group[g] and in_order[g]}
    if not possible:
        raise SandboxError(f"{path}: no feature set is named after a group of the market ({', '.join(GROUPS)})")
    column_of: dict[str, int] = {}
    for group, quota in shares(possible, min(count, sum(possible.values()))).items():
        kept = _keep_proportions(in_order[group], sets, quota)
        columns = [of_group[group][i] for i in _evenly(len(of_group[group]), quota)]
        column_of.update(zip(kept, columns, strict=True))
    # A few real features are in no group: they stand for characteristics that are left without a name.
    ungrouped = [name for name in sets[ALL] if name not in named]
    free = sorted(set(range(len(groups))) - set(column_of.values()))
    column_of.update(zip(ungrouped, free[: count - len(column_of)], strict=False))
    used = [name for name in sets[ALL] if name in column_of]
    cut = {name: [feature for feature in members if feature in column_of] for name, members in sets.items()}
    return FeatureList(tuple(used), tuple(column_of[name] for name in used), cut)


def _read_sets(path: Path) -> dict[str, list[str]]:
    try:
        sets = json.loads(path.read_text())["feature_sets"]
        sets = {str(name): [str(feature) for feature in members] for name, members in sets.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SandboxError(
            f"{path}: not a features.json with a key 'feature_sets' ({type(error).__name__}: {error})"
        ) from error
    if not sets.get(ALL):
        raise SandboxError(f"{path}: no feature set 'all'; pass the features.json of a v5 release")
    return sets


def _keep_proportions(names: Sequence[str], sets: Mapping[str, Sequence[str]], quota: int) -> list[str]:
    """`quota` of `names`, distributed evenly over the combinations of cross sets, at least one of `small`."""
    members = {name: set(sets.get(name, ())) for name in CROSS_SETS if name != ALL}
    signature = {name: tuple(name not in group for group in members.values()) for name in names}
    ordered = sorted(names, key=lambda name: signature[name])
    # Evenly spaced from the first, which is in `small` if any name is.
    return [ordered[i * len(ordered) // quota] for i in range(quota)]


def _cut(names: Sequence[str], name: str, count: int) -> list[str]:
    return list(names[: max(round(count * _SIZES[name] / _ALL_SIZE), min(_LEAST[name], count // 4))])


def _in_turn(names: Sequence[str], group_of: Mapping[str, str]) -> list[str]:
    """Names reordered so that every prefix of the list has each group in proportion."""
    position: dict[str, float] = {}
    for group in dict.fromkeys(group_of.values()):
        members = [name for name in names if group_of[name] == group]
        position.update({name: (i + 0.5) / len(members) for i, name in enumerate(members)})
    return sorted(names, key=lambda name: position[name])


def _evenly(length: int, quota: int) -> list[int]:
    return [i * length // quota for i in range(quota)]
