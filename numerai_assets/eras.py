"""The calendar of the tournament and the wall between training eras and validation eras.

Era N is the market close of Friday 2003-01-10 plus 7(N-1) days. A target of horizon H at era N spans H weekdays
of returns after skipping two, so it is published only some eras later, and neighbouring eras share most of it.
All code that fits, selects, stops early, scales, neutralises or weighs takes its eras from here. No other module adds or
subtracts a purge.

Sources: Numerai docs, "Data" (eras), "Models" (walk-forward with a purge of 8 and 16 eras).
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from numerai_assets.errors import CalendarError, WallError

FIRST_FRIDAY = dt.date(2003, 1, 10)
HORIZONS = (20, 60)
PAYOUT_TARGET = "target_ender_60"

# In eras: the 20D target of era N is published on the 24th weekday after its Friday, the 60D one on the 64th.
_RESOLVE_LAG = {20: 5, 60: 13}
# In calendar eras, as Numerai's own benchmark models use; never below the resolve lag.
_PURGE = {20: 8, 60: 16}


def friday_of(era: int) -> dt.date:
    """Date of the market close of era `era` (>= 1). Raises CalendarError below 1."""
    if era < 1:
        raise CalendarError(f"era {era}: eras are numbered from 1 (Friday {FIRST_FRIDAY})")
    return FIRST_FRIDAY + dt.timedelta(weeks=era - 1)


def era_on(day: dt.date) -> int:
    """Newest era whose Friday is on or before `day`. Raises CalendarError before the first Friday."""
    era = (day - FIRST_FRIDAY).days // 7 + 1
    if era < 1:
        raise CalendarError(f"{day}: before era 1 (Friday {FIRST_FRIDAY})")
    return era


def era_label(era: int) -> str:
    """The era as Numerai writes it: four digits, zero-padded."""
    return f"{era:04d}"


def parse_era(label: str) -> int:
    """Era number of a label such as "0575". Raises CalendarError for anything else, "X" included."""
    if not (label.isascii() and label.isdigit()) or int(label) < 1:
        raise CalendarError(f"era {label!r}: expected digits such as '0575'")
    return int(label)


def live_key(round_number: int) -> str:
    """Store key of a live round: one more era, whose name tells it from historical eras."""
    return f"X@{round_number}"


def horizon_of(target: str) -> int:
    """Horizon in weekdays of a target named in full, e.g. 20 of "target_ender_20".

    Raises CalendarError for the bare alias "target", whose meaning has been switched in place between releases.
    """
    for horizon in HORIZONS:
        if re.fullmatch(rf"target_.+_{horizon}", target):
            return horizon
    raise CalendarError(f"target {target!r}: expected a full name with its horizon, such as {PAYOUT_TARGET!r}")


def resolve_lag(horizon: int) -> int:
    """Eras that pass before a target of `horizon` is known. Raises CalendarError for an unknown horizon."""
    return _of_horizon(_RESOLVE_LAG, horizon)


def purge(horizon: int, *, extra: int = 0) -> int:
    """Calendar eras to leave out between the last training and the first validation era; `extra`: how many more."""
    return _of_horizon(_PURGE, horizon) + extra


def resolved_through(newest_era: int, horizon: int) -> int:
    """Newest era whose targets of `horizon` are known when `newest_era` is the newest era."""
    return newest_era - resolve_lag(horizon)


def resolved_at(era: int, horizon: int) -> int:
    """First era at which the target of `era` is known."""
    return era + resolve_lag(horizon)


def resolved_within(look_back: int, horizon: int) -> int:
    """Number of eras with a known target among the `look_back` eras before an era; below 1 when there is none."""
    return look_back - resolve_lag(horizon) + 1


def look_back_to(resolved: int, horizon: int) -> int:
    """Number of eras to look back in order to reach `resolved` eras with a known target."""
    return resolved + resolve_lag(horizon) - 1


def spanned_eras(horizon: int) -> int:
    """Number of eras that the returns of a target span: targets so many eras apart share no return."""
    # A target is known one era after the last of its returns.
    return resolve_lag(horizon) - 1


def last_era_before(first_validation: int, horizon: int, *, extra: int = 0) -> int:
    """Newest training era when validation begins at era `first_validation`. extra: eras left out beyond the purge."""
    return first_validation - purge(horizon, extra=extra) - 1


def first_era_after(last_training: int, horizon: int, *, extra: int = 0) -> int:
    """First validation era when training ends with era `last_training`. extra: eras left out beyond the purge."""
    return last_training + purge(horizon, extra=extra) + 1


def first_vintage_with(era: int, horizon: int) -> int:
    """Earliest vintage that may be fitted on `era`."""
    return first_era_after(era, horizon) - 1


def fewest_eras(validation: int, horizon: int) -> int:
    """Fewest consecutive eras that leave one training era, the purge and `validation` eras."""
    return first_vintage_with(1, horizon) + validation


def _of_horizon(table: dict[int, int], horizon: int) -> int:
    if horizon not in table:
        raise CalendarError(f"horizon {horizon}: expected one of {HORIZONS} weekdays")
    return table[horizon]


@dataclass(frozen=True)
class Wall:
    """Training eras and out-of-sample eras of a model of one vintage.

    A vintage is the newest era at the moment of fitting. `horizon` is that of the target fitted.
    """

    vintage: int
    horizon: int

    @property
    def last_fit_era(self) -> int:
        return last_era_before(self.first_judged_era, self.horizon)

    @property
    def first_judged_era(self) -> int:
        return self.vintage + 1

    def fit_eras(self, eras: Iterable[int]) -> list[int]:
        """The training eras among `eras`, ascending. Raises WallError when there is none."""
        kept = sorted(era for era in eras if era <= self.last_fit_era)
        if not kept:
            raise WallError(
                f"vintage {era_label(self.vintage)}: no era at or before {self.last_fit_era} to fit on "
                f"(purge of {purge(self.horizon)} eras for the {self.horizon}-day target)"
            )
        return kept

    def judged_eras(self, eras: Iterable[int], *, next_vintage: int | None = None) -> list[int]:
        """The eras among `eras` after the vintage, up to and including `next_vintage`, ascending."""
        last = next_vintage if next_vintage is not None else max(eras := list(eras), default=0)
        return sorted(era for era in eras if self.first_judged_era <= era <= last)

    def check_fit(self, eras: Iterable[int]) -> None:
        """Raises WallError, naming the era, if any of `eras` lies after the last training era."""
        beyond = [era for era in eras if era > self.last_fit_era]
        if beyond:
            raise WallError(
                f"era {era_label(min(beyond))} may not be fitted on by vintage {era_label(self.vintage)}: "
                f"its {self.horizon}-day target overlaps the out-of-sample eras; last allowed era is {self.last_fit_era}"
            )
