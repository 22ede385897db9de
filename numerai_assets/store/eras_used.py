"""Eras whose targets each part of a fit used, as a vintage records them.

A use is one of `USES`, of the vintage's own target; "fit:target_ender_20" is one of another target.
"""

from collections.abc import Iterable, Mapping, Sequence

from numerai_assets.errors import StoreError

USES = ("fit", "selection", "early_stopping", "scaling", "neutralisation", "blending", "features")
"""All uses of targets before a vintage predicts."""

Run = tuple[int, int, int]
"""First era, last era and the step between them: eras first, first + step, ..., last."""


def runs_of(eras: Iterable[int]) -> tuple[Run, ...]:
    """The eras, repeats left out, as runs in ascending order; a run of one era has step 1."""
    ascending = sorted({int(era) for era in eras})
    runs: list[Run] = []
    while ascending:
        step = ascending[1] - ascending[0] if len(ascending) > 1 else 1
        length = next((n for n in range(1, len(ascending)) if ascending[n] - ascending[n - 1] != step), len(ascending))
        runs.append((ascending[0], ascending[length - 1], step if length > 1 else 1))
        ascending = ascending[length:]
    return tuple(runs)


def eras_of(runs: Iterable[Sequence[int]]) -> list[int]:
    """Eras of recorded runs, ascending. Raises StoreError for a malformed run."""
    return sorted({era for run in runs for era in range(*_bounds(run))})


def recorded(eras_used: Mapping[str, Iterable[int]]) -> dict[str, tuple[Run, ...]]:
    """The eras of each use as a vintage records them, without uses that saw none. StoreError for an unknown use."""
    for use in eras_used:
        if use.partition(":")[0] not in USES:
            raise StoreError(f"use {use!r} of targets is unknown; a vintage records {', '.join(USES)}")
    runs = {use: runs_of(eras) for use, eras in eras_used.items()}
    return {use: found for use, found in runs.items() if found}


def target_of(use: str, own: str) -> str:
    """Target that a use saw, where the vintage's own is `own`."""
    return use.partition(":")[2] or own


def _bounds(run: Sequence[int]) -> tuple[int, int, int]:
    is_run = len(run) == 3 and all(type(part) is int for part in run)
    if not is_run or run[2] < 1 or run[1] < run[0] or (run[1] - run[0]) % run[2]:
        raise StoreError(f"run of eras {run!r}: expected [first, last, step] that leads from the first to the last")
    return run[0], run[1] + 1, run[2]
