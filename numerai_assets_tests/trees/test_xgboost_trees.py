"""XGBoost's trees of a panel: those of a matrix in memory, the same from a worker of a cluster of one."""

import socket
from collections.abc import Callable

import numpy as np
import pytest
import xgboost as xgb

from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import silent
from numerai_assets.trees.cluster import Peers
from numerai_assets.trees.xgboost_trees import _grow_with_peers, train
from numerai_assets_tests.trees.gapped import TARGET, with_gaps

MakePanel = Callable[..., EraPanel]
PARAMETERS = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_bin": 5,
    "max_depth": 3,
    "colsample_bytree": 0.5,
    "nthread": 1,
    "seed": 3,
}


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_trees_are_those_of_the_rows_with_a_target_in_memory(make_panel: MakePanel, share: float) -> None:
    panel = with_gaps(make_panel([3, 4, 6], rows=70), share)
    label = panel.target(TARGET)
    known = ~np.isnan(label)
    matrix = np.ascontiguousarray(panel.features)

    booster = train(panel, TARGET, PARAMETERS, trees=9)

    data = xgb.QuantileDMatrix(matrix[known], label[known], missing=-1, max_bin=5, nthread=1)
    expected = xgb.train(PARAMETERS, data, num_boost_round=9)
    assert booster.num_boosted_rounds() == 9
    np.testing.assert_allclose(
        booster.inplace_predict(matrix, missing=-1), expected.inplace_predict(matrix, missing=-1), atol=1e-6
    )


def test_a_worker_without_peers_grows_the_trees_of_one_machine(make_panel: MakePanel) -> None:
    panel = make_panel([3, 4, 6], rows=70)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = Peers(rank=0, addresses=(f"127.0.0.1:{port}",), threads=1)

    model = _grow_with_peers(panel, alone, silent, target=TARGET, parameters=PARAMETERS, trees=5)

    here = train(panel, TARGET, PARAMETERS, trees=5)
    rows = np.ascontiguousarray(panel.features)
    np.testing.assert_array_equal(xgb.Booster(model_file=model).inplace_predict(rows), here.inplace_predict(rows))
