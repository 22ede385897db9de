"""Of many features, those along whose levels returns spill over are found."""

import numpy as np
import pytest
from numpy.typing import NDArray

from numerai_assets.features.groups.spillover import FEWEST_PAIRS, level_means, strengths

LAG, ROWS = 5, 400


def planted(eras: int, seed: int, *, lasting: bool = False) -> NDArray[np.float32]:
    """Level means of six features; levels of the third earn what they earned `LAG` eras before, or forever the same."""
    rng = np.random.default_rng(seed)
    earned = np.repeat(rng.normal(size=(1, 5)), eras, axis=0) if lasting else rng.normal(size=(eras, 5))
    for era in range(LAG, eras):
        earned[era] = earned[era] if lasting else 0.7 * earned[era - LAG] + 0.7 * earned[era]
    means = []
    for era in range(eras):
        block = rng.integers(0, 5, (6, ROWS), dtype=np.int8)
        target = earned[era, block[2]] + 3 * rng.normal(size=ROWS)
        means.append(level_means(block, (target - target.mean()).astype(np.float32)))
    return np.stack(means)


def test_the_feature_along_which_returns_spill_over_is_the_strongest() -> None:
    strength = strengths(planted(120, 0), range(120), LAG)

    assert strength.argmax() == 2
    assert strength[2] > 4
    assert np.abs(np.delete(strength, 2)).max() < 3


def test_a_lasting_effect_is_not_taken_for_it() -> None:
    assert abs(strengths(planted(120, 1, lasting=True), range(120), LAG)[2]) < 3


def test_eras_that_are_lacking_are_passed_over() -> None:
    eras = [era for era in range(160) if era % 7]
    strength = strengths(planted(160, 2)[eras], eras, LAG)

    assert strength.argmax() == 2


def test_a_constant_feature_has_no_strength() -> None:
    means = planted(FEWEST_PAIRS + LAG, 3)
    means[:, 4] = 0

    assert strengths(means, range(len(means)), LAG)[4] == 0


def test_level_means_leave_out_what_is_missing() -> None:
    block = np.array([[0, 0, 1, -1, 4]], np.int8)
    centred = np.array([0.5, -0.25, 0.25, 0.5, np.nan], np.float32)

    found = level_means(block, centred)[0]

    # Of four rows with a target, two are at level 0 and one at level 1.
    assert found.tolist() == pytest.approx([0.125 * np.sqrt(2 / 4), 0.25 * np.sqrt(1 / 4), 0, 0, 0])
