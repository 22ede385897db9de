"""Cheap rivals for a full release: the findable signal with the errors of an imperfect model.

Fitting LightGBM walk-forward on 2.7 million rows takes hours. Here a rival's prediction is the part of the oracle that a
fit on the published bins can find (linear, quadratic, interactions), plus an error that is a function of the features, as
a model's error is: a random combination of them, redrawn every 156 eras, partly common to all rivals. Nothing is fitted,
so nothing is overfitted.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.eras import HORIZONS
from numerai_assets.sandbox.market.effects import KINDS
from numerai_assets.sandbox.published.prediction_names import BENCHMARKS
from numerai_assets.sandbox.world.rivals import OTHERS, rank

CHUNK = 156
"""Eras after which a rival's error is redrawn: the official benchmarks are refitted as often."""

SKILL = 0.4
"""Correlation of a rival's prediction with the findable signal."""

_ERROR_IN_COMMON = 0.5
_READ = 300


class NoisyRivals:
    """The two benchmarks and the other participants behind the meta model, over d features."""

    def __init__(self, features: int, seed: int) -> None:
        self._features = features
        self._seed = seed
        self._draw = lru_cache(maxsize=2)(self._draw_errors)

    def predict(
        self, era: int, bins: NDArray[np.int8], oracle: Mapping[int, Mapping[str, NDArray[np.float32]]]
    ) -> NDArray[np.float64]:
        """(n, 3) ranks in (0, 1) of the meta model and of the benchmarks of 20 and 60 days.

        bins (d, n).  oracle: by horizon and component, (n,) expected returns.
        """
        columns, weights = self._draw(era // CHUNK)
        errors = _standard(weights @ (bins[columns].astype(np.float32) - 2.0))
        found = {h: _standard(np.sum([oracle[h][kind] for kind in KINDS], axis=0, dtype=np.float64)) for h in HORIZONS}
        blur = np.sqrt(_ERROR_IN_COMMON) * errors[0] + np.sqrt(1 - _ERROR_IN_COMMON) * errors[1:]
        by_horizon = [
            SKILL * found[h] + np.sqrt(1 - SKILL**2) * own for h, own in zip((*HORIZONS, 60), blur, strict=True)
        ]
        ranks = [rank(belief) for belief in by_horizon]
        stakes = [*(rival.stake for rival in BENCHMARKS), sum(rival.stake for rival in OTHERS)]
        meta = np.sum([stake * ndtri(ranked) for stake, ranked in zip(stakes, ranks, strict=True)], axis=0)
        return np.column_stack([rank(meta), *ranks[:2]])

    def _draw_errors(self, chunk: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """(r,) columns of the errors, and (4, r) weights: of the common error, then of each rival's own."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, 30, chunk]))
        columns = rng.choice(self._features, min(_READ, self._features), replace=False)
        return columns, rng.standard_normal((2 + len(HORIZONS), len(columns)), dtype=np.float32)


def _standard(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean 0 and variance 1 along the last axis."""
    centred = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
    return np.asarray(centred / centred.std(axis=-1, keepdims=True), dtype=np.float64)
