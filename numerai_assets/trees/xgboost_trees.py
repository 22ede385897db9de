"""XGBoost's trees for an EraPanel, from disk, grown on this machine or by the workers of a cluster; the trees are the same.

On a cluster each worker has the bins of its own eras in a file of its own and XGBoost adds up the histograms (XGBoost
docs, "Distributed training with external memory"). Compared with one machine, only the order in which floats are added
differs.
"""

from functools import partial
from typing import Any

import xgboost as xgb
from xgboost.collective import CommunicatorContext
from xgboost.tracker import RabitTracker

from numerai_assets.execution import LOCAL
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.cluster import Peers, on_cluster
from numerai_assets.trees.xgboost_bins import TreesTold, binned_on_disk

# One worker may take this much longer than another before its first tree.
_APART_SECONDS = 3600


def train(
    panel: EraPanel,
    target: str,
    parameters: dict[str, Any],
    *,
    trees: int,
    compute: str = LOCAL,
    progress: Progress = silent,
) -> xgb.Booster:
    """XGBoost's model of `trees` trees on the rows whose `target` is known; features (n, d) int8, target (n,) float32.

    parameters: XGBoost's own, with nthread. compute: "local", or the address of a cluster, whose workers use the threads
    that they were started with. A fit writes 2.2 bytes per cell beside the panel's cache, or to the folder of temporary
    files, and removes them at its end. Raises ComputeError when the disk has no room for them, and when the cluster cannot
    be reached or goes away.
    """
    if compute == LOCAL:
        return _grow(panel, target, parameters, trees, progress)
    work = partial(_grow_with_peers, target=target, parameters=parameters, trees=trees)
    return xgb.Booster(parameters, model_file=on_cluster(compute, panel, target, work, progress=progress))


def _grow(panel: EraPanel, target: str, parameters: dict[str, Any], trees: int, progress: Progress) -> xgb.Booster:
    bins = binned_on_disk(panel, panel.target(target), num_threads=parameters["nthread"], progress=progress)
    with bins as data:
        told = TreesTold(lambda grown: progress("trees", grown, trees))
        booster = xgb.train(parameters, data, num_boost_round=trees, callbacks=[told])
        del data
    return booster


def _grow_with_peers(
    share: EraPanel, peers: Peers, progress: Progress, *, target: str, parameters: dict[str, Any], trees: int
) -> bytearray:
    """Runs on each worker; returns XGBoost's binary JSON model."""
    host, _, port = peers.addresses[0].rpartition(":")
    if peers.rank == 0:
        tracker = RabitTracker(len(peers.addresses), host, peers.port, sortby="task")
        tracker.start()
    network: dict[str, int | str | None] = {
        "dmlc_communicator": "rabit",
        "dmlc_tracker_uri": host,
        "dmlc_tracker_port": int(port),
        "dmlc_task_id": f"{peers.rank:05d}",
        "dmlc_retry": 30,
        "dmlc_timeout": _APART_SECONDS,
    }
    with CommunicatorContext(**network):
        booster = _grow(share, target, parameters | {"nthread": peers.threads}, trees, progress)
        model: bytearray = booster.save_raw("ubj")
    if peers.rank == 0:
        tracker.wait_for(_APART_SECONDS)
    return model
