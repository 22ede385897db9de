"""Predictions of every vintage: out of sample over the eras it is judged on, and live for each round."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import Wall, horizon_of, live_key
from numerai_assets.methods.contract import Method
from numerai_assets.panel.panel import EraPanel
from numerai_assets.pipeline.spec import VintageSpec
from numerai_assets.pipeline.vintages import learned_blocks_of, load_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.store.era_store import EraStore


def judged_eras(workspace: Workspace, method: str, vintage: int) -> list[int]:
    """Out-of-sample eras of a vintage: the stored eras after it, up to the next stored vintage."""
    later = [v for v in workspace.vintages.vintages(method) if v > vintage]
    wall = Wall(vintage, horizon_of(workspace.settings.methods[method].target))
    return wall.judged_eras(workspace.store.eras(), next_vintage=min(later, default=None))


def live_panel(store: EraStore, number: int) -> EraPanel:
    """The stored live rows of a round."""
    return store.panel([live_key(number)])


def live_prediction(workspace: Workspace, method: str, vintage: int, number: int) -> NDArray[np.float32]:
    """(n,) predictions of a vintage for a round's live rows, in their order; made and kept unless they are there."""
    key, ids = live_key(number), live_panel(workspace.store, number).ids
    if workspace.predictions.holds(method, vintage, key):
        frame = workspace.predictions.read(method, vintage, key)
        # Live rows that were downloaded again have other ids.
        if np.array_equal(frame["id"].to_numpy(object), ids):
            return frame["prediction"].to_numpy(np.float32)
    predict_era(workspace, method, vintage, load_vintage(workspace, method, vintage), key)
    return workspace.predictions.read(method, vintage, key)["prediction"].to_numpy(np.float32)


def predict_era(workspace: Workspace, method: str, vintage: int, estimator: Method, key: str) -> int:
    """Predicts one era or live round of the store and keeps the predictions; returns the number of rows."""
    panel, prediction = predicted(workspace, method, vintage, estimator, key)
    workspace.predictions.write(method, vintage, key, era=panel.eras[0], ids=list(panel.ids), prediction=prediction)
    return panel.rows


def predicted(
    workspace: Workspace, method: str, vintage: int, estimator: Method, key: str
) -> tuple[EraPanel, NDArray[np.float32]]:
    """Rows of one era or live round as the vintage's estimator wants them, and its predictions (n,) of them."""
    panel = vintage_panel(workspace, method, vintage, estimator, key)
    return panel, estimator.predict(panel)


def vintage_panel(
    workspace: Workspace, method: str, vintage: int, estimator: Method, key: str, targets: Sequence[str] = ()
) -> EraPanel:
    """Rows of one era or live round as the vintage's estimator wants them; targets stand beside its features."""
    spec = VintageSpec.of_vintage(workspace.vintages.facts(method, vintage))
    folders, columns = learned_blocks_of(workspace.vintages, method, vintage), workspace.block_columns()
    panel = columns.with_blocks(workspace.store.panel([key], targets=targets), [key], spec.blocks, folders)
    return columns.with_history(panel.with_features(estimator.feature_names_), [key], estimator.reads, spec.reads)
