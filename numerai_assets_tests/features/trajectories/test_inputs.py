"""Nets are given what the look-alikes of a row were and were paid, and are told what is not known."""

import numpy as np

from numerai_assets.features.trajectories.inputs import trajectory_inputs
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets_tests.features.paid_trajectories import LAGS, SETS, paid_trajectories
from numerai_assets_tests.features.planted import TARGET

GROUPS = tuple(SETS)


def test_inputs_are_means_of_look_alikes_oldest_first_and_say_what_is_known() -> None:
    world, era = paid_trajectories(12), 9
    history = world.history(era)

    found = trajectory_inputs(world.with_eras([era]), history, LAGS, GROUPS, (TARGET,))

    assert (found.history.shape, found.now.shape, found.market.shape) == ((120, 5, 4), (120, 2), (2,))
    # Ten eras back is before the first; of one era back the target had not resolved.
    np.testing.assert_array_equal(found.history[0, :, 3], [0, 1, 1, 1, 0])
    assert not found.history[:, 0].any()
    assert not found.history[:, 4, 2].any()
    alikes = Trajectories.of_columns(LAGS, history.columns("look_alikes"))
    paid = world.with_eras([4]).target(TARGET)[alikes.rows[1]].mean(axis=0)
    expected = (paid - paid.mean()) / paid.std()
    np.testing.assert_allclose(found.history[:, 3, 2].astype(float), expected, atol=5e-3)
