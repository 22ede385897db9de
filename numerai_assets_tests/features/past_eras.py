"""A small past made by hand: eras of random levels and targets, and random look-alikes of the era at hand."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from numerai_assets.features.contract import Columns, FeatureBlock, History
from numerai_assets.features.trajectories.neighbours import LAGS, Trajectories
from numerai_assets.panel.panel import EraPanel

SETS = {
    "charisma": ("f00", "f01", "f02", "f03"),
    "wisdom": ("f03", "f05", "f07"),
    "agility": tuple(f"f{place:02d}" for place in range(8, 20)),
}
GROUPS = tuple(SETS)
TARGETS = ("target_ender_20", "target_ender_60")
_NAMES = tuple(f"f{place:02d}" for place in range(20))


@dataclass(frozen=True)
class Past:
    """Eras by their number, the look-alikes of the one at hand as columns, and the eras that were read."""

    era: int
    eras: dict[int, EraPanel]
    columns: Columns
    read: list[int] = field(default_factory=list)

    @property
    def panel(self) -> EraPanel:
        return self.eras[self.era]

    def history(self, block: FeatureBlock) -> History:
        def read_era(era: int) -> EraPanel:
            self.read.append(era)
            return self.eras[era]

        def read_columns(name: str) -> Columns:
            assert name in block.needs
            return self.columns

        return History(self.era, min(self.eras), block.look_back, tuple(block.targets), SETS, read_era, read_columns)

    def columns_of(self, block: FeatureBlock) -> Columns:
        return block.compute(self.panel, self.history(block))

    def with_targets(self, era: int, values: dict[str, NDArray[np.float32]]) -> "Past":
        """The same past with other targets in one era."""
        panel = self.eras[era]
        return replace(
            self, eras={**self.eras, era: replace(panel, targets_of_block={n: (v,) for n, v in values.items()})}
        )


def era_panel(era: int, block: NDArray[np.int8], targets: dict[str, NDArray[np.float32]], digest: str = "") -> EraPanel:
    ids = np.array([f"n{era:04d}{row:011x}" for row in range(block.shape[1])], object)
    return EraPanel(
        (block,),
        _NAMES[: len(block)],
        (era,),
        (ids,),
        {name: (values.astype(np.float32),) for name, values in targets.items()},
        (digest,) if digest else (),
    )


def made_past(
    era: int = 70, *, last: int = 72, rows: int = 24, k: int = 3, seed: int = 0, lags: tuple[int, ...] = LAGS
) -> Past:
    """A past of eras 1 to `last`, of rows and a few more, around the era at hand."""
    rng = np.random.default_rng(seed)
    eras = {}
    for number in range(1, last + 1):
        here = rows if number == era else rows + int(rng.integers(5))
        targets = {name: rng.choice(5, here, p=[0.05, 0.2, 0.5, 0.2, 0.05]) / 4 for name in TARGETS}
        eras[number] = era_panel(number, rng.integers(0, 5, (len(_NAMES), here), dtype=np.int8), targets)
    found = np.full((len(lags), k, rows), -1, np.int16)
    distances = np.sort(rng.integers(1, 3000, found.shape), axis=1) / np.float32(1024)
    for place, lag in enumerate(lags):
        if era - lag >= 1:
            found[place] = rng.integers(0, eras[era - lag].rows, (k, rows))
    distances = np.where(found < 0, np.nan, distances).astype(np.float32)
    return Past(era, eras, Trajectories(lags, found, distances).as_columns())


def shuffled(past: Past, seed: int, lags: tuple[int, ...] = LAGS) -> tuple[Past, NDArray[np.intp]]:
    """The same past with the rows of every era in another order, and the order of those of the era at hand."""
    rng = np.random.default_rng(seed)
    orders = {era: rng.permutation(panel.rows) for era, panel in past.eras.items()}
    eras = {
        era: era_panel(
            era,
            np.ascontiguousarray(panel.blocks[0][:, orders[era]]),
            {name: values[0][orders[era]] for name, values in panel.targets_of_block.items()},
        )
        for era, panel in past.eras.items()
    }
    alikes = Trajectories.of_columns(lags, past.columns)
    rows = alikes.rows.copy()
    for place, lag in enumerate(lags):
        if past.era - lag in orders:
            rows[place] = np.argsort(orders[past.era - lag])[rows[place]]
    here = orders[past.era]
    moved = Trajectories(lags, np.ascontiguousarray(rows[:, :, here]), alikes.distances[:, :, here])
    return Past(past.era, eras, moved.as_columns()), here
