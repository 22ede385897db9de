"""Where a vintage saw behind its wall, found from what is on disk: its records and the eras it predicted."""

from collections.abc import Iterable
from dataclasses import dataclass

from numerai_assets.eras import Wall, era_label, first_era_after, horizon_of
from numerai_assets.errors import StoreError
from numerai_assets.store.eras_used import eras_of, target_of
from numerai_assets.store.vintage_store import Vintage

JUDGED = "judged"


@dataclass(frozen=True)
class Crossing:
    """One place where a vintage reaches over its wall.

    use: of targets, as the vintage records it, or `JUDGED`. era: the first era that is wrong. bound: what it breaks.
    """

    method: str
    vintage: int
    use: str
    era: int
    bound: str

    def __str__(self) -> str:
        done = JUDGED if self.use == JUDGED else f"used for {self.use}"
        return f"{self.method} vintage {era_label(self.vintage)}: era {era_label(self.era)} {done}, {self.bound}"


def crossings(facts: Vintage, judged: Iterable[int] = ()) -> list[Crossing]:
    """Every use of targets that saw an era behind the wall, and what was judged too early for them; empty where it held.

    The wall is that of the target each use saw. judged: eras predicted out of sample; they come after the vintage, and
    after every era used at least as many calendar eras as the purge of the used target lie before the first of them.
    Raises StoreError for a record that cannot be read, CalendarError for a target without a horizon.
    """
    first_judged = min(judged, default=None)
    found = []
    for use, eras in _seen(facts).items():
        horizon = horizon_of(target_of(use, facts.target))
        last_allowed = Wall(facts.vintage, horizon).last_fit_era
        beyond = [era for era in eras if era > last_allowed]
        if beyond:
            found.append((use, beyond[0], f"the last allowed is {era_label(last_allowed)}"))
        first_allowed = first_era_after(eras[-1], horizon)
        if first_judged is not None and first_judged < first_allowed:
            bound = f"after era {era_label(eras[-1])} used for {use} the first allowed is {era_label(first_allowed)}"
            found.append((JUDGED, first_judged, bound))
    if first_judged is not None and first_judged <= facts.vintage:
        found.append((JUDGED, first_judged, "which is not after the vintage"))
    return [Crossing(facts.method, facts.vintage, *where) for where in found]


def _seen(facts: Vintage) -> dict[str, list[int]]:
    """Eras of each use, ascending; those between which the fit is said to have been count as seen by it."""
    try:
        seen = {use: eras_of(runs) for use, runs in facts.uses.items() if runs}
    except StoreError as error:
        raise StoreError(f"{facts.method} vintage {era_label(facts.vintage)}: {error}; train it again") from None
    return seen | {"fit": sorted({*seen.get("fit", []), facts.first_fit_era, facts.last_fit_era})}
