"""Learned blocks are fitted on eras whose target varies, counted back from the newest."""

import numpy as np
import pytest

from numerai_assets.errors import FeatureError, StoreError
from numerai_assets.features.fitting.training_eras import eras_to_fit, only_era
from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_20"


def panel(targets: dict[int, list[float]]) -> EraPanel:
    """Eras of three rows with these targets."""
    return EraPanel(
        tuple(np.zeros((1, 3), np.int8) for _ in targets),
        ("f0",),
        tuple(targets),
        tuple(np.array(["a", "b", "c"], object) for _ in targets),
        {TARGET: tuple(np.array(values, np.float32) for values in targets.values())},
    )


def test_eras_are_counted_back_from_the_newest_whose_target_varies() -> None:
    varying, constant, unknown = [0.0, 0.5, 1.0], [0.5, 0.5, 0.5], [np.nan] * 3
    some = panel(dict.fromkeys(range(1, 11), varying) | {11: constant, 12: unknown})

    assert eras_to_fit(some, TARGET, 4, block="block") == [2, 6, 10]
    assert eras_to_fit(some, TARGET, 1, block="block") == list(range(1, 11))


def test_an_era_between_two_of_them_without_a_target_moves_none() -> None:
    varying = [0.0, np.nan, 1.0]
    some = panel({1: varying, 2: varying, 3: [np.nan] * 3, 4: varying, 5: varying})

    assert eras_to_fit(some, TARGET, 2, block="block") == [1, 5]


def test_a_target_that_no_era_has_or_the_panel_does_not_carry_is_refused() -> None:
    without = panel({era: [np.nan] * 3 for era in (1, 2)})

    with pytest.raises(FeatureError, match=f"interactions: no era of the panel, .* has a {TARGET} that varies"):
        eras_to_fit(without, TARGET, 4, block="interactions")
    with pytest.raises(StoreError, match="no target"):
        eras_to_fit(without, "target_ender_60", 4, block="interactions")


def test_a_panel_of_several_eras_is_refused_where_one_is_asked_for() -> None:
    both = panel({7: [0.0] * 3, 9: [0.0] * 3})

    assert only_era(both.with_eras([9]), block="block") == 9
    with pytest.raises(FeatureError, match="block: one era at a time, found 2"):
        only_era(both, block="block")
