"""What was planted is found, what is the same is told apart once, and nothing is found in noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import purge
from numerai_assets.errors import FeatureError, StoreError, WallError
from numerai_assets.features.learned.selection import FeatureSelection
from numerai_assets.panel.panel import EraPanel
from numerai_assets_tests.features.planted import TARGET, panel_of

SIGNAL, TWINS = {"f00", "f01", "f02", "f03"}, {"f40": "f00", "f41": "f02"}
ERAS = list(range(1, 121, 4))


def world(eras: list[int], *, signal: float = 1.0, rows: int = 300, seed: int = 0) -> EraPanel:
    """60 features: two that add up, two that count together, twins of two of these, the rest noise."""
    blocks, scores = [], []
    for era in eras:
        rng = np.random.default_rng([seed, era])
        block = rng.integers(0, 5, (60, rows), dtype=np.int8)
        for twin, original in TWINS.items():
            other = rng.random(rows) < 0.02
            block[int(twin[1:])] = np.where(other, block[int(twin[1:])], block[int(original[1:])])
        x = (block - 2) / 2**0.5
        blocks.append(block)
        scores.append(
            signal * (x[0] - x[1] + 2 * np.maximum(x[2], 0) * np.maximum(x[3], 0)) + 3 * rng.normal(size=rows)
        )
    return panel_of(blocks, scores, eras)


def small(**parameters: Any) -> FeatureSelection:
    usual: dict[str, Any] = {
        "n_estimators": 60,
        "learning_rate": 0.1,
        "max_depth": 3,
        "num_leaves": 8,
        "colsample_bytree": 0.5,
        "min_data_in_leaf": 50,
        "every_eras": 1,
        "shap_rows": 200,
    }
    return FeatureSelection(**usual | parameters)


@pytest.fixture(scope="module")
def found() -> FeatureSelection:
    return small().fit(world(ERAS), target=TARGET, seed=0)


def one_of_each(features: list[str]) -> set[str]:
    return {TWINS.get(feature, feature) for feature in features}


def test_planted_features_are_in_the_top_decile_and_stable(found: FeatureSelection) -> None:
    table = found.table_

    assert one_of_each(table["feature"].head(6).tolist()) >= SIGNAL
    assert one_of_each(list(found.stable_)) == SIGNAL
    assert one_of_each(list(found.selected_[:4])) == SIGNAL
    assert (table["permutation"].head(4) > 3 * table["permutation"].iloc[4:-2].max()).all()
    assert table["rank"].tolist() == list(range(1, 61))


def test_of_two_that_are_the_same_one_is_redundant_and_not_selected(found: FeatureSelection) -> None:
    redundant = found.table_[found.table_["redundant_with"] != ""].set_index("feature")["redundant_with"]

    assert {frozenset(pair) for pair in redundant.items()} == {frozenset(pair) for pair in TWINS.items()}
    assert not set(redundant.index) & set(found.selected_)
    assert set(found.table_["feature"].tail(2)) == set(redundant.index)


def test_pure_noise_has_no_stable_feature() -> None:
    noise = small().fit(world(ERAS, signal=0), target=TARGET, seed=0)

    assert noise.stable_ == ()
    assert noise.table_["permutation"].abs().max() < 0.05


def test_what_is_judged_is_purged_from_what_is_fitted(found: FeatureSelection) -> None:
    assert max(found.fitted_eras_) < min(found.judged_eras_) - purge(20)
    assert len(found.judged_eras_) == 8


def test_judged_targets_change_nothing_that_was_fitted(found: FeatureSelection) -> None:
    panel = world(ERAS)
    rng = np.random.default_rng(5)
    changed = tuple(
        rng.permutation(values) if era in found.judged_eras_ else values
        for era, values in zip(panel.eras, panel.targets_of_block[TARGET], strict=True)
    )

    other = small().fit(replace(panel, targets_of_block={TARGET: changed}), target=TARGET, seed=0)

    for column in ("gain", "shap", "frequency", "redundant_with"):
        mine, theirs = (each.table_.set_index("feature")[column].sort_index() for each in (found, other))
        pd.testing.assert_series_equal(mine, theirs)
    assert other.table_["permutation"].max() < found.table_["permutation"].max() / 2


def test_later_eras_whose_targets_are_not_known_change_nothing(found: FeatureSelection) -> None:
    later = world([*ERAS, 130, 134])
    hidden = tuple(
        np.full_like(values, np.nan) if era > ERAS[-1] else values
        for era, values in zip(later.eras, later.targets_of_block[TARGET], strict=True)
    )

    other = small().fit(replace(later, targets_of_block={TARGET: hidden}), target=TARGET, seed=0)

    pd.testing.assert_frame_equal(other.table_, found.table_)
    assert other.selected_ == found.selected_


def test_the_most_selected_are_as_many_as_asked(found: FeatureSelection) -> None:
    few = small(keep=2).fit(world(ERAS), target=TARGET, seed=0)

    assert few.selected_ == found.selected_[:2]


def test_what_was_saved_is_what_is_loaded(found: FeatureSelection, tmp_path: Path) -> None:
    found.save(tmp_path)
    loaded = FeatureSelection.load(tmp_path)

    pd.testing.assert_frame_equal(loaded.table_, found.table_)
    assert (loaded.selected_, loaded.stable_, loaded.judged_eras_) == (
        found.selected_,
        found.stable_,
        found.judged_eras_,
    )
    assert loaded.get_params() == found.get_params()
    assert loaded.picture() == found.picture()
    assert found.picture().startswith(b"\x89PNG\r\n\x1a\n")


def test_too_few_eras_or_no_target_are_refused() -> None:
    with pytest.raises(WallError, match="no era at or before"):
        small().fit(world([1, 2, 3, 4]), target=TARGET, seed=0)
    unknown = world([1, 40])
    unknown.targets_of_block["target_other_20"] = tuple(
        np.full(rows, np.nan, np.float32) for rows in unknown.rows_of_era
    )
    with pytest.raises(FeatureError, match="has target_other_20"):
        small().fit(unknown, target="target_other_20", seed=0)
    with pytest.raises(StoreError, match="no target 'target_other_20'"):
        small().fit(world([1, 40]), target="target_other_20", seed=0)
