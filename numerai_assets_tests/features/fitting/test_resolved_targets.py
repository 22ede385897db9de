"""A target that had resolved has values; one that had not is never returned."""

import numpy as np
import pytest

from numerai_assets.errors import FeatureError, WallError
from numerai_assets.features.fitting.resolved_targets import centred_target, resolved_target
from numerai_assets_tests.features.paid_trajectories import paid_trajectories, with_targets
from numerai_assets_tests.features.planted import TARGET


def test_the_target_is_that_of_the_era_less_its_middle_where_asked() -> None:
    world = paid_trajectories(12)
    history = world.history(9)

    values = resolved_target(history, 4, TARGET)

    np.testing.assert_array_equal(values, world.with_eras([4]).target(TARGET))
    np.testing.assert_array_equal(centred_target(history, 4, TARGET), values - np.float32(0.5))


def test_a_resolved_target_without_a_value_is_an_error_that_says_what_to_do() -> None:
    world = with_targets(paid_trajectories(12), {4: np.full(120, np.nan, np.float32)})

    with pytest.raises(
        FeatureError, match=r"era 0004 has no value, though it had resolved by era 0009; bring the store's"
    ):
        resolved_target(world.history(9), 4, TARGET)


def test_a_target_that_had_not_resolved_is_not_returned() -> None:
    with pytest.raises(WallError, match="was not known at era 0009"):
        centred_target(paid_trajectories(12).history(9), 5, TARGET)
