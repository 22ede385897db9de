"""The recipe of a world, stored in world.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.prices.price_market import PriceMarket
from numerai_assets.sandbox.market.protocol import Market
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published.files import write_text
from numerai_assets.sandbox.published.sizes import Size

FORMAT = 2

_FILE = "world.json"


@dataclass(frozen=True)
class WorldRecipe:
    """All inputs of a world; stored in world.json together with the newest era.

    columns: (d,) column of the market's characteristics behind each feature.
    """

    market: str
    size: Size
    seed: int
    prices: str | None
    feature_names: tuple[str, ...]
    columns: tuple[int, ...]
    dials: Dials

    def write(self, directory: Path, newest_era: int) -> None:
        """Write world.json."""
        write_text(directory / _FILE, json.dumps({"format": FORMAT, "newest_era": newest_era, **asdict(self)}))


def read_recipe(directory: Path) -> tuple[WorldRecipe, int]:
    """The recipe of the world in `directory`, and its newest era. SandboxError if there is none, or one of another format."""
    path = directory / _FILE
    if not path.exists():
        raise SandboxError(f"{directory}: no sandbox world here; create one first")
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SandboxError(f"{path}: cannot be read ({error}); create the world again") from error
    if stored.get("format") != FORMAT:
        raise SandboxError(
            f"{path}: format {stored.get('format')}, this version reads {FORMAT}; create the world again"
        )
    recipe = WorldRecipe(
        stored["market"],
        Size(**stored["size"]),
        stored["seed"],
        stored["prices"],
        tuple(stored["feature_names"]),
        tuple(stored["columns"]),
        Dials(**stored["dials"]),
    )
    return recipe, stored["newest_era"]


def open_market(market: str, size: Size, seed: int, prices: str | None, dials: Dials, directory: Path) -> Market:
    """The market of a world in `directory`. SandboxError for a price panel that cannot be used."""
    if market == "prices" and prices is not None:
        return PriceMarket(Path(prices))
    return SyntheticMarket(size, seed, directory / "market", dials=dials)
