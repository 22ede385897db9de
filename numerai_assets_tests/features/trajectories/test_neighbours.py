"""Look-alikes come back from their columns, and means over them leave out what is not known."""

import numpy as np
import pytest

from numerai_assets.errors import FeatureError
from numerai_assets.features.trajectories.neighbours import Trajectories

LAGS = (1, 3)


def two_rows() -> Trajectories:
    """Two rows with three look-alikes one era back, and none three eras back."""
    rows = np.array([[[0, 4], [2, 1], [1, 3]], [[-1, -1]] * 3], np.int16)
    distances = np.array([[[0.25, 0.5], [0.5, 0.75], [1.0, 0.75]], [[np.nan, np.nan]] * 3], np.float32)
    return Trajectories(LAGS, rows, distances)


def test_columns_hold_rows_and_distances_to_a_thousandth() -> None:
    found = two_rows().as_columns()

    back = Trajectories.of_columns(LAGS, found)

    assert (found.dtype, found.shape) == (np.int16, (2 * 2 * 3, 2))
    np.testing.assert_array_equal(back.rows, two_rows().rows)
    np.testing.assert_array_equal(back.distances, two_rows().distances)
    with pytest.raises(FeatureError, match="are not those of 5 lags"):
        Trajectories.of_columns((1, 2, 3, 4, 5), found)


def test_weights_sum_to_one_and_fall_with_the_distance() -> None:
    weights = two_rows().weights()

    np.testing.assert_allclose(weights[0].sum(axis=0), 1, rtol=1e-6)
    assert (np.diff(weights[0], axis=0) <= 0).all()
    assert weights[0, 2, 0] > 0.1
    assert weights[0, 1, 1] == weights[0, 2, 1]
    assert not weights[1].any()


def test_a_look_alike_at_no_distance_has_all_the_weight_only_where_the_others_are_far() -> None:
    rows = np.zeros((1, 2, 2), np.int16)
    same = Trajectories((1,), rows, np.zeros((1, 2, 2), np.float32)).weights()

    np.testing.assert_array_equal(same, 0.5)


def test_a_mean_leaves_out_look_alikes_without_a_value_and_is_nan_without_any() -> None:
    alikes = two_rows()
    weights = alikes.weights()
    values = np.array([[1.0, 2.0, np.nan, 4.0, 5.0], [np.nan] * 5])

    found = alikes.mean(0, values, weights)

    (first, _, third), second = weights[0, :, 0], weights[0, :, 1]
    assert found[0, 0] == pytest.approx((first * 1 + third * 2) / (first + third), rel=1e-6)
    assert found[0, 1] == pytest.approx(second @ [5, 2, 4], rel=1e-6)
    assert np.isnan(found[1]).all()
    assert np.isnan(alikes.mean(1, values, weights)).all()
