"""LightGBM's trees for an EraPanel, grown on this machine or by the workers of a cluster; the trees are the same.

On a cluster each worker has the bins of its own eras and LightGBM adds up the histograms (`tree_learner=data`; LightGBM
docs, "Distributed Learning Guide"). Compared with one machine, floats are added in another order, and the raw scores differ
by a constant, which does not change ranks within an era: LightGBM starts from the mean of the workers' mean labels.
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

# Parameters in LightGBM's model text that say where it was grown; they are removed from the model.
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

    parameters: LightGBM's own, with num_threads. compute: "local", or the address of a cluster, whose workers use the
    threads that they were started with. Raises ComputeError when the cluster cannot be reached or goes away.
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
    """Runs on each worker; returns LightGBM's text model."""
    parameters = parameters | {"num_threads": peers.threads}
    booster = _grow(share, target, parameters, trees, progress, peers if len(peers.addresses) > 1 else None)
    # LightGBM ties the network to the thread, not to the booster, and Dask reuses its threads.
    booster.free_network()
    return _WHERE_GROWN.sub("", booster.model_to_string())
