"""What holds for every block along look-alikes and payoffs: no look-ahead, no order of rows, names that fit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from numerai_assets.eras import horizon_of, resolve_lag
from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FeatureBlock
from numerai_assets.features.per_era.group_payoffs import GroupPayoffs
from numerai_assets.features.per_era.target_momentum import TargetMomentum
from numerai_assets.features.per_era.trajectory_changes import TrajectoryChanges
from numerai_assets_tests.features.past_eras import GROUPS, SETS, Past, era_panel, made_past, shuffled

BLOCKS: tuple[FeatureBlock, ...] = (
    TrajectoryChanges(groups=GROUPS),
    TargetMomentum(),
    GroupPayoffs(groups=GROUPS, look_back=60, period=6),
)
LAWFUL = settings(deadline=None, max_examples=8)
SEEDS = st.integers(0, 999)

of_each_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)


def poisoned(past: Past, seed: int) -> Past:
    """The past with everything not known at the era at hand changed, unresolved targets to NaN or to anything else."""
    rng = np.random.default_rng(seed)
    eras = {}
    for era, panel in past.eras.items():
        targets = {name: values[0].copy() for name, values in panel.targets_of_block.items()}
        for name, values in targets.items():
            if era > past.era - resolve_lag(horizon_of(name)):
                values[:] = rng.choice([np.nan, 0, 1], len(values)) if era % 2 else np.nan
        block = panel.blocks[0] if era <= past.era else rng.integers(0, 5, panel.blocks[0].shape, dtype=np.int8)
        eras[era] = era_panel(era, block, targets)
    return replace(past, eras=eras)


@of_each_block
def test_there_is_one_name_for_each_column_and_no_name_twice(block: FeatureBlock) -> None:
    past = made_past()

    columns = past.columns_of(block)

    names = block.names(SETS)
    assert len(set(names)) == len(names) == len(columns)
    assert columns.shape[1] == past.panel.rows and columns.dtype == np.float16
    assert np.isfinite(columns).all()


@of_each_block
@given(seed=SEEDS)
@LAWFUL
def test_the_order_of_rows_changes_nothing_but_theirs(block: FeatureBlock, seed: int) -> None:
    past = made_past(seed=seed)

    other, order = shuffled(past, seed)

    np.testing.assert_array_equal(other.columns_of(block), past.columns_of(block)[:, order])


@of_each_block
@given(seed=SEEDS)
@LAWFUL
def test_what_was_not_known_at_the_era_changes_no_bit(block: FeatureBlock, seed: int) -> None:
    past = made_past(seed=seed)

    assert poisoned(past, seed).columns_of(block).tobytes() == past.columns_of(block).tobytes()


@of_each_block
def test_an_era_live_has_the_columns_that_it_has_in_history(block: FeatureBlock) -> None:
    past = made_past()
    live = replace(past, eras={era: panel for era, panel in poisoned(past, 0).eras.items() if era <= past.era})
    live.eras[past.era] = era_panel(past.era, past.panel.blocks[0], {})

    assert live.columns_of(block).tobytes() == past.columns_of(block).tobytes()


@of_each_block
def test_no_era_is_read_beyond_the_look_back(block: FeatureBlock) -> None:
    past = made_past(era=140, last=140)

    past.columns_of(block)

    assert min(past.read) == past.era - block.look_back
    assert max(past.read) < past.era


@of_each_block
def test_a_change_of_what_was_known_changes_the_columns(block: FeatureBlock) -> None:
    past = made_past()
    before = made_past(seed=1)

    other = replace(past, eras=before.eras | {past.era: past.panel}, columns=before.columns)

    assert (other.columns_of(block) != past.columns_of(block)).any()


@of_each_block
def test_the_first_era_has_columns_without_values_and_a_picture(block: FeatureBlock) -> None:
    past = made_past(era=1)

    columns = past.columns_of(block)

    assert np.isnan(columns).all() and len(columns) == len(block.names(SETS))
    assert block.picture(past.panel, columns, past.history(block)).startswith(b"\x89PNG")


@of_each_block
def test_its_picture_is_a_png(block: FeatureBlock) -> None:
    past = made_past()

    assert block.picture(past.panel, past.columns_of(block), past.history(block)).startswith(b"\x89PNG")


@pytest.mark.parametrize("block", BLOCKS[::2], ids=lambda block: block.name)
def test_an_unknown_group_is_refused_with_those_there_are(block: FeatureBlock) -> None:
    other = type(block)(groups=("charisma", "luck"))  # type: ignore[call-arg]

    with pytest.raises(FeatureError, match=r"'luck' is not in features.json; it has agility, charisma, wisdom"):
        other.names(SETS)
    with pytest.raises(FeatureError, match="luck"):
        made_past().columns_of(other)


@pytest.mark.parametrize("block", BLOCKS[::2], ids=lambda block: block.name)
def test_a_group_named_twice_is_refused(block: FeatureBlock) -> None:
    with pytest.raises(FeatureError, match="'charisma' is named 2 times"):
        type(block)(groups=("charisma", "wisdom", "charisma")).names(SETS)  # type: ignore[call-arg]


@pytest.mark.parametrize("block", BLOCKS[:2], ids=lambda block: block.name)
def test_look_alikes_of_other_rows_are_refused(block: FeatureBlock) -> None:
    past = made_past()

    with pytest.raises(FeatureError, match="columns of 23 rows, the era has 24"):
        replace(past, columns=past.columns[:, 1:]).columns_of(block)


@pytest.mark.parametrize("block", BLOCKS[:2], ids=lambda block: block.name)
def test_look_alikes_of_other_lags_are_refused(block: FeatureBlock) -> None:
    past = made_past()

    with pytest.raises(FeatureError, match="not those of 14 lags"):
        replace(past, columns=past.columns[:-2]).columns_of(block)


@pytest.mark.parametrize("block", BLOCKS[:2], ids=lambda block: block.name)
def test_look_alikes_that_their_era_does_not_have_are_refused(block: FeatureBlock) -> None:
    past = made_past()
    columns = past.columns.copy()
    columns[8 * 3] = 500  # the nearest, 13 eras back

    with pytest.raises(FeatureError, match="row 500 of era 0057, 13 eras back, but that era has"):
        replace(past, columns=columns).columns_of(block)


@pytest.mark.parametrize("block", BLOCKS[1:], ids=lambda block: block.name)
def test_a_resolved_target_without_any_value_is_an_error_and_not_a_gap(block: FeatureBlock) -> None:
    past = made_past()
    era = past.era - 13
    nothing = np.full(past.eras[era].rows, np.nan, np.float32)

    with pytest.raises(FeatureError, match=r"target_ender_60 of era 0057 has no value, though .* by era 0070"):
        past.with_targets(era, dict.fromkeys(("target_ender_20", "target_ender_60"), nothing)).columns_of(
            replace(block, targets=("target_ender_60",)) if isinstance(block, TargetMomentum) else block
        )


@pytest.mark.parametrize("kind", [TrajectoryChanges, TargetMomentum, GroupPayoffs])
def test_an_unknown_parameter_is_refused(kind: type) -> None:
    with pytest.raises(ValidationError, match="colour"):
        kind(colour=1)
