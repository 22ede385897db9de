"""Importances put together from eras: means, errors, groups, and which eras are looked at."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_assets.evaluation.importance import (
    NO_GROUP,
    by_group,
    every_power_of_two,
    gain_shares,
    groups_of,
    importances,
    over_time,
)
from numerai_assets.evaluation.uncertainty import standard_error

GROUPS = {"a": "wisdom", "b": "wisdom", "c": "faith"}


def found_by_era(eras: list[int], *, seed: int = 0, vintage: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "era": era,
                "vintage": vintage,
                "feature": list(GROUPS),
                "gain": [0.2, 0.5, 0.3],
                "permutation": rng.normal([0.01, 0.02, 0.0], 0.005),
                "shap": rng.random(3) * [1, 3, 1],
            }
        )
        for era in eras
    ]
    return pd.concat(frames, ignore_index=True)


@given(st.sets(st.integers(1, 1300), max_size=200), st.integers(1, 30), st.sets(st.integers(1, 1300), max_size=50))
def test_what_was_chosen_stays_chosen_or_goes_for_good(eras: set[int], most: int, later: set[int]) -> None:
    chosen, then = every_power_of_two(eras, most), every_power_of_two(eras | later, most)

    assert len(chosen) <= most
    assert set(then) & eras <= set(chosen)


def test_eras_are_chosen_evenly() -> None:
    assert every_power_of_two(range(575, 731), 12) == list(range(576, 731, 16))
    assert every_power_of_two([3, 4, 5], 12) == [3, 4, 5]


def test_importances_are_means_over_eras_with_the_error_of_overlapping_targets() -> None:
    eras = [600, 608, 616, 624, 632]
    by_era = found_by_era(eras)

    table = importances(by_era, GROUPS, horizon=60).set_index("feature")

    lost = by_era.pivot(index="era", columns="feature", values="permutation")
    assert list(table.index) == ["b", *table.index[1:]]
    for feature in GROUPS:
        assert table.loc[feature, "permutation"] == pytest.approx(lost[feature].mean())
        error = standard_error(lost[feature].to_numpy(), horizon=60, eras=eras)
        assert table.loc[feature, "permutation_se"] == pytest.approx(error)
        assert table.loc[feature, "permuted_eras"] == 5
    assert table["group"].to_dict() == GROUPS


def test_gain_is_that_of_the_newest_vintage() -> None:
    newer = found_by_era([640], vintage=600).assign(gain=[0.9, 0.1, 0.0])
    by_era = pd.concat([found_by_era([600, 608]), newer[newer["feature"] != "c"]], ignore_index=True)

    table = importances(by_era, GROUPS, horizon=60).set_index("feature")

    assert table["gain"].to_dict() == {"a": 0.9, "b": 0.1, "c": 0.0}


def test_without_shap_and_with_nothing_resolved_gain_orders_the_features() -> None:
    by_era = found_by_era([600]).assign(shap=np.nan, permutation=np.nan)

    table = importances(by_era, GROUPS, horizon=60)

    assert table["feature"].tolist() == ["b", "c", "a"]
    assert table[["permutation", "permutation_se", "shap"]].isna().all(axis=None)
    assert over_time(by_era, ["b"]).loc["b", 600] == pytest.approx(0.5)
    assert by_group(table)["shap"].isna().all()


def test_groups_share_what_their_features_have() -> None:
    table = importances(found_by_era([600, 608]), GROUPS, horizon=60)

    groups = by_group(table).set_index("group")

    assert groups["gain"].to_dict() == pytest.approx({"wisdom": 0.7, "faith": 0.3})
    assert groups["shap"].sum() == pytest.approx(1)
    assert groups["features"].to_dict() == {"wisdom": 2, "faith": 1}
    assert groups.loc["wisdom", "best"] == "b"


def test_shares_of_an_era_sum_to_one() -> None:
    by_era = found_by_era([600, 608])

    np.testing.assert_allclose(over_time(by_era, list(GROUPS)).sum(), 1)


def test_a_feature_belongs_to_its_own_group_and_a_column_to_its_block() -> None:
    sets = {"all": ["a", "b", "c"], "small": ["a", "c"], "wisdom": ["a", "b"], "faith": ["c"]}

    found = groups_of(["a", "c", "aggregates.wisdom_mean", "d"], sets)

    assert found == {"a": "wisdom", "c": "faith", "aggregates.wisdom_mean": "aggregates", "d": NO_GROUP}


def test_importances_of_a_method_without_gain_are_shares_too() -> None:
    explained = pd.DataFrame({"feature": ["a", "b"], "weight": [-3.0, 1.0], "splits": [0, 0]})

    assert gain_shares(explained)["gain"].tolist() == [0.75, 0.25]
