"""Splits of eras for cross-validation: what may be fitted beside what is judged.

Eras are dealt out, never rows. A target covers the weekdays after its era, so between a fitted and a judged era at least
`purge(horizon)` calendar eras are left out: behind a judged block those that were unresolved or overlap it, after it those
that it overlaps. Calendar eras also where only every fourth era is held. The purge follows from the horizon and is
no parameter; `extra_purge_eras` adds to it and cannot take from it.

Every splitter is one of scikit-learn's, with the eras as `groups`:

>>> from sklearn.linear_model import Ridge
>>> from sklearn.model_selection import cross_val_score
>>> rng = np.random.default_rng(0)
>>> eras, x, y = np.repeat(np.arange(1, 201), 5), rng.normal(size=(1000, 2)), rng.normal(size=1000)
>>> len(cross_val_score(Ridge(), x, y, groups=eras, cv=ForwardChaining(n_splits=4, horizon=20)))
4

Rows whose target is unknown are the caller's to drop. What the pipeline fits takes its eras from a vintage's wall, not from
here; `OfficialWalkForward` gives the same eras as the vintages of the official benchmarks.

Sources: Numerai docs, "Models" (walk-forward in chunks of 156 eras, purge of 8 and 16); M. Lopez de Prado (2018), Advances
in Financial Machine Learning, ch. 7 (purging and embargo) and 12 (combinatorial purged cross-validation).
"""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _num_samples

from numerai_assets.eras import era_label, first_era_after, horizon_of, last_era_before, parse_era, purge
from numerai_assets.errors import CalendarError, SplitError

Eras = NDArray[np.intp]
"""(m,) era numbers, ascending, without repeats."""


class Fold(NamedTuple):
    """Eras of one split, both ascending."""

    fit: list[int]
    judged: list[int]


