"""Ranks as targets: only the order within the era counts, and each era says as much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.panel.targets import normal_scores

LAWFUL = settings(deadline=None, max_examples=60)
LEVELS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan]), min_size=1, max_size=30)
ERAS = st.lists(LEVELS, min_size=1, max_size=5)


def ranks_of(eras: list[list[float]]) -> np.ndarray:
    return normal_scores(np.concatenate(eras).astype(np.float32), [len(era) for era in eras])


@given(eras=ERAS, power=st.sampled_from([0.5, 2.0, 3.0]), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
@LAWFUL
def test_a_rising_transform_of_the_levels_changes_nothing(
    eras: list[list[float]], power: float, scale: float, shift: float
) -> None:
    transformed = [[scale * level**power + shift for level in era] for era in eras]

    np.testing.assert_array_equal(ranks_of(transformed), ranks_of(eras))


@given(eras=ERAS, before=LEVELS, after=LEVELS)
@LAWFUL
def test_other_eras_change_nothing(eras: list[list[float]], before: list[float], after: list[float]) -> None:
    among_others = ranks_of([before, *eras, after])

    np.testing.assert_array_equal(among_others[len(before) : -len(after)], ranks_of(eras))


@given(era=LEVELS, seed=st.integers(0, 99))
@LAWFUL
def test_rows_in_another_order_have_the_same_ranks(era: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(era))

    np.testing.assert_allclose(ranks_of([[era[row] for row in order]]), ranks_of([era])[order], atol=1e-6)


@given(era=LEVELS)
@LAWFUL
def test_known_rows_have_mean_0_and_mean_square_1_and_unknown_ones_stay_unknown(era: list[float]) -> None:
    ranked, known = ranks_of([era]), ~np.isnan(era)

    if len({level for level in era if level == level}) < 2:
        assert np.isnan(ranked).all()
    else:
        np.testing.assert_array_equal(np.isnan(ranked), ~known)
        assert ranked[known].mean() == pytest.approx(0, abs=1e-5)
        assert (ranked[known] ** 2).mean() == pytest.approx(1, abs=1e-5)


def test_the_five_levels_become_normal_scores_of_their_middle_ranks() -> None:
    era = np.repeat([0, 0.25, 0.5, 0.75, 1], [5, 20, 50, 20, 5])

    ranked = ranks_of([era.tolist()])

    # Normal quantiles at the middles of ranks 1-5, 6-25, 26-75, 76-95 and 96-100: .025, .15, .5, .85 and .975.
    np.testing.assert_allclose(
        np.unique(ranked) / ranked.max(), np.array([-1.9600, -1.0364, 0, 1.0364, 1.9600]) / 1.96, atol=1e-4
    )
