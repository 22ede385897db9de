"""A memo of results that depend on one era alone and are used again by every later era that looks back to it.

A kept result is a pure function of its key, so blocks stay without state: finding it or computing it again differs in time
only.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from numerai_assets.panel.panel import EraPanel

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """The results used last, by key. Thread-safe; two threads may compute the same result at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: OrderedDict[Hashable, Made] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns the result kept under the key, or computes and keeps it. Callers must not change it."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        with self._lock:
            self._found[key] = made
            while len(self._found) > self._limit:
                self._found.popitem(last=False)
        return made

    def of_era(self, panel: EraPanel, make: Callable[[], Made], *more: Hashable) -> Made:
        """`of` for a result of the features of one era and of `more`; for a panel without digests nothing is kept."""
        if not panel.digests:
            return make()
        return self.of((panel.digests, panel.feature_names, *more), make)


def digest_of(target: NDArray[np.floating]) -> bytes:
    """A key for a target: the digests of a panel cover its features alone, and targets are sometimes revised."""
    return hashlib.blake2b(target.tobytes(), digest_size=16).digest()
