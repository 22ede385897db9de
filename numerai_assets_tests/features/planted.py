"""Small worlds whose signal is known."""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_20"


def panel_of(
    blocks: list[NDArray[np.int8]], scores: list[NDArray[np.float64]], eras: list[int], target: str = TARGET
) -> EraPanel:
    """A panel whose target is the score of each row in Numerai's five bins of 5, 20, 50, 20 and 5 %."""
    bins = [np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4 for score in scores]
    ids = tuple(
        np.array([f"n{era:04d}{row:011x}" for row in range(len(s))], object)
        for era, s in zip(eras, scores, strict=True)
    )
    names = tuple(f"f{feature:02d}" for feature in range(len(blocks[0])))
    return EraPanel(tuple(blocks), names, tuple(eras), ids, {target: tuple(b.astype(np.float32) for b in bins)})


def interactions(
    eras: list[int], *, rows: int = 300, seed: int = 0, noise: float = 8.0, shuffled: bool = False
) -> EraPanel:
    """18 features: products of three pairs of the first 12, and a weak sum of the last six, in much noise."""
    blocks, scores = [], []
    for era in eras:
        rng = np.random.default_rng([seed, era])
        block = rng.integers(0, 5, (18, rows), dtype=np.int8)
        x = (block - 2) / 2**0.5
        score = x[0] * x[4] + x[1] * x[8] + x[5] * x[9] + 0.7 * x[12:].sum(axis=0) + noise * rng.normal(size=rows)
        blocks.append(block)
        scores.append(rng.permutation(score) if shuffled else score)
    return panel_of(blocks, scores, eras)
