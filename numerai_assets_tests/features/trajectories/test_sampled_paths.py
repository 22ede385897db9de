"""Sampled paths: each era of the grid holds what was known by then."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.errors import FeatureError
from numerai_assets.features.trajectories.sampled_paths import check_lags, held


@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_each_era_holds_the_newest_known_sample_at_or_before_it(data: st.DataObject) -> None:
    lags = tuple(sorted(data.draw(st.sets(st.integers(1, 20), min_size=1))))
    through = data.draw(st.integers(lags[0], 22))
    samples = [data.draw(st.one_of(st.just(math.nan), st.integers(-3, 3))) for _ in lags]

    path = held(np.array(samples, np.float64)[:, None], lags, through)

    expected = [
        next((s for lag, s in zip(lags, samples, strict=True) if lag >= back and not math.isnan(s)), math.nan)
        for back in range(through, lags[0] - 1, -1)
    ]
    np.testing.assert_array_equal(path[:, 0], expected)


def test_rows_are_held_each_by_itself_and_the_samples_stay_as_they_were() -> None:
    samples = np.array([[1.0, np.nan], [np.nan, 2.0]])
    before = samples.copy()

    path = held(samples, (1, 3), 3)

    np.testing.assert_array_equal(path, [[np.nan, 2], [np.nan, 2], [1, 2]])
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("lags", [(), (0, 1), (2, 1), (1, 1)])
def test_lags_that_do_not_ascend_from_one_are_refused(lags: tuple[int, ...]) -> None:
    with pytest.raises(FeatureError, match="ascending without repeats"):
        check_lags(lags)
