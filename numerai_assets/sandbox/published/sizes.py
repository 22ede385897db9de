"""Sizes of sandbox worlds, and the schedule of their rivals' fits."""

from dataclasses import dataclass, replace
from typing import Protocol

from numerai_assets.eras import friday_of, resolve_lag
from numerai_assets.errors import SandboxError

FIRST_VALIDATION_ERA = 575
"""Training ends one era before, at every size, as in Numerai's files."""

TEST_ERAS = resolve_lag(60)
"""The newest eras, whose 60-day target has not resolved, have data type "test"."""

ROWS_PER_GROUP = 20_000
"""Rows of a row group of a release file."""

_LEAST_TRAINING_ERAS = 60


class Extent(Protocol):
    """Extent of a synthetic market."""

    @property
    def characteristics(self) -> int: ...

    @property
    def first_era(self) -> int: ...

    def stocks_in(self, era: int) -> int:
        """Number of stocks in an era."""


@dataclass(frozen=True)
class Size:
    """Extent of a world.

    stocks, stocks_per_era: stocks in the first era, and additional ones per later era (synthetic market only).
    newest_era: newest era when the world is created.
    chunk, first_benchmark_era: rivals are fitted at the start of era `first_benchmark_era + i * chunk`, and predict
        until the next fit; there are no earlier benchmark predictions.
    every: rivals are fitted on every n-th era.
    meta_model_from: first era that has a meta model.
    rows_per_group: rows per row group of the files that grow weekly; a few eras, never a whole number of them.
    """

    name: str
    characteristics: int
    stocks: int
    stocks_per_era: float
    first_era: int
    newest_era: int
    chunk: int
    first_benchmark_era: int
    every: int
    meta_model_from: int
    trees: int
    learning_rate: float
    rows_per_group: int = ROWS_PER_GROUP

    def stocks_in(self, era: int) -> int:
        """Number of stocks in an era (synthetic market only)."""
        return self.stocks + int(self.stocks_per_era * (era - self.first_era))

    def with_stocks(self, stocks: int) -> "Size":
        """The same size with `stocks` stocks in every era."""
        return replace(self, stocks=stocks, stocks_per_era=0.0)


SIZES: dict[str, Size] = {
    "tiny": Size(
        name="tiny",
        characteristics=60,
        stocks=80,
        stocks_per_era=0.25,
        first_era=531,
        newest_era=640,
        chunk=32,
        first_benchmark_era=563,
        every=2,
        meta_model_from=606,
        trees=60,
        learning_rate=0.05,
        rows_per_group=700,
    ),
    "default": Size(
        name="default",
        characteristics=310,
        stocks=500,
        stocks_per_era=0.5,
        first_era=451,
        newest_era=730,
        chunk=60,
        first_benchmark_era=515,
        every=4,
        meta_model_from=670,
        trees=300,
        learning_rate=0.02,
    ),
}


def data_type_of(era: int, newest_era: int) -> str:
    """Data type of the rows of an era in a release whose newest era is `newest_era`."""
    if era < FIRST_VALIDATION_ERA:
        return "train"
    return "test" if era > newest_era - TEST_ERAS else "validation"


def fit_to_prices(size: Size, first_era: int, last_era: int) -> Size:
    """The same size over a market of real prices with snapshots in eras [first_era, last_era].

    Tiny takes the last 60 training eras and 56 of validation. Default takes every era, less the last 60 to advance to.
    SandboxError when the market has fewer than 60 training eras, or no validation.
    """
    latest_start = FIRST_VALIDATION_ERA - _LEAST_TRAINING_ERAS
    if first_era > latest_start or last_era < FIRST_VALIDATION_ERA:
        raise SandboxError(
            f"the price panel gives eras {first_era}..{last_era}; it must reach from era {latest_start} "
            f"({friday_of(latest_start)}) or before, with a year of history ahead of it, to more than 62 weekdays "
            f"after era {FIRST_VALIDATION_ERA} ({friday_of(FIRST_VALIDATION_ERA)})"
        )
    if size.name == "tiny":
        newest = min(630, last_era)
        return replace(size, first_era=latest_start, newest_era=newest, first_benchmark_era=latest_start + 44)
    newest = max(min(700, last_era - 60), FIRST_VALIDATION_ERA)
    chunk = 156
    # Enough eras, purge included, before the first fit; and one fit at the start of validation.
    earliest = first_era + min(97, (FIRST_VALIDATION_ERA - first_era) // 2)
    return replace(
        size,
        first_era=first_era,
        newest_era=newest,
        chunk=chunk,
        first_benchmark_era=earliest + (FIRST_VALIDATION_ERA - earliest) % chunk,
        meta_model_from=max(newest - 60, FIRST_VALIDATION_ERA),
    )
