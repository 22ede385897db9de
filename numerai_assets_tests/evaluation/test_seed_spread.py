"""Spread over seeds: luck of eras and luck of seeds are told apart, and what both hold counts once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.seed_spread import seed_spread
from numerai_assets.evaluation.uncertainty import standard_error

LAWFUL = settings(deadline=None, max_examples=50)


def test_seeds_that_agree_leave_the_error_of_the_eras() -> None:
    one = np.random.default_rng(0).normal(0.1, 1, 200)

    found = seed_spread(np.tile(one[:, None], 5), horizon=60)

    assert found.seed_error == pytest.approx(0, abs=1e-15)
    assert found.error == pytest.approx(found.era_error) == pytest.approx(standard_error(one, horizon=60))
    assert found.mean == pytest.approx(one.mean())


def test_seeds_that_differ_by_a_constant_leave_the_error_of_the_seeds() -> None:
    found = seed_spread(np.tile([0.1, 0.2, 0.3, 0.4], (80, 1)), horizon=20)

    assert found.era_error == pytest.approx(0, abs=1e-15)
    assert found.between_seeds == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert found.error == pytest.approx(found.between_seeds / 2)
    assert (found.eras, found.seeds) == (80, 4)


def test_each_error_is_near_that_of_many_repetitions() -> None:
    eras, seeds, repetitions = 300, 6, 400
    rng = np.random.default_rng(1)

    def draw() -> np.ndarray:
        era, seed, both = rng.normal(size=(eras, 1)), rng.normal(size=(1, seeds)), rng.normal(size=(eras, seeds))
        return 0.3 * era + 0.03 * seed + 0.4 * both

    tables = [draw() for _ in range(repetitions)]
    found = [seed_spread(table, horizon=20) for table in tables]

    true_error = np.std([table.mean() for table in tables])
    assert math.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(true_error, rel=0.1)
    assert true_error == pytest.approx(math.sqrt(0.3**2 / eras + 0.03**2 / seeds + 0.4**2 / eras / seeds), rel=0.1)


def test_what_seeds_and_eras_share_counts_once() -> None:
    # Every cell on its own: either error is that of the mean of all cells, and so are both together.
    scores = np.random.default_rng(2).normal(size=(2_000, 10))

    found = seed_spread(scores, horizon=20)

    assert found.error < 1.25 * max(found.era_error, found.seed_error)
    assert math.hypot(found.era_error, found.seed_error) > 1.2 * min(found.era_error, found.seed_error)


@given(
    seeds=st.integers(2, 5),
    eras=st.integers(2, 40),
    draw=st.integers(0, 1_000),
    shift=st.floats(-3, 3),
)
@LAWFUL
def test_the_order_of_seeds_and_a_shift_of_all_scores_change_no_error(
    seeds: int, eras: int, draw: int, shift: float
) -> None:
    scores = np.random.default_rng(draw).normal(size=(eras, seeds))

    found, moved = seed_spread(scores, horizon=60), seed_spread(scores[:, ::-1] + shift, horizon=60)

    assert found.error >= max(found.era_error, found.seed_error) - 1e-12
    for name in ("era_error", "seed_error", "error", "between_seeds"):
        assert getattr(moved, name) == pytest.approx(getattr(found, name), abs=1e-9)
    assert moved.mean == pytest.approx(found.mean + shift)


def test_eras_without_scores_are_gaps_and_eras_with_some_are_refused() -> None:
    scores = np.random.default_rng(3).normal(size=(60, 3))
    holes = scores.copy()
    holes[10:20] = np.nan
    kept = np.r_[1:11, 21:61]

    assert seed_spread(holes, horizon=60) == seed_spread(scores[kept - 1], horizon=60, eras=kept)
    holes[30, 1] = np.nan
    with pytest.raises(ScoringError, match="1 eras have scores of some seeds only"):
        seed_spread(holes, horizon=60)


@pytest.mark.parametrize("shape", [(50, 1), (1, 5)])
def test_one_seed_or_one_era_has_no_spread(shape: tuple[int, int]) -> None:
    with pytest.raises(ScoringError, match="expected two or more of each"):
        seed_spread(np.zeros(shape), horizon=60)
