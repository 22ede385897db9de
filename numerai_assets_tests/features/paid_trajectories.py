"""A world in which rows belong to kinds that no feature tells, and what a kind pays drifts slowly."""

from dataclasses import replace

import numpy as np

from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets.panel.panel import EraPanel, History
from numerai_assets_tests.features.planted import TARGET, panel_of

LAGS = (1, 5, 6, 8, 10)
SETS = {
    "charisma": tuple(f"f{place:02d}" for place in range(6)),
    "wisdom": tuple(f"f{place:02d}" for place in range(5, 10)),
}
_KINDS, _K = 15, 4


def paid_trajectories(last: int = 170, *, rows: int = 120, noise: float = 2.0, seed: int = 0) -> EraPanel:
    """Eras 1..last that tell their history. A row's target is what its kind pays now, a little of the first feature, and
    noise; its look-alikes are rows of its kind. What a kind pays is autoregressive, .97 from era to era."""
    rng = np.random.default_rng(seed)
    pays = np.zeros((last + 1, _KINDS))
    for era in range(1, last + 1):
        pays[era] = 0.97 * pays[era - 1] + 0.97 * 0.25 * rng.normal(size=_KINDS)
    kinds = np.tile(np.arange(_KINDS), rows // _KINDS)
    blocks = [rng.integers(0, 5, (10, rows), dtype=np.int8) for _ in range(last)]
    scores = [pays[era + 1][kinds] + 0.3 * (blocks[era][0] - 2) + noise * rng.normal(size=rows) for era in range(last)]
    panel = panel_of(blocks, scores, list(range(1, last + 1)))
    alikes = {}
    for era in range(1, last + 1):
        drawn = kinds + _KINDS * rng.integers(0, rows // _KINDS, (len(LAGS), _K, rows))
        there = np.array([era - lag >= 1 for lag in LAGS])[:, None, None]
        alikes[era] = Trajectories(
            LAGS,
            np.where(there, drawn, -1).astype(np.int16),
            np.where(there, np.float32(1), np.nan).astype(np.float32) * np.ones((1, _K, rows), np.float32),
        ).as_columns()
    return told(panel, alikes)


def told(panel: EraPanel, alikes: dict[int, np.ndarray]) -> EraPanel:
    """The panel with a history over its own eras and these look-alikes."""
    by_era = dict(zip(panel.eras, panel.each_era(), strict=True))

    def history_of(era: int) -> History:
        return History(era, panel.eras[0], LAGS[-1], (TARGET,), SETS, by_era.__getitem__, lambda name: alikes[era])

    return replace(panel, history_of=history_of)


def with_targets(panel: EraPanel, targets: dict[int, np.ndarray]) -> EraPanel:
    """The same past with other targets in some eras, and the same look-alikes."""
    changed = tuple(
        targets.get(era, values) for era, values in zip(panel.eras, panel.targets_of_block[TARGET], strict=True)
    )
    altered = replace(panel, targets_of_block={TARGET: changed}, history_of=None)
    return told(altered, {era: panel.history(era).columns("look_alikes") for era in panel.eras})


def turned(panel: EraPanel, seed: int) -> tuple[EraPanel, dict[int, np.ndarray]]:
    """The same past with the rows of every era in another order, and that order."""
    rng = np.random.default_rng(seed)
    orders = {era: rng.permutation(rows) for era, rows in zip(panel.eras, panel.rows_of_era, strict=True)}
    blocks = tuple(
        np.ascontiguousarray(block[:, orders[era]]) for era, block in zip(panel.eras, panel.blocks, strict=True)
    )
    ids = tuple(np.asarray(ids)[orders[era]] for era, ids in zip(panel.eras, panel.ids_of_block, strict=True))
    aims = tuple(aim[orders[era]] for era, aim in zip(panel.eras, panel.targets_of_block[TARGET], strict=True))
    alikes = {}
    for era in panel.eras:
        found = Trajectories.of_columns(LAGS, panel.history(era).columns("look_alikes"))
        rows = found.rows.copy()
        for place, lag in enumerate(LAGS):
            if era - lag in orders:
                rows[place] = np.argsort(orders[era - lag])[rows[place]]
        alikes[era] = Trajectories(LAGS, rows[:, :, orders[era]], found.distances[:, :, orders[era]]).as_columns()
    moved = EraPanel(blocks, panel.feature_names, panel.eras, ids, {TARGET: aims})
    return told(moved, alikes), orders
