"""Momentum of look-alikes' targets: the path is theirs, and only what had resolved is in it."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from numerai_assets.errors import FeatureError
from numerai_assets.features.groups.momentum_indicators import macd, prices, rsi, scaled_return, stochastic
from numerai_assets.features.per_era.target_momentum import TargetMomentum
from numerai_assets.features.trajectories.neighbours import LAGS, Trajectories
from numerai_assets_tests.features.past_eras import TARGETS, Past, made_past

EVERY = tuple(range(1, 53))


def one_path(values: dict[int, float], *, rows: int = 5, k: int = 3) -> Past:
    """A past whose rows all have, at each era, look-alikes with the given target."""
    past = made_past(rows=rows, k=k, lags=EVERY)
    for era, value in values.items():
        constant = np.full(past.eras[era].rows, value, np.float32)
        past = past.with_targets(era, {"target_ender_20": constant, "target_ender_60": constant})
    return past


def test_a_path_of_rising_targets_is_at_full_strength() -> None:
    past = one_path(dict.fromkeys(range(1, 73), 0.75))
    block = TargetMomentum(lags=EVERY)

    found = dict(zip(block.names({}), past.columns_of(block)[:, 0].tolist(), strict=True))

    assert found["target_ender_20_rsi_14"] == found["target_ender_60_rsi_14"] == 100
    assert found["target_ender_20_stochastic_14"] == found["target_ender_60_stochastic_14_3"] == 100
    assert found["target_ender_20_macd_4_12"] > 0
    # The same in every era: there is no volatility to scale it by.
    assert np.isnan(found["target_ender_20_return_4"])


def test_a_path_of_middling_targets_is_in_the_middle() -> None:
    past = one_path(dict.fromkeys(range(1, 73), 0.5))
    block = TargetMomentum(lags=EVERY)

    found = dict(zip(block.names({}), past.columns_of(block)[:, 0].tolist(), strict=True))

    assert found["target_ender_20_rsi_14"] == found["target_ender_20_stochastic_14"] == 50


def test_the_measures_are_those_of_the_resolved_path_from_the_oldest_lag_to_the_newest_resolved() -> None:
    rng = np.random.default_rng(3)
    targets = {era: float(rng.choice([0, 0.25, 0.5, 0.75, 1])) for era in range(1, 73)}
    past = one_path(targets)
    block = TargetMomentum(lags=EVERY, targets=("target_ender_20",))

    columns = past.columns_of(block)

    returns = np.array([[targets[era] - 0.5] for era in range(70 - 52, 70 - 5 + 1)])
    price = prices(returns)
    expected = [
        *(scaled_return(returns, eras, 4) for eras in (4, 13, 26)),
        *(macd(price, short, long, 13) for short, long in ((2, 6), (4, 12), (8, 24))),
        rsi(returns, 14),
        *stochastic(price, 14, 3),
    ]
    np.testing.assert_allclose(columns, np.repeat(expected, 5, axis=1), rtol=2e-3, atol=1e-3)


def test_only_look_alikes_whose_target_is_known_count() -> None:
    past = made_past(rows=8, k=2, lags=EVERY)
    alikes = Trajectories.of_columns(EVERY, past.columns)
    rising, unknown, falling = 1.0, np.nan, 0.0
    for lag in EVERY:
        rows = past.eras[70 - lag].rows
        values = np.full(rows, falling, np.float32)
        values[alikes.rows[lag - 1, :, 0]] = (rising, unknown) if lag % 2 else (rising, rising)
        past = past.with_targets(70 - lag, {"target_ender_20": values})
    block = TargetMomentum(lags=EVERY, targets=("target_ender_20",))

    found = dict(zip(block.names({}), past.columns_of(block)[:, 0].tolist(), strict=True))

    assert found["target_ender_20_rsi_14"] == 100


def test_a_row_without_look_alikes_has_no_values_and_leaves_the_others_alone() -> None:
    past = made_past()
    alikes = Trajectories.of_columns(LAGS, past.columns)
    rows, distances = alikes.rows.copy(), alikes.distances.copy()
    rows[:, :, 4], distances[:, :, 4] = -1, np.nan
    block = TargetMomentum()

    columns = replace(past, columns=Trajectories(LAGS, rows, distances).as_columns()).columns_of(block)

    assert np.isnan(columns[:, 4]).all()
    others = np.arange(columns.shape[1]) != 4
    np.testing.assert_array_equal(columns[:, others], past.columns_of(block)[:, others])


def test_a_path_that_is_too_short_has_the_short_measures_only() -> None:
    block = TargetMomentum()

    found = dict(zip(block.names({}), made_past(era=22).columns_of(block), strict=True))

    # From era 22 the oldest lag within history is 21, the newest with a 20-day target 5: 17 eras of path.
    assert np.isfinite(found["target_ender_20_return_13"]).all()
    assert np.isfinite(found["target_ender_20_rsi_14"]).all()
    assert np.isnan(found["target_ender_20_return_26"]).all()
    assert np.isnan(found["target_ender_60_return_13"]).all()
    assert np.isfinite(found["target_ender_60_return_4"]).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lags": (1, 2, 4)}, "target_ender_20 has no resolved era in the window"),
        ({"lags": (5, 40, 12)}, "ascending"),
        (
            {"lags": tuple(range(1, 38))},
            "target_ender_60: the measures need 26 eras, but look-alikes at lags 13 to 37 have 25",
        ),
        ({"targets": ()}, "at least one, each once"),
        ({"targets": ("target_ender_20",) * 2}, "at least one, each once"),
        ({"trends": ((6, 2),)}, r"trend \(6, 2\): expected the short scale below"),
        ({"returns": (60,)}, "the measures need 60 eras, but look-alikes at lags 5 to 52 have 48"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_asked_for(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        TargetMomentum(**parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("parameters", [{"strength": 1}, {"returns": (0,)}, {"smooth": 0}, {"trends": ((1, 3, 5),)}])
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TargetMomentum(**parameters)  # type: ignore[arg-type]


def test_lags_that_reach_just_far_enough_are_taken() -> None:
    assert TargetMomentum(lags=tuple(range(1, 39))).look_back == 38


def test_it_says_which_targets_it_reads_and_how_far_back() -> None:
    block = TargetMomentum()

    assert block.targets == ("target_ender_20", "target_ender_60") and block.look_back == 52
    assert block.needs == ("look_alikes",)


def test_a_round_ahead_of_the_release_holds_the_newest_sample_there_is() -> None:
    past = made_past()
    block = TargetMomentum()
    late = replace(past.history(block), newest_release=past.era - 3)
    poisoned = past
    for era in range(past.era - 7, past.era + 1):
        poisoned = poisoned.with_targets(era, {name: np.full(past.eras[era].rows, np.nan) for name in TARGETS})

    found = block.compute(past.panel, late)

    assert np.isfinite(found).all()
    np.testing.assert_array_equal(
        block.compute(past.panel, replace(poisoned.history(block), newest_release=past.era - 3)), found
    )
