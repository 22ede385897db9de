"""Panels in which some values are missing."""

from dataclasses import replace

import numpy as np

from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_60"


def with_gaps(panel: EraPanel, share: float) -> EraPanel:
    """The panel, a share of its features' cells without a value and of its rows without a target."""
    rng = np.random.default_rng(9)
    blocks = tuple(np.where(rng.random(b.shape) < share, -1, b).astype(np.int8) for b in panel.blocks)
    targets = tuple(np.where(rng.random(len(t)) < share, np.nan, t) for t in panel.targets_of_block[TARGET])
    return replace(panel, blocks=blocks, targets_of_block={TARGET: tuple(t.astype(np.float32) for t in targets)})
