"""Forecasts of payoffs in a world whose payoffs are known: `python -m benchmarks.payoff_world`, two CPU minutes.

The payoff of each of 24 independent features is the sum of a constant, two seasons (52 and 26 eras, with a phase of its own)
and an autoregressive part (0.9 from era to era); the target resolves five eras later. Predictions of later eras by the
payoff panel (TSMixer) are compared with least squares on all training rows, a trailing mean of payoffs, and the true
payoffs. The second world has only the constant: nothing can be gained over least squares, and little may be lost.
"""

import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from numerai_assets.eras import first_era_after, resolve_lag
from numerai_assets.methods.mixer_boosting.feature_payoffs import feature_payoffs
from numerai_assets.methods.mixer_boosting.payoff_panel import SCORES, PayoffPanel
from numerai_assets.panel.panel import Columns, EraPanel, History

TARGET, LAG = "target_ender_20", resolve_lag(20)
TRAILING = 26
# Shares of the variance of payoffs: constant, season of 52 eras, season of 26, autoregressive.
CHANGING, CONSTANT = (0.1, 0.25, 0.25, 0.4), (1.0, 0.0, 0.0, 0.0)
STRENGTH = 0.081
"""About the norm of an era's payoffs. The true payoffs then have a correlation of 0.074: they vary, and the target has bins."""
_PERSISTENCE = 0.9
_SEEDS = (0, 1)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Eras 1..eras, of which 1..fitted are training eras. shares: of the variance of payoffs, as in `CHANGING`."""

    shares: tuple[float, float, float, float] = CHANGING
    features: int = 24
    rows: int = 1000
    eras: int = 1000
    fitted: int = 760

    @property
    def judged(self) -> range:
        """Eras after the wall."""
        return range(first_era_after(self.fitted, 20), self.eras + 1)


class Made(NamedTuple):
    """A world's eras and the payoffs (E, d) that made its targets."""

    panel: EraPanel
    payoffs: Array


def payoffs_of(world: World, rng: np.random.Generator) -> Array:
    """(E, d) true payoffs, each series a sum of its four parts."""
    constant, long, short, moving = np.sqrt(world.shares)
    era = np.arange(world.eras)[:, None]
    shape = (world.features,)

    def season(eras: int) -> Array:
        return np.asarray(np.sqrt(2) * np.cos(2 * np.pi * (era / eras + rng.random(shape))))

    drift = rng.normal(size=(world.eras, world.features))
    for before, now in itertools.pairwise(drift):
        now[:] = _PERSISTENCE * before + np.sqrt(1 - _PERSISTENCE**2) * now
    # The constants have the same size in every world, however they are drawn.
    level = rng.permutation(np.linspace(-1, 1, world.features)) * np.sqrt(3)
    parts = constant * level + long * season(52) + short * season(26) + moving * drift
    return np.asarray(parts * STRENGTH / np.sqrt(world.features))


def made(world: World, seed: int) -> Made:
    """The world's eras, with the target in Numerai's five bins; each era has a history of what was known then."""
    rng = np.random.default_rng(seed)
    payoffs = payoffs_of(world, rng)
    blocks, targets = [], []
    for paid in payoffs:
        block = rng.integers(0, 5, (world.features, world.rows), dtype=np.int8)
        score = paid @ ((block - 2) / np.sqrt(2)) + rng.normal(size=world.rows)
        cuts = np.quantile(score, [0.05, 0.25, 0.75, 0.95])
        blocks.append(block)
        targets.append((np.searchsorted(cuts, score) / 4).astype(np.float32))
    ids = np.array([f"n{row:015x}" for row in range(world.rows)], object)
    panel = EraPanel(
        tuple(blocks),
        tuple(f"f{feature:02d}" for feature in range(world.features)),
        tuple(range(1, world.eras + 1)),
        (ids,) * world.eras,
        {TARGET: tuple(targets)},
        tuple(hashlib.sha256(block.tobytes()).hexdigest() for block in blocks),
    )
    return Made(remembering(panel), payoffs)


def remembering(panel: EraPanel) -> EraPanel:
    """The panel with a history of all its own eras."""
    eras = {one.eras[0]: one for one in panel.each_era()}
    columns: dict[str, Columns] = {}

    def history_of(era: int) -> History:
        return History(era, panel.eras[0], len(eras), (TARGET,), {}, eras.__getitem__, columns.__getitem__)

    return replace(panel, history_of=history_of)


def least_squares(panel: EraPanel) -> Array:
    """(d,) coefficients of the target on the features of all rows, both centred in each era."""
    gram, moments = 0.0, 0.0
    for block, target in zip(panel.blocks, panel.targets_of_block[TARGET], strict=True):
        centred = block - block.mean(axis=1, keepdims=True)
        gram, moments = gram + centred @ centred.T, moments + centred @ (target - target.mean())
    return np.linalg.solve(np.asarray(gram), np.asarray(moments))


def scored(world: World, seed: int, block: PayoffPanel) -> dict[str, Array]:
    """(out-of-sample eras,) correlation of each score with the target; the block is fitted here."""
    panel, payoffs = made(world, seed)
    fitted = panel.with_eras(range(1, world.fitted + 1))
    block.fit(fitted, target=TARGET, seed=seed)
    coefficients = least_squares(fitted)
    measured = np.array(
        [
            feature_payoffs(levels, target)
            for levels, target in zip(panel.blocks, panel.targets_of_block[TARGET], strict=True)
        ]
    )
    found: dict[str, list[float]] = {}
    for era in world.judged:
        one = panel.with_eras([era])
        levels, target = one.blocks[0].astype(np.float64), one.target(TARGET)
        newest = era - LAG
        rows = dict(zip(SCORES, block.transform(one).astype(np.float64), strict=True)) | {
            "least squares": coefficients @ levels,
            f"trailing {TRAILING}": measured[newest - TRAILING : newest].mean(axis=0) @ levels,
            "oracle": payoffs[era - 1] @ levels,
        }
        for name, score in rows.items():
            found.setdefault(name, []).append(float(np.corrcoef(score, target)[0, 1]))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    torch.set_num_threads(1)
    worlds = {"payoffs move": World(), "payoffs stay": World(CONSTANT)}
    print(
        f"{'world':<14}{'score':<16}{'seed 0':>9}{'seed 1':>9}{'mean':>9}{'of oracle':>11}{'t over least squares':>22}"
    )
    for name, world in worlds.items():
        found = [scored(world, seed, PayoffPanel(folds=1)) for seed in _SEEDS]
        whole = {score: np.concatenate([one[score] for one in found]) for score in found[0]}
        for score, values in whole.items():
            means = "".join(f"{one[score].mean():>9.4f}" for one in found)
            t = float(ttest_1samp(values - whole["least squares"], 0).statistic)
            share = values.mean() / whole["oracle"].mean()
            print(f"{name:<14}{score:<16}{means}{values.mean():>9.4f}{share:>11.2f}{t:>22.1f}")


if __name__ == "__main__":
    main()
