"""Bootstrap intervals: they hold the truth as often as they say, and depend on a seed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerai_assets.eras import resolve_lag
from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.bootstrap import STATISTICS, bootstrap_intervals, stationary_positions
from numerai_assets.evaluation.era_series import max_drawdown, sharpe

LAWFUL = settings(deadline=None, max_examples=30)


def overlapping(seed: int, n: int, overlap: int) -> NDArray[np.float64]:
    shocks = np.random.default_rng(seed).normal(size=n + overlap - 1)
    return np.convolve(shocks, np.ones(overlap) / np.sqrt(overlap), mode="valid")


def persistent(seed: int, n: int, carried: float) -> NDArray[np.float64]:
    values = np.random.default_rng(seed).normal(size=n + 100) * np.sqrt(1 - carried**2)
    for era in range(1, n + 100):
        values[era] += carried * values[era - 1]
    return values[100:]


SERIES = {
    "overlap of 13": (60, lambda seed: overlapping(seed, 400, 13)),
    "overlap of 5": (20, lambda seed: overlapping(seed, 400, 5)),
    "half carried over": (60, lambda seed: persistent(seed, 400, 0.5)),
    "half carried over, short target": (20, lambda seed: persistent(seed, 400, 0.5)),
}


@pytest.mark.parametrize("kind", SERIES)
def test_90_per_cent_intervals_hold_the_truth_in_84_to_96_of_100_series(kind: str) -> None:
    horizon, make = SERIES[kind]
    truth, held = 0.4, {"mean": 0, "sharpe": 0}

    for seed in range(250):
        scores = make(seed)[:, None] + truth
        found = bootstrap_intervals(scores, horizon=horizon, seed=seed, statistics=list(held), resamples=150)
        for name in held:
            # The series have variance 1, so that mean and Sharpe ratio are the same number.
            held[name] += bool(found[name].low[0] <= truth <= found[name].high[0])

    for name, count in held.items():
        assert 0.84 <= count / 250 <= 0.96, (name, count / 250)


def test_the_drawdown_of_another_run_of_eras_lies_in_its_interval() -> None:
    scores = persistent(0, 300, 0.5)[:, None] + 0.2
    others = [max_drawdown(persistent(seed, 300, 0.5) + 0.2) for seed in range(1, 201)]

    found = bootstrap_intervals(scores, horizon=20, seed=0)["max_drawdown"]

    inside = np.mean([found.low[0] <= other <= found.high[0] for other in others])
    assert found.value[0] == pytest.approx(max_drawdown(scores[:, 0]))
    assert 0.6 <= inside <= 1.0


@given(
    scores=st.lists(st.floats(-1, 1).map(lambda x: round(x, 6)), min_size=2, max_size=40, unique=True),
    seed=st.integers(0, 2**32),
)
@LAWFUL
def test_values_are_those_of_the_eras_and_lie_within_symmetric_intervals(scores: list[float], seed: int) -> None:
    values = np.array(scores)

    found = bootstrap_intervals(values[:, None], horizon=20, seed=seed, resamples=40)

    assert tuple(found) == STATISTICS
    assert found["mean"].value[0] == pytest.approx(values.mean())
    assert found["sum"].value[0] == pytest.approx(values.sum())
    assert found["sharpe"].value[0] == pytest.approx(sharpe(values))
    assert found["max_drawdown"].value[0] == pytest.approx(max_drawdown(values), abs=1e-12)
    mean = found["mean"]
    assert mean.low[0] <= mean.value[0] <= mean.high[0] or np.isinf(mean.high[0]) or np.isnan(mean.high[0])


def test_the_same_seed_gives_the_same_and_another_seed_another_interval() -> None:
    scores = np.random.default_rng(0).normal(size=(100, 3))

    first, again, other = (bootstrap_intervals(scores, horizon=60, seed=seed)["mean"] for seed in (1, 1, 2))

    assert first.low.tolist() == again.low.tolist()
    assert (first.low != other.low).all()


def test_a_column_is_resampled_alike_whatever_stands_beside_it() -> None:
    # White noise: the block length, which is that of the table, is the resolve lag for all.
    scores = np.random.default_rng(1).normal(size=(120, 40))

    table = bootstrap_intervals(scores, horizon=60, seed=3)
    alone = bootstrap_intervals(scores[:, 7:8], horizon=60, seed=3)

    for name in STATISTICS:
        np.testing.assert_allclose(table[name].low[7], alone[name].low[0])
        np.testing.assert_allclose(table[name].high[7], alone[name].high[0])


@given(shift=st.floats(-2, 2), scale=st.floats(0.1, 5))
@LAWFUL
def test_the_interval_of_a_mean_moves_and_grows_with_the_scores(shift: float, scale: float) -> None:
    scores = overlapping(5, 80, 5)[:, None]

    found = bootstrap_intervals(scores, horizon=20, seed=0, statistics=["mean"], resamples=60)["mean"]
    moved = bootstrap_intervals(scale * scores + shift, horizon=20, seed=0, statistics=["mean"], resamples=60)["mean"]

    np.testing.assert_allclose(moved.low, scale * found.low + shift, atol=1e-9)
    np.testing.assert_allclose(moved.high, scale * found.high + shift, atol=1e-9)


def test_missing_eras_count_for_nothing_and_their_number_widens_the_interval() -> None:
    scores = np.stack([overlapping(seed, 400, 13) for seed in range(20)], axis=1)
    holes = scores.copy()
    holes[100:300] = np.nan
    eras = np.r_[1:101, 301:401]

    whole = bootstrap_intervals(scores, horizon=60, seed=0, resamples=100)
    by_nan = bootstrap_intervals(holes, horizon=60, seed=0, resamples=100)
    by_number = bootstrap_intervals(holes[~np.isnan(holes[:, 0])], horizon=60, seed=0, resamples=100, eras=eras)

    for name in STATISTICS:
        np.testing.assert_allclose(by_nan[name].low, by_number[name].low)
        np.testing.assert_allclose(by_nan[name].high, by_number[name].high)
    assert by_nan["sum"].value[0] == pytest.approx(np.nansum(holes[:, 0]))
    widths = [float((found["mean"].high - found["mean"].low).mean()) for found in (whole, by_nan)]
    assert widths[1] > 1.2 * widths[0]


def test_columns_that_tell_nothing_have_no_interval_and_disturb_no_other() -> None:
    scores = np.random.default_rng(2).normal(size=(60, 4))
    scores[:, 1] = np.nan
    scores[1:, 2] = np.nan
    scores[:, 3] = 0.25

    found = bootstrap_intervals(scores, horizon=60, seed=0)

    assert np.isnan(found["mean"].low).tolist() == [False, True, True, False]
    assert np.isnan(found["mean"].value).tolist() == [False, True, False, False]
    assert found["mean"].low[3] == pytest.approx(0.25) == found["mean"].high[3]
    assert np.isnan(found["sharpe"].value).tolist() == [False, True, True, True]
    assert np.isnan(found["sharpe"].low).tolist() == [False, True, True, True]


def test_blocks_are_of_geometric_length_and_every_era_is_as_likely() -> None:
    positions = stationary_positions(np.random.default_rng(0), 200, 2_000, 8.0)

    goes_on = (np.diff(positions, axis=0) % 200 == 1).mean()
    counts = np.bincount(positions.ravel(), minlength=200)

    assert goes_on == pytest.approx(1 - 1 / 8, abs=0.01)
    assert np.abs(counts / 2_000 - 1).max() < 0.35
    assert counts.mean() == 2_000


def test_blocks_of_one_era_are_independent_draws() -> None:
    positions = stationary_positions(np.random.default_rng(1), 50, 2_000, 1.0)

    assert (np.diff(positions, axis=0) % 50 == 1).mean() == pytest.approx(1 / 50, abs=0.005)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"statistics": ["median"]}, "expected some of"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"resamples": 0}, "one or more"),
        ({"eras": np.arange(9)}, "eras: expected"),
    ],
)
def test_what_cannot_be_resampled_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ScoringError, match=said):
        bootstrap_intervals(np.ones((10, 1)), **({"horizon": 60, "seed": 0} | wrong))


def test_the_overlap_of_targets_is_kept_within_blocks() -> None:
    scores = np.random.default_rng(3).normal(size=(100, 1))

    # The least block is the resolve lag: longer for the longer target, and so another interval for the same seed.
    short, long = (bootstrap_intervals(scores, horizon=h, seed=0, statistics=["mean"])["mean"] for h in (20, 60))

    assert resolve_lag(20) < resolve_lag(60)
    assert short.low[0] != long.low[0]
