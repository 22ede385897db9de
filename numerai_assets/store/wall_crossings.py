"""Wall crossings of a vintage, computed from its records on disk and the eras it predicted."""

from collections.abc import Iterable
from dataclasses import dataclass

from numerai_assets.eras import Wall, era_label, first_era_after, horizon_of
from numerai_assets.errors import StoreError
from numerai_assets.store.eras_used import eras_of, target_of
from numerai_assets.store.vintage_store import Vintage

JUDGED = "judged"


@dataclass(frozen=True)
class Crossing:
    """One use of targets after the wall of a vintage.

    use: as the vintage records it, or `JUDGED`. era: the first wrong era. bound: the violated bound, for people.
    """

    method: str
    vintage: int
    use: str
    era: int
    bound: str

    def __str__(self) -> str:
        done = "predicted" if self.use == JUDGED else f"used for {self.use}"
        return f"{self.method} vintage {era_label(self.vintage)}: era {era_label(self.era)} {done}, {self.bound}"


def crossings(facts: Vintage, judged: Iterable[int] = ()) -> list[Crossing]:
    """Uses of targets that saw an era after the wall, and eras predicted too early for them; empty when there is none.

    The wall is that of the target of each use. judged: eras predicted out of sample; they must come after the vintage, and
    at least the purge of the used target must lie between every used era and the first of them.
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
    """Eras of each use, ascending; the recorded first and last training eras count as used by the fit."""
    try:
        seen = {use: eras_of(runs) for use, runs in facts.uses.items() if runs}
    except StoreError as error:
        raise StoreError(f"{facts.method} vintage {era_label(facts.vintage)}: {error}; train it again") from None
    return seen | {"fit": sorted({*seen.get("fit", []), facts.first_fit_era, facts.last_fit_era})}
