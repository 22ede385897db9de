"""Purged splits of eras for cross-validation: training eras and validation eras.

Splits assign whole eras, never single rows. A target covers the weekdays after its era, so at least `purge(horizon)` calendar
eras are left out between a training and a validation era: before a validation block those whose targets were unresolved or
overlap it, after the block those whose targets it overlaps. The purge counts calendar eras, also where only every fourth era
is stored. It follows from the horizon and is not a parameter; `extra_purge_eras` can only add to it.

Every splitter is a scikit-learn splitter that takes the eras as `groups`:

>>> from sklearn.linear_model import Ridge
>>> from sklearn.model_selection import cross_val_score
>>> rng = np.random.default_rng(0)
>>> eras, x, y = np.repeat(np.arange(1, 201), 5), rng.normal(size=(1000, 2)), rng.normal(size=1000)
>>> len(cross_val_score(Ridge(), x, y, groups=eras, cv=ForwardChaining(n_splits=4, horizon=20)))
4

The caller drops rows whose target is unknown. Vintages take their eras from their wall, not from here;
`OfficialWalkForward` gives the same eras as the vintages of the official benchmarks.

Sources: Numerai docs, "Models" (walk-forward in chunks of 156 eras, purge of 8 and 16); M. Lopez de Prado (2018), Advances
in Financial Machine Learning, ch. 7 (purging and embargo) and 12 (combinatorial purged cross-validation).
"""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _num_samples

from numerai_assets.eras import era_label, first_era_after, horizon_of, last_era_before, parse_era, purge
from numerai_assets.errors import CalendarError, SplitError

Eras = NDArray[np.intp]
"""(m,) era numbers, ascending, without repeats."""


Splits = Literal["forward", "rolling", "k-fold", "combinatorial", "official"]
"""Names of the splitters, for settings and the command line."""


class Fold(NamedTuple):
    """Training eras (`fit`) and validation eras (`judged`) of one split, both ascending."""

    fit: list[int]
    judged: list[int]


