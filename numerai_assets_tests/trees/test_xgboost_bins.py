"""XGBoost's file of bins: the rows with a target, era by era, beside the cache while it is used and gone after."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xgboost as xgb

from numerai_assets.errors import ComputeError
from numerai_assets.panel.panel import EraPanel
from numerai_assets.store.cache import ContentCache
from numerai_assets.trees.xgboost_bins import TreesTold, binned_on_disk, contributions, importances, predicted
from numerai_assets_tests.trees.gapped import TARGET, with_gaps

MakePanel = Callable[..., EraPanel]
PARAMETERS = {"objective": "reg:squarederror", "tree_method": "hist", "max_bin": 5, "max_depth": 3, "nthread": 1}


def grown(panel: EraPanel, label: np.ndarray, trees: int = 6) -> xgb.Booster:
    with binned_on_disk(panel, label, num_threads=1) as data:
        booster = xgb.train(PARAMETERS, data, num_boost_round=trees)
        del data
    return booster


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_data_are_the_rows_with_a_label_in_their_order(make_panel: MakePanel, share: float) -> None:
    panel = with_gaps(make_panel([1, 2, 5], rows=40), share)
    label = panel.target(TARGET)
    known = ~np.isnan(label)

    with binned_on_disk(panel, label, num_threads=1) as data:
        shape, labels, missing = (data.num_row(), data.num_col()), data.get_label(), data.num_nonmissing()
        del data

    assert shape == (known.sum(), 8)
    np.testing.assert_array_equal(labels, label[known])
    assert missing == (panel.features[known] >= 0).sum()


def test_an_era_without_any_label_is_left_out(make_panel: MakePanel) -> None:
    panel = make_panel([1, 2, 5])
    label = np.where(panel.era == 2, np.float32(np.nan), panel.target(TARGET))

    rows = np.ascontiguousarray(panel.features)

    without = grown(panel.with_eras([1, 5]), label[panel.era != 2])
    np.testing.assert_array_equal(grown(panel, label).inplace_predict(rows), without.inplace_predict(rows))


def test_predictions_and_contributions_of_a_block_are_those_of_its_rows(make_panel: MakePanel) -> None:
    panel = with_gaps(make_panel([1], rows=60), 0.2)
    booster, block = grown(panel, panel.target(TARGET)), panel.blocks[0]
    rows = xgb.DMatrix(np.ascontiguousarray(block.T), missing=-1)

    raw, parts = predicted(booster, block), contributions(booster, block)

    np.testing.assert_allclose(raw, booster.predict(rows), rtol=1e-6)
    assert parts.shape == (60, 8)
    # Contributions differ from the prediction by one constant.
    assert np.ptp(raw - parts.sum(axis=1)) < 1e-5


def test_a_view_of_a_block_predicts_as_its_copy(make_panel: MakePanel) -> None:
    panel = make_panel([1], rows=60)
    booster, block = grown(panel, panel.target(TARGET)), panel.blocks[0]

    np.testing.assert_array_equal(predicted(booster, block[:, ::2]), predicted(booster, block)[::2])


def test_importances_are_in_the_order_of_the_features_and_0_for_those_no_tree_uses(make_panel: MakePanel) -> None:
    panel = make_panel([1, 2])
    constant = np.arange(8)[:, None] >= 5
    panel = replace(panel, blocks=tuple(np.where(constant, np.int8(2), block) for block in panel.blocks))

    gain, splits = importances(grown(panel, panel.target(TARGET), trees=2), 8)

    assert gain.argmax() == splits.argmax() == 0
    assert (gain[:5] > 0).tolist() == (splits[:5] > 0).tolist()
    assert gain[5:].tolist() == splits[5:].tolist() == [0, 0, 0]


def test_trees_are_counted_from_one() -> None:
    counted: list[int] = []

    stop = TreesTold(counted.append).after_iteration(None, 4, {})

    assert (counted, stop) == ([5], False)


def test_the_file_lies_beside_the_cache_while_it_is_used_and_is_gone_after(
    make_panel: MakePanel, tmp_path: Path
) -> None:
    panel = replace(make_panel([1, 2]), cache=ContentCache(tmp_path / "cache", 0))

    with binned_on_disk(panel, panel.target(TARGET), num_threads=1) as data:
        assert [path for path in (tmp_path / "cache").glob(".xgboost.*/*") if path.stat().st_size]
        del data

    assert not list((tmp_path / "cache").iterdir())


def test_a_disk_without_room_for_the_bins_is_refused_before_the_fit(
    make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = make_panel([1, 2], rows=80)
    cells = panel.rows * len(panel.feature_names)
    free = SimpleNamespace(free=2 * cells)
    monkeypatch.setattr("shutil.disk_usage", lambda place: free)

    with (
        pytest.raises(ComputeError, match=r"take 0\.0 GB of disk during the fit, .* free some space"),
        binned_on_disk(panel, panel.target(TARGET), num_threads=1),
    ):
        pass

    free.free = 3 * cells
    grown(panel, panel.target(TARGET))


def test_the_file_of_bins_is_as_large_as_was_estimated(make_panel: MakePanel, tmp_path: Path) -> None:
    panel = replace(make_panel([1, 2, 3, 4], rows=1000, features=200), cache=ContentCache(tmp_path, 0))

    with binned_on_disk(panel, panel.target(TARGET), num_threads=1) as data:
        size = sum(file.stat().st_size for file in tmp_path.rglob("*"))
        del data

    assert size == pytest.approx(2.18 * panel.rows * 200, rel=0.05)
