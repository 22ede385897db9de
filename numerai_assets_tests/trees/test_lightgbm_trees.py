"""LightGBM's trees of a panel: those of a float matrix, the same again, and no word of where they were grown."""

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import silent
from numerai_assets.trees import lightgbm_trees, xgboost_trees
from numerai_assets.trees.cluster import Peers
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS
from numerai_assets.trees.lightgbm_trees import _grow_with_peers, _network, train
from numerai_assets_tests.trees.gapped import TARGET, with_gaps

MakePanel = Callable[..., EraPanel]
PARAMETERS = {
    "objective": "regression",
    "num_leaves": 7,
    "min_data_in_leaf": 3,
    "colsample_bytree": 0.5,
    "num_threads": 1,
    "seed": 3,
    "deterministic": True,
    "force_col_wise": True,
}


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_trees_are_those_of_the_rows_with_a_target_as_a_float_matrix(make_panel: MakePanel, share: float) -> None:
    panel = with_gaps(make_panel([3, 4, 6], rows=70), share)
    label = panel.target(TARGET)
    known = ~np.isnan(label)
    matrix = panel.features.astype(np.float64)

    booster = train(panel, TARGET, PARAMETERS, trees=9)

    data = lgb.Dataset(matrix[known], label[known], params=BIN_PARAMETERS)
    expected = lgb.train(PARAMETERS | BIN_PARAMETERS, data, num_boost_round=9)
    assert booster.num_trees() == 9
    np.testing.assert_array_equal(booster.predict(matrix), expected.predict(matrix))


@pytest.mark.parametrize(
    ("library", "parameters"),
    [(lightgbm_trees, PARAMETERS), (xgboost_trees, {"tree_method": "hist", "max_bin": 5, "nthread": 1})],
)
def test_progress_counts_trees_up_to_all(make_panel: MakePanel, library: Any, parameters: dict[str, Any]) -> None:
    told: list[tuple[str, int, int]] = []

    library.train(make_panel([3, 4]), TARGET, parameters, trees=4, progress=lambda *step: told.append(step))

    assert [step for step in told if step[0] == "trees"] == [("trees", tree, 4) for tree in range(1, 5)]


def test_a_worker_without_peers_grows_the_trees_of_one_machine_with_its_own_threads(make_panel: MakePanel) -> None:
    panel = make_panel([3, 4, 6], rows=70)
    alone = Peers(rank=0, addresses=("127.0.0.1:1",), threads=2)

    model = _grow_with_peers(panel, alone, silent, target=TARGET, parameters=PARAMETERS, trees=5)

    here = train(panel, TARGET, PARAMETERS, trees=5)
    np.testing.assert_array_equal(lgb.Booster(model_str=model).predict(panel.features), here.predict(panel.features))
    # The number of threads is no part of the model; the rest of its parameters is.
    assert "num_threads" not in model and "machines" not in model and "[num_leaves: 7]" in model


def test_peers_are_named_to_lightgbm_in_one_order_with_the_port_of_each() -> None:
    addresses = ("10.0.0.1:4001", "10.0.0.2:4002")

    networks = [_network(Peers(rank, addresses, threads=1)) for rank in (0, 1)]

    assert networks == [
        {"tree_learner": "data", "machines": ",".join(addresses), "num_machines": 2, "local_listen_port": port}
        for port in (4001, 4002)
    ]