@dataclass(frozen=True, kw_only=True)
class EraSplitter(BaseCrossValidator):  # type: ignore[misc]
    """Base of all splitters: the purge, and the translation of eras to rows.

    horizon: weekdays of the target, `horizon_of(target)`. extra_purge_eras: calendar eras left out beyond the purge, >= 0.
    Raises CalendarError for an unknown horizon and SplitError for any other parameter out of its range.
    """

    # With scikit-learn's metadata routing enabled, `groups` reach `split` without a request by the user.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    horizon: int
    extra_purge_eras: int = 0

    def __post_init__(self) -> None:
        purge(self.horizon)
        self._check_at_least("extra_purge_eras", 0)

    @property
    def eras_left_out(self) -> int:
        """Calendar eras between a training and a validation era, neither counted."""
        return purge(self.horizon, extra=self.extra_purge_eras)

    def era_folds(self, eras: ArrayLike) -> list[Fold]:
        """The splits as eras. `eras`: numbers or labels such as "0575", in any order, repeats allowed.

        Raises SplitError for a value that is not an era number, and for too few eras.
        """
        known = np.unique(_numbered(eras)[1])
        folds = []
        for judged in self._judged(known):
            fit = self._fit(known, judged)
            if not len(fit):
                raise SplitError(
                    f"{self}: no training eras are left beside {', '.join(map(_span, judged))} after a purge of "
                    f"{self.eras_left_out} calendar eras; found {_shown(known)}; use fewer folds or more eras"
                )
            folds.append(Fold(fit.tolist(), np.concatenate(judged).tolist()))
        if not folds:
            raise SplitError(f"{self}: no fold has training eras before its validation eras; found {_shown(known)}")
        return folds

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Positions of the training and of the validation rows of each fold. X: (n, ...), used for n alone.

        groups: (n,) era of each row. Raises SplitError where they are missing, where `era_folds` does, and where y has the
        name of a target with a longer horizon than that of the splitter.
        """
        self._check_target(y)
        codes, eras = _numbered(self._given(groups))
        if X is not None and _num_samples(X) != len(codes):
            raise SplitError(f"{self}: {len(codes)} groups for {_num_samples(X)} rows; pass the era of each row")
        for fold in self.era_folds(eras):
            fit, judged = (np.flatnonzero(np.isin(eras, part)[codes]) for part in fold)
            yield fit, judged

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Number of folds; a splitter whose number follows from the calendar needs `groups`."""
        return len(self.era_folds(self._given(groups)))

    @abstractmethod
    def _judged(self, eras: Eras) -> Sequence[Sequence[Eras]]:
        """Validation blocks of each fold; a block has every stored era between its first and its last."""

    @abstractmethod
    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        """Training eras beside these validation blocks."""

    def _before(self, eras: Eras, block: Eras) -> Eras:
        """Eras whose targets had resolved before the block began."""
        return eras[eras <= self._last_before(int(block[0]))]

    def _beside(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        """Eras on both sides of the blocks that share no return with any of them."""
        is_apart = [
            (eras <= self._last_before(int(block[0]))) | (eras >= self._first_after(int(block[-1]))) for block in judged
        ]
        return eras[np.logical_and.reduce(is_apart)]

    def _last_before(self, era: int) -> int:
        return last_era_before(era, self.horizon, extra=self.extra_purge_eras)

    def _first_after(self, era: int) -> int:
        return first_era_after(era, self.horizon, extra=self.extra_purge_eras)

    def _runs(self, eras: Eras, number: int) -> list[Eras]:
        """The eras in `number` runs of nearly equal length."""
        if len(eras) < number:
            raise SplitError(f"{self}: needs at least {number} eras, found {_shown(eras)}")
        return np.array_split(eras, number)

    def _given(self, groups: ArrayLike | None) -> ArrayLike:
        if groups is None:
            raise SplitError(f"{self}: groups are missing; pass the era of each row as `groups`")
        return groups

    def _check_target(self, y: Any) -> None:
        """Checks the horizon of a series that has the full name of a target; others cannot be checked."""
        name = getattr(y, "name", None)
        with suppress(CalendarError):
            if isinstance(name, str) and (horizon := horizon_of(name)) > self.horizon:
                raise SplitError(f"{self}: {name} needs the purge of a {horizon}-day target")

    def _check_at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise SplitError(f"{type(self).__name__}: {name} is {value!r}, expected a whole number of at least {least}")


@dataclass(frozen=True, kw_only=True)
class _CountedSplitter(EraSplitter):
    """A splitter with `n_splits` folds."""

    n_splits: int = 5

    _least_splits: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("n_splits", self._least_splits)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        return self.n_splits


@dataclass(frozen=True, kw_only=True)
class ForwardChaining(_CountedSplitter):
    """Train on all eras up to the purge, validate on the run after it: the training window expands.

    The eras form `n_splits` + 1 runs of nearly equal length; each run but the first is validated on once.

    >>> for fit, judged in ForwardChaining(n_splits=2, horizon=20).era_folds(range(1, 91)):
    ...     print(fit[0], fit[-1], judged[0], judged[-1])
    1 22 31 60
    1 52 61 90
    """

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        return [[run] for run in self._runs(eras, self.n_splits + 1)[1:]]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._before(eras, judged[0])


@dataclass(frozen=True, kw_only=True)
class RollingWindow(_CountedSplitter):
    """Train on the last `window_eras` calendar eras up to the purge, validate on the run after it.

    The eras after the first full window form `n_splits` runs of nearly equal length; each is validated on once.

    >>> for fit, judged in RollingWindow(n_splits=2, window_eras=30, horizon=60).era_folds(range(1, 107)):
    ...     print(fit[0], fit[-1], judged[0], judged[-1])
    1 30 47 76
    31 60 77 106
    """

    window_eras: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("window_eras", 1)

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        after = eras[eras >= self._first_after(int(eras[0]) + self.window_eras - 1)]
        if len(after) < self.n_splits:
            raise SplitError(
                f"{self}: {len(after)} eras follow the first window and the purge of {self.eras_left_out}, "
                f"expected at least {self.n_splits}; found {_shown(eras)}"
            )
        return [[run] for run in self._runs(after, self.n_splits)]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        before = self._before(eras, judged[0])
        return before[before > self._last_before(int(judged[0][0])) - self.window_eras]


@dataclass(frozen=True, kw_only=True)
class PurgedKFold(_CountedSplitter):
    """Validate on one of `n_splits` runs of eras, train on all others, with the purge on both sides of the run.

    Some training eras come after the validation eras, so this compares hyperparameters; it does not estimate what a model
    would have earned. Lopez de Prado 2018, ch. 7.4, with an embargo as long as the purge.

    >>> for fit, judged in PurgedKFold(n_splits=3, horizon=20).era_folds(range(1, 91)):
    ...     print([era for era in range(1, 91) if era not in fit + judged])
    [31, 32, 33, 34, 35, 36, 37, 38]
    [23, 24, 25, 26, 27, 28, 29, 30, 61, 62, 63, 64, 65, 66, 67, 68]
    [53, 54, 55, 56, 57, 58, 59, 60]
    """

    _least_splits: ClassVar[int] = 2

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        return [[run] for run in self._runs(eras, self.n_splits)]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._beside(eras, judged)


@dataclass(frozen=True, kw_only=True)
class CombinatorialPurged(EraSplitter):
    """Validate on every choice of `n_judged` of `n_groups` runs of eras, train on the others, purged around each chosen run.

    There are C(n_groups, n_judged) splits, and each run is validated on in C(n_groups - 1, n_judged - 1) of them: so many
    paths lead through all eras, each a whole history of out-of-sample predictions. Lopez de Prado 2018, ch. 12.

    >>> splitter = CombinatorialPurged(n_groups=4, n_judged=2, horizon=20)
    >>> splitter.get_n_splits()
    6
    >>> [fold.judged for fold in splitter.era_folds(range(1, 200, 20))][:2]
    [[1, 21, 41, 61, 81, 101], [1, 21, 41, 121, 141]]
    """

    n_groups: int = 6
    n_judged: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("n_judged", 1)
        self._check_at_least("n_groups", self.n_judged + 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        return math.comb(self.n_groups, self.n_judged)

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        runs = self._runs(eras, self.n_groups)
        return [list(chosen) for chosen in itertools.combinations(runs, self.n_judged)]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._beside(eras, judged)


@dataclass(frozen=True, kw_only=True)
class OfficialWalkForward(EraSplitter):
    """The walk-forward of Numerai's benchmark models: refit every `chunk_eras` eras, validate on the chunk that follows.

    Chunks end with the multiples of `chunk_eras`, whatever eras are stored, so more eras add folds and change none. A chunk
    without a stored era, or without training eras before it, is left out.

    >>> for fit, judged in OfficialWalkForward(horizon=20).era_folds(range(1, 575)):
    ...     print(fit[0], fit[-1], judged[0], judged[-1])
    1 148 157 312
    1 304 313 468
    1 460 469 574
    """

    chunk_eras: int = 156

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("chunk_eras", 1)

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        chunk = (eras - 1) // self.chunk_eras
        judged = [[eras[chunk == number]] for number in np.unique(chunk)]
        return [blocks for blocks in judged if len(self._fit(eras, blocks))]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        """As of the end of the chunk before, also where the first eras of the validation chunk are not stored."""
        vintage = (int(judged[0][0]) - 1) // self.chunk_eras * self.chunk_eras
        return eras[eras <= self._last_before(vintage + 1)]


def splitter_of(splits: Splits, eras: Sequence[int], *, count: int, horizon: int) -> EraSplitter:
    """The splitter that `splits` names, for ascending eras.

    count: number of folds; of runs for "combinatorial", which validates on each pair of them; "official" has the folds of
    the calendar. The window of "rolling" is half of the eras. Raises SplitError for a count out of range.
    """
    match splits:
        case "forward":
            return ForwardChaining(n_splits=count, horizon=horizon)
        case "rolling":
            return RollingWindow(n_splits=count, window_eras=(eras[-1] - eras[0] + 1) // 2, horizon=horizon)
        case "k-fold":
            return PurgedKFold(n_splits=count, horizon=horizon)
        case "combinatorial":
            return CombinatorialPurged(n_groups=count, n_judged=2, horizon=horizon)
        case "official":
            return OfficialWalkForward(horizon=horizon)


def _numbered(eras: ArrayLike) -> tuple[NDArray[np.intp], Eras]:
    """(n,) index of each entry among the distinct eras, and these in order of appearance.

    Raises SplitError unless there are entries and every one is an era number >= 1 or a label such as "0575".
    """
    given = np.asarray(list(eras) if isinstance(eras, range | set | frozenset) else eras)
    if given.ndim != 1 or not len(given):
        raise SplitError(f"eras: expected one per row, found an array of shape {given.shape}")
    codes, distinct = pd.factorize(given, use_na_sentinel=False)
    return codes.astype(np.intp), np.asarray([_number(era) for era in distinct.tolist()], np.intp)


def _number(era: object) -> int:
    try:
        if isinstance(era, str):
            return parse_era(era)
        if isinstance(era, int | np.integer) and not isinstance(era, bool) and era >= 1:
            return int(era)
    except CalendarError:
        pass
    raise SplitError(f"eras: found {era!r}, expected numbers from 1 or labels such as '0575'")


def _span(eras: Eras) -> str:
    return f"{era_label(int(eras[0]))}-{era_label(int(eras[-1]))}"


def _shown(eras: Eras) -> str:
    return f"{len(eras)} eras, {_span(eras)}"