@dataclass(frozen=True, kw_only=True)
class EraSplitter(BaseCrossValidator):  # type: ignore[misc]
    """What all splitters share: the purge, and rows in place of eras.

    horizon: weekdays of the target, `horizon_of(target)`. extra_purge_eras: calendar eras left out beyond the purge, >= 0.
    Raises CalendarError for an unknown horizon and SplitError for any other parameter out of its range.
    """

    # Where scikit-learn's metadata routing is on, it hands `groups` to `split` unasked.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    horizon: int
    extra_purge_eras: int = 0

    def __post_init__(self) -> None:
        purge(self.horizon)
        self._check_at_least("extra_purge_eras", 0)

    @property
    def eras_left_out(self) -> int:
        """Calendar eras between a fitted and a judged era, neither counted."""
        return purge(self.horizon, extra=self.extra_purge_eras)

    def era_folds(self, eras: ArrayLike) -> list[Fold]:
        """The splits as eras. `eras`: numbers or labels such as "0575", in any order, repeats allowed.

        Raises SplitError for anything that is no era number, and when there are too few eras for the folds.
        """
        known = np.unique(_numbered(eras)[1])
        folds = []
        for judged in self._judged(known):
            fit = self._fit(known, judged)
            if not len(fit):
                raise SplitError(
                    f"{self}: nothing is left to fit beside {', '.join(map(_span, judged))}, {self.eras_left_out} calendar "
                    f"eras of purge taken off; found {_shown(known)}; ask for fewer folds or give more eras"
                )
            folds.append(Fold(fit.tolist(), np.concatenate(judged).tolist()))
        if not folds:
            raise SplitError(f"{self}: nothing can be fitted before anything is judged; found {_shown(known)}")
        return folds

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Positions of the rows to fit and to judge, for each fold. X: (n, ...), looked at for n alone.

        groups: (n,) era of each row. Raises SplitError where they are missing, as `era_folds` does, and where y carries the
        name of a target whose horizon is longer than the one purged for.
        """
        self._check_target(y)
        codes, eras = _numbered(self._given(groups))
        if X is not None and _num_samples(X) != len(codes):
            raise SplitError(f"{self}: {len(codes)} groups for {_num_samples(X)} rows; pass the era of each row")
        for fold in self.era_folds(eras):
            fit, judged = (np.flatnonzero(np.isin(eras, part)[codes]) for part in fold)
            yield fit, judged

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Number of folds; for splitters whose number follows from the calendar, `groups` are needed."""
        return len(self.era_folds(self._given(groups)))

    @abstractmethod
    def _judged(self, eras: Eras) -> Sequence[Sequence[Eras]]:
        """For each fold the blocks of eras it judges, each block without a held era missing in it."""

    @abstractmethod
    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        """Eras to fit beside these judged blocks."""

    def _before(self, eras: Eras, block: Eras) -> Eras:
        """Eras before the wall of one who knows nothing of the block yet."""
        return eras[eras <= self._last_before(int(block[0]))]

    def _beside(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        """Eras on both sides of every block that share no return with it."""
        is_apart = [
            (eras <= self._last_before(int(block[0]))) | (eras >= self._first_after(int(block[-1]))) for block in judged
        ]
        return eras[np.logical_and.reduce(is_apart)]

    def _last_before(self, era: int) -> int:
        return last_era_before(era, self.horizon, extra=self.extra_purge_eras)

    def _first_after(self, era: int) -> int:
        return first_era_after(era, self.horizon, extra=self.extra_purge_eras)

    def _runs(self, eras: Eras, number: int) -> list[Eras]:
        """The eras in so many runs of nearly as many eras each."""
        if len(eras) < number:
            raise SplitError(f"{self}: needs at least {number} eras, found {_shown(eras)}")
        return np.array_split(eras, number)

    def _given(self, groups: ArrayLike | None) -> ArrayLike:
        if groups is None:
            raise SplitError(f"{self}: groups are missing; pass the era of each row as `groups`")
        return groups

    def _check_target(self, y: Any) -> None:
        """A named series tells its horizon; what is no target named in full cannot be checked."""
        name = getattr(y, "name", None)
        with suppress(CalendarError):
            if isinstance(name, str) and (horizon := horizon_of(name)) > self.horizon:
                raise SplitError(f"{self}: {name} needs the purge of a {horizon}-day target")

    def _check_at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise SplitError(f"{type(self).__name__}: {name} is {value!r}, expected a whole number of at least {least}")


@dataclass(frozen=True, kw_only=True)
class ForwardChaining(EraSplitter):
    """Fit on all eras up to the purge, judge the run after it: the window of what is fitted expands.

    The eras fall into `n_splits` + 1 runs of nearly as many eras; each but the first is judged once.

    >>> for fit, judged in ForwardChaining(n_splits=2, horizon=20).era_folds(range(1, 91)):
    ...     print(fit[0], fit[-1], judged[0], judged[-1])
    1 22 31 60
    1 52 61 90
    """

    n_splits: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("n_splits", 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        return self.n_splits

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        return [[run] for run in self._runs(eras, self.n_splits + 1)[1:]]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._before(eras, judged[0])


@dataclass(frozen=True, kw_only=True)
class RollingWindow(EraSplitter):
    """Fit on the last `window_eras` calendar eras up to the purge, judge the run after it.

    What comes after the first full window falls into `n_splits` runs of nearly as many eras; each is judged once.

    >>> for fit, judged in RollingWindow(n_splits=2, window_eras=30, horizon=60).era_folds(range(1, 107)):
    ...     print(fit[0], fit[-1], judged[0], judged[-1])
    1 30 47 76
    31 60 77 106
    """

    window_eras: int
    n_splits: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("n_splits", 1)
        self._check_at_least("window_eras", 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        return self.n_splits

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        after = eras[eras >= self._first_after(int(eras[0]) + self.window_eras - 1)]
        if len(after) < self.n_splits:
            raise SplitError(
                f"{self}: {len(after)} eras come after the first window and the purge of {self.eras_left_out}, "
                f"expected at least {self.n_splits}; found {_shown(eras)}"
            )
        return [[run] for run in self._runs(after, self.n_splits)]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        before = self._before(eras, judged[0])
        return before[before > self._last_before(int(judged[0][0])) - self.window_eras]


@dataclass(frozen=True, kw_only=True)
class PurgedKFold(EraSplitter):
    """Judge one of `n_splits` runs of eras, fit on all others, purged before the run and kept off after it alike.

    What is fitted comes partly after what is judged, so this compares hyperparameters; it does not tell what one would
    have earned. Lopez de Prado 2018, ch. 7.4, with the embargo as long as the purge.

    >>> for fit, judged in PurgedKFold(n_splits=3, horizon=20).era_folds(range(1, 91)):
    ...     print([era for era in range(1, 91) if era not in fit + judged])
    [31, 32, 33, 34, 35, 36, 37, 38]
    [23, 24, 25, 26, 27, 28, 29, 30, 61, 62, 63, 64, 65, 66, 67, 68]
    [53, 54, 55, 56, 57, 58, 59, 60]
    """

    n_splits: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least("n_splits", 2)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        return self.n_splits

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        return [[run] for run in self._runs(eras, self.n_splits)]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._beside(eras, judged)


@dataclass(frozen=True, kw_only=True)
class CombinatorialPurged(EraSplitter):
    """Judge every choice of `n_judged` out of `n_groups` runs of eras, fit on the others, purged around each judged run.

    There are C(n_groups, n_judged) splits, and each run is judged in C(n_groups - 1, n_judged - 1) of them: as many paths
    lead through all eras, each a whole history of out-of-sample predictions. Lopez de Prado 2018, ch. 12.

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

    def _chosen(self) -> Iterator[tuple[int, ...]]:
        return itertools.combinations(range(self.n_groups), self.n_judged)

    def _judged(self, eras: Eras) -> list[list[Eras]]:
        runs = self._runs(eras, self.n_groups)
        return [[runs[run] for run in chosen] for chosen in self._chosen()]

    def _fit(self, eras: Eras, judged: Sequence[Eras]) -> Eras:
        return self._beside(eras, judged)


@dataclass(frozen=True, kw_only=True)
class OfficialWalkForward(EraSplitter):
    """The walk-forward of Numerai's benchmark models: refit every `chunk_eras` eras, judge the chunk that follows.

    Chunks end with the eras that are multiples of `chunk_eras`, whatever eras are held, so the folds of longer data begin
    with those of shorter. A chunk of which no era is held, or before which nothing may be fitted, is no fold.

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
        """As of the end of the chunk before, also where the first eras of the judged chunk are not held."""
        vintage = (int(judged[0][0]) - 1) // self.chunk_eras * self.chunk_eras
        return eras[eras <= self._last_before(vintage + 1)]


def _numbered(eras: ArrayLike) -> tuple[NDArray[np.intp], Eras]:
    """(n,) place of each entry among the distinct eras, and these in order of appearance.

    Raises SplitError unless there are entries and every one is an era number >= 1 or a label such as "0575".
    """
    given = np.asarray(list(eras) if isinstance(eras, range | set | frozenset) else eras)
    if given.ndim != 1 or not len(given):
        raise SplitError(f"eras: expected one a row, found an array of shape {given.shape}")
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
