"""Encoding of a cross-section as Numerai publishes it: bins, targets, ids. Pure functions over arrays.

Sources: Numerai docs, "Data" and "Targets"; proportions and naming as measured on the v5.3 files.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError

BINS = 5
MISSING_BIN = 2
TARGET_VALUES = np.array([0.0, 0.25, 0.5, 0.75, 1.0], dtype=np.float32)
TARGET_CUTS = (0.05, 0.25, 0.75, 0.95)

MAIN_NAME = "ender"
HORIZONS = (20, 60)
ALIAS = "target"
ALIAS_OF = "target_ender_60"

# Groups to which each target is not neutralised: none for ender, all for agnes. The four groups with the strong factors
# (constitution, charisma, sunshine, rain) matter most: with two or three of them, a target correlates with ender as
# Numerai's targets do.
LEFT_IN: dict[str, tuple[str, ...] | None] = {
    "agnes": None,
    "alpha": ("constitution", "charisma"),
    "bravo": ("charisma", "rain"),
    "caroline": ("sunshine", "constitution", "wisdom"),
    "charlie": ("rain", "sunshine"),
    "claudia": ("constitution", "charisma", "strength"),
    "cyrusd": ("rain", "charisma", "faith"),
    "delta": ("constitution", "sunshine"),
    "echo": ("constitution", "rain"),
    "ender": (),
    "jasper": ("sunshine", "rain", "midnight"),
    "jeremy": ("charisma", "sunshine"),
    "ralph": ("charisma", "rain", "sunshine", "quantum"),
    "rowan": ("sunshine", "rain", "quantum"),
    "sam": ("constitution", "charisma", "sunshine"),
    "teager2b": ("charisma", "sunshine", "strength"),
    "tyler": ("constitution", "charisma", "rain"),
    "victor": ("constitution", "rain", "agility", "midnight"),
    "waldo": ("constitution", "sunshine", "rain"),
    "xerxes": ("charisma", "sunshine", "rain"),
}
TARGET_NAMES = tuple(LEFT_IN)

TARGETS = (*(f"target_{name}_{horizon}" for name in TARGET_NAMES for horizon in HORIZONS), ALIAS)
"""(41,) full names in the order of features.json: alphabetical, the alias last."""


def bin_features(characteristics: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int8]:
    """(n, d) int8 bins 0..4 of (n, d) characteristics, five bins a column of equal size (to within one row).

    Rows without a value are ranked in the middle; ties are broken by one permutation from `rng`, so that bins stay
    equal. A column without any value is constant 2, as Numerai encodes a missing feature.
    """
    n, d = characteristics.shape
    shuffle = rng.permutation(n)
    by_column = np.ascontiguousarray(characteristics[shuffle].T)
    order = np.argsort(by_column, axis=1, kind="stable")
    bins = np.empty((d, n), dtype=np.int8)
    present = n - np.isnan(by_column).sum(axis=1, keepdims=True)
    position = np.arange(n)[None, :]
    # argsort puts missing values last: move them between the lower and the upper half of the others.
    half = present // 2
    shifted = np.where(position < present, position + n - present, half + position - present)
    rank = np.where(position < half, position, shifted)
    np.put_along_axis(bins, order, (rank * BINS // n).astype(np.int8), axis=1)
    bins[present[:, 0] == 0] = MISSING_BIN
    rows = np.empty((n, d), dtype=np.int8)
    rows[shuffle] = bins.T
    return rows


def neutralise(returns: NDArray[np.float64], exposures: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) or (n, m) returns less their least-squares fit on an intercept and (n, k) exposures; all finite."""
    design = np.column_stack([np.ones(len(returns)), exposures])
    # Through the k x k normal equations: exposures are standardised, and n is much larger than k.
    beta = np.linalg.lstsq(design.T @ design, design.T @ returns, rcond=1e-10)[0]
    return np.asarray(returns - design @ beta)


def bin_target(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """(n,) float32 in {0, .25, .5, .75, 1}: finite values ranked and cut at 5, 25, 75 and 95 %."""
    n = len(values)
    shuffle = rng.permutation(n)
    order = shuffle[np.argsort(values[shuffle], kind="stable")]
    cuts = np.rint(np.array(TARGET_CUTS) * n).astype(int)
    binned = np.empty(n, dtype=np.float32)
    binned[order] = TARGET_VALUES[np.searchsorted(cuts, np.arange(n), side="right")]
    return binned


def kept_exposures(name: str, exposure_groups: Sequence[str]) -> NDArray[np.bool_]:
    """(k,) True for the risk exposures to which target `name` (such as "ender") is neutralised. SandboxError if unknown."""
    if name not in LEFT_IN:
        raise SandboxError(f"target {name!r}: expected one of {', '.join(TARGET_NAMES)}")
    left_in = LEFT_IN[name]
    return np.array([left_in is not None and group not in left_in for group in exposure_groups], dtype=bool)


def encode_target(
    name: str,
    returns: NDArray[np.float32],
    exposures: NDArray[np.float32],
    exposure_groups: Sequence[str],
    rng: np.random.Generator,
    *,
    fill: bool,
) -> NDArray[np.float32]:
    """(n,) float32 target `name` (such as "ender") of (n,) returns, NaN for a stock without a price.

    fill: rank stocks without a return in the middle instead of leaving them NaN (Numerai's main target is never NaN).
    SandboxError when fewer stocks have a return than there are exposures to neutralise to.
    """
    has_return = np.isfinite(returns)
    kept = kept_exposures(name, exposure_groups)
    if has_return.sum() <= kept.sum() + 1:
        raise SandboxError(
            f"target {name}: {int(has_return.sum())} of {len(returns)} stocks have a return, "
            f"more than {int(kept.sum()) + 1} are needed to neutralise; use a panel with more stocks"
        )
    residual = np.full(len(returns), np.nan)
    residual[has_return] = neutralise(
        returns[has_return].astype(np.float64), exposures[has_return][:, kept].astype(np.float64)
    )
    if fill:
        residual[~has_return] = np.median(residual[has_return])
        return bin_target(residual, rng)
    target = np.full(len(returns), np.nan, dtype=np.float32)
    target[has_return] = bin_target(residual[has_return], rng)
    return target


def stream(seed: int, *key: str) -> np.random.Generator:
    """Random generator for a key, such as ("bins", "0575"), and the seed of a world."""
    words = np.frombuffer("|".join(key).encode(), dtype=np.uint8).tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, 20, *words]))


def encode_ids(seed: int, key: str, stocks: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """(n,) S16 ids "n" + 15 hex digits, new for each stock under each key (an era, or a live round)."""
    prefix = f"{seed}|{key}|"
    return np.array(
        [b"n" + hashlib.blake2b(f"{prefix}{stock}".encode()).hexdigest()[:15].encode() for stock in stocks.tolist()],
        dtype="S16",
    )
