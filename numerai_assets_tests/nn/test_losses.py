"""Correlations within an era are NumPy's, and follow neither the scale nor the mean of predictions."""

import numpy as np
import torch

from numerai_assets.nn.losses import era_correlations


def test_correlations_are_those_of_numpy_and_a_constant_has_none() -> None:
    rng = np.random.default_rng(0)
    predictions, target = rng.normal(size=(3, 40)), rng.normal(size=40)
    predictions[2] = 1

    found = era_correlations(torch.from_numpy(predictions), torch.from_numpy(target)).numpy()

    np.testing.assert_allclose(found[:2], np.corrcoef(np.vstack([predictions[:2], target]))[-1, :2])
    assert found[2] == 0


def test_scale_and_mean_of_predictions_change_nothing_and_the_sign_turns_it() -> None:
    rng = np.random.default_rng(1)
    predictions, target = torch.from_numpy(rng.normal(size=(1, 40))), torch.from_numpy(rng.normal(size=40))

    found = era_correlations(predictions, target)

    torch.testing.assert_close(era_correlations(7 * predictions + 3, target), found)
    torch.testing.assert_close(era_correlations(-predictions, target), -found)
    torch.testing.assert_close(era_correlations(target[None], target), torch.ones(1, dtype=torch.float64))


def test_one_row_has_no_correlation_and_no_nan() -> None:
    assert era_correlations(torch.ones(2, 1), torch.ones(1)).tolist() == [0, 0]
