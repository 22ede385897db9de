"""The economy of a world with as many stocks as Numerai has: the same truth with less noise.

Premia, regimes and factor structure are those of the world, and its fitted models can predict here too; only the stocks
differ. Effects that sampling noise hides at the size of the world (1/sqrt(600) = .041 per era) can so be compared with
figures measured on Numerai's 5,592 stocks (.0134).
"""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import friday_of, horizon_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.protocol import Snapshot
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published import encoder
from numerai_assets.sandbox.published.sizes import Size
from numerai_assets.sandbox.world.history import World


class Enlarged:
    """The synthetic economy of `size`, `seed` and `dials` with `stocks` stocks, from era `begins` on.

    groups: (d,) group of each feature. Features are the characteristics in the market's order; if made `of` a world, in
    the world's. Eras are cheapest in ascending order.
    """

    def __init__(self, size: Size, seed: int, *, stocks: int, begins: int, dials: Dials | None = None) -> None:
        self._market = SyntheticMarket(size.with_stocks(stocks), seed, dials=dials, begins=begins)
        self._columns = list(range(len(self._market.groups)))
        self.groups = self._market.groups
        self._held: tuple[int, Snapshot] | None = None

    @classmethod
    def of(cls, world: World, *, stocks: int, begins: int) -> "Enlarged":
        """The economy of a world. SandboxError for a world of real prices, whose stocks are given."""
        recipe = world.recipe
        if recipe.market != "synthetic":
            raise SandboxError(f"{world.directory}: a world of {recipe.market} cannot be enlarged")
        made = cls(recipe.size, recipe.seed, stocks=stocks, begins=begins, dials=recipe.dials)
        made._columns = list(recipe.columns)
        made.groups = tuple(made._market.groups[column] for column in recipe.columns)
        return made

    def stocks(self, era: int) -> NDArray[np.int64]:
        """(n,) numbers of the stocks, ascending."""
        return self._snapshot(era).stocks

    def features(self, era: int) -> NDArray[np.int8]:
        """(n, d) int8 bins."""
        return encoder.bin_features(self._snapshot(era).characteristics[:, self._columns], np.random.default_rng(era))

    def target(self, era: int, name: str) -> NDArray[np.float32]:
        """(n,) float32 target by its full name; as in a release, only the main target has no NaN."""
        horizon = horizon_of(name)
        short = name.removeprefix("target_").removesuffix(f"_{horizon}")
        snapshot = self._snapshot(era)
        returns = self._market.forward_returns(friday_of(era), snapshot.stocks, horizon)
        groups, fill = self._market.exposure_groups, short == encoder.MAIN_NAME
        rng = np.random.default_rng([era, horizon])
        return encoder.encode_target(short, returns, snapshot.exposures, groups, rng, fill=fill)

    def oracle(self, era: int, horizon: int) -> dict[str, NDArray[np.float32]]:
        """By component: (n,) expected specific return. Paths and regimes are estimated from `begins` on."""
        return self._market.oracle(friday_of(era), self.stocks(era), horizon)

    def _snapshot(self, era: int) -> Snapshot:
        if self._held is None or self._held[0] != era:
            self._held = (era, self._market.snapshot(friday_of(era)))
        return self._held[1]
