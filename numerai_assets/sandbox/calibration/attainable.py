"""The best attainable score in a world, as a reference for the scores of methods."""

from dataclasses import dataclass

import numpy as np

from numerai_assets.eras import HORIZONS, resolved_through, spanned_eras
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calibration import measures as m
from numerai_assets.sandbox.published.prediction_names import EXAMPLE
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA
from numerai_assets.sandbox.world.history import World


@dataclass(frozen=True)
class Attainable:
    """Mean CORR, with its Newey-West standard error, of the best prediction from one component, or of all."""

    component: str
    horizon: int
    mean: float
    error: float


def attainable(world: World) -> list[Attainable]:
    """Attainable scores of a world by component and horizon, over its validation eras, and those of the example model.

    Components are those of module `oracle`; "all" is their sum. SandboxError for a world of real prices.
    """
    found = []
    for horizon in HORIZONS:
        eras = range(FIRST_VALIDATION_ERA, resolved_through(world.newest_era, horizon) + 1)
        names: list[str] = []
        scores = []
        for era in eras:
            parts = world.oracle_components(era, horizon)
            if parts is None:
                raise SandboxError(f"{world.directory}: the attainable score of a world of real prices is unknown")
            columns = {
                **parts,
                "all": np.sum(list(parts.values()), axis=0),
                EXAMPLE: world.predictions(era)[EXAMPLE].to_numpy(),
            }
            names = list(columns)
            target = world.target(era, f"target_ender_{horizon}")
            scores.append(m.corr(np.column_stack(list(columns.values())).astype(np.float64), target))
        overlap = spanned_eras(horizon)
        found += [
            Attainable(name, horizon, float(values.mean()), m.standard_error(values, overlap))
            for name, values in zip(names, np.array(scores).T, strict=True)
        ]
    return found
