"""Changes along look-alikes: closed forms of differences, averages and volatility."""

import numpy as np
import pytest

from numerai_assets.errors import FeatureError
from numerai_assets.features.per_era.trajectory_changes import TrajectoryChanges
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets_tests.features.past_eras import GROUPS, SETS, Past, era_panel, made_past

EVERY = tuple(range(1, 31))


def of_levels(levels: dict[int, int], era: int = 40) -> Past:
    """A past in which every row has, in each era, one level on all features but the first of wisdom."""
    past = made_past(era=era, last=era, rows=4, lags=EVERY)
    eras = {
        number: era_panel(number, np.full((20, panel.rows), levels[number], np.int8), {})
        for number, panel in past.eras.items()
    }
    for panel in eras.values():
        panel.blocks[0][3] = np.arange(panel.rows) % 5  # so that it exists, whatever the others' level is
    return Past(era, eras, past.columns)


def test_differences_averages_and_volatility_follow_the_levels_of_the_look_alikes() -> None:
    levels = {era: [1, 3, 0, 4, 3, 1, 0][era % 7] for era in range(1, 41)}
    past = of_levels(levels)
    block = TrajectoryChanges(lags=EVERY, groups=("agility",))

    found = dict(zip(block.names(SETS), past.columns_of(block)[:, 0].tolist(), strict=True))

    path = np.array([levels[40 - lag] - 2 for lag in range(26, 0, -1)], float)
    now = levels[40] - 2
    assert found["agility_change_1"] == now - path[-1]
    assert found["agility_change_26"] == now - path[0]
    assert found["agility_average_4"] == pytest.approx(path[-4:].mean(), abs=2e-3)
    assert found["agility_away_26"] == pytest.approx(now - path.mean(), abs=2e-3)
    assert found["agility_volatility_26"] == pytest.approx(np.sqrt((np.diff(path) ** 2).mean()), abs=2e-3)


def test_a_row_that_is_like_its_look_alikes_has_changed_by_nothing() -> None:
    past = of_levels(dict.fromkeys(range(1, 41), 3))
    block = TrajectoryChanges(lags=EVERY, groups=("agility",))

    found = dict(zip(block.names(SETS), past.columns_of(block), strict=True))

    for name, values in found.items():
        if name.startswith("agility"):
            assert (values == (1 if "average" in name else 0)).all()


def test_a_change_is_against_the_weighted_mean_of_the_look_alikes() -> None:
    past = made_past(lags=EVERY)
    block = TrajectoryChanges(lags=EVERY, groups=GROUPS)

    found = dict(zip(block.names(SETS), past.columns_of(block), strict=True))

    alikes = Trajectories.of_columns(EVERY, past.columns)
    charisma = past.eras[66].blocks[0][:4].mean(axis=0)
    then = (charisma[alikes.rows[3]] * alikes.weights()[3]).sum(axis=0)
    np.testing.assert_allclose(found["charisma_change_4"], past.panel.blocks[0][:4].mean(axis=0) - then, atol=2e-3)
    level = past.eras[66].blocks[0].mean(axis=0)
    then = (level[alikes.rows[3]] * alikes.weights()[3]).sum(axis=0)
    np.testing.assert_allclose(found["level_change_4"], past.panel.blocks[0].mean(axis=0) - then, atol=2e-3)


def test_a_group_that_did_not_exist_at_a_lag_has_no_difference_over_it() -> None:
    past = made_past(era=70)
    panel = past.eras[57]
    panel.blocks[0][[3, 5, 7]] = 2  # wisdom, 13 eras back
    block = TrajectoryChanges(groups=GROUPS)

    found = dict(zip(block.names(SETS), past.columns_of(block), strict=True))

    assert np.isnan(found["wisdom_change_13"]).all()
    for name in ("wisdom_change_4", "charisma_change_13", "wisdom_average_4", "wisdom_average_26"):
        assert np.isfinite(found[name]).all()


def test_look_alikes_that_do_not_reach_far_enough_leave_the_long_measures_without_values() -> None:
    block = TrajectoryChanges(groups=GROUPS)

    found = dict(zip(block.names(SETS), made_past(era=15).columns_of(block), strict=True))

    for name in ("charisma_change_26", "charisma_average_26", "charisma_away_26", "charisma_volatility_26"):
        assert np.isnan(found[name]).all()
    for name in ("charisma_change_13", "charisma_average_4", "level_away_4"):
        assert np.isfinite(found[name]).all()


def test_it_looks_back_no_further_than_its_measures_reach() -> None:
    assert TrajectoryChanges().look_back == 26
    assert TrajectoryChanges(changes=(1, 39)).look_back == 39
    # No look-alikes at 30 eras back: the average holds those of 39 eras back there.
    assert TrajectoryChanges(long=30).look_back == 39


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"changes": (1, 7)}, "change over 7 eras, but look-alikes are at lags"),
        ({"long": 60}, "moving averages of 4 and 60 eras"),
        ({"short": 26}, "moving averages of 26 and 26 eras"),
        ({"lags": (5, 10, 30), "changes": ()}, "moving averages of 4 and 26 eras; expected the first above lag 5"),
        ({"lags": (3, 2)}, "ascending"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_asked_for(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        TrajectoryChanges(**parameters)  # type: ignore[arg-type]
