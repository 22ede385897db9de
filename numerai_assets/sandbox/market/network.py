"""The hidden network: a follower's expected return includes a share of its leaders' recent returns.

A stock is either a leader, without leaders of its own, or a follower, so the network has no cycle. A follower's leaders
are drawn among the stocks nearest to it in a few slow characteristics, and redrawn now and then. The network belongs to
identities, which are never published, but features that measure similarity reveal it.
"""

import numpy as np
from numpy.typing import NDArray

LEADERS = 3
"""Leaders of each follower."""
REWIRED = 1 / 52
"""Weekly probability that a follower's leaders are redrawn."""
NOBODY = -1

_LEADING_SHARE = 0.25
# Leaders are drawn among this share of all, the nearest: the network is equally local in large and small markets.
_NEAR_SHARE = 0.06


def unit_hash(seed: int, salt: int, stocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) uniform in [0, 1), the same for a stock at every date: a splitmix64 hash of its number."""
    h = stocks.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + salt) % 2**64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return np.asarray((h >> np.uint64(11)).astype(np.float64) / 2**53)


def leads(seed: int, stocks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) True for leaders."""
    return unit_hash(seed, 0x2545F4914F6CDD1D, stocks) < _LEADING_SHARE


def rewire(
    leaders: NDArray[np.int64],
    stocks: NDArray[np.int64],
    leading: NDArray[np.bool_],
    kinship: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(n, LEADERS) numbers of the leaders one week later; NOBODY for a leader.

    Redrawn for followers that have none yet, lost one, or are due.  leaders (n, LEADERS): before, NOBODY for a newcomer.
    stocks (n,) ascending.  leading (n,).  kinship (n, c): the characteristics that make stocks alike.
    """
    due = rng.random(len(stocks)) < REWIRED
    lost = ~np.isin(leaders, stocks).all(axis=1)
    chosen = np.flatnonzero((due | lost) & ~leading)
    candidates = np.flatnonzero(leading)
    pool = max(LEADERS, round(_NEAR_SHARE * len(candidates)))
    if len(candidates) < pool or not len(chosen):
        return leaders
    rewired = leaders.copy()
    ours, theirs = kinship[chosen], kinship[candidates]
    distance = (ours**2).sum(axis=1)[:, None] - 2 * ours @ theirs.T + (theirs**2).sum(axis=1)
    near = np.argpartition(distance, pool - 1, axis=1)[:, :pool]
    picks = np.argsort(rng.random(near.shape), axis=1)[:, :LEADERS]
    rewired[chosen] = stocks[candidates[np.take_along_axis(near, picks, axis=1)]]
    return rewired


def mean_of_leaders(
    leaders: NDArray[np.int64], stocks: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) sum over a follower's leaders of their (n,) values, over sqrt(LEADERS), which keeps unit variance; 0 for leaders."""
    at = np.minimum(np.searchsorted(stocks, leaders), len(stocks) - 1)
    found = np.where(stocks[at] == leaders, values[at], 0.0)
    return np.asarray(found.sum(axis=1) / np.sqrt(LEADERS))
