"""LightGBM's trees for an EraPanel, grown on this machine or, the same, by the workers of a cluster.

On a cluster each worker has the bins of its own eras and LightGBM adds up the histograms (`tree_learner=data`; LightGBM
docs, "Distributed Learning Guide"): the trees are those of one machine but for the order in which floats are added and for
a constant, which no rank within an era sees: LightGBM begins with the mean of the workers' mean labels.
"""

import re
from functools import partial
from typing import Any

import lightgbm as lgb

from numerai_assets.execution import LOCAL
from numerai_assets.panel.panel import EraPanel
from numerai_assets.progress import Progress, silent
from numerai_assets.trees.cluster import Peers, on_cluster
from numerai_assets.trees.lightgbm_bins import BIN_PARAMETERS, binned

# Of the parameters that LightGBM writes into a model: where it was grown, which is no part of it.
_WHERE_GROWN = re.compile(
    r"^\[(?:machines|num_machines|local_listen_port|tree_learner|num_threads): .*\]\n", re.MULTILINE
)


def train(
    panel: EraPanel,
    target: str,
    parameters: dict[str, Any],
    *,
    trees: int,
    compute: str = LOCAL,
    progress: Progress = silent,
) -> lgb.Booster:
    """LightGBM's model of `trees` trees on the rows whose `target` is known; features (n, d) int8, target (n,) float32.

    parameters: LightGBM's own, with num_threads. compute: "local", or a cluster's address; its workers' threads are then
    those that they were started with. Raises MethodError when the cluster is not there to the end.
    """
    if compute == LOCAL:
        return _grow(panel, target, parameters, trees, progress)
    work = partial(_grow_with_peers, target=target, parameters=parameters, trees=trees)
    return lgb.Booster(model_str=on_cluster(compute, panel, target, work, progress=progress))


def _grow(
    panel: EraPanel,
    target: str,
    parameters: dict[str, Any],
    trees: int,
    progress: Progress,
    peers: Peers | None = None,
) -> lgb.Booster:
    data = binned(panel, panel.target(target), num_threads=parameters["num_threads"], progress=progress)
    return lgb.train(
        BIN_PARAMETERS | parameters | ({} if peers is None else _network(peers)),
        data,
        num_boost_round=trees,
        callbacks=[lambda state: progress("trees", state.iteration + 1, trees)],
    )


def _network(peers: Peers) -> dict[str, Any]:
    return {
        "tree_learner": "data",
        "machines": ",".join(peers.addresses),
        "num_machines": len(peers.addresses),
        "local_listen_port": peers.port,
    }


def _grow_with_peers(
    share: EraPanel, peers: Peers, progress: Progress, *, target: str, parameters: dict[str, Any], trees: int
) -> str:
    """Runs on each worker; LightGBM's text model."""
    parameters = parameters | {"num_threads": peers.threads}
    booster = _grow(share, target, parameters, trees, progress, peers if len(peers.addresses) > 1 else None)
    # The network is the thread's, not the booster's, and Dask uses its threads again.
    booster.free_network()
    return _WHERE_GROWN.sub("", booster.model_to_string())
