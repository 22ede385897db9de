"""Features along whose levels returns spill over: after rows of a level earned, rows of that level earn again.

Followers repeat the returns of their leaders, and leaders resemble their followers in some features. Past targets show in
which: for each feature the mean target of each of its five levels, less the mean of that level over all eras, is
multiplied with that of the newest resolved era and averaged over levels and eras. A lasting effect of a feature is in
the mean of its level, so it does not count.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from numerai_assets.features.fitting.levels import LEVELS

Means = NDArray[np.float32]

# Eras whose products are averaged before their std is computed: neighbours share days of their targets.
_STRETCH = 8
FEWEST_PAIRS = 3 * _STRETCH
"""The fewest pairs of eras for strengths."""


def level_means(block: NDArray[np.int8], centred: NDArray[np.float32]) -> Means:
    """(d, 5) float32 mean of the target (n,), centred in its era, at each level of features (d, n); 0 for a level without rows.

    Rows without a target are left out, as are missing levels. A mean is scaled by the root of its level's share of the
    rows, so that the sum of products over levels is a mean over rows.
    """
    known = ~np.isnan(centred)
    # Rounded to 1/64, float32 sums are exact: the order of rows changes none. Targets are in fourths.
    earned = np.rint(centred[known] * 64) / 64
    seen = block[:, known]
    found = np.empty((len(block), LEVELS), np.float32)
    for level in range(LEVELS):
        here = seen == level
        rows = np.maximum(here.sum(axis=1), 1)
        found[:, level] = (here @ earned) / np.sqrt(rows * len(earned))
    return found


def strengths(means: Means, eras: Sequence[int], lag: int) -> NDArray[np.float64]:
    """(d,) t of the products of level means (e, d, 5) with those at least `lag` eras before; 0 for a constant feature.

    eras: (e,) ascending, of which at least `FEWEST_PAIRS` have such an era before them.
    """
    apart = means - means.mean(axis=0)
    before = np.searchsorted(eras, np.asarray(eras) - lag, side="right") - 1
    later = np.flatnonzero(before >= 0)
    products = np.einsum("tdl,tdl->td", apart[later], apart[before[later]], dtype=np.float64)
    stretches = len(products) // _STRETCH
    each = products[len(products) - stretches * _STRETCH :].reshape(stretches, _STRETCH, -1).mean(axis=1)
    error = each.std(axis=0, ddof=1) / np.sqrt(stretches)
    return np.asarray(np.divide(each.mean(axis=0), error, out=np.zeros(len(error)), where=error > 0))
